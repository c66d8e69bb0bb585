"""The builder ends itself when its maker is gone: a timer on it that powers it off.

A power-off from within terminates a builder whose shutdown behaviour is "terminate". So whatever becomes of the program
that bakes (SIGKILL, a power cut, expired credentials), its builder costs nothing for long.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib import resources

from amibake.errors import AmibakeError, ConnectionLost
from amibake.host import Completed, Host
from amibake.interrupts import opened
from amibake.ledger import Ledger
from amibake.own_machine import NO_SUDO, OUR_OWN_MACHINE, guarded
from amibake.userdata import Part
from amibake.waiting import Deadline

MARGIN = 120.0
"""Seconds from a bake's deadline to the builder's own end. In time a bake ends its builder itself, and until then must
have it: what still runs there is killed at the deadline, which takes up to 90 seconds."""

_WITHIN = 20.0
"""Seconds for setting it, each time."""


class Timer:
    """The timer of one bake's builder. Neither of its methods raises for what goes wrong: the bake goes on without."""

    def __init__(self, deadline: Deadline, ledger: Ledger, *, margin: float = MARGIN) -> None:
        """It goes off `margin` seconds after the deadline."""
        self._deadline = deadline
        self._ledger = ledger
        self._margin = margin
        self._cancelled = False
        self._warned = False

    @property
    def seconds(self) -> int:
        """From now until it goes off."""
        return math.ceil(self._deadline.remaining() + self._margin)

    def arm(self, host: Host) -> None:
        """Arm it, in place of what is armed already: for every new connection, since no timer outlives a reboot. Once
        it was cancelled, nothing is done."""
        if self._cancelled:
            return
        failed = self._set(host, "arm", str(self.seconds))
        if failed and not self._warned:
            self._warned = True
            self._ledger.warn(f"the builder will not end itself when this program is killed: {failed}")

    def cancel(self, host: Host) -> None:
        """Nothing is to go off any more, and nothing of it be left: before the builder is sealed and stopped."""
        self._cancelled = True
        failed = self._set(host, "cancel")
        if failed and not self._warned:
            self._ledger.warn(f"the builder's timer could not be cancelled: {failed}")

    def part(self) -> Part:
        """The same in user data, for the time until somebody logs in: armed at each boot, before anybody can."""
        return Part("text/cloud-boothook", f"#!/bin/sh\nset -- keep {self.seconds}\n{_script()}")

    def _set(self, host: Host, verb: str, seconds: str = "0") -> str:
        """What is wrong, or "". A connection that is lost is for whoever uses it next to notice."""
        command = guarded("amibake-set-timer", verb, seconds)
        name = f"{verb} the builder's timer"
        try:
            with opened():
                done = host.run(
                    command, input=_script().encode(), capture=True, timeout=_WITHIN, name=name, when_lost="repeat"
                )
        except ConnectionLost:
            return ""
        except AmibakeError as error:
            return error.message
        return _wrong(done)


def _wrong(done: Completed) -> str:
    if done.status == OUR_OWN_MACHINE:
        return "it is the machine that this runs on"
    if done.status == NO_SUDO:
        return "no passwordless sudo on it"
    if done.status:
        return "; ".join([f"exit status {done.status}", *done.tail])
    return ""


@cache
def _script() -> str:
    """Without the lines that are only a comment: it travels with each call, and EC2 bounds user data."""
    return re.sub(r"(?m)^ *#.*\n", "", resources.files("amibake").joinpath("timer.sh").read_text())
