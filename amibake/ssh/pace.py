"""How hard a stream is compressed: so that neither processor nor line has to wait, as measured while sending."""

from __future__ import annotations

import time
import zlib

_LEVELS = {1: (1.0, 1.0), 3: (1.3, 0.92), 6: (2.6, 0.82)}
"""zlib's: what a byte costs, and what is left of it, each compared with the first."""
_GUESSED = 1e-8, 0.4
"""The same of the first, in seconds and as a share, while nothing of this stream has been compressed here."""
_WORTH = 0.9
"""Compressing has to make it as much faster."""
_AGAIN = 16
"""Of so many blocks that go as they are one is tried, since what follows may be another kind of data."""
_GZIP = 31
"""zlib's word for gzip's format."""


class Pace:
    """Decides for each block how it goes."""

    def __init__(self) -> None:
        self._cost, self._left = _GUESSED
        self._as_they_are = 0

    def pack(self, block: bytes | bytearray, seconds_for_a_byte: float | None) -> bytes | None:
        """The block in gzip's format; None where it is to go as it is.

        What a byte takes on the line is None while nothing is known of that: then an answer is awaited, so there is
        time.
        """
        level = max(_LEVELS) if seconds_for_a_byte is None else self._best(seconds_for_a_byte)
        if level == 0:
            self._as_they_are += 1
            if self._as_they_are % _AGAIN == 0:
                self._left = _GUESSED[1]
            return None
        begun = time.monotonic()
        compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
        packed = compressor.compress(block) + compressor.flush()
        cost, left = _LEVELS[level]
        self._cost = (self._cost + (time.monotonic() - begun) / len(block) / cost) / 2
        self._left = (self._left + len(packed) / len(block) / left) / 2
        return packed if len(packed) < _WORTH * len(block) else None

    def _best(self, seconds: float) -> int:
        """The level that is through first, or 0."""
        needed = {level: max(cost * self._cost, left * self._left * seconds) for level, (cost, left) in _LEVELS.items()}
        level = min(needed, key=lambda one: needed[one])
        return level if needed[level] < _WORTH * seconds else 0
