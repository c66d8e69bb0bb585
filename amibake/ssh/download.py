"""What comes down: written below a directory of our own, compared with what the far side has, and then put in place.

The far side may be hostile. What it names must be what was asked for; every entry's parents are directories that this
download itself has made, so neither names nor symlinks lead elsewhere, nor does a symlink that an earlier download has
left; what is no file, directory or symlink is not made; set-id bits are dropped.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import secrets
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from amibake.errors import UploadFailed, WaitTimeout
from amibake.remote import program, relative_to_login, shown
from amibake.ssh.command import Chunk
from amibake.ssh.programs import text
from amibake.ssh.said import Said
from amibake.ssh.tarstream import BLOCK
from amibake.ssh.untar import Buffer, Damaged, Member, Names, next_member
from amibake.waiting import Deadline, duration

_BUFFER = 1 << 18
_ZEROS = bytes(_BUFFER)
_NOISE = 1 << 20
_PERMISSIONS = 0o777
_LARGEST = 1 << 44
"""Bytes that one file may have, most of them a hole perhaps: as many as ext4 allows."""
_REMEMBERED = 1 << 29
"""Bytes of names and digests that are kept in memory, enough for a million files."""
_EACH = 100
"""Bytes that one of them takes beside its name."""

# Each file's first so many bytes, for those that have grown since.
_BEGINNINGS = """
exec xargs -0 -r -n 2 sh -c 'head -c "$1" "$2" | sha256sum' amibake-beginning
"""


class Download:
    """One download under way. Give it what arrives by `add`, then ask whether that was all, and `place` it. With a
    `deadline` that is looked at while it computes, which a large hole can make long.

    Attributes:
        command: The remote program.
        said: What the far side said on its standard error.
        complete: Whether the archive has come to its end.
    """

    def __init__(self, source: str, destination: str, *, sudo: bool = False, deadline: Deadline | None = None) -> None:
        marker = f"amibake-{secrets.token_hex(8)}"
        self._source = source
        self._destination = destination
        self._sudo = sudo
        self._deadline = deadline
        self._remembered = 0
        path = relative_to_login(source).rstrip("/") or "/"
        only = "directory" if source.endswith("/") else ""
        self.command = program("get", text("get.sh"), path, marker, only, sudo=sudo)
        self.said = Said()
        self._skipped: list[str] = []
        self._buffer = Buffer()
        self._reading = self._receive(marker.encode() + b"\0")
        self.complete = False
        self._digests: dict[bytes, bytes] = {}
        self._doubtful: list[tuple[bytes, int, bytes]] = []
        self._target = Path(destination)
        self._staging: Path | None = None
        self._made: dict[tuple[str, ...], int] = {}

    def add(self, chunk: Chunk) -> None:
        """Something arrived.

        Raises:
            UploadFailed: it can't be written here, or is nothing that a download consists of.
            WaitTimeout: the time is up.
        """
        if chunk.stream == "stderr":
            self.said.add(chunk)
        elif not self.complete:
            self._buffer.add(chunk.data)
            try:
                next(self._reading)
            except StopIteration:
                self.complete = True
            except Damaged as error:
                raise UploadFailed(f"{shown(self._source)} can't be downloaded: {error}") from error

    def discard(self) -> None:
        """Remove what is not in its place; to be called always."""
        self._reading.close()
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)

    def warnings(self) -> list[str]:
        """What was left out."""
        sockets = [line.removeprefix("tar: ") for line in self.said.lines() if line.endswith(": socket ignored")]
        special = [f"{name}: a pipe or a device is not downloaded" for name in self._skipped]
        return special + [f"{line.removesuffix(': socket ignored')}: a socket is not downloaded" for line in sockets]

    def doubts(self) -> tuple[str, bytes] | None:
        """The command that says whether all is as it should be, and its input; None when that is certain already.

        Raises:
            UploadFailed: something is missing.
        """
        if not self.complete:
            raise UploadFailed(f"{shown(self._source)} can't be downloaded: the stream was cut")
        if self._digests:
            name = shown(os.fsdecode(next(iter(self._digests))))
            raise UploadFailed(f"{name} vanished while it was being downloaded")
        if not self._doubtful:
            return None
        given = b"".join(b"%d\0%s\0" % (size, name) for name, size, _ in self._doubtful)
        return program("beginnings", _BEGINNINGS, sudo=self._sudo), given

    def settle(self, answer: str) -> None:
        """What that command printed.

        Raises:
            UploadFailed: a file is not as it was written here, nor has it only grown.
        """
        digests = [line.split(" ")[0].encode() for line in answer.splitlines()]
        digests += [b""] * (len(self._doubtful) - len(digests))
        for (name, _, received), there in zip(self._doubtful, digests, strict=False):
            if received != there:
                raise UploadFailed(
                    f"{shown(os.fsdecode(name))} changed while it was being downloaded: its SHA-256 is another",
                    hint="download something that nobody rewrites meanwhile",
                )

    def place(self) -> None:
        """Put it in its place.

        Raises:
            UploadFailed: that can't be written.
        """
        assert self._staging is not None  # noqa: S101 - something was received
        merged: set[tuple[str, ...]] = set()
        with _writing(self._target):
            _place(self._staging / "tree", self._target, (), merged)
            for parts, mode in reversed(self._made.items()):
                if mode >= 0 and parts not in merged:
                    self._target.joinpath(*parts).chmod(mode)

    def _receive(self, marker: bytes) -> Generator[None, None, None]:
        buffer = self._buffer
        yield from buffer.until(marker, _NOISE)  # a login shell may have said something first
        kind = yield from buffer.until(b"\0")
        found: list[bytes] = []
        while name := (yield from buffer.until(b"\0")):
            self._remember(name)
            found.append(name)
        while line := (yield from buffer.until(b"\n")):
            self._remember(line)
            self._note(line)
        names = Names(self._source, kind, found)
        while (member := (yield from next_member(buffer))) is not None:
            parts = names.parts(member.name)
            self._remember(member.name)
            if not parts and self._source.endswith("/") and member.kind != "directory":
                raise Damaged("it is no directory")
            if not parts and member.kind == "symlink":
                raise Damaged("it came as a symlink, which may lead anywhere")
            if member.kind == "special":
                self._skipped.append(shown(os.fsdecode(member.name)))
                continue
            if self._staging is None:
                self._begin(member, pattern=names.pattern)
            yield from self._write(member, parts)
        if self._staging is None:
            raise Damaged("nothing in it is a file, a directory or a symlink")

    def _remember(self, what: bytes) -> None:
        self._remembered += len(what) + _EACH
        if self._remembered > _REMEMBERED:
            raise Damaged("it has more files than can be kept track of")

    def _note(self, line: bytes) -> None:
        escaped = line.startswith(b"\\")
        digest, _, name = line.removeprefix(b"\\").partition(b"  ")
        if escaped:
            name = re.sub(rb"\\([nr\\])", lambda match: {b"n": b"\n", b"r": b"\r"}.get(match[1], b"\\"), name)
        self._digests[name] = digest

    def _begin(self, first: Member, *, pattern: bool) -> None:
        """Where it goes, now that it is known what it is."""
        path = self._source.rstrip("/")
        name = posixpath.basename(path)
        inside = Path(self._destination, "" if name in {".", ".."} or path == "~" else name)
        into = self._destination.endswith("/")
        if not pattern and first.kind == "directory":
            if not self._source.endswith("/") and (into or self._target.is_dir()):
                self._refuse_symlink(inside)
                self._target = inside
        elif not pattern:
            self._target = inside if into else self._target
            if self._target.is_dir():
                raise UploadFailed(f"{shown(str(self._target))} can't be written: it is a directory")
        with _writing(self._target):
            base = self._target if pattern or self._target.is_dir() else self._target.parent
            base.mkdir(parents=True, exist_ok=True)
            staging = base / f".amibake-{secrets.token_hex(8)}"
            staging.mkdir(mode=0o700)
            self._staging = staging
            if pattern:
                (staging / "tree").mkdir()
                self._made[()] = -1

    def _refuse_symlink(self, inside: Path) -> None:
        """This name nobody here has given, so what it is may be an earlier download's doing."""
        if inside != self._target and inside.is_symlink():
            raise UploadFailed(
                f"{shown(str(inside))} can't be written: it is a symlink, which is not followed",
                hint="remove it, or give the directory itself as destination and a source that ends in /",
            )

    def _write(self, member: Member, parts: tuple[str, ...]) -> Generator[None, None, None]:
        assert self._staging is not None  # noqa: S101 - `_begin` came first
        if parts in self._made:
            raise Damaged(f"{shown('/'.join(parts))} came twice")
        if parts and self._made.get(parts[:-1]) is None:
            raise Damaged(f"{shown('/'.join(parts))} came without its directory")
        path = os.fspath(self._staging.joinpath("tree", *parts))
        if member.kind == "file":
            yield from self._write_file(member, path, self._target.joinpath(*parts))
            return
        with _writing(self._target.joinpath(*parts)):
            if member.kind == "symlink":
                os.symlink(os.fsdecode(member.target), path)  # noqa: PTH211 - a Path would normalise it
            else:
                os.mkdir(path, 0o700)  # noqa: PTH102 - its own mode comes last, for it may forbid writing
                self._made[parts] = member.mode & _PERMISSIONS

    def _write_file(self, member: Member, path: str, target: Path) -> Generator[None, None, None]:
        digest = hashlib.sha256()
        if member.size > _LARGEST:
            raise Damaged(f"{shown(os.fsdecode(member.name))} is said to have {member.size} bytes")
        with _writing(target):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            for begin, length in member.segments:
                self._skip(digest, begin - at)
                at = begin
                while at < begin + length:
                    data = yield from self._buffer.some(min(_BUFFER, begin + length - at))
                    digest.update(data)
                    with _writing(target):
                        _write_all(descriptor, data, at)
                    at += len(data)
                yield from self._buffer.exactly(-length % BLOCK)
            self._skip(digest, member.size - at)
            with _writing(target):
                os.truncate(descriptor, member.size)
                os.fchmod(descriptor, member.mode & _PERMISSIONS)
                os.utime(descriptor, (member.mtime, member.mtime))
        finally:
            os.close(descriptor)
        received = digest.hexdigest().encode()
        if self._digests.pop(member.name, None) != received:
            self._doubtful.append((member.name, member.size, received))

    def _skip(self, digest: hashlib._Hash, length: int) -> None:
        """A hole has its place in the digest, and takes the time of as many bytes, though nothing has arrived."""
        while length > 0:
            if self._deadline is not None and self._deadline.remaining() <= 0:
                raise WaitTimeout(
                    f"download {shown(self._source)} to {shown(self._destination)}: "
                    f"not ended after {duration(self._deadline.seconds)}"
                )
            digest.update(_ZEROS[:length] if length < _BUFFER else _ZEROS)
            length -= _BUFFER


def _place(source: Path, target: Path, parts: tuple[str, ...], merged: set[tuple[str, ...]]) -> None:
    there = target.is_dir() and (not parts or not target.is_symlink())
    if source.is_dir() and not source.is_symlink() and there:
        merged.add(parts)
        for child in sorted(source.iterdir()):
            _place(child, target / child.name, (*parts, child.name), merged)
    else:
        source.replace(target)


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with suppress(ValueError):
            path = path.absolute()
        raise UploadFailed(f"{shown(str(path))} can't be written: {error.strerror or error}") from error
