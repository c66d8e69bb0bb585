"""`File` puts something on the builder, or fetches something from it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from amibake.errors import InvalidOption, UploadFailed
from amibake.host import Host
from amibake.provisioners.common import Step
from amibake.provisioners.paths import (
    is_path,
    mistakes_of_account,
    mistakes_of_exclude,
    mistakes_of_local,
    mistakes_of_mode,
    mistakes_of_path,
    mistakes_of_remote,
    mistakes_of_switch,
)
from amibake.remote import program, relative_to_login, shown
from amibake.secret import Secret, revealed

_IS_DIRECTORY = '[ -d "$1" ]'


@dataclass(frozen=True)
class File(Step):
    """Upload files, directories or a text, or download what a path or a pattern names.

    Where a directory goes: a source ending in `/` puts its contents into the destination; otherwise, if the destination
    ends in `/` or is a directory already, it becomes destination/basename; else the destination becomes the directory.
    A file goes to exactly the destination, or to destination/basename where that ends in `/`. A download goes by the
    same rules the other way round; what a pattern (`*`, `?`, `[…]`) matches goes into the destination.

    Missing parents are made, symlinks and permission bits survive, and a path is a path, whatever its characters.
    Nothing is expanded but a leading `~/` on the builder, the home of the user who logs in, and a download's pattern.
    Everything is compared by its SHA-256 before it is put in place. When the connection is lost the transfer is done
    again, to the same place and with the same result.

    Uploading a pipe, a socket or a device is an error; `exclude` leaves it out. A download leaves it out with a
    warning, and drops set-id bits. What is replaced is files: a directory that is there keeps its mode, its owner, and
    whatever else it holds.

    Attributes:
        source: A file or directory: a local one, or with direction="download" one on the builder, or a pattern there. A
            `Path` has no trailing slash: give a str where it matters.
        sources: Several of these, one after another. The destination is a directory then and has to end in `/`.
        content: What the file is to contain, in place of `source`; a str or Secret is sent as UTF-8, and a
            Secret is hidden in whatever the builder prints from then on.
        destination: Where it goes. On the builder absolute, or from the home of the user who logs in.
        direction: "upload" or "download".
        generated: The sources of an upload are made only during the bake, so they need not be there before it.
        mode: Permission bits of a file or of a new directory, as in 0o600; by default the local ones, for content 0644.
        owner: Whose everything is to be that this creates there, parents included: a name, or a number. It is done as
            root, as with `sudo`.
        group: Likewise; by default the owner's own.
        sudo: Write, or read, on the builder as root, by sudo without a password. What is created then belongs to root,
            or to `owner` and `group`.
        exclude: What in a directory is left out: it is not sent, and not even opened. Patterns of Python's fnmatch, in
            which `*` is any text, slashes included. One with a slash ("deploy/env/*.json") is compared with the path
            within the directory, one without ("*.map", "node_modules") with every name at any depth. With a directory
            everything in it is left out. Nothing is removed on the builder.
    """

    source: str | Path | None = None
    destination: str | Path = ""
    sources: Sequence[str | Path] | None = field(default=None, kw_only=True)
    content: str | bytes | Secret | None = field(default=None, repr=False, kw_only=True)
    direction: Literal["upload", "download"] = field(default="upload", kw_only=True)
    generated: bool = field(default=False, kw_only=True)
    mode: int | None = field(default=None, kw_only=True)
    owner: str | int | None = field(default=None, kw_only=True)
    group: str | int | None = field(default=None, kw_only=True)
    sudo: bool = field(default=False, kw_only=True)
    exclude: Sequence[str] = field(default=(), kw_only=True)

    def __str__(self) -> str:
        sources = ", ".join(map(shown, self._sources())) or "a text"
        return f"{self.direction} {sources} to {shown(self._destination())}"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = list(self._mistakes())
        if mistakes:
            raise InvalidOption(*(f"File: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Do it.

        Raises:
            UploadFailed: something can't be read on one side or written on the other, or is not the same on both.
            ConnectionLost: the connection was lost four times.
            SSHTimeout, AuthenticationFailed, HostKeyChanged: it was lost, and can't be made anew.
        """
        destination = self._destination()
        if self.direction == "download":
            for source in self._sources():
                host.get(source, destination, sudo=self.sudo)
            return
        put = partial(host.put, mode=self.mode, owner=self.owner, group=self.group, sudo=self.sudo)
        if isinstance(self.content, Secret):
            host.conceal([self.content])
        if self.content is not None:
            put(_bytes(self.content), destination)
        for source in self._sources():
            # a source that is generated only between two tries is decided anew
            upload = (*(host.data.get(what, "") for what in ("ID", "Host", "Port")), source, Path(source).is_dir())
            target = self._decided.get(upload) or self._target(host, source, destination)
            self._decided[upload] = target
            put(Path(source), target, exclude=self.exclude)
            self._decided.pop(upload, None)

    @cached_property
    def _decided(self) -> dict[tuple[object, ...], str]:
        """Where on which builder a source goes, from the first try to the one that succeeds."""
        return {}

    def _sources(self) -> list[str]:
        return [os.fspath(source) for source in self._given() if is_path(source)]

    def _given(self) -> Sequence[object]:
        if self.sources is None:
            return [] if self.source is None else [self.source]
        # one path has the looks of a list of letters
        given: object = self.sources
        return given if isinstance(given, Sequence) and not isinstance(given, str | bytes) else []

    def _destination(self) -> str:
        return os.fspath(self.destination) if is_path(self.destination) else ""

    def _target(self, host: Host, source: str, destination: str) -> str:
        """Decided before the first try, and kept until one succeeds, also for the tries of `max_retries`: a directory
        that is there only because a try failed decides nothing."""
        name = posixpath.basename(posixpath.abspath(source))
        inside = posixpath.join(destination, name)
        if not Path(source).is_dir():
            if source.endswith("/"):
                raise UploadFailed(f"{shown(source)} can't be uploaded: it is no directory")
            return inside if destination.endswith("/") else destination
        if source.endswith("/"):
            return destination
        as_root = self.sudo or self.owner is not None or self.group is not None
        return inside if destination.endswith("/") or _is_directory(host, destination, sudo=as_root) else destination

    def _mistakes(self) -> Iterator[str]:
        yield from self._mistakes_of_sources()
        yield from self._mistakes_of_destination()
        yield from mistakes_of_exclude(self.exclude)
        if self.exclude and (self.content is not None or any(Path(source).is_file() for source in self._readable())):
            yield "exclude: is for directories only"
        yield from mistakes_of_mode(self.mode)
        yield from mistakes_of_switch("sudo", self.sudo)
        yield from mistakes_of_switch("generated", self.generated)
        yield from mistakes_of_account("owner", self.owner)
        yield from mistakes_of_account("group", self.group)
        yield from self._mistakes_of_direction()
        yield from self.common_mistakes()

    def _mistakes_of_sources(self) -> Iterator[str]:
        given = [name for name in ("source", "sources", "content") if getattr(self, name) is not None]
        if len(given) != 1:
            # what content is, is not said
            yield f"give exactly one of source, sources and content, not {' and '.join(given) or 'none'}"
        elif self.sources is not None and not self._given():
            yield "sources: must be a list, and not empty"
        elif self.content is not None:
            yield from _mistakes_of_content(self.content)
        else:
            for source in self._given():
                yield from (f"{given[0]}: {mistake}" for mistake in self._mistakes_of_source(source))

    def _mistakes_of_source(self, source: object) -> Iterator[str]:
        if not is_path(source):
            return mistakes_of_path(source)
        if self.direction == "download":
            return mistakes_of_remote(os.fspath(source))
        return mistakes_of_local(os.fspath(source), generated=bool(self.generated))

    def _mistakes_of_destination(self) -> Iterator[str]:
        if not is_path(self.destination):
            yield from (f"destination: {mistake}" for mistake in mistakes_of_path(self.destination))
            return
        destination = self._destination()
        if not destination:
            yield "destination: is missing"
            return
        if self.direction == "upload":
            yield from (f"destination: {mistake}" for mistake in mistakes_of_remote(destination))
        elif "\0" in destination:
            yield "destination: has a NUL"
        if destination.endswith("/"):
            if self.content is not None:
                yield f"destination: {destination} names no file for the content"
        elif len(self._given()) > 1:
            yield f"destination: {destination}/ is where several sources can go: it must end in /"

    def _mistakes_of_direction(self) -> Iterator[str]:
        if self.direction not in ("upload", "download"):  # which may be unhashable
            yield f'direction: {self.direction!r} is neither "upload" nor "download"'
        elif self.direction == "download":
            given = {
                "content": self.content is not None,
                "generated": self.generated,
                "mode": self.mode is not None,
                "owner": self.owner is not None,
                "group": self.group is not None,
                "exclude": bool(self.exclude),
            }
            yield from (f"{name}: is for uploads only" for name, is_given in given.items() if is_given)

    def _readable(self) -> list[str]:
        return [] if self.direction == "download" else [source for source in self._sources() if "\0" not in source]


def _bytes(content: str | bytes | Secret) -> bytes:
    if isinstance(content, bytes):
        return content
    return revealed(content).encode()


def _mistakes_of_content(content: object) -> Iterator[str]:
    if not isinstance(content, str | bytes | Secret):
        yield f"content: must be a str, bytes or a Secret, not {type(content).__name__}"
        return
    try:
        _bytes(content)
    except UnicodeEncodeError:
        yield "content: has characters that are not text, which UTF-8 can't encode"


def _is_directory(host: Host, path: str, *, sudo: bool) -> bool:
    question = program("is-directory", _IS_DIRECTORY, relative_to_login(path), sudo=sudo)
    return host.run(question, capture=True, name=f"is {shown(path)} a directory", when_lost="repeat").status == 0
