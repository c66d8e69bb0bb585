"""What one bake writes down as it goes: timings, warnings, and what could not be removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amibake import waiting
from amibake.errors import AmibakeError
from amibake.events import (
    BuildStarted,
    Created,
    Emit,
    Event,
    Leftover,
    Removed,
    StepFinished,
    StepStarted,
    Warned,
    to_logging,
)
from amibake.interrupts import Interrupted, held, opened
from amibake.timings import TimedStep, TimedWait, Timings


class Ledger:
    """The record of one bake. Attributes: `timings`, `warnings`, `leftovers`, and `kept`: while that is
    a list, nothing is released, but what would have been is noted there with the command that removes it."""

    def __init__(self, on_event: Emit | None = None) -> None:
        self._on_event = on_event or to_logging
        self._began = waiting.clock.now()
        self._steps: list[TimedStep] = []
        self._waits: list[list[TimedWait]] = []
        self.warnings: list[str] = []
        self.leftovers: list[str] = []
        self.kept: list[str] | None = None
        self._owned: dict[tuple[str, str], str] = {}

    def emit(self, event: Event) -> None:
        """Tell the user, through `on_event` or logging. One that raises (a closed pipe, say) is not asked again: what
        a bake does must not depend on who listens. Warnings are written down, whoever tells of them."""
        if isinstance(event, Warned):
            self.warnings.append(event.message)
        try:
            with opened():
                self._on_event(event)
        except Exception:
            self._on_event = to_logging
            logging.getLogger("amibake").warning("on_event failed; from now on events are logged", exc_info=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step."""
        self.emit(StepStarted(name))
        started, waits = waiting.clock.now(), list[TimedWait]()
        self._waits.append(waits)
        failed = True
        try:
            yield
            failed = False
        finally:
            seconds = waiting.clock.now() - started
            self._waits = [one for one in self._waits if one is not waits]  # not one that is equal
            self._steps.append(TimedStep(name, started - self._began, seconds, tuple(waits)))
            self.emit(StepFinished(name, seconds, failed=failed))

    @contextmanager
    def waits(self, what: str) -> Iterator[None]:
        """Time what is waiting for EC2, as a part of the step that is under way."""
        started = waiting.clock.now()
        try:
            yield
        finally:
            seconds = waiting.clock.now() - started
            if seconds and self._waits:
                self._waits[-1].append(TimedWait(what, started - self._began, seconds))

    @property
    def timings(self) -> Timings:
        """Where the time went until now, as far as it is in steps that have ended."""
        return Timings(self._steps)

    def warn(self, message: str) -> None:
        """Note something that the bake survives but a person should know."""
        self.emit(Warned(message))

    def created(self, kind: str, name: str) -> None:
        """Note that a resource was made."""
        self.emit(Created(kind, name))

    @contextmanager
    def making(self, kind: str, command: str) -> Iterator[None]:
        """Note that a resource is being made; `command` shows whether it is there."""
        self._owned[kind, ""] = command
        try:
            yield
        finally:
            self._owned.pop((kind, ""), None)

    def owns(self, kind: str, name: str, command: str) -> None:
        """Note that a resource is there, and the command that removes it."""
        self._owned[kind, name] = command

    def keeps(self, kind: str, name: str) -> None:
        """Note that a resource is not temporary any more: nobody is to be told to remove it."""
        self._owned.pop((kind, name), None)

    def unreleased(self) -> list[str]:
        """What would be left if the bake ended here: what could not be removed, and what is still there."""
        owned = list(self._owned.items())  # at once: a signal may arrive while it changes
        told = [(f"{kind} {name}" if name else f"perhaps another {kind}", command) for (kind, name), command in owned]
        return [*self.leftovers, *(f"{what}; remove it with: {command}" for what, command in told)]

    def release(self, kind: str, name: str, remove: Callable[[], object], command: str) -> None:
        """Remove a temporary resource. A failure becomes a leftover, with the command to remove it, and is not raised.
        A first signal waits until it is done; a second one leaves a leftover and goes on as a signal."""
        if self.kept is not None:
            self.kept.append(f"{kind} {name} is kept; remove it with: {command}")
            return
        with held():
            try:
                remove()
            except AmibakeError as error:
                self._owned.pop((kind, name), None)
                self.left(f"{kind} {name} ({error.message})", command)
            except BaseException as error:
                self._owned.pop((kind, name), None)
                self.left(f"{kind} {name} ({type(error).__name__} while it was being removed)", command)
                raise
            else:
                self._owned.pop((kind, name), None)
                self.emit(Removed(kind, name))

    def left(self, what: str, command: str) -> None:
        """Note something that stays behind, and the command that removes it."""
        self.leftovers.append(f"{what}; remove it with: {command}")
        self.emit(Leftover(what, command))

    @contextmanager
    def signed(self, build: str) -> Iterator[None]:
        """Tell which bake it is; write that on every exception, and what it left behind."""
        try:
            self.emit(BuildStarted(build))
            yield
        except AmibakeError as error:
            error.build, error.leftovers = build, tuple(self.leftovers)
            raise
        except BaseException as error:
            if isinstance(error, Interrupted):
                error.build, error.leftovers = build, tuple(self.leftovers)
            error.add_note(f"amibake build {build}")
            for leftover in self.leftovers:
                error.add_note(f"left behind: {leftover}")
            raise
