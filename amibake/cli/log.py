"""The complete log of each bake, in a file of its own."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

from amibake import waiting
from amibake.cli.report import Failure, Outcome, Reporter
from amibake.cli.wording import printable
from amibake.events import BuildStarted, Event, Output, Warned


class Logged:
    """A reporter that tells another one, and writes everything to amibake-<build>.log in this directory. What was told
    before the build had its id comes first in it; without a build there is no file."""

    def __init__(self, inner: Reporter, directory: Path) -> None:
        self._inner = inner
        self._directory = directory
        self._path: Path | None = None
        self._file: TextIO | None = None
        self._before: list[str] = []

    def event(self, event: Event) -> None:
        """Both."""
        if isinstance(event, BuildStarted) and self._path is None:
            self._open(self._directory / f"amibake-{event.build}.log")
        mark = f"{event.stream}: " if isinstance(event, Output) else ""
        self._write([mark + str(event)])
        self._inner.event(event)

    def done(self, outcome: Outcome) -> None:
        """Both; the result says where the log is."""
        self._write([*outcome.more, *outcome.text])
        self._inner.done(replace(outcome, data={**outcome.data, "log": self.path}))

    def failed(self, failure: Failure) -> None:
        """Both; the error says where the log is."""
        self._write([*failure.lines, *(["in full:"] if failure.cut else []), *failure.cut])
        if failure.error is not None:
            self._write(["".join(traceback.format_tb(failure.error.__traceback__))])
        where = [f"log: {self.path}"] if self.path else []
        lines = [line for line in failure.lines if not (where and line.startswith("build: "))]
        self._inner.failed(replace(failure, data={**failure.data, "log": self.path}, lines=[*lines, *where]))

    def ask(self, told: Sequence[str], question: str) -> str | None:
        """The other one asks; both question and answer are written down."""
        given = self._inner.ask(told, question)
        self._write([*told, f"{question} {given or ''}"])
        return given

    @property
    def path(self) -> str | None:
        """The file, if there is one."""
        return str(self._path) if self._path else None

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._file:
            with suppress(OSError):
                self._file.close()
        self._inner.__exit__(*problem)

    def _open(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            self._inner.event(Warned(f"no log is written: {path}: {error.strerror}"))
            return
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._path = path
        self._put("".join(self._before))

    def _write(self, texts: Sequence[str]) -> None:
        now = datetime.fromtimestamp(waiting.clock.epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        for line in (line for text in texts for line in text.rstrip("\n").split("\n")):
            self._put(f"{now}Z {printable(line)}\n")

    def _put(self, text: str) -> None:
        if self._file is None:
            self._before.append(text)
            return
        with suppress(OSError):  # a full disk is no reason to end a bake
            self._file.write(text)
