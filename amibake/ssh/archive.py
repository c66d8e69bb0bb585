"""The tar stream that an upload is: what is sent, and what `put.sh` is to find on the far side's disk.

Nothing of it grows with the tree: that is walked twice, first to know how much it is and whether all of it can be sent,
and what is only known at the end, such as the digests, waits for that on the disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Self

from amibake.errors import UploadFailed
from amibake.events import Uploading
from amibake.remote import shown
from amibake.ssh import tarstream
from amibake.ssh.blocks import LANES_FROM, Blocks
from amibake.ssh.command import Tell
from amibake.ssh.local import BUFFER, Entry, Reader, Survey, changed, reading, scan
from amibake.ssh.outlet import Outlet

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    _Stream = io.BufferedWriter["_Raw"]

_TREE = "tree"
_READABLE = {stat.S_IFREG: 0o600, stat.S_IFDIR: 0o700}
"""What the owner may at least do while it is unpacked, verified and put in place."""
_SET_ID = stat.S_ISUID | stat.S_ISGID
_HOLE = memoryview(bytes(BUFFER))
_LARGE = 16 << 20
"""Bytes from which on a file is verified by what is fastest there, not by what is quickest to start."""
_KEPT = 1 << 20
"""Bytes of a list that are kept in memory."""


class Archive:
    """One file's content, or what a root holds: a file, or a directory with all that is not left out."""

    def __init__(self, source: Entry | bytes, destination: str, exclude: Sequence[str] = ()) -> None:
        """Looks at all of it, and raises UploadFailed as `look_at`."""
        self._source = source
        self._destination = destination
        self._exclude = exclude
        self._survey = Survey()
        for entry in self._entries():
            self._survey.add(entry)

    @property
    def is_large(self) -> bool:
        """Whether it may take more than one channel."""
        return self._length >= LANES_FROM

    def feed(self, outlet: Outlet, tell: Tell, lane: Callable[[int], str]) -> None:
        """Send it; `lane` is as `Blocks` has it. Raises UploadFailed when it is not what it was."""
        blocks = Blocks(outlet, self._length, lane)
        progress = _Progress(self._destination, self._size, tell)
        with _Lists() as lists, io.BufferedWriter(_Raw(blocks.write), BUFFER) as stream:
            if isinstance(self._source, bytes):
                _add(stream, _TREE, self._source)
                lists.sent(_TREE, len(self._source), hashlib.sha256(self._source).hexdigest())
                progress.add(len(self._source))
            survey = Survey()
            for entry in self._entries():
                survey.add(entry)
                _send(stream, entry, progress, lists)
            if isinstance(self._source, Entry) and survey != self._survey:
                raise changed(self._source)
            lists.send(stream)
            _add(stream, "end", b"")
            stream.write(tarstream.END)
        blocks.close()

    @property
    def _size(self) -> int:
        return len(self._source) if isinstance(self._source, bytes) else self._survey.size

    @property
    def _length(self) -> int:
        """About how many bytes the stream has."""
        return self._size + tarstream.BLOCK * self._survey.count

    def _entries(self) -> Iterator[Entry]:
        """The root first, and parents before their children."""
        if isinstance(self._source, bytes):
            return
        yield self._source
        if stat.S_ISDIR(self._source.seen.st_mode):
            yield from scan(self._source, self._exclude)


class _Lists:
    """What the far side compares with, or does, at the end; a context manager, since it may be on the disk."""

    def __init__(self) -> None:
        self._files = ExitStack()
        self._names, self._digests = self._list(), self._list()
        self._large, self._large_digests = self._list(), self._list()
        self._modes = self._list()
        self._modes_of_directories: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def _list(self) -> IO[bytes]:
        return self._files.enter_context(SpooledTemporaryFile(_KEPT))

    def sent(self, name: str, size: int, digest: str) -> None:
        """A regular file was."""
        names, digests = (self._names, self._digests) if size < _LARGE else (self._large, self._large_digests)
        with _on_disk():
            names.write(f"./{name}\0".encode("utf-8", "surrogateescape"))
            digests.write(f"{digest}\n".encode())

    def special(self, entry: Entry) -> None:
        """Its mode and name, where it can't have had that mode on the way."""
        mode = stat.S_IMODE(entry.seen.st_mode)
        if not entry.name or stat.S_ISLNK(entry.seen.st_mode) or mode == _mode_on_the_way(entry):
            return
        record = b"%o\0" % mode + f"./{entry.name}".encode("utf-8", "surrogateescape") + b"\0"
        if stat.S_ISDIR(entry.seen.st_mode):
            self._modes_of_directories.append(record)
        else:
            with _on_disk():
                self._modes.write(record)

    def send(self, stream: _Stream) -> None:
        """All of them, in the order in which they are to be used: a directory may forbid what its children need."""
        with _on_disk():
            for record in reversed(self._modes_of_directories):
                self._modes.write(record)
        for name, parts in {
            "names": [self._names],
            "large": [self._large],
            "digests": [self._digests, self._large_digests],
            "modes": [self._modes],
        }.items():
            size = sum(part.tell() for part in parts)
            _begin(stream, name, size)
            for part in parts:
                with _on_disk():
                    part.seek(0)
                while data := _read(part):
                    stream.write(data)
            stream.write(bytes(-size % tarstream.BLOCK))


