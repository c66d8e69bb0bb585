"""Fixtures for tests of the flow: a whole EC2 in this process, and the certainty that nothing temporary stays in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from amibake.testing import Place, in_process
from tests.account import temporary


@pytest.fixture
def place() -> Iterator[Place]:
    """An EC2 in this process; afterwards nothing temporary is left in its account."""
    with in_process() as place:
        yield place
        assert temporary(place.session.client("ec2"), place.session.client("iam")) == set()


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Every thread that the test has started has ended."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
