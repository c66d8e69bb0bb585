"""What is on this machine's disk and is to be sent: found, looked at, and read as it was announced."""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

from amibake.errors import UploadFailed
from amibake.remote import shown

BUFFER = 1 << 18
_BLOCK = 512

Segment = tuple[int, int]
"""Where in a file data begins, and how many bytes of them there are."""


@dataclass(frozen=True)
class Entry:
    """Something local as it was when the upload began; `name` is its path within the uploaded tree."""

    path: str
    name: str
    seen: os.stat_result

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.seen.st_size if stat.S_ISREG(self.seen.st_mode) else 0


def look_at(path: str, name: str, look: Callable[[str], os.stat_result] = os.lstat) -> Entry:
    """Raises UploadFailed when it can't be read, or is no file, directory or symlink."""
    with reading(path):
        entry = Entry(path, name, look(path))
    kind = stat.S_IFMT(entry.seen.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        what = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe"}.get(kind, "a device")
        raise UploadFailed(f"{shown(path)} can't be uploaded: it is {what}", hint="leave it out of the directory")
    if kind == stat.S_IFREG and not os.access(path, os.R_OK):
        raise UploadFailed(f"{shown(path)} can't be read: permission denied")
    return entry


def scan(directory: Entry, exclude: Sequence[str]) -> Iterator[Entry]:
    """What is below and not left out, parents first, in the order of their names. Raises as `look_at`."""
    with reading(directory.path):
        names = sorted(os.listdir(directory.path))  # noqa: PTH208 - names that are not UTF-8 must survive
    for name in names:
        within = posixpath.join(directory.name, name)
        if any(fnmatchcase(within if "/" in pattern else name, pattern) for pattern in exclude):
            continue
        entry = look_at(os.path.join(directory.path, name), within)  # noqa: PTH118
        yield entry
        if stat.S_ISDIR(entry.seen.st_mode):
            yield from scan(entry, exclude)


class Survey:
    """How much a walk has come by, and what: two that were led past the same are equal.

    Attributes:
        size: Bytes of content.
        count: Entries.
    """

    def __init__(self) -> None:
        self.size = self.count = 0
        self._seen = hashlib.sha256()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Survey) and self._seen.digest() == other._seen.digest()

    __hash__ = None  # type: ignore[assignment] # it changes

    def add(self, entry: Entry) -> None:
        """Come by this."""
        self.size += entry.size
        self.count += 1
        seen = entry.seen
        said = f"{seen.st_mode} {entry.size} {seen.st_mtime_ns if entry.size else 0} {entry.name}\0"
        self._seen.update(said.encode("utf-8", "surrogateescape"))


class Reader:
    """A file that is open for reading, and is to be the one that was seen: else UploadFailed says that it changed."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        with reading(entry.path):
            # non-blocking for the case that it has become a pipe since
            self._descriptor = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.check()

    def close(self) -> None:
        """To be called always."""
        os.close(self._descriptor)

    def check(self) -> None:
        """Look whether it still is as it was seen."""
        now, seen = os.fstat(self._descriptor), self._entry.seen
        if (stat.S_IFMT(now.st_mode), now.st_size, now.st_mtime_ns) != (
            stat.S_IFREG,
            seen.st_size,
            seen.st_mtime_ns,
        ):
            raise changed(self._entry)

    def segments(self) -> list[Segment] | None:
        """Where the data of a sparse file are, in whole blocks but for the end; None for one without holes."""
        size = self._entry.size
        if self._entry.seen.st_blocks * _BLOCK >= size:
            return None
        found: list[Segment] = []
        at = 0
        with reading(self._entry.path):
            while at < size:
                try:
                    begin = os.lseek(self._descriptor, at, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:  # nothing but a hole is left
                        break
                    raise
                begin -= begin % _BLOCK
                at = os.lseek(self._descriptor, begin, os.SEEK_HOLE)
                at = min(at + -at % _BLOCK, size)
                found.append((begin, at - begin))
        return found

    def chunks(self, segment: Segment) -> Iterator[bytes]:
        """The content there, exactly as long as was announced."""
        at, left = segment
        while left:
            with reading(self._entry.path):
                data = os.pread(self._descriptor, min(BUFFER, left), at)
            if not data:
                raise changed(self._entry)
            yield data
            at, left = at + len(data), left - len(data)


def changed(entry: Entry) -> UploadFailed:
    """The error for this."""
    message = f"{shown(entry.path)} changed while it was being uploaded"
    return UploadFailed(message, hint="upload something that nobody writes to meanwhile")


@contextmanager
def reading(path: str) -> Iterator[None]:
    """An OSError inside becomes UploadFailed."""
    try:
        yield
    except OSError as error:
        raise UploadFailed(f"{shown(path)} can't be read: {error.strerror or error}") from error
