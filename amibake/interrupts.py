"""Signals and cancellation: how what is under way is ended at any moment so that everything temporary is removed.

Within `interruptible` a signal does not raise wherever it happens to arrive, since between any two instructions there
may be a resource that nobody knows of yet. It is noted, and raised where nothing can be lost: in what is `opened`, at
the next `check`, and at the end of what is `held`. Whatever blocks or takes long has to be one of these.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

_DEFAULTS: dict[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""SIGINT first: its default raises, which must not happen between the others; it is restored last."""

_TICK = 0.25
_STDERR = 2

Left = Callable[[], Sequence[str]]
"""Answers with what would be left if everything stopped now, a line each, with the command that removes it."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived, or the event that was given as `cancel=` was set.

    (SIGINT is a KeyboardInterrupt itself: only of that very class Python ends a program as SIGINT would have.)

    Attributes:
        number: The signal, or None.
        exit_code: What a shell says of a program that it has ended: 143 or 129; 130 where there was no signal.
        build: The id of the bake in which it happened, or None.
        leftovers: What that could not remove, a line each, with the command that removes it.
    """

    def __init__(self, number: int | None = None) -> None:
        super().__init__("cancelled" if number is None else signal.Signals(number).name)
        self.number = number
        self.exit_code = 128 + (signal.SIGINT if number is None else number)
        self.build: str | None = None
        self.leftovers: tuple[str, ...] = ()


class _Scope:
    """How one thread is to be interrupted.

    Attributes:
        cancels: Events that interrupt it.
        number: The signal that has arrived.
        opened, held, creating: How many blocks of each kind it is in.
        raised: Whether the interrupt has been raised. It is not raised again, so that releases are done.
        abandoned: Whether a second signal has said that they are not to be done either.
    """

    def __init__(self) -> None:
        self.cancels: tuple[threading.Event, ...] = ()
        self.number: int | None = None
        self.opened = 0
        self.held = 0
        self.creating = 0
        self.raised = False
        self.abandoned = False

    def is_wanted(self) -> bool:
        """Whether an interrupt has been asked for."""
        return self.number is not None or any(event.is_set() for event in self.cancels)

    def is_due(self) -> bool:
        """Whether it is to be raised here."""
        return self.abandoned or (not self.raised and not self.held and self.is_wanted())

    def error(self) -> KeyboardInterrupt:
        """What is to be raised now."""
        self.raised = True
        return KeyboardInterrupt("SIGINT") if self.number == signal.SIGINT else Interrupted(self.number)


class _Here(threading.local):
    scope: _Scope | None = None


_here = _Here()
_main: list[_Scope] = []
"""The scope of the main thread while our handlers are installed."""
_left: dict[int, Left] = {}
"""What would be left of everything under way, in all threads."""


@contextmanager
def interruptible(
    *,
    handle_signals: bool = True,
    cancel: threading.Event | None = None,
    left: Left | None = None,
    ends_process: bool = True,
) -> Iterator[None]:
    """For its duration SIGINT, SIGTERM and SIGHUP interrupt what the block does, and so does `cancel`.

    Signals do so only in the main thread, and only where the program has not decided otherwise for them. After the
    block they go on as they would have. SIGINT is a KeyboardInterrupt. SIGTERM and SIGHUP end the process, by that very
    signal, so that whoever started it sees what ended it: as they would without us, the `finally` blocks of the program
    around this one are not run, which a program that wants them to run says with a handler of its own.

    A second signal tells on stderr what is `left` of everything under way, and is raised at once; releases that have
    not been done by then are not done.

    Args:
        handle_signals: Whether signals do.
        cancel: Interrupts the block, with `Interrupted`, once it is set.
        left: What would be left.
        ends_process: Whether SIGTERM and SIGHUP do; otherwise they come out as `Interrupted`.
    """
    outer = _here.scope
    scope = outer or _Scope()
    before = scope.cancels, scope.opened, scope.held, scope.raised
    installed: list[signal.Signals] = []
    try:
        scope.opened = scope.held = 0
        if cancel is not None:
            scope.cancels += (cancel,)
        if left is not None:
            _left[id(left)] = left
        if outer is None:
            _here.scope = scope
            if handle_signals and threading.current_thread() is threading.main_thread():
                _install(scope, installed)
        yield
    finally:
        scope.cancels, scope.opened, scope.held = before[:3]
        scope.raised = before[3] if scope.number is None else scope.raised
        if outer is None:
            _here.scope = None
            _restore(installed)
            if scope.number is not None:
                _go_on(scope.number, left, ends_process=ends_process)
        if left is not None:
            _left.pop(id(left), None)


