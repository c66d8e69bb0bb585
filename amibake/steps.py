"""How provisioners are run: one after another, each with the options that all of them have in common.

These are attributes of `Step`, and of whatever else has one of these names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from amibake import waiting
from amibake.errors import (
    AmibakeError,
    AuthenticationFailed,
    ConnectionLost,
    HostKeyChanged,
    InvalidOption,
    SSHTimeout,
    WaitTimeout,
)
from amibake.events import StepSkipped, Waiting, Warned
from amibake.host import Host, Provisioner
from amibake.interrupts import opened
from amibake.ledger import Ledger

_ANSWERS_WITHIN = 10.0
"""Seconds that a builder gets to show that it can be reached."""


def called(step: Provisioner) -> str:
    """What the step is called: by its `name`, or as it says itself, but never by a repr, which may show a secret."""
    name = getattr(step, "name", None)
    if isinstance(name, str) and name:
        return name
    kind = type(step)
    return kind.__name__ if kind.__str__ is object.__str__ else str(step)


def perform(step: Provisioner, host: Host, ledger: Ledger) -> None:
    """Run one provisioner: leave it out, wait, bound and repeat it as it says.

    Raises:
        AmibakeError: what it raised the last time, unless it has `continue_on_error`; with several tries the message
            says how many. Where nobody gets in to the builder any more, no bake can go on.
    """
    name = called(step)
    why = _left_out(step, host)
    if why:
        host.emit(StepSkipped(name, why))
        return
    try:
        with ledger.step(name):
            _pause(step, name, host)
            _try(step, name, host)
    except (InvalidOption, HostKeyChanged, AuthenticationFailed):
        raise
    except AmibakeError as error:
        lost = _is_lost(step, error)
        if not getattr(step, "continue_on_error", False) or (isinstance(error, SSHTimeout) and not lost):
            raise
        _warn(host, f"{_said(name, error)}; the bake goes on without it")
        if lost:
            host.reconnect()


def run_error_cleanup(steps: Iterable[Provisioner], host: Host, ledger: Ledger, seconds: float = 60.0) -> None:
    """Run these after a failure, while the builder is still there and the error is being handled.

    Each is run whatever becomes of the others, for `seconds` at most where it has no `timeout` of its own. What they
    raise becomes a warning. None is run once the builder cannot be reached, the bake's time is up or a signal arrives.

    Raises:
        KeyboardInterrupt: it arrived meanwhile; it comes from the error that is being handled.
    """
    left, first = list(steps), sys.exception()
    try:
        while left:
            why = _out_of_reach(host)
            if why:
                _warn(host, f"{why}; not run: {_names(left)}")
                return
            _clean_up(left.pop(0), host, ledger, seconds)
    except KeyboardInterrupt as interrupt:
        _warn(host, f"interrupted while cleaning up on the builder; not run: {_names(left) or 'nothing'}")
        raise interrupt from first


def _clean_up(step: Provisioner, host: Host, ledger: Ledger, seconds: float) -> None:
    try:
        bounded = host if _seconds(step, "timeout") is not None else _limited(host, seconds)
        perform(step, bounded, ledger)
    except Exception as error:  # noqa: BLE001 - no error of theirs is to hide the first one
        _warn(host, _said(called(step), error))


def _warn(host: Host, message: str) -> None:
    """By way of the host, which knows what is to be hidden."""
    host.emit(Warned(message))


def _names(steps: Iterable[Provisioner]) -> str:
    return ", ".join(map(called, steps))


def _out_of_reach(host: Host) -> str:
    """Why nothing can be run there, or nothing."""
    if host.remaining() <= 0:
        return "the bake's time is up"
    try:
        host.run("true", capture=True, timeout=_ANSWERS_WITHIN, name="whether the builder answers", when_lost="raise")
    except (ConnectionLost, WaitTimeout):
        try:
            host.reconnect(timeout=_ANSWERS_WITHIN)
        except AmibakeError as error:
            return f"the builder can't be reached: {error.message}"
    return ""


def _left_out(step: Provisioner, host: Host) -> str:
    """Why this bake is one in which the step is not done, or nothing."""
    build = host.data.get("BuildName", "")
    only, but = (tuple(getattr(step, option, None) or ()) for option in ("only", "except_"))
    if only and not any(fnmatchcase(build, pattern) for pattern in only):
        return f"only for {', '.join(only)}, and this is {build or 'a bake without a name'}"
    if any(fnmatchcase(build, pattern) for pattern in but):
        return f"not for {build}"
    return ""


def _pause(step: Provisioner, name: str, host: Host) -> None:
    pause = min(_seconds(step, "pause_before") or 0.0, host.remaining())
    if pause > 0:
        host.emit(Waiting(f"the pause before {name}", f"{waiting.duration(pause)} to go", 0.0))
        waiting.sleep(pause)


def _try(step: Provisioner, name: str, host: Host) -> None:
    times = 1 + (getattr(step, "max_retries", None) or 0)
    tries = 0

    def once() -> None:
        nonlocal tries
        tries += 1
        with opened():
            step.provision(_limited(host, _seconds(step, "timeout")))

    def failed(error: BaseException, number: int, pause: float) -> None:
        _warn(host, f"{_said(name, error)} (try {number} of {times}; again in {waiting.duration(pause)})")
        if _is_lost(step, error):
            host.reconnect()

    def over(error: BaseException) -> bool:
        return not isinstance(error, AmibakeError) or isinstance(error, InvalidOption | HostKeyChanged)

    bake = waiting.Deadline(host.remaining())
    try:
        waiting.persist(once, times=times, over=over, failed=failed, deadline=bake)
    except AmibakeError as error:
        if getattr(step, "name", None) == name and name not in error.message:
            error.message = f"{name}: {error.message}"
        if tries > 1:
            error.message = f"{error.message} (the last of {tries} tries)"
        raise


def _is_lost(step: Provisioner, error: BaseException) -> bool:
    """Whether the connection is to be made anew. Where that could not be done within a time of the step's own, it may
    be all the same within what the bake gives it."""
    return isinstance(error, ConnectionLost) or (
        isinstance(error, SSHTimeout) and _seconds(step, "timeout") is not None
    )


def _said(name: str, error: BaseException) -> str:
    """What an error says, once with the step's name. The text of an error that is not ours may show a secret."""
    said = error.message if isinstance(error, AmibakeError) else type(error).__name__
    return said if name in said else f"{name}: {said}"


def _limited(host: Host, seconds: float | None) -> Host:
    limited: Any = getattr(host, "limited", None)
    if seconds is None or limited is None:
        return host
    bounded: Host = limited(seconds)
    return bounded


def _seconds(step: Provisioner, option: str) -> float | None:
    given = getattr(step, option, None)
    if given is None:
        return None
    try:
        return waiting.seconds(given)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{called(step)}: {option}: {error}") from error
