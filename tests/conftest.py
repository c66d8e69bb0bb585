"""Fixtures for tests of the flow: a whole EC2 in this process, and the certainty that nothing temporary stays in it."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from amibake.testing import Place, in_process
from amibake.testing.data import read_once
from tests.account import shutting_down, temporary
from tests.faults.tally import COUNTED, lines


@pytest.fixture(scope="session", autouse=True)
def models() -> Iterator[None]:
    """What botocore and moto read is read once: for many tests it would take longer than what they do."""
    with pytest.MonkeyPatch.context() as patch, read_once():
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        yield


@pytest.fixture(scope="session", autouse=True)
def signals() -> Iterator[None]:
    """Signals do what they do at a terminal, also where the tests run behind `&`, which ignores SIGINT, or `nohup`."""
    defaults: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in defaults if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, defaults[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


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


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Once moto is there, what has been loaded is no garbage and stays: to look through it all for the little that a
    test leaves takes a third of the tests' time."""
    if "moto.ec2.models" in sys.modules and not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 10)


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
