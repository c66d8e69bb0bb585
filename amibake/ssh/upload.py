"""What is sent up: one file, or a directory as one tar stream."""

from __future__ import annotations

import io
import os
import posixpath
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from amibake.errors import UploadFailed
from amibake.events import Uploading
from amibake.remote import program, relative_to_login, shown
from amibake.ssh.command import Feed, Tell, Write

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER = 1 << 18

_PUT_FILE = """
set -eu
LC_ALL=C; export LC_ALL
destination=$1 parent=$2 temporary=$3 size=$4 mode=$5
shift 5
for stale do rm -rf "$stale" 2>/dev/null || { sleep 1; rm -rf "$stale"; }; done
if [ -d "$destination" ]; then echo 'it is a directory' >&2; exit 1; fi
if [ -e "$destination" ] && ! [ -f "$destination" ]; then echo 'it is no regular file' >&2; exit 1; fi
mkdir -p "$parent"
trap 'rm -f "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
umask 077
cat >"$temporary"
arrived=$(wc -c <"$temporary")
if [ "$arrived" -ne "$size" ]; then echo "only $arrived of $size bytes arrived" >&2; exit 1; fi
chmod "$mode" "$temporary"
mv -f "$temporary" "$destination"
"""

# What is stale may still be written to for a moment, by the attempt that was cut: then it is removed at the second go.
#
# Extracted beside its place and moved there only once the end marker has arrived, so that a stream that was cut
# changes nothing; and under a name that no other attempt has, so that one which the far side still takes for alive
# can't meddle. Into a directory that exists the entries are merged by hard links, so nothing is copied (but where a
# file system is mounted inside), and its own mode stays.
_PUT_DIRECTORY = """
set -eu
LC_ALL=C; export LC_ALL
destination=$1 parent=$2 name=$3 end=$4 mode=$5
shift 5
for stale do rm -rf "$stale" 2>/dev/null || { sleep 1; rm -rf "$stale"; }; done
if [ -d "$destination" ]; then staging=$destination/$name; else mkdir -p "$parent"; staging=$parent/$name; fi
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$staging"
tar -x -p -f - -C "$staging"
if ! [ -f "$staging/$end" ]; then echo 'the stream was cut' >&2; exit 1; fi
rm -f "$staging/$end"
if [ -d "$destination" ]; then
    find "$staging" -mindepth 1 -maxdepth 1 -exec sh -c '
        into=$1; shift
        cp -a -l -f "$@" "$into/" 2>/dev/null || cp -a --remove-destination "$@" "$into/"
        ' amibake-merge "$destination" {} +
else
    chmod "$mode" "$staging"
    mv "$staging" "$destination"
fi
"""


@dataclass(frozen=True)
class Upload:
    """A remote command and its input. `stale` is what may be left on the far side when it does not end well."""

    command: str
    feed: Feed
    stale: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """Something local as it was when the upload began; `name` is its path within the uploaded tree."""

    path: str
    name: str
    seen: os.stat_result

    @property
    def size(self) -> int:
        return self.seen.st_size if stat.S_ISREG(self.seen.st_mode) else 0


