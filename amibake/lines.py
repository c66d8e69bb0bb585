"""Bytes as they arrive, cut into lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from amibake.veil import Veil, VeiledStream

LONGEST = 65536
"""Characters after which a line is cut, so that megabytes without a newline are neither kept nor scanned twice."""


class Lines:
    """Feed it bytes, get whole lines without their newline; what is not UTF-8 is replaced, what is secret hidden."""

    def __init__(self, veil: Veil | None = None) -> None:
        self._veiled = VeiledStream(veil or Veil())
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._parts: list[str] = []
        self._length = 0

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[str]:
        """The lines that are complete now; with `final`, also the last one without a newline."""
        first, *others = self._veiled.feed(self._decoder.decode(data, final), final=final).split("\n")
        yield from self._add(first)
        for text in others:
            yield self._flush()
            yield from self._add(text)
        if final and self._parts:
            yield self._flush()

    def _add(self, text: str) -> Iterator[str]:
        while self._length + len(text) > LONGEST:
            room = LONGEST - self._length
            self._parts.append(text[:room])
            yield self._flush()
            text = text[room:]
        if text:
            self._parts.append(text)
            self._length += len(text)

    def _flush(self) -> str:
        line = "".join(self._parts).removesuffix("\r")
        self._parts, self._length = [], 0
        return line
