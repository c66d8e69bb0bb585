"""Fixtures for tests of the flow: a whole EC2 in this process, and the certainty that nothing temporary stays in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from amibake.testing import Place, in_process
from tests.account import shutting_down, temporary
from tests.faults.tally import COUNTED, lines


@pytest.fixture
def place() -> Iterator[Place]:
    """An EC2 in this process; afterwards nothing temporary is left in its account, but instances that are terminated a
    moment later."""
    with in_process() as place:
        yield place
        assert temporary(place.session.client("ec2"), place.session.client("iam")) == set()
        place.clock.sleep(60)
        assert shutting_down(place.session.client("ec2")) == set()


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Every thread that the test has started has ended."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was survived, by the counts of the tests that say so, and by what others `record_property("told", …)`."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    properties = [said for report in reports for said in getattr(report, "user_properties", ())]
    told = lines(value for name, value in properties if name == COUNTED)
    told += [str(value) for name, value in properties if name == "told"]
    if told:
        terminalreporter.section("faults, signals and lost connections")
        for line in told:
            terminalreporter.line(line)
