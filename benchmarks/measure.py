"""Running a program as somebody who waits for it would, and what it took."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """What one process took, with the children that it waited for.

    Attributes:
        wall: Seconds from exec to exit.
        cpu: Seconds of user and system time.
    """

    wall: float
    cpu: float


class Failed(Exception):
    """What was to be measured has failed, so there is nothing to be told of it."""


def run(command: list[str], *, environment: Mapping[str, str], log: Path, limit: float) -> Took:
    """Run a program to its end.

    Args:
        command: The program by its path or by a name on PATH, and its arguments.
        environment: What is added to our own.
        log: Gets what it prints.
        limit: Seconds, after which it is killed.

    Raises:
        Failed: it took too long, or exited with another status than 0.
    """
    with log.open("wb") as output:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        started = time.perf_counter()
        # a process group of its own: Ctrl-C is for us
        pid = os.posix_spawnp(command[0], command, {**os.environ, **environment}, file_actions=actions, setpgroup=0)
        try:
            with _limited(limit):
                _, status, usage = os.wait4(pid, 0)
        except BaseException:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        wall = time.perf_counter() - started
    if status != 0:
        said = log.read_text(errors="replace")[-3000:]
        raise Failed(f"{' '.join(command)[:200]} has failed ({os.waitstatus_to_exitcode(status)}):\n{said}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


class _limited:  # noqa: N801 - used as a statement
    """Raise Failed in the main thread after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        def over(*_: object) -> None:
            raise Failed(f"it was not over after {self._seconds:.0f} s")

        self._before = signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
