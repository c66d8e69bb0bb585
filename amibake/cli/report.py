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
from amibake.errors import AmibakeError
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
        left: What could not be removed, which is in the text, too: --quiet tells it on standard error.
    """

    data: Mapping[str, Any]
    text: Sequence[str] = ()
    more: Sequence[str] = ()
    brief: Sequence[str] = ()
    status: int = 0
    timings: Timings = field(default_factory=Timings)
    left: Sequence[str] = ()


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

    def ask(self, told: Sequence[str], question: str) -> str | None:
        """Tell something, and ask a person: the line that is the answer, in lower case, or None where there is none."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Plain:
    """Lines with time stamps on standard error; what came of it on standard output."""

    def event(self, event: Event) -> None:
        """One line for each."""
        write(sys.stderr, stamped(event))

    def done(self, outcome: Outcome) -> None:
        """What came of it."""
        results(outcome.text)

    def failed(self, failure: Failure) -> None:
        """What went wrong, on standard error."""
        for line in failure.lines:
            write(sys.stderr, line)

    def ask(self, told: Sequence[str], question: str) -> str | None:
        """By standard error and standard input."""
        for line in told:
            write(sys.stderr, printable(line))
        return answer(question)

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
        """The id alone; what stays behind and costs money is told as errors are."""
        for line in outcome.left:
            write(sys.stderr, f"left behind: {line}")
        results(outcome.brief)


class Lines(Plain):
    """A JSON object a line on standard output, the last of which is the result or the error; on standard error the same
    for people."""

    def __init__(self) -> None:
        self._unwritten: OSError | None = None

    def event(self, event: Event) -> None:
        """To both. A line that can't be written is no reason to end what is under way, but the last one tells."""
        super().event(event)
        from amibake.cli.jsonlines import of_event

        self._say(of_event(event))

    def done(self, outcome: Outcome) -> None:
        """The last line."""
        for line in outcome.text:
            write(sys.stderr, line)
        self._say({"event": "result", **outcome.data})
        _raise(self._unwritten)

    def failed(self, failure: Failure) -> None:
        """The last line."""
        super().failed(failure)
        self._say({"event": "error", **failure.data})

    def _say(self, data: Mapping[str, Any]) -> None:
        name, *rest = data.items()
        line = dict([name, ("time", round(waiting.clock.epoch(), 3)), *rest])
        self._unwritten = write(sys.stdout, json.dumps(line)) or self._unwritten


def stamped(event: Event) -> str:
    """An event as a line with the time of day."""
    now = time.strftime("%H:%M:%S", time.localtime(waiting.clock.epoch()))
    return f"{now} {'  | ' if isinstance(event, Output) else ''}{printable(str(event))}"


def answer(question: str) -> str | None:
    """What is answered on standard input; None at its end, or for Ctrl-C."""
    print(question, end=" ", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        write(sys.stderr, "")
        return None
    return line.strip().lower()


def results(lines: Sequence[str]) -> None:
    """Write what came of a command to standard output.

    Raises:
        AmibakeError: it can't be written there.
    """
    for line in lines:
        _raise(write(sys.stdout, line))


def _raise(error: OSError | None) -> None:
    if error is not None:
        raise AmibakeError(
            f"standard output can't be written to: {error.strerror}",
            hint="what the command was to do is done: only its result is not told",
        ) from error


def write(stream: TextIO, line: str) -> OSError | None:
    """One line, at once; answers with why it could not be written. What nobody reads any more is no reason to fail."""
    text = line.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8")
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        return None
    except OSError as error:
        return error
    return None
