"""What a command prints, kept or told as it comes, with what is secret hidden."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from amibake.events import Emit, Output
from amibake.lines import Lines
from amibake.ssh.command import Chunk, Ended, Stream
from amibake.veil import Veil

TAIL = 20
"""How many of the last lines are kept."""


class Captured:
    """Keeps everything."""

    def __init__(self, veil: Veil | None = None) -> None:
        self._veil = veil or Veil()
        self._data: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        self._lines: dict[Stream, Lines] = {"stdout": Lines(self._veil), "stderr": Lines(self._veil)}
        self.tail: deque[str] = deque(maxlen=TAIL)

    def add(self, chunk: Chunk) -> None:
        """Some output."""
        self._data[chunk.stream].append(chunk.data)
        self.tail.extend(self._lines[chunk.stream].feed(chunk.data))

    def end(self) -> None:
        """There is no more."""
        for lines in self._lines.values():
            self.tail.extend(lines.feed(b"", final=True))

    def text(self, stream: Stream) -> str:
        return self._veil.over(b"".join(self._data[stream]).decode("utf-8", "replace"))


class Streamed:
    """Tells of every line as it comes, and keeps the last ones."""

    def __init__(self, emit: Emit, veil: Veil) -> None:
        self._emit = emit
        self._lines: dict[Stream, Lines] = {"stdout": Lines(veil), "stderr": Lines(veil)}
        self._tails: dict[Stream, deque[str]] = {"stdout": deque(maxlen=TAIL), "stderr": deque(maxlen=TAIL)}
        self.tail: deque[str] = deque(maxlen=TAIL)

    def add(self, chunk: Chunk) -> None:
        """Some output."""
        self._tell(chunk.stream, self._lines[chunk.stream].feed(chunk.data))

    def end(self) -> None:
        """There is no more."""
        for stream, lines in self._lines.items():
            self._tell(stream, lines.feed(b"", final=True))

    def text(self, stream: Stream) -> str:
        return "".join(f"{line}\n" for line in self._tails[stream])

    def _tell(self, stream: Stream, lines: Iterator[str]) -> None:
        for line in lines:
            self.tail.append(line)
            self._tails[stream].append(line)
            self._emit(Output(stream, line))


def failure(ended: Ended, record: Captured) -> str:
    """What a command of ours said of its failure."""
    said = record.text("stderr").strip() or record.text("stdout").strip()
    return "; ".join(said.splitlines()[:3]) if said else f"exit status {ended.status}"
