"""What is sent up, one file or a directory: always a tar stream, which `put.sh` unpacks, verifies and puts in place."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
import secrets
import stat
import tarfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amibake.errors import UploadFailed
from amibake.events import Uploading
from amibake.remote import program, relative_to_login, shown
from amibake.ssh import tarstream
from amibake.ssh.command import Feed, Tell, Write
from amibake.ssh.local import BUFFER, Entry, Reader, look_at, reading, scan
from amibake.ssh.programs import text

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    _Stream = io.BufferedWriter["_Raw"]

_TREE = "tree"
_READABLE = {stat.S_IFREG: 0o600, stat.S_IFDIR: 0o700}
"""What the owner may at least do while it is unpacked, verified and put in place."""
_SET_ID = stat.S_ISUID | stat.S_ISGID
_HOLE = memoryview(bytes(BUFFER))


@dataclass(frozen=True)
class Rights:
    """Whose something is to be, and what its mode.

    Attributes:
        mode: The permission bits of the file or the directory itself; None is as it is here, and 0644 for bytes.
        owner, group: A name or a number. Where only the owner is given, the group is the owner's own.
        sudo: Write as root. Without an owner it then belongs to root.
    """

    mode: int | None = None
    owner: str | int | None = None
    group: str | int | None = None
    sudo: bool = False

    @property
    def as_root(self) -> bool:
        """Only root gives something away."""
        return self.sudo or self.owner is not None or self.group is not None

    def words(self) -> tuple[str, str]:
        """Owner and group, empty for whatever it is by itself."""
        owner = ("0" if self.as_root else "") if self.owner is None else str(self.owner)
        return owner, "" if self.group is None else str(self.group)


@dataclass(frozen=True)
class Upload:
    """A remote command and its input. `token` is in the command line of its process there, and `stale` is what may be
    left on the far side when it does not end well."""

    command: str
    feed: Feed
    token: str
    stale: tuple[str, ...]


def plan(
    source: Path | bytes,
    destination: str,
    rights: Rights,
    stale: tuple[str, ...] = (),
    exclude: Sequence[str] = (),
) -> Upload:
    """How to put this there, after removing what is `stale`. All that can be known before a byte is sent is looked at,
    but nothing that is to be left out.

    Raises:
        UploadFailed: the source can't be read, or holds something that is no file, directory or symlink.
    """
    if not destination or "\0" in destination:
        raise UploadFailed(f"{destination!r} is no path to upload to")
    where = re.sub("/+", "/", relative_to_login(destination)).rstrip("/") or "/"
    token = f".amibake-{secrets.token_hex(8)}"
    beside = [posixpath.join(posixpath.dirname(where), token)]
    if isinstance(source, bytes):
        kind, mode, tree = "file", 0o644, _Tree([], destination, source)
    else:
        root = look_at(os.fspath(source), "", os.stat)
        mode = stat.S_IMODE(root.seen.st_mode)
        if stat.S_ISDIR(root.seen.st_mode):
            kind, tree = "directory", _Tree([root, *scan(root, exclude)], destination)
            beside.append(posixpath.join(where, token))
        else:
            kind, tree = "file", _Tree([root], destination)
    bits = f"{mode if rights.mode is None else rights.mode:o}"
    words = (where, kind, token, bits, *rights.words(), *stale)
    return Upload(program("put", text("put.sh"), *words, sudo=rights.as_root), tree.feed, token, tuple(beside))


class _Tree:
    """The archive: entries, the first of which is the root, or one file's content; and what they are compared with."""

    def __init__(self, entries: Sequence[Entry], destination: str, content: bytes | None = None) -> None:
        self._entries = entries
        self._destination = destination
        self._content = content
        self._names: list[bytes] = []
        self._digests: list[str] = []

    def feed(self, write: Write, tell: Tell) -> None:
        """Send it."""
        total = len(self._content or b"") + sum(entry.size for entry in self._entries)
        progress = _Progress(self._destination, total, tell)
        with io.BufferedWriter(_Raw(write), BUFFER) as stream:
            if self._content is not None:
                self._send_content(stream, self._content, progress)
            for entry in self._entries:
                self._send(stream, entry, progress)
            _add(stream, "names", b"".join(name + b"\0" for name in self._names))
            _add(stream, "digests", "".join(f"{digest}\n" for digest in self._digests).encode())
            _add(stream, "modes", b"".join(_special(entry) for entry in reversed(self._entries[1:])))
            _add(stream, "end", b"")
            stream.write(tarstream.END)

    def _send_content(self, stream: _Stream, content: bytes, progress: _Progress) -> None:
        _add(stream, _TREE, content)
        self._sent(_TREE, hashlib.sha256(content).hexdigest())
        progress.add(len(content))

    def _send(self, stream: _Stream, entry: Entry, progress: _Progress) -> None:
        info = _info(entry)
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
        self._sent(info.name, digest.hexdigest())

    def _sent(self, name: str, digest: str) -> None:
        self._names.append(f"./{name}".encode("utf-8", "surrogateescape"))
        self._digests.append(digest)


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


def _special(entry: Entry) -> bytes:
    """Its mode and name, where it can't have had that mode on the way."""
    mode = stat.S_IMODE(entry.seen.st_mode)
    if stat.S_ISLNK(entry.seen.st_mode) or mode == _mode_on_the_way(entry):
        return b""
    return b"%o\0" % mode + f"./{entry.name}".encode("utf-8", "surrogateescape") + b"\0"


def _add(stream: _Stream, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size = 0o600, len(content)
    stream.write(tarstream.header(info))
    stream.write(content)
    stream.write(bytes(-len(content) % tarstream.BLOCK))


def _skip(digest: hashlib._Hash, length: int) -> None:
    while length > 0:
        digest.update(_HOLE[:length])
        length -= len(_HOLE)


class _Raw(io.RawIOBase):
    """The channel as a file, so that small entries travel together."""

    def __init__(self, send: Write) -> None:
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
