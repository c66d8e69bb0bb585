"""What is sent up, one file or a directory: always a tar stream, which `put.sh` unpacks, verifies and puts in place."""

from __future__ import annotations

import os
import posixpath
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amibake.errors import UploadFailed
from amibake.remote import program, relative_to_login
from amibake.ssh.archive import Archive
from amibake.ssh.command import Feed, Tell
from amibake.ssh.local import look_at
from amibake.ssh.outlet import Outlet
from amibake.ssh.programs import text


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
        kind, mode, archive = "file", 0o644, Archive(source, destination)
    else:
        root = look_at(os.fspath(source), "", os.stat)
        mode = stat.S_IMODE(root.seen.st_mode)
        if stat.S_ISDIR(root.seen.st_mode):
            kind = "directory"
            beside.append(posixpath.join(where, token))
        else:
            kind = "file"
        archive = Archive(root, destination, exclude)
    bits = f"{mode if rights.mode is None else rights.mode:o}"
    words = (where, kind, token, bits, *rights.words(), "lanes" if archive.is_large else "", *stale)

    def lane(number: int) -> str:
        return program("lane", text("lane.sh"), token, str(number), *beside, sudo=rights.as_root)

    def feed(outlet: Outlet, tell: Tell) -> None:
        archive.feed(outlet, tell, lane)

    return Upload(program("put", text("put.sh"), *words, sudo=rights.as_root), feed, token, tuple(beside))