@contextmanager
def _on_disk() -> Iterator[None]:
    """What goes wrong inside is this machine's doing, and not the connection's, whose errors are of the same kind."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise UploadFailed(f"the list of what is uploaded can't be kept in a temporary file: {why}") from error


def _read(part: IO[bytes]) -> bytes:
    with _on_disk():
        return part.read(BUFFER)


def _send(stream: _Stream, entry: Entry, progress: _Progress, lists: _Lists) -> None:
    info = _info(entry)
    lists.special(entry)
    if not info.isreg():
        stream.write(tarstream.header(info))
        return
    digest = hashlib.sha256()
    with closing(Reader(entry)) as reader:
        segments = reader.segments()
        stream.write(tarstream.header(info) if segments is None else tarstream.sparse_header(info, segments))
        at = 0
        for begin, length in [(0, entry.size)] if segments is None else segments:
            _skip(digest, begin - at)
            for chunk in reader.chunks((begin, length)):
                digest.update(chunk)
                stream.write(chunk)
                progress.add(len(chunk))
            at = begin + length
            stream.write(bytes(-length % tarstream.BLOCK))
        _skip(digest, entry.size - at)
        progress.done(entry.size)
        reader.check()
    lists.sent(info.name, entry.size, digest.hexdigest())


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(posixpath.join(_TREE, entry.name) if entry.name else _TREE)
    info.mode = _mode_on_the_way(entry)
    info.mtime = int(entry.seen.st_mtime)
    info.size = entry.size
    if stat.S_ISDIR(entry.seen.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(entry.seen.st_mode):
        info.type = tarfile.SYMTYPE
        with reading(entry.path):
            info.linkname = os.readlink(entry.path)  # noqa: PTH115 - a Path would normalise what it says
    return info


def _mode_on_the_way(entry: Entry) -> int:
    """The root is nobody else's business before it has its owner; a change of owner takes the set-id bits away."""
    kind, mode = stat.S_IFMT(entry.seen.st_mode), stat.S_IMODE(entry.seen.st_mode)
    least = _READABLE.get(kind, 0)
    return least | (mode & ~_SET_ID if entry.name else 0)


def _begin(stream: _Stream, name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size = 0o600, size
    stream.write(tarstream.header(info))


def _add(stream: _Stream, name: str, content: bytes) -> None:
    _begin(stream, name, len(content))
    stream.write(content)
    stream.write(bytes(-len(content) % tarstream.BLOCK))


def _skip(digest: hashlib._Hash, length: int) -> None:
    while length > 0:
        digest.update(_HOLE[:length])
        length -= len(_HOLE)


class _Raw(io.RawIOBase):
    """The channel as a file, so that small entries travel together."""

    def __init__(self, send: Callable[[memoryview], None]) -> None:
        self._sends = send

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        self._sends(view)
        return len(view)


class _Progress:
    """Tells of the bytes sent, every megabyte or twentieth, and at the end. A hole counts once its file is through."""

    def __init__(self, destination: str, total: int, tell: Tell) -> None:
        self._destination = shown(destination)
        self._total = total
        self._tell = tell
        self._sent = self._before = 0
        self._next = self._step = max(1_000_000, total // 20)

    def add(self, count: int) -> None:
        self._sent += count
        if self._sent >= min(self._next, self._total):
            self._next = self._sent + self._step
            self._tell(Uploading(self._destination, self._sent, self._total))

    def done(self, size: int) -> None:
        holes = self._before + size - self._sent
        self._before += size
        if holes:
            self.add(holes)
