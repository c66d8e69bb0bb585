"""`File` puts something on the builder."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption
from amibake.host import Host
from amibake.provisioners.common import Step
from amibake.remote import program, relative_to_login, shown

_TRIES = 3
"""How often an upload is tried when the connection is lost meanwhile."""

_IS_DIRECTORY = '[ -d "$1" ]'


@dataclass(frozen=True)
class File(Step):
    """Upload a file, a directory or a text.

    Where a directory goes: a source ending in `/` puts its contents into the destination; otherwise, if the destination
    ends in `/` or is a directory already, it becomes destination/basename; else the destination becomes the directory.
    A file goes to exactly the destination, or to destination/basename where that ends in `/`.

    Missing parents are made, symlinks and permission bits survive, and a path is a path, whatever its characters.
    Nothing is expanded but a leading `~/`, the home of the user who logs in; write elsewhere by a script with sudo.
    When the connection is lost the upload is done again, to the same place and with the same result.

    Attributes:
        source: A local file or directory. A `Path` has no trailing slash: give a str where it matters.
        content: What the file is to contain, in place of `source`; a str is sent as UTF-8.
        destination: Where it goes, absolute or from the home of the user who logs in.
        mode: Permission bits of a file or of a new directory, as in 0o600; by default the local ones, for content 0644.
        exclude: What in a directory is left out: it is not sent, and not even opened. Patterns of Python's fnmatch, in
            which `*` is any text, slashes included. One with a slash ("deploy/env/*.json") is compared with the path
            within the directory, one without ("*.map", "node_modules") with every name at any depth. With a directory
            everything in it is left out. Nothing is removed on the builder.
    """

    source: str | Path | None = None
    destination: str = ""
    content: str | bytes | None = field(default=None, repr=False, kw_only=True)
    mode: int | None = field(default=None, kw_only=True)
    exclude: Sequence[str] = field(default=(), kw_only=True)

    def __str__(self) -> str:
        source = "a text" if self.source is None else shown(os.fspath(self.source))
        return f"upload {source} to {shown(self.destination)}"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = [*self._mistakes_of_source(), *self._mistakes_of_destination(), *self._mistakes_of_exclude()]
        if self.mode is not None and not 0 <= self.mode <= 0o7777:
            mistakes.append(f"mode: {self.mode} is no permission bits, such as 0o644")
        mistakes += self.common_mistakes()
        if mistakes:
            raise InvalidOption(*(f"File: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Upload it.

        Raises:
            UploadFailed: something can't be read here or written there.
            ConnectionLost: the connection was lost three times.
        """
        again = partial(waiting.again, after=ConnectionLost, times=_TRIES, first=host.reconnect)
        target = again(partial(self._target, host))
        again(partial(host.put, self._payload(), target, mode=self.mode, exclude=self.exclude))

    def _payload(self) -> Path | bytes:
        if self.source is not None:
            return Path(self.source)
        content = self.content or b""
        return content.encode() if isinstance(content, str) else content

    def _target(self, host: Host) -> str:
        """Decided before the first try: a directory that is there only because that was cut short decides nothing."""
        if self.source is None:
            return self.destination
        source = os.fspath(self.source)
        name = posixpath.basename(posixpath.abspath(source))
        inside = posixpath.join(self.destination, name)
        if Path(source).is_dir():
            if source.endswith("/"):
                return self.destination
            if self.destination.endswith("/") or _is_directory(host, self.destination):
                return inside
            return self.destination
        return inside if self.destination.endswith("/") else self.destination

    def _mistakes_of_source(self) -> list[str]:
        if (self.source is None) == (self.content is None):
            return ["give either source or content"]
        if self.source is None:
            return []
        source = os.fspath(self.source)
        try:
            Path(source).stat()
            if source.endswith("/") and not Path(source).is_dir():
                return [f"source: {source} is no directory"]
            if not os.access(source, os.R_OK):
                return [f"source: {source} can't be read"]
        except (OSError, ValueError) as error:
            return [f"source: {source!r}: {getattr(error, 'strerror', error)}"]
        return []

    def _mistakes_of_destination(self) -> list[str]:
        if not self.destination:
            return ["destination: is missing"]
        if "\0" in self.destination:
            return ["destination: has a NUL"]
        if self.destination.startswith("~") and not re.match("~(/|$)", self.destination):
            return [f"destination: {self.destination} is another user's home; give its path"]
        if self.source is None and self.destination.endswith("/"):
            return [f"destination: {self.destination} names no file for the content"]
        return []

    def _mistakes_of_exclude(self) -> list[str]:
        if isinstance(self.exclude, str | bytes) or not isinstance(self.exclude, Sequence):
            return ["exclude: must be a list of patterns"]
        if not self.exclude:
            return []
        mistakes = [
            f"exclude: {pattern!r} matches nothing: give a name, or a path within the directory as in 'a/*.json'"
            for pattern in self.exclude
            if not _can_match(pattern)
        ]
        if self.source is None or Path(self.source).is_file():
            mistakes.append("exclude: is for directories only")
        return mistakes


def _is_directory(host: Host, path: str) -> bool:
    question = program("is-directory", _IS_DIRECTORY, relative_to_login(path))
    return host.run(question, capture=True, name=f"is {shown(path)} a directory").status == 0


def _can_match(pattern: object) -> bool:
    """Whether it could be a path within a directory. A secret is not to be sent for a slash at the wrong end."""
    return isinstance(pattern, str) and not set(pattern.split("/")) & {"", ".", ".."}
