"""The work of machines, done one after another for each, and the states that clients are shown meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Delays:
    """How long EC2 takes at least, in seconds; with 0 a state lasts just as long as the machine's own work."""

    running: float = 0.0
    """From RunInstances or StartInstances until an instance is `running`."""
    stopped: float = 0.0
    """From StopInstances, or a shutdown from inside, until it is `stopped`."""
    terminated: float = 0.0
    """From TerminateInstances until it is `terminated`."""
    available: float = 0.0
    """From CreateImage or CopyImage until the image is `available`."""


class Executor(Protocol):
    """What runs the work of machines: a concurrent.futures.Executor, or one of a test that works at once."""

    def submit(self, fn: Callable[[], None], /) -> Any:
        """Call `fn`, now or later, in any thread."""


class Work:
    """One thing that a machine has to do; `error` is what came of it once it is `done`."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self.done = False
        self.error: Exception | None = None

    def run(self) -> None:
        """Do it. A failure is kept, since those who wait for it look at states, not at exceptions."""
        try:
            self._do()
        except Exception as error:
            log.warning("a machine's work failed", exc_info=True)
            self.error = error
        finally:
            self.done = True


class Lane:
    """The work of one machine: in order, one thing at a time, on an executor shared with the others."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Work] = deque()
        self._busy = False

    def add(self, do: Callable[[], None]) -> Work:
        """Queue; nothing is done before `go`."""
        work = Work(do)
        with self._lock:
            self._waiting.append(work)
        return work

    def go(self, executor: Executor) -> None:
        """Have the queue worked off, unless somebody is at it already."""
        with self._lock:
            if self._busy or not self._waiting:
                return
            self._busy = True
        executor.submit(self._work_off)

    def _work_off(self) -> None:
        while work := self._next():
            work.run()

    def _next(self) -> Work | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._busy = False
            return None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One change of state: `during` is shown until the work is done and the time is `due`, then `after`,
    or `failed` if the work raised."""

    during: str
    after: str
    due: float
    work: Work | None = None
    failed: str = ""

    @classmethod
    def settled(cls, state: str) -> Phase:
        """A state that waits for nothing."""
        return cls(during=state, after=state, due=float("-inf"))

    @property
    def error(self) -> Exception | None:
        """What the work raised, once it has."""
        return self.work.error if self.work else None

    def shown(self, now: float) -> str:
        """The state that a client sees at this time."""
        if now < self.due or (self.work and not self.work.done):
            return self.during
        return self.failed if self.error else self.after
