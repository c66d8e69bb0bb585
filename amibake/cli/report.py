"""What a command tells while it runs, and in the end: the ways that need no terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TextIO

from amibake import waiting
from amibake.cli.wording import printable
from amibake.events import Event, Output
from amibake.timings import Timings


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes:
        data: For programs: what fits into JSON.
        text: For people, one line each.
        more: What people at a terminal may want to know besides, before the text.
        brief: What --quiet prints, one line each.
        status: The exit status.
        timings: Where the time went, where it took steps.
    """

    data: Mapping[str, Any]
    text: Sequence[str] = ()
    more: Sequence[str] = ()
    brief: Sequence[str] = ()
    status: int = 0
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True)
class Failure:
    """What went wrong.

    Attributes:
        data: For programs: what fits into JSON.
        lines: For people.
        error: The exception, where its place in the program is of interest.
        cut: What the lines leave out.
    """

    data: Mapping[str, Any]
    lines: Sequence[str]
    error: BaseException | None = field(default=None, repr=False)
    cut: Sequence[str] = ()


@dataclass(frozen=True)
class Note(Event):
    """Something of the command's own that people may want to know."""

    message: str

    def __str__(self) -> str:
        return self.message


class Reporter(Protocol):
    """Where a command says what it does. A context manager, around all of it."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def done(self, outcome: Outcome) -> None:
        """It went well."""

    def failed(self, failure: Failure) -> None:
        """It did not."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Plain:
    """Lines with time stamps on standard error; what came of it on standard output."""

    def event(self, event: Event) -> None:
        """One line for each."""
        write(sys.stderr, stamped(event))

    def done(self, outcome: Outcome) -> None:
        """What came of it."""
        for line in outcome.text:
            write(sys.stdout, line)

    def failed(self, failure: Failure) -> None:
        """What went wrong, on standard error."""
        for line in failure.lines:
            write(sys.stderr, line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()


class Quiet(Plain):
    """Nothing but the result on standard output, and errors on standard error."""

    def event(self, event: Event) -> None:
        """Not told."""

    def done(self, outcome: Outcome) -> None:
        """The id alone."""
        for line in outcome.brief:
            write(sys.stdout, line)


class Lines(Plain):
    """A JSON object a line on standard output, the last of which is the result or the error; on standard error the same
    for people."""

    def event(self, event: Event) -> None:
        """To both."""
        super().event(event)
        from amibake.cli.jsonlines import of_event

        self._say(of_event(event))

    def done(self, outcome: Outcome) -> None:
        """The last line."""
        for line in outcome.text:
            write(sys.stderr, line)
        self._say({"event": "result", **outcome.data})

    def failed(self, failure: Failure) -> None:
        """The last line."""
        super().failed(failure)
        self._say({"event": "error", **failure.data})

    def _say(self, data: Mapping[str, Any]) -> None:
        name, *rest = data.items()
        line = dict([name, ("time", round(waiting.clock.epoch(), 3)), *rest])
        write(sys.stdout, json.dumps(line))


def stamped(event: Event) -> str:
    """An event as a line with the time of day."""
    now = time.strftime("%H:%M:%S", time.localtime(waiting.clock.epoch()))
    return f"{now} {'  | ' if isinstance(event, Output) else ''}{printable(str(event))}"


def write(stream: TextIO, line: str) -> None:
    """One line, at once. What nobody reads any more is no reason to fail."""
    text = line.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8")
    with suppress(OSError):
        print(text, file=stream, flush=True)