class opened:  # noqa: N801 - used like a function
    """A block in which a signal is raised wherever it arrives: it waits, or asks, or does what is the user's, and what
    is made in it belongs to nobody but itself. Whatever it makes of the interrupt, an error of its own or nothing at
    all, it is the interrupt that comes out of it."""

    def __enter__(self) -> None:
        self._scope = scope = _here.scope
        if scope is not None:
            self._before = scope.raised
            scope.opened += 1  # first, so that from now on one that arrives is raised
            if scope.is_due():
                scope.opened -= 1
                raise scope.error()

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        scope = self._scope
        if scope is not None:
            scope.opened -= 1
            hidden = scope.raised and not self._before
            if (isinstance(error, Exception) and (hidden or scope.is_due())) or (error is None and hidden):
                raise scope.error() from error


class held:  # noqa: N801 - used like a function
    """Hold an interrupt back until the end of the block, which creates a resource or removes one and is not to stop
    half way. Whoever sends a second signal does not want to wait: it is raised at once."""

    def __enter__(self) -> None:
        self._scope = scope = _here.scope
        if scope is not None:
            scope.held += 1

    def __exit__(self, *_: object) -> None:
        scope = self._scope
        if scope is not None:
            scope.held -= 1
            if scope.is_due():
                raise scope.error()


class creating(held):  # noqa: N801 - used like a function
    """The same for what creates a resource: a call that has failed is not made again once there is an interrupt."""

    def __enter__(self) -> None:
        super().__enter__()
        if self._scope is not None:
            self._scope.creating += 1

    def __exit__(self, *_: object) -> None:
        if self._scope is not None:
            self._scope.creating -= 1
        super().__exit__()


def gives_up() -> bool:
    """Whether what is being created here is to be given up rather than tried again."""
    scope = _here.scope
    return scope is not None and scope.creating > 0 and not scope.raised and scope.is_wanted()


def check() -> None:
    """Raise an interrupt that waits, unless it is held back."""
    scope = _here.scope
    if scope is not None and scope.is_due():
        raise scope.error()


def deliver() -> None:
    """Raise what has arrived, also where somebody has swallowed that it was raised already."""
    scope = _here.scope
    if scope is not None and not scope.held and scope.is_wanted():
        raise scope.error()


def signalled() -> bool:
    """Whether a signal waits to be raised."""
    scope = _here.scope
    return scope is not None and scope.number is not None and not scope.raised


def ending() -> bool:
    """Whether what is under way in this thread is being ended by an interrupt."""
    scope = _here.scope
    return scope is not None and scope.raised


def watch() -> Callable[[], bool]:
    """For another thread that works for this one: answers whether this one is to be interrupted."""
    scope = _here.scope
    return scope.is_wanted if scope is not None else lambda: False


def sleep(seconds: float) -> None:
    """Sleep, and raise an interrupt as soon as there is one."""
    scope, until = _here.scope, time.monotonic() + seconds
    watched = scope.cancels if scope is not None and not scope.held and not scope.raised else ()
    while (rest := until - time.monotonic()) > 0:
        if watched:
            watched[-1].wait(min(rest, _TICK))
        else:
            time.sleep(min(rest, _TICK))  # a signal that comes just before the system call does not end it
        check()


def _install(scope: _Scope, installed: list[signal.Signals]) -> None:
    _main[:] = [scope]
    for number in [number for number, default in _DEFAULTS.items() if signal.getsignal(number) == default]:
        installed.append(number)
        signal.signal(number, _arrived)


def _restore(installed: Sequence[signal.Signals]) -> None:
    for number in reversed(installed):
        signal.signal(number, _DEFAULTS[number])


def _arrived(number: int, _frame: FrameType | None) -> None:
    (scope,) = _main
    if scope.number is None or _here.scope is None:  # none: it is over, and the handlers are about to go
        scope.number = number
        if scope.opened and scope.is_due():
            raise scope.error()
        return
    scope.abandoned = True
    _tell("stopped, left behind", [line for left in list(_left.values()) for line in left()])
    raise scope.error()


def _go_on(number: int, left: Left | None, *, ends_process: bool) -> None:
    """Let a signal do what it would have done."""
    interrupt = sys.exception()
    if number == signal.SIGINT:
        if not isinstance(interrupt, KeyboardInterrupt):
            signal.raise_signal(number)
    elif ends_process:
        _tell(f"{signal.Signals(number).name}, left behind", left() if left is not None else ())
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, a pipe that nobody reads, or None
                stream.flush()
        signal.raise_signal(number)
        raise SystemExit(128 + number)  # the first process of a container is not ended by it
    elif not isinstance(interrupt, KeyboardInterrupt):
        raise Interrupted(number)


def _tell(what: str, lines: Sequence[str]) -> None:
    """Straight to the file: the stream may be in the middle of something that the signal has interrupted."""
    text = "".join(f"amibake: {what}: {line}\n" for line in lines)
    with suppress(OSError):
        os.write(_STDERR, text.encode(errors="replace"))
