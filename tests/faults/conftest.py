"""A quick EC2 in this process, and the counts at the end of the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from functools import cache

import pytest
from moto.core import responses
from moto.iam.exceptions import NotFoundException
from moto.iam.models import IAMBackend

from amibake.strict import Delays
from amibake.testing import Place, in_process
from tests.faults.outcome import left
from tests.faults.tally import COUNTED, taken


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An EC2 in this process that takes a moment for everything. Nobody really waits in it, and in the end nothing
    temporary is left."""
    really_sleep = time.sleep

    def sleep(seconds: float) -> None:
        assert threading.current_thread() is not threading.main_thread(), f"really slept for {seconds} s"
        really_sleep(seconds)

    take_role = IAMBackend.remove_role_from_instance_profile

    def remove_role(self: IAMBackend, profile_name: str, role_name: str) -> None:
        """Where moto would fail, as IAM does."""
        if role_name not in [role.name for role in self.get_instance_profile(profile_name).roles]:
            raise NotFoundException(f"Instance Profile {profile_name} does not have role {role_name}.")
        take_role(self, profile_name, role_name)

    with in_process(delays=Delays(running=0.2, stopped=0.2, terminated=0.2, available=0.2)) as place:
        monkeypatch.setattr(time, "sleep", sleep)
        monkeypatch.setattr(IAMBackend, "remove_role_from_instance_profile", remove_role)
        # moto looks up its actions anew at every call, which is a sixth of a bake
        monkeypatch.setattr(responses, "method_names_from_class", cache(responses.method_names_from_class))
        yield place
        monkeypatch.undo()
        assert left(place) == set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What a test counts is in its report."""
    try:
        return (yield)
    finally:
        item.user_properties.append((COUNTED, taken()))