def plan(
    source: Path | bytes,
    destination: str,
    mode: int | None,
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
    where = relative_to_login(destination).rstrip("/") or "/"
    parent = posixpath.dirname(where)
    token = f".amibake-{secrets.token_hex(8)}"
    beside = posixpath.join(parent, token)
    if isinstance(source, bytes):
        arguments = (where, parent, beside, str(len(source)), f"{0o644 if mode is None else mode:o}")
        return Upload(program("put-file", _PUT_FILE, *arguments, *stale), _send_bytes(source, destination), (beside,))
    root = _look_at(os.fspath(source), "", os.stat)
    bits = f"{stat.S_IMODE(root.seen.st_mode) if mode is None else mode:o}"
    if stat.S_ISDIR(root.seen.st_mode):
        command = program("put-directory", _PUT_DIRECTORY, where, parent, token, f"{token}-end", bits, *stale)
        feed = _send_tree(list(_scan(root, exclude)), f"{token}-end", destination)
        return Upload(command, feed, (beside, posixpath.join(where, token)))
    command = program("put-file", _PUT_FILE, where, parent, beside, str(root.size), bits, *stale)
    return Upload(command, _send_file(root, destination), (beside,))


def _look_at(path: str, name: str, look: Callable[[str], os.stat_result] = os.lstat) -> _Entry:
    with _reading(path):
        entry = _Entry(path, name, look(path))
    kind = stat.S_IFMT(entry.seen.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        what = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe"}.get(kind, "a device")
        raise UploadFailed(f"{shown(path)} can't be uploaded: it is {what}", hint="leave it out of the directory")
    if kind == stat.S_IFREG and not os.access(path, os.R_OK):
        raise UploadFailed(f"{shown(path)} can't be read: permission denied")
    return entry


def _scan(directory: _Entry, exclude: Sequence[str]) -> Iterator[_Entry]:
    """What is below and not left out, parents first, in the order of their names."""
    with _reading(directory.path):
        names = sorted(os.listdir(directory.path))  # noqa: PTH208 - names that are not UTF-8 must survive
    for name in names:
        within = posixpath.join(directory.name, name)
        if any(fnmatchcase(within if "/" in pattern else name, pattern) for pattern in exclude):
            continue
        entry = _look_at(os.path.join(directory.path, name), within)  # noqa: PTH118
        yield entry
        if stat.S_ISDIR(entry.seen.st_mode):
            yield from _scan(entry, exclude)


def _send_bytes(data: bytes, destination: str) -> Feed:
    def feed(write: Write, tell: Tell) -> None:
        if data:
            write(memoryview(data))
        tell(Uploading(shown(destination), len(data), len(data)))

    return feed


def _send_file(entry: _Entry, destination: str) -> Feed:
    def feed(write: Write, tell: Tell) -> None:
        progress = _Progress(destination, entry.size, tell)
        for chunk in _chunks(entry):
            write(memoryview(chunk))
            progress.add(len(chunk))

    return feed


def _send_tree(entries: list[_Entry], end: str, destination: str) -> Feed:
    def feed(write: Write, tell: Tell) -> None:
        progress = _Progress(destination, sum(entry.size for entry in entries), tell)
        with io.BufferedWriter(_Raw(write), _BUFFER) as stream:
            for entry in entries:
                stream.write(_header(entry))
                for chunk in _chunks(entry) if entry.size else ():
                    stream.write(chunk)
                    progress.add(len(chunk))
                stream.write(bytes(-entry.size % tarfile.BLOCKSIZE))
            stream.write(_tar_bytes(tarfile.TarInfo(end)))
            # two empty blocks end an archive; tar reads in records, so fill the last one
            stream.write(bytes(2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE))

    return feed


def _header(entry: _Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.mode = stat.S_IMODE(entry.seen.st_mode)
    info.mtime = int(entry.seen.st_mtime)
    info.size = entry.size
    if stat.S_ISDIR(entry.seen.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(entry.seen.st_mode):
        info.type = tarfile.SYMTYPE
        with _reading(entry.path):
            info.linkname = os.readlink(entry.path)  # noqa: PTH115 - a Path would normalise what it says
    return _tar_bytes(info)


def _tar_bytes(info: tarfile.TarInfo) -> bytes:
    """In GNU's format, which has names as the bytes they are, of any length, and which busybox reads too."""
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _chunks(entry: _Entry) -> Iterator[bytes]:
    """The content, exactly as long as it was announced. A file that is no longer the one seen is refused before the
    last bytes are sent, so that the far side never has it whole."""
    left, chunk = entry.size, b""
    with _reading(entry.path):
        # non-blocking for the case that it has become a pipe since
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a Path can't be opened so
            while data := file.read(min(_BUFFER, left)):
                if chunk:
                    yield chunk
                chunk, left = data, left - len(data)
            now = os.fstat(descriptor)
    if left or (now.st_size, now.st_mtime_ns) != (entry.size, entry.seen.st_mtime_ns):
        message = f"{shown(entry.path)} changed while it was being uploaded"
        raise UploadFailed(message, hint="upload something that nobody writes to meanwhile")
    if chunk:
        yield chunk


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UploadFailed(f"{shown(path)} can't be read: {error.strerror or error}") from error


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
    """Tells of the bytes sent, every megabyte or twentieth, and at the end."""

    def __init__(self, destination: str, total: int, tell: Tell) -> None:
        self._destination = shown(destination)
        self._total = total
        self._tell = tell
        self._sent = 0
        self._next = self._step = max(1_000_000, total // 20)

    def add(self, count: int) -> None:
        self._sent += count
        if self._sent >= min(self._next, self._total):
            self._next = self._sent + self._step
            self._tell(Uploading(self._destination, self._sent, self._total))
