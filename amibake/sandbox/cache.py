"""What the sandbox keeps on disk: base images and releases of node for the next time, and a directory for each cloud.

<user's cache>/amibake/
    bases/        root file systems of base images; whoever uses one holds its lock
    node/         releases of node, for the mirror
    clouds/ID/    what one cloud has, for as long as it lives: its process holds the lock inside
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from amibake.sandbox.trees import remove_tree


def cache_directory() -> Path:
    """`amibake` in the user's cache directory: $XDG_CACHE_HOME, or ~/.cache.

    Made here if it is missing, and so the user's, who may have a ~/.cache only now; root fills it later.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "amibake"
    with contextlib.suppress(OSError):  # whoever needs it will say what is wrong
        cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock of that file, waiting for it; it goes with the process that held it."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold(directory: Path) -> None:
    """Keep a directory from `remove_unheld` for as long as this process lives."""
    descriptor = os.open(directory, os.O_RDONLY)  # not inherited by the programs that are run here
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def remove_unheld(directory: Path, *, by_way_of: Path) -> None:
    """Remove a directory that no process holds. It gets another name first, so that no part of it has its own."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory.rename(by_way_of)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
    remove_tree(by_way_of, ignore_errors=True)


class CloudDirectory:
    """The directory of one cloud, ours for as long as its lock is held."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @property
    def id(self) -> str:
        """The cloud's id."""
        return self.path.name

    @classmethod
    def create(cls, cache: Path, cloud_id: str) -> CloudDirectory:
        """Make the directory of a new cloud. Nobody sees it without its lock being held."""
        clouds = cache / "clouds"
        clouds.mkdir(parents=True, exist_ok=True)
        with locked(clouds / ".lock"):
            path = clouds / cloud_id
            path.mkdir(mode=0o700)  # set-uid programs of its instances must not be within other users' reach
            return cls(path, _held(path / "lock"))

    @classmethod
    def abandoned(cls, cache: Path) -> Iterator[CloudDirectory]:
        """The directories of clouds whose process is gone, each one claimed."""
        clouds = cache / "clouds"
        for path in sorted(clouds.glob("*/")):
            with locked(clouds / ".lock"):
                try:
                    claimed = cls(path, _held(path / "lock"))
                except (BlockingIOError, FileNotFoundError):  # alive, or cleaned by somebody else just now
                    continue
            yield claimed

    def remove(self) -> None:
        """Remove it, unless it was given up before."""
        if not self._lock.closed:
            remove_tree(self.path)
            self._lock.close()

    def release(self) -> None:
        """Give it up with all that is in it, so that it counts as abandoned."""
        self._lock.close()


def _held(file: Path) -> IO[str]:
    lock = file.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock
