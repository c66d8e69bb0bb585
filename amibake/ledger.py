"""What one bake writes down as it goes: timings, warnings, and what could not be removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amibake import waiting
from amibake.errors import AmibakeError
from amibake.events import Created, Emit, Event, Leftover, Removed, StepFinished, StepStarted, Warned, to_logging


class Ledger:
    """The record of one bake. Attributes: `timings` {step: seconds}, `warnings`, `leftovers`."""

    def __init__(self, on_event: Emit | None = None) -> None:
        self._on_event = on_event or to_logging
        self.timings: dict[str, float] = {}
        self.warnings: list[str] = []
        self.leftovers: list[str] = []

    def emit(self, event: Event) -> None:
        """Tell the user, through `on_event` or logging."""
        self._on_event(event)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step; steps of one name add up."""
        self.emit(StepStarted(name))
        started = waiting.clock.now()
        failed = True
        try:
            yield
            failed = False
        finally:
            seconds = waiting.clock.now() - started
            self.timings[name] = self.timings.get(name, 0.0) + seconds
            self.emit(StepFinished(name, seconds, failed=failed))

    def warn(self, message: str) -> None:
        """Note something that the bake survives but a person should know."""
        self.warnings.append(message)
        self.emit(Warned(message))

    def created(self, kind: str, name: str) -> None:
        """Note that a resource was made."""
        self.emit(Created(kind, name))

    def release(self, kind: str, name: str, remove: Callable[[], object], command: str) -> None:
        """Remove a temporary resource. Never raises: a failure becomes a leftover, with the command to remove it."""
        try:
            remove()
        except AmibakeError as error:
            what = f"{kind} {name} ({error.message})"
            self.leftovers.append(f"{what}; remove it with: {command}")
            self.emit(Leftover(what, command))
        else:
            self.emit(Removed(kind, name))
