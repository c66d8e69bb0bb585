"""`Shell` runs something on the builder."""

from __future__ import annotations

import os
import posixpath
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Warned
from amibake.host import Completed, Host
from amibake.provisioners.common import Step
from amibake.provisioners.file import File
from amibake.remote import mistakes_of_variables, program, relative_to_login, shown

_REMOVE = 'rm -f "$1"'


@dataclass(frozen=True, kw_only=True)
class Shell(Step):
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
    """

    inline: Sequence[str] | None = None
    script: str | Path | None = None
    scripts: Sequence[str | Path] | None = None
    environment_vars: Mapping[str, str] | Sequence[str] = field(default_factory=dict, repr=False)
    execute_command: str = "{{.Path}}"
    remote_folder: str = "/tmp"  # noqa: S108 - Packer's default; the name in it is random and the mode 0700
    binary: bool = False
    valid_exit_codes: Sequence[int] = (0,)

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
        mistakes += self.common_mistakes()
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
        done = host.run(self._command(path), environment=self._environment(host), timeout=self.limit, name=name)
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
