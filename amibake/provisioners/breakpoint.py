"""`Breakpoint` stops a bake until somebody says to go on."""

from __future__ import annotations

import os
import select
import shlex
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from amibake import interrupts, waiting
from amibake.errors import ConnectionLost, InvalidOption, WaitTimeout
from amibake.events import Waiting
from amibake.host import Host
from amibake.provisioners.common import Step, mistakes_of_switch

TERMINAL = "/dev/tty"

_TICK = 0.5
_LOOK_EVERY = 15.0
_ANSWERS_WITHIN = 30.0


@dataclass(frozen=True)
class Breakpoint(Step):
    """Stop until Enter is pressed at the terminal, which is told how to log in to the builder by hand meanwhile.

    The bake's own deadline goes on, and a builder that dies ends the bake. Where there is no terminal it is refused
    before anything is launched.

    Attributes:
        note: What to say there: why it stops, or what to look at.
        disable: Do nothing.
    """

    note: str = ""
    disable: bool = False

    def __str__(self) -> str:
        return f"breakpoint: {self.note}" if self.note else "breakpoint"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = [*self.common_mistakes(), *mistakes_of_switch("disable", self.disable)]
        if not isinstance(self.note, str):
            mistakes.append("note: has to be a text")
        if not self.disable:
            try:
                os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
            except OSError as error:
                mistakes.append(f"there is no terminal to ask at ({TERMINAL}: {error.strerror}); disable=True skips it")
        if mistakes:
            raise InvalidOption(*(f"Breakpoint: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Wait for Enter.

        Raises:
            WaitTimeout: the bake's time, or this step's own, is up.
            AmibakeError: the builder is gone.
        """
        if self.disable:
            return
        deadline = waiting.Deadline(host.remaining() if self.limit is None else min(self.limit, host.remaining()))
        host.emit(Waiting("Enter at the terminal", self.note or "a breakpoint", 0.0))
        with _terminal() as terminal:
            os.write(terminal, f"\n{self}\n{_way_in(host)}\nPress Enter to go on.\n".encode())
            _wait_for_enter(terminal, host, deadline)


@contextmanager
def _terminal() -> Iterator[int]:
    terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY)
    try:
        termios.tcflush(terminal, termios.TCIFLUSH)  # what was typed before was not for this
        yield terminal
    finally:
        os.close(terminal)


def _wait_for_enter(terminal: int, host: Host, deadline: waiting.Deadline) -> None:
    looked = waiting.clock.now()
    while not select.select([terminal], [], [], _TICK)[0]:
        waiting.clock.waited(_TICK)
        interrupts.check()
        if deadline.remaining() <= 0:
            raise WaitTimeout(f"breakpoint: nobody pressed Enter within {waiting.duration(deadline.seconds)}")
        if waiting.clock.now() - looked >= _LOOK_EVERY:
            _look_at(host)
            looked = waiting.clock.now()
    os.read(terminal, 4096)


def _look_at(host: Host) -> None:
    """Notice a builder that has died. One that somebody has rebooted by hand has not."""
    try:
        host.run(
            "true",
            capture=True,
            timeout=_ANSWERS_WITHIN,
            name="whether the builder is still there",
            when_lost="raise",
        )
    except (ConnectionLost, WaitTimeout):
        host.reconnect()


def _way_in(host: Host) -> str:
    data = host.data
    key = data.get("SSHPrivateKeyFile")
    words = ["ssh", *(["-i", key] if key else []), "-p", data.get("Port", "22")]
    command = shlex.join([*words, f"{data.get('User', '')}@{data.get('Host', '')}".lstrip("@")])
    note = "" if key else "  (the bake's own key is in no file; `ssh_private_key_file` names one)"
    return f"The builder {data.get('ID', '')} waits. To log in: {command}{note}"
