"""Many calls side by side, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from amibake.interrupts import opened

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""Calls at a time."""


class Workers:
    """Threads that make calls. Attribute: `stopped` is set once nobody waits for them any more."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.stopped = Event()

    def each(self, call: Callable[[T], R], of: Iterable[T]) -> list[R]:
        """Make a call of each, and answer with all answers, in their order. The first error is raised, and so is a
        signal; then those calls that have not begun are not made."""
        futures = [self._pool.submit(call, one) for one in of]
        try:
            with opened():
                return [future.result() for future in futures]
        except BaseException:
            self.stopped.set()
            for future in futures:
                future.cancel()
            raise


@contextmanager
def workers() -> Iterator[Workers]:
    """Threads for the block; at its end they have ended."""
    with ThreadPoolExecutor(MOST, "amibake") as pool:
        yield Workers(pool)
