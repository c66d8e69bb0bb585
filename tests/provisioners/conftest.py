"""A loopback machine, on a clock that needs no time, and a host connected to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amibake import waiting
from amibake.events import Event
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


@pytest.fixture(scope="session")
def key() -> KeyPair:
    return make_key_pair()


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest, key: KeyPair) -> Iterator[LoopbackMachine]:
    """It records what it is told; with True as an indirect parameter it runs it."""
    execute = getattr(request, "param", False)
    with LoopbackMachine("127.78.0.2", tmp_path / "machine", [key.public], execute=execute) as machine:
        yield machine


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def host(machine: LoopbackMachine, key: KeyPair, clock: FakeClock, events: list[Event]) -> Iterator[SSHHost]:
    with connect(
        machine.address,
        machine.port,
        username="admin",
        key=key,
        deadline=Deadline(400),
        emit=events.append,
    ) as host:
        yield host
