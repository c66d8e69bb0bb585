"""Removes directories: many files at a time, since each may have to wait for the disk.

A file system that is mounted with `discard` tells the disk which blocks a file had as it goes away, and ext4 without a
journal waits for the answer each time. One file after the other, what a primal has written would take half a minute.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore

_THREADS = 16
_AT_ONCE = 16
"""Names in one directory that one thread removes in a row."""


def remove_tree(directory: Path, *, ignore_errors: bool = False) -> None:
    """Do what `shutil.rmtree` does. Like that, it follows no link, whoever changes the tree meanwhile."""
    # RuntimeError: no more threads are to be had, be it that the interpreter is at its end
    with suppress(OSError, RuntimeError), ThreadPoolExecutor(_THREADS, "remove") as pool:
        _empty(directory, pool)
    shutil.rmtree(directory, ignore_errors=ignore_errors)  # what is left, or says what is wrong


def _empty(directory: Path, pool: ThreadPoolExecutor) -> None:
    """Have everything in it removed, its deepest parts first."""
    free = BoundedSemaphore(4 * _THREADS)  # each task has a descriptor of its own
    within: dict[str, list[Future[None]]] = {}
    for path, directories, files, descriptor in os.fwalk(directory, topdown=False):
        tasks = within[path] = []
        for names in (*_parts(directories), *_parts(files)):
            before = [task for name in names for task in within.pop(os.path.join(path, name), ())]  # noqa: PTH118 - as fwalk
            free.acquire()
            task = pool.submit(_remove, os.dup(descriptor), names, before)
            task.add_done_callback(lambda _: free.release())
            tasks.append(task)


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[first : first + _AT_ONCE] for first in range(0, len(names), _AT_ONCE))


def _remove(directory: int, names: Iterable[str], before: Iterable[Future[None]]) -> None:
    try:
        wait(before)  # tasks begin in order, so these have begun
        for name in names:
            with suppress(OSError):
                try:
                    os.unlink(name, dir_fd=directory)
                except IsADirectoryError:
                    os.rmdir(name, dir_fd=directory)
    finally:
        os.close(directory)
