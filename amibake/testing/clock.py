"""A clock on which waiting takes no time."""

from __future__ import annotations

import threading


class FakeClock:
    """For `amibake.waiting.clock`: `sleep` returns at once, and it is so much later. Any thread may use it.

    Of real time it knows only what it is told by `waited`.
    """

    def __init__(self, epoch: float = 1_750_000_000.0) -> None:
        self._epoch = epoch
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since this clock was made."""
        return self._now

    def epoch(self) -> float:
        """The date, as seconds since 1970."""
        return self._epoch + self._now

    def sleep(self, seconds: float) -> None:
        """Be later by so many seconds."""
        with self._lock:
            self._now += max(0.0, seconds)

    def waited(self, seconds: float) -> None:
        """Be later by the seconds for which something really was waited for."""
        self.sleep(seconds)
