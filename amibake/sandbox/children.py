"""Ends the programs that this process has started and that still run."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_GRACE = 3.0


def end_children() -> None:
    """Ask this process's children, and the groups that they lead, to end; kill those that have not after 3 s.

    For programs that other threads wait for: ending them is what ends the wait.
    """
    children = _children()
    for pid in children:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while children & _children() and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in children & _children():
        _signal(pid, signal.SIGKILL)


def _children() -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]  # after its name
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(entry.parent.name))
    return found


def _signal(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signum)
        else:
            os.kill(pid, signum)
