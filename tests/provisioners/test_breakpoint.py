"""Breakpoint, with a pseudo-terminal in place of the one that somebody sits at."""

from __future__ import annotations

import os
import select
import signal
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amibake.errors import AmibakeError, ConnectionLost, InvalidOption, WaitTimeout
from amibake.events import Event, Waiting
from amibake.host import Completed, Host
from amibake.provisioners import Breakpoint
from amibake.provisioners import breakpoint as module
from amibake.testing.clock import FakeClock


class Machine:
    """As much of a host as a breakpoint needs; `on_run` is called at each command."""

    def __init__(self, clock: FakeClock) -> None:
        self.data = {"ID": "i-1", "Host": "192.0.2.1", "Port": "2222", "User": "admin"}
        self.events: list[Event] = []
        self.emit = self.events.append
        self.ran: list[str] = []
        self.reconnects = 0
        self.on_run: Callable[[], object] = lambda: None
        self.on_reconnect: Callable[[], object] = lambda: None
        self._clock = clock

    def run(self, command: str, **_: Any) -> Completed:
        self.ran.append(command)
        self.on_run()
        return Completed(0, "", "")

    def reconnect(self) -> None:
        self.reconnects += 1
        self.on_reconnect()

    def remaining(self) -> float:
        return 3600 - self._clock.now()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The side that somebody sits at."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    monkeypatch.setattr(module, "TERMINAL", os.ttyname(theirs))
    yield ours
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def machine(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Of which each moment takes ten seconds."""
    monkeypatch.setattr(module, "_TICK", 0.01)
    monkeypatch.setattr(clock, "waited", lambda _: clock.sleep(10))
    return Machine(clock)


def stop(machine: Machine, step: Breakpoint) -> None:
    step.check()
    host: Host = machine  # type: ignore[assignment]
    step.provision(host)


def shown(terminal: int) -> str:
    said = b""
    while select.select([terminal], [], [], 0)[0]:
        said += os.read(terminal, 4096)
    return said.decode()


def press_enter(terminal: int) -> None:
    os.write(terminal, b"\n")


def raises(error: BaseException) -> Callable[[], object]:
    def do() -> None:
        raise error

    return do


def test_it_waits_for_enter_and_says_how_to_log_in(terminal: int, machine: Machine, clock: FakeClock) -> None:
    press_enter(terminal)  # before it asks, which is for nothing
    machine.on_run = lambda: press_enter(terminal)
    stop(machine, Breakpoint("look at nginx"))
    said = shown(terminal)
    assert "breakpoint: look at nginx" in said
    assert "The builder i-1 waits. To log in: ssh -p 2222 admin@192.0.2.1  (the bake's own key is in no file" in said
    assert machine.events == [Waiting("Enter at the terminal", "look at nginx", 0.0)]
    assert machine.ran == ["true"]
    assert clock.now() >= 15


def test_the_key_is_named_where_it_is_in_a_file(terminal: int, machine: Machine) -> None:
    machine.data["SSHPrivateKeyFile"] = "/my keys/id"
    machine.on_run = lambda: press_enter(terminal)
    stop(machine, Breakpoint())
    assert "To log in: ssh -i '/my keys/id' -p 2222 admin@192.0.2.1" in shown(terminal).splitlines()[2]


@pytest.mark.parametrize(("timeout", "until"), [(None, 3600), ("2m", 120)])
def test_it_ends_with_the_bakes_time_or_its_own(
    terminal: int, machine: Machine, clock: FakeClock, timeout: Any, until: float
) -> None:
    with pytest.raises(WaitTimeout, match="nobody pressed Enter within"):
        stop(machine, Breakpoint(timeout=timeout))
    assert until <= clock.now() < until + 20


def test_a_machine_that_died_is_noticed(terminal: int, machine: Machine) -> None:
    machine.on_run = raises(ConnectionLost("lost"))
    machine.on_reconnect = raises(AmibakeError("instance i-1 is terminated"))
    with pytest.raises(AmibakeError, match="i-1 is terminated"):
        stop(machine, Breakpoint())


def test_one_that_was_rebooted_by_hand_is_not_dead(terminal: int, machine: Machine) -> None:
    machine.on_run = raises(ConnectionLost("lost"))
    machine.on_reconnect = lambda: press_enter(terminal)
    stop(machine, Breakpoint())
    assert machine.reconnects == 1


def test_an_interrupt_goes_through(terminal: int, machine: Machine) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        stop(machine, Breakpoint())
    timer.join()


def test_without_a_terminal_it_is_refused_beforehand(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TERMINAL", "/no/such/tty")
    with pytest.raises(InvalidOption, match="no terminal to ask at") as caught:
        Breakpoint(note=3, max_retries=-1).check()  # type: ignore[arg-type]
    assert len(caught.value.mistakes) == 3
    stop(machine, Breakpoint(disable=True))
    assert machine.events == []
    assert str(Breakpoint()) == "breakpoint"
