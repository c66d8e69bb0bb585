"""What a command tells on a terminal: below the step under way, above it what has happened and the script's output."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from amibake import waiting
from amibake.cli.report import Failure, Outcome, answer, results
from amibake.cli.timeline import duration, timeline
from amibake.cli.wording import printable
from amibake.events import (
    Created,
    Event,
    Leftover,
    Output,
    Removed,
    StepFinished,
    StepSkipped,
    StepStarted,
    Uploading,
    Waiting,
    Warned,
)

_TOGETHER = 0.1
"""Seconds of output that are printed at once, so that a script that prints much is not held up."""
_REFRESHES = 8
"""A second."""
_BAR = 20
_EDGE = "  │ "
_STYLES: dict[type[Event], tuple[str, str]] = {
    Created: ("+ ", "green dim"),
    Removed: ("- ", "dim"),
    StepSkipped: ("· ", "dim"),
    Warned: ("! ", "yellow"),
    Leftover: ("! ", "bold red"),
}

_MARKS = {"✓": "green", "✗": "bold red", "?": "yellow"}
"""What lines of results begin with, and how they are shown then."""


class View:
    """A reporter for terminals, on standard error. What came of it goes to standard output where that is none."""

    def __init__(self, console: Console | None = None, *, animated: bool = True) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._steps: list[tuple[str, float]] = []
        self._waiting: tuple[Waiting, float] | None = None
        self._upload: tuple[Uploading, float] | None = None
        self._output: list[str] = []
        self._printed = 0.0
        self._spinner = Spinner("dots", style="cyan")
        self._lock = threading.RLock()
        """For what prints: rich erases as many lines as it takes for those below."""
        self._ticker = threading.Thread(target=self._tick, name="live-view", daemon=True) if animated else None
        self._over = threading.Event()
        self._live = Live(
            console=self._console,
            get_renderable=self.region,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        self._console.show_cursor(True)  # a program that a signal ends could not bring it back
        if self._ticker:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._ticker:
            self._ticker.join()
        self._flush()
        self._live.stop()

    def _tick(self) -> None:
        while not self._over.wait(1 / _REFRESHES):
            self._refresh()

    def _refresh(self) -> None:
        """Show below what is so now; what is printed next comes above that."""
        with self._lock:
            if self._ticker:
                self._live.refresh()

    def event(self, event: Event) -> None:
        """Show it."""
        with self._lock:
            self._show(event)

    def _show(self, event: Event) -> None:
        if isinstance(event, Output):
            self._output.append(printable(event.line))
            if time.monotonic() - self._printed > _TOGETHER:
                self._flush()
            return
        self._flush()
        now = waiting.clock.now()
        if isinstance(event, StepStarted):
            self._steps.append((event.step, now))
            self._waiting = self._upload = None
        elif isinstance(event, StepFinished):
            self._finish(event)
        elif isinstance(event, Waiting):
            self._waiting = (event, now - event.seconds)
        elif isinstance(event, Uploading):
            begun = self._steps[-1][1] if self._steps else now
            self._upload = None if event.sent == event.total else (event, begun)
        else:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        mark, style = _STYLES.get(type(event), ("· ", ""))
        text = printable(str(event))
        if isinstance(event, Leftover):  # with a command to be copied
            self._print(Text(f"  {mark}{text}", style))
        else:
            self._hang(f"  {mark}", text, style)

    def done(self, outcome: Outcome) -> None:
        """Where the time went, and what came of it."""
        self._flush()
        if outcome.timings:
            self._print(Text("\nWhere the time went", "bold"))
            self._print(timeline(outcome.timings, self._console.width))
        for line in outcome.more:
            self._print(Text(line, "dim"))
        for number, line in enumerate(outcome.text):
            if sys.stdout.isatty():
                self._print(Text(line, _MARKS.get(line[:1], "" if number else "bold")))
            else:
                results([line])

    def failed(self, failure: Failure) -> None:
        """What went wrong."""
        self._flush()
        for line in failure.lines:
            word, colon, rest = line.partition(": ")
            style = {"error": "bold red", "hint": "bold yellow", "left behind": "bold red"}.get(word, "")
            self._print(Text.assemble((word + colon, style), rest))

    def ask(self, told: Sequence[str], question: str) -> str | None:
        """While nothing moves."""
        with self._lock:
            self._flush()
            self._live.stop()
            for line in told:
                self._print(Text(printable(line)))
            try:
                return answer(question)
            finally:
                self._live.start()
                self._console.show_cursor(True)

    def _finish(self, event: StepFinished) -> None:
        self._waiting = self._upload = None
        if self._steps:
            self._steps.pop()
        self._refresh()
        mark, style = ("✗", "bold red") if event.failed else ("✓", "green")
        self._print(_in_two(Text.assemble((f"{mark} ", style), event.step), Text(duration(event.seconds), "dim")))

    def _flush(self) -> None:
        with self._lock:
            lines, self._output = self._output, []
            if lines:
                self._refresh()
            for line in lines:
                for part in self._wrapped(line, len(_EDGE)):
                    self._print(Text(_EDGE + part, "dim"))
            self._printed = time.monotonic()

    def _hang(self, mark: str, text: str, style: str) -> None:
        """A mark, and beside it as many lines as the text takes."""
        for number, part in enumerate(self._wrapped(text, len(mark))):
            self._print(Text((" " * len(mark) if number else mark) + part, style))

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return [part.plain.rstrip() for part in Text(text).wrap(self._console, self._console.width - indent)]

    def _print(self, what: RenderableType) -> None:
        with self._lock:
            self._console.print(what, soft_wrap=isinstance(what, Text))

    def region(self) -> RenderableType:
        """What is shown below, as it is now."""
        return Group(*self._lines())

    def _lines(self) -> Iterator[RenderableType]:
        now = waiting.clock.now()
        for line in self._output[-3:]:
            yield _one_line(Text(_EDGE + line, "dim"))
        if self._steps:
            step, since = self._steps[-1]
            yield _in_two(_spinning(self._spinner, step), Text(duration(now - since), "cyan"))
        if self._waiting:
            event, since = self._waiting
            said = " ".join(
                printable(f"waiting for {event.what}: {event.seen}").split()
            )  # what SSH said may be anything
            yield _in_two(Text(f"  {said}"), Text(duration(now - since), "dim"))
        if self._upload:
            yield _one_line(_progress(*self._upload, now))


def _spinning(spinner: Spinner, step: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(spinner, Text(step, "bold", no_wrap=True, overflow="ellipsis"))
    return row


def _in_two(left: Any, right: Text) -> Table:
    """A line with something at either end."""
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(no_wrap=True, overflow="ellipsis")
    row.add_column(justify="right", no_wrap=True)
    row.add_row(left, right)
    return row


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _progress(event: Uploading, since: float, now: float) -> Text:
    rate = event.sent / (now - since) if now > since else 0.0
    done, bar = f"{event.sent / 1e6:.1f}", ""
    if event.total:
        filled = round(_BAR * min(1.0, event.sent / event.total))
        bar = "━" * filled + "─" * (_BAR - filled) + " "
        done += f"/{event.total / 1e6:.1f}"
    return Text(f"  ↑ {bar}{done} MB, {rate / 1e6:.1f} MB/s to {event.destination}")
