"""A loopback machine that really runs what it is told, and a host connected to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amibake import waiting
from amibake.events import Event
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline

Connect = Callable[..., SSHHost]


def open_sockets() -> set[str]:
    links = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(str(fd.readlink()))
    return {link for link in links if link.startswith("socket:")}


@pytest.fixture(autouse=True)
def _nothing_left(no_thread_left: None) -> Iterator[None]:
    """Around every test here: neither thread nor socket."""
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture
def key() -> KeyPair:
    return make_key_pair()


@pytest.fixture
def machine(tmp_path: Path, key: KeyPair) -> Iterator[LoopbackMachine]:
    with LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public], execute=True) as machine:
        yield machine


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """On which waiting takes no time."""
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


@pytest.fixture
def enter(machine: LoopbackMachine, key: KeyPair, events: list[Event]) -> Connect:
    """Connects to the machine as `connect` does, with what most tests give it, unless they give something else."""

    def enter(port: int | None = None, **options: Any) -> SSHHost:
        given: dict[str, Any] = {"deadline": Deadline(3600), "emit": events.append, "timeout": 30.0}
        if "credentials" not in options:
            given |= {"username": "admin", "key": key}
        return connect(machine.address, port or machine.port, **{**given, **options})

    return enter


@pytest.fixture
def host(machine: LoopbackMachine, key: KeyPair, events: list[Event]) -> Iterator[SSHHost]:
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=events.append
    ) as host:
        yield host
