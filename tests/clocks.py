"""A clock for bakes side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from amibake.testing.clock import FakeClock


class SharedClock(FakeClock):
    """On which threads sleep side by side: it goes on once all of those that `work` are asleep."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._working = 0
        self._wakes: list[float] = []

    def sleep(self, seconds: float) -> None:
        with self._changed:
            if not self._working:
                self._now += max(0.0, seconds)
                return
            wake = self._now + max(0.0, seconds)
            self._wakes.append(wake)
            self._go_on()
            while self._now < wake:
                self._changed.wait()

    def waited(self, seconds: float) -> None:
        """Real time is none of this."""

    def work(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Make all of these calls in threads that live by this clock; what each came to, or has raised."""
        came: list[Any] = [None] * len(calls)

        def make(number: int) -> None:
            try:
                came[number] = calls[number]()
            except BaseException as error:  # noqa: BLE001 - for the test to look at
                came[number] = error
            finally:
                with self._changed:
                    self._working -= 1
                    self._go_on()

        self._working = len(calls)
        threads = [threading.Thread(target=make, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return came

    def _go_on(self) -> None:
        if self._wakes and len(self._wakes) >= self._working:
            self._now = max(self._now, min(self._wakes))
            self._wakes = [wake for wake in self._wakes if wake > self._now]
            self._changed.notify_all()
