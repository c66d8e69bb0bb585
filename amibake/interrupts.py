"""Signals that end a program, turned into an exception, so that everything temporary is removed first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_DEFAULTS: dict[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived. `exit_code` is what a shell says of such a program: 130, 143 or 129."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Held:
    """How many blocks hold signals back now, and the signal that arrived meanwhile."""

    depth = 0
    waiting: int | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """For its duration SIGINT, SIGTERM and SIGHUP raise `Interrupted`, a KeyboardInterrupt. Only in the main thread,
    and only where the program has not decided otherwise for these signals."""
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number, default in _DEFAULTS.items() if signal.getsignal(number) == default]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _DEFAULTS[number])


@contextmanager
def held() -> Iterator[None]:
    """Hold a signal back until the end of the block, which creates a resource or removes one and is not to stop half
    way. Whoever sends a second one does not want to wait: it is raised at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
        if _Held.depth == 0 and _Held.waiting is not None:
            number, _Held.waiting = _Held.waiting, None
            raise Interrupted(number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if _Held.depth and _Held.waiting is None:
        _Held.waiting = number
        return
    _Held.waiting = None
    raise Interrupted(number)
