"""What happens during a bake, as it happens: the typed events that `on_event=` receives."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Emit = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """The base of all events; `str(event)` is one line for a person."""


@dataclass(frozen=True)
class BuildStarted(Event):
    """A bake or a launch begins, and this is its id: the value of the tag `amibake:build` of all that it makes."""

    build: str

    def __str__(self) -> str:
        return f"build {self.build}"


@dataclass(frozen=True)
class StepStarted(Event):
    """A step of the bake begins: "create the builder", "run primal" …"""

    step: str

    def __str__(self) -> str:
        return self.step


@dataclass(frozen=True)
class StepFinished(Event):
    """A step ended after so many `seconds`, well or by an exception."""

    step: str
    seconds: float
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.step}: {'failed' if self.failed else 'done'} after {self.seconds:.1f} s"


@dataclass(frozen=True)
class StepSkipped(Event):
    """A step is left out, and `why`: its `only` or `except_`, say."""

    step: str
    why: str

    def __str__(self) -> str:
        return f"{self.step}: left out: {self.why}"


@dataclass(frozen=True)
class Waiting(Event):
    """What is awaited, what was seen last, and for how many `seconds` already."""

    what: str
    seen: str
    seconds: float

    def __str__(self) -> str:
        return f"waiting for {self.what}: {self.seen} ({self.seconds:.0f} s)"


@dataclass(frozen=True)
class Created(Event):
    """A resource was made in the account: `kind` in EC2's words ("instance", "key pair" …) and its id or name."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"created {self.kind} {self.id}"


@dataclass(frozen=True)
class Removed(Event):
    """A temporary resource is gone."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"removed {self.kind} {self.id}"


@dataclass(frozen=True)
class Uploading(Event):
    """So many bytes of this upload have been sent; `total` is None where it is not known beforehand."""

    destination: str
    sent: int
    total: int | None = None

    def __str__(self) -> str:
        of = f" of {self.total:,}" if self.total is not None else ""
        return f"uploading {self.destination}: {self.sent:,}{of} bytes"


@dataclass(frozen=True)
class Output(Event):
    """One line that a command on the builder printed, without its newline."""

    stream: Literal["stdout", "stderr"]
    line: str

    def __str__(self) -> str:
        return self.line


@dataclass(frozen=True)
class Warned(Event):
    """Something that the bake survives but a person should know; also in `Image.warnings`."""

    message: str

    def __str__(self) -> str:
        return f"warning: {self.message}"


@dataclass(frozen=True)
class Leftover(Event):
    """Something temporary that could not be removed, and the command that removes it; also in `.leftovers`."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"left behind: {self.what}; remove it with: {self.command}"


@dataclass(frozen=True)
class OfBake(Event):
    """An `event` of one of the bakes that run side by side (see `bake_all`), and what that is called."""

    bake: str
    event: Event

    def __str__(self) -> str:
        return f"{self.bake}: {self.event}"


_LEVELS: dict[type[Event], int] = {Warned: logging.WARNING, Leftover: logging.ERROR, Waiting: logging.DEBUG}


def to_logging(event: Event) -> None:
    """Where events go when nobody asked for them: the logger "amibake"."""
    told = event.event if isinstance(event, OfBake) else event
    logging.getLogger("amibake").log(_LEVELS.get(type(told), logging.INFO), "%s", event)
