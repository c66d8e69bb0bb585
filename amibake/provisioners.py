"""What is done on a builder: `File` puts something there, `Shell` runs something."""

from __future__ import annotations

import os
import posixpath
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Warned
from amibake.host import Completed, Host
from amibake.remote import mistakes_of_variables, program, relative_to_login, shown

_TRIES = 3
"""How often an upload is tried when the connection is lost meanwhile."""

_IS_DIRECTORY = '[ -d "$1" ]'
_REMOVE = 'rm -f "$1"'


@dataclass(frozen=True)
class File:
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


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Run scripts on the builder; give exactly one of `inline`, `script` and `scripts`.

    Each is sent to `remote_folder` under a random name that only its owner can read, run, and removed once it has
    ended, whatever its status. Its output arrives line by line as `Output` events. Its standard input is empty.

    Attributes:
        inline: Lines of one script. Without a `#!` line /bin/sh -e runs it: the first failing command ends it.
        script: A local file. Without a `#!` line the login shell runs it.
        scripts: Several of these, one after another; the first that fails is the last that runs.
        environment_vars: {"NAME": "value"} or ["NAME=value"], seen by the scripts; of any content, and in no process
            list and no file on the builder. `AMIBAKE_BUILD` is the bake's id.
        execute_command: How a script is run, with Packer's `{{.Path}}` for where it is. `{{.Vars}}` is replaced by
            nothing: the variables are exported already, so as root it is "sudo -E {{.Path}}".
        remote_folder: Where scripts are put; it must allow execution.
        binary: Send the script as it is, where otherwise CRLF line ends become LF.
        valid_exit_codes: The exit statuses that are no failure.
        timeout: Seconds that each script may take; by default as long as the bake may.
    """

    inline: Sequence[str] | None = None
    script: str | Path | None = None
    scripts: Sequence[str | Path] | None = None
    environment_vars: Mapping[str, str] | Sequence[str] = field(default_factory=dict, repr=False)
    execute_command: str = "{{.Path}}"
    remote_folder: str = "/tmp"  # noqa: S108 - Packer's default; the name in it is random and the mode 0700
    binary: bool = False
    valid_exit_codes: Sequence[int] = (0,)
    timeout: float | None = None

    def __str__(self) -> str:
        names = [posixpath.basename(os.fspath(path)) for path in self._paths()]
        return f"run {', '.join(map(shown, names)) or 'an inline script'}"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = [*self._mistakes_of_scripts(), *_mistakes_of_variables(self.environment_vars)]
        if not re.search(r"\{\{\s*\.Path\s*\}\}", self.execute_command):
            mistakes.append("execute_command: has no {{.Path}}, so the script would not be run")
        if not self.remote_folder:
            mistakes.append("remote_folder: is empty")
        if not self.valid_exit_codes:
            mistakes.append("valid_exit_codes: is empty, so nothing could succeed")
        if self.timeout is not None and self.timeout <= 0:
            mistakes.append(f"timeout: {self.timeout} is no number of seconds to wait")
        if mistakes:
            raise InvalidOption(*(f"Shell: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Run them.

        Raises:
            ScriptFailed: one exited with a status that is not valid; the error has its last lines.
            ConnectionLost: the connection ended before the script did.
            WaitTimeout: it took longer than it may.
            UploadFailed: it could not be sent.
        """
        for name, content in self._contents():
            self._run(host, name, content)

    def _contents(self) -> list[tuple[str, bytes]]:
        if self.inline is not None:
            text = "\n".join(self.inline) + "\n"
            shebang = "" if text.startswith("#!") else "#!/bin/sh -e\n"
            return [("the inline script", (shebang + text).encode("utf-8", "surrogateescape"))]
        return [(os.fspath(path), _read(Path(path))) for path in self._paths()]

    def _paths(self) -> Sequence[str | Path]:
        return self.scripts or ([self.script] if self.script is not None else [])

    def _run(self, host: Host, name: str, content: bytes) -> None:
        path = posixpath.join(self.remote_folder, f"amibake-{secrets.token_hex(6)}.sh")
        data = content if self.binary else content.replace(b"\r\n", b"\n")
        try:
            File(content=data, destination=path, mode=0o700).provision(host)
        except (ConnectionLost, UploadFailed, WaitTimeout) as error:
            error.message = f"{name}: {error.message}"
            raise
        # When this raises nothing is cleaned up: the builder is thrown away, and every second of it costs.
        done = host.run(self._command(path), environment=self._environment(host), timeout=self.timeout, name=name)
        removal = program("remove", _REMOVE, relative_to_login(path))
        removed = host.run(removal, capture=True, name=f"remove {path}")
        if done.status not in self.valid_exit_codes:
            raise _failure(name, done)
        if removed.status != 0:
            host.emit(Warned(f"{path} could not be removed: {removed.stderr.strip()}"))

    def _command(self, path: str) -> str:
        quoted = shlex.quote(relative_to_login(path))
        values = {"Path": quoted, "Vars": ""}
        return re.sub(r"\{\{\s*\.(Path|Vars)\s*\}\}", lambda match: values[match[1]], self.execute_command)

    def _environment(self, host: Host) -> dict[str, str]:
        build = host.data.get("BuildID")
        return {**({"AMIBAKE_BUILD": build} if build else {}), **_variables(self.environment_vars)}

    def _mistakes_of_scripts(self) -> list[str]:
        given = [name for name in ("inline", "script", "scripts") if getattr(self, name) is not None]
        if len(given) != 1:
            return [f"give exactly one of inline, script and scripts, not {' and '.join(given) or 'none'}"]
        value = getattr(self, given[0])
        if given[0] != "script" and (isinstance(value, str | bytes | Path) or not value):
            return [f"{given[0]}: must be a list, and not empty"]
        mistakes = []
        for path in self._paths():
            try:
                _read(Path(path))
            except InvalidOption as error:
                mistakes += [f"{given[0]}: {mistake}" for mistake in error.mistakes]
        return mistakes


def _is_directory(host: Host, path: str) -> bool:
    question = program("is-directory", _IS_DIRECTORY, relative_to_login(path))
    return host.run(question, capture=True, name=f"is {shown(path)} a directory").status == 0


def _can_match(pattern: object) -> bool:
    """Whether it could be a path within a directory. A secret is not to be sent for a slash at the wrong end."""
    return isinstance(pattern, str) and not set(pattern.split("/")) & {"", ".", ".."}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidOption(f"{path} can't be read: {getattr(error, 'strerror', error)}") from error


def _variables(given: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if isinstance(given, Mapping):
        return dict(given)
    return {name: value for name, _, value in (entry.partition("=") for entry in given)}


def _mistakes_of_variables(given: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(given, str):
        return ['environment_vars: must be a mapping or a list of "NAME=value"']
    mistakes = []
    if not isinstance(given, Mapping):
        bare = [number for number, entry in enumerate(given, 1) if "=" not in entry]
        mistakes += [f"environment_vars: entry {number} has no =" for number in bare]
    return mistakes + [f"environment_vars: {mistake}" for mistake in mistakes_of_variables(_variables(given))]


def _failure(name: str, done: Completed) -> ScriptFailed:
    hints = {
        126: "the builder could not execute it: `remote_folder` may be mounted noexec, or it lacks a permission",
        127: "a command was not found: one in the script, or the interpreter in its first line",
        137: "something killed it: the builder may be out of memory",
    }
    how = "was killed by a signal" if done.status < 0 else f"exited with status {done.status}"
    return ScriptFailed(f"{name} {how}", status=done.status, tail=done.tail, hint=hints.get(done.status, ""))
