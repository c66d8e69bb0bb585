"""`Shell` runs something on the builder."""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Warned
from amibake.host import Completed, Host
from amibake.provisioners.common import Step
from amibake.provisioners.file import File
from amibake.provisioners.script import Script, script_of, template_mistakes
from amibake.provisioners.shell_options import (
    Variables,
    mistakes_in_variables,
    mistakes_of_lines,
    mistakes_of_paths,
    mistakes_of_places,
    variables_of,
    wrong_kinds,
)
from amibake.remote import program, relative_to_login, shown
from amibake.secret import Secret
from amibake.waiting import Deadline, Pending

_REMOVE = 'rm -f "$1"'
_REMOVE_ALL = 'rm -rf "$1"'
_FOLDER = "/tmp"  # noqa: S108 - Packer's default; a script gets a directory of its own in it, with mode 0700
_NAME = "script.sh"

# Made by mkdir itself with its mode, and never by -p, which would take what somebody else has put there. A directory of
# ours is there already when only the answer was lost: nobody else can have known its name and own it as we do.
_MAKE_PRIVATE = """
case $1 in */*) mkdir -p "${1%/*}" || exit ;; esac
mkdir -m 700 "$1" 2>/dev/null && exit
if [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; then exit; fi
mkdir -m 700 "$1"
"""
_INLINE = "/bin/sh -e"


_GOES_DOWN = 10.0
"""Seconds within which the connection ends, of a machine whose going down has ended a script."""
_LOOK = 5.0


@runtime_checkable
class _Discarding(Protocol):
    """A host that can remove a file, or a directory, even when the time is up or the connection is lost."""

    def discard(self, path: str, *, directory: bool = False) -> None:
        """Remove it now, or once there is a connection again."""


@dataclass(frozen=True, kw_only=True)
class Shell(Step):
    """Run scripts on the builder; give exactly one of `inline`, `script` and `scripts`.

    Each is sent to a directory of its own in `remote_folder`, with a random name, which only its owner can look into;
    it is run, and both are removed once it has ended, whatever its status. Its output arrives line by line as `Output`
    events. Its standard input is empty. It has ended when its process has: children that it leaves in the background go
    on. When its time is up it is killed with everything that it has started.

    The interpreter that its `#!` line names is called with the script, which so needs no permission to be executed:
    `remote_folder` may be mounted noexec. A script without a `#!` line is run by the login shell.

    Attributes:
        inline: Lines of one script.
        inline_shebang: What runs that, without the `#!` ["/bin/sh -e", by which the first failing command ends it,
            unless the lines begin with a `#!` of their own].
        script: A local file.
        scripts: Several of these, one after another; the first that fails is the last that runs.
        environment_vars: {"NAME": "value"} or ["NAME=value"], seen by the scripts; of any content, and in no process
            list and no file on the builder. A `Secret` among the values is hidden in all that the builder prints.
            None may be longer than 128 KiB with its name, which is Linux's MAX_ARG_STRLEN; a `File` may.
            `AMIBAKE_BUILD` is the bake's id.
        env: The same; Packer's other name for it.
        sudo: Run them as root, by a sudo that asks for no password, with the same variables.
        execute_command: Another way to run a script: a command with Packer's `{{.Path}}` for where it is. `{{.Vars}}`
            is replaced by nothing: the variables are exported already, so as root it is "sudo -E {{.Path}}".
        remote_folder: Where scripts are put.
        remote_file: The name that they have there, without a directory of their own.
        remote_path: In place of both.
        skip_clean: Leave them there, in the image too; but /tmp/amibake-* goes in any case.
        binary: Send them as they are, where otherwise CRLF line ends become LF and a byte order mark goes.
        valid_exit_codes: The exit statuses that are no failure.
        expect_disconnect: The connection may end while they run, as by a reboot: then connect anew, end what still runs
            of the script, and go on. To wait for a reboot there is `Reboot`, which knows when it is over.
        start_retry_timeout: For how long it is tried again to send and start a script when the connection is lost
            before it has started; and, with `expect_disconnect`, to get in again. In seconds or as in "5m".
        pause_after: How long to wait at the end, in seconds or as in "10s"; within `timeout` and the time of the bake.
        use_env_var_file, env_var_format: Packer's ways to have the variables in a file or a command line: refused.
    """

    inline: Sequence[str] | None = None
    inline_shebang: str | None = None
    script: str | Path | None = None
    scripts: Sequence[str | Path] | None = None
    environment_vars: Variables = field(default_factory=dict, repr=False)
    env: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    sudo: bool = False
    execute_command: str | None = None
    remote_folder: str = _FOLDER
    remote_file: str | None = None
    remote_path: str | None = None
    skip_clean: bool = False
    binary: bool = False
    valid_exit_codes: Sequence[int] = (0,)
    expect_disconnect: bool = False
    start_retry_timeout: float | str = 300.0
    pause_after: float | str = 0.0
    use_env_var_file: bool = False
    env_var_format: str | None = None

    def __str__(self) -> str:
        names = [posixpath.basename(str(path)) for path in self._paths()]
        return f"run {', '.join(map(shown, names)) or 'an inline script'}"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        wrong = wrong_kinds(vars(self))
        # what is of a wrong kind is taken for not given, so that all the rest is looked at too
        defaults: dict[str, Any] = {option.name: option.default for option in fields(self) if option.name in wrong}
        sound = replace(self, **defaults)
        mistakes = [
            *sound._mistakes_of_scripts(),  # noqa: SLF001 - one of our own
            *mistakes_in_variables("environment_vars", self.environment_vars),
            *mistakes_in_variables("env", self.env),
            *mistakes_of_places(sound.remote_folder, sound.remote_file, sound.remote_path),
            *sound._mistakes_of_running(),  # noqa: SLF001 - likewise
            *(mistake for of_one in wrong.values() for mistake in of_one),
            *self.common_mistakes(),
        ]
        if mistakes:
            raise InvalidOption(*(f"Shell: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Run them.

        Raises:
            ScriptFailed: one exited with a status that is not valid, with its last lines in the error; or there is no
                becoming root.
            ConnectionLost: the connection ended before the script did.
            WaitTimeout: it took longer than it may; the error has its last lines.
            UploadFailed: it could not be sent.
        """
        if self.limit is not None:
            host = host.limited(self.limit)
        host.conceal(value for value in self._variables().values() if isinstance(value, Secret))
        for script in self._contents():
            self._run(host, script)
        if pause := min(waiting.seconds(self.pause_after), host.remaining()):
            waiting.sleep(pause)

    def _contents(self) -> list[Script]:
        if self.inline is not None:
            text = "\n".join(self.inline) + "\n"
            if self.inline_shebang or not text.startswith("#!"):
                text = f"#!{self.inline_shebang or _INLINE}\n{text}"
            return [script_of("the inline script", text.encode("utf-8", "surrogateescape"), binary=self.binary)]
        return [script_of(shown(os.fspath(path)), _read(path), binary=self.binary) for path in self._paths()]

    def _paths(self) -> Sequence[str | Path]:
        return self.scripts or ([self.script] if self.script is not None else [])

    def _run(self, host: Host, script: Script) -> None:
        place = self._place()
        try:
            done = self._start(host, script, place)
        except (ConnectionLost, ScriptFailed, WaitTimeout):
            # it may be tried again or done without, and then the script is not to be in the image
            if not self.skip_clean and isinstance(host, _Discarding):
                host.discard(place.removed, directory=bool(place.private))
            raise
        if done is None:
            host.limited(self._retried).reconnect()
        if not self.skip_clean:
            self._remove(host, place)
        if done is not None and done.status not in self.valid_exit_codes:
            raise _failure(script.name, done)

    def _place(self) -> _Place:
        if self.remote_path or self.remote_file:
            return _Place(self.remote_path or posixpath.join(self.remote_folder, self.remote_file or ""))
        private = posixpath.join(self.remote_folder, f"amibake-{secrets.token_hex(8)}")
        return _Place(posixpath.join(private, _NAME), private)

    def _start(self, host: Host, script: Script, place: _Place) -> Completed | None:
        """Send and run it, again while that has not begun; None when the connection was lost meanwhile, as it may."""
        deadline = Deadline(self._retried)
        lost = ""

        def attempt() -> Completed:
            _send(host, script, place)
            command = script.command(place.path, self.execute_command)
            environment = self._environment(host)
            # sent again too, since where it is may not outlast a reboot
            return host.run(command, environment=environment, name=script.name, sudo=self.sudo, when_lost="raise")

        def not_begun(error: BaseException) -> bool:
            nonlocal lost
            lost = error.message if isinstance(error, ConnectionLost) and not error.started else ""
            return bool(lost)

        def mend() -> None:
            host.emit(Warned(f"{lost}; connecting anew to start it"))
            host.limited(deadline.remaining()).reconnect()

        try:
            done = waiting.again(attempt, after=not_begun, within=deadline, first=mend)
        except ConnectionLost as error:
            if self.expect_disconnect and error.started:
                return None
            raise
        # a machine that goes down ends what runs on it before it ends the connection
        return None if self.expect_disconnect and done.signal in {"TERM", "HUP"} and _goes_down(host) else done

    def _remove(self, host: Host, place: _Place) -> None:
        removal = program("remove", _REMOVE_ALL if place.private else _REMOVE, relative_to_login(place.removed))
        # the machine may still be going down
        bounded = host.limited(self._retried) if self.expect_disconnect else host
        removed = bounded.run(removal, capture=True, name=f"remove {shown(place.removed)}", when_lost="repeat")
        if removed.status != 0:
            host.emit(Warned(f"{shown(place.removed)} could not be removed: {removed.stderr.strip()}"))

    @property
    def _retried(self) -> float:
        """The seconds of `start_retry_timeout`."""
        return waiting.seconds(self.start_retry_timeout)

    def _variables(self) -> dict[str, str | Secret]:
        return {**variables_of(self.environment_vars), **self.env}

    def _environment(self, host: Host) -> dict[str, str | Secret]:
        build = host.data.get("BuildID")
        return {**({"AMIBAKE_BUILD": build} if build else {}), **self._variables()}

    def _mistakes_of_scripts(self) -> Iterator[str]:
        given = [name for name in ("inline", "script", "scripts") if getattr(self, name) is not None]
        if self.inline_shebang is not None and (
            not self.inline_shebang.strip() or self.inline_shebang.startswith("#!") or "\n" in self.inline_shebang
        ):
            yield f"inline_shebang: {self.inline_shebang!r} is no interpreter, such as {_INLINE!r}"
        if len(given) != 1:
            yield f"give exactly one of inline, script and scripts, not {' and '.join(given) or 'none'}"
            return
        value = getattr(self, given[0])
        mistakes = [*(mistakes_of_lines(value) if given[0] == "inline" else mistakes_of_paths(given[0], value))]
        yield from mistakes
        if self.inline_shebang is not None and self.inline is None:
            yield "inline_shebang: is for inline only"
        for path in self._paths() if not mistakes else []:
            try:
                _read(path)
            except InvalidOption as error:
                yield from (f"{given[0]}: {mistake}" for mistake in error.mistakes)

    def _mistakes_of_running(self) -> Iterator[str]:
        if self.environment_vars and self.env:
            yield "env: give either this or environment_vars"
        if self.use_env_var_file:
            yield "use_env_var_file: values are never in a file here; the script has them without"
        if self.env_var_format is not None:
            yield "env_var_format: values are never on a command line here, so there is nothing to format"
        if self.execute_command is not None:
            has_variables = bool(self.environment_vars or self.env) and not self.sudo
            for mistake in template_mistakes(self.execute_command, has_variables=has_variables):
                yield f"execute_command: {mistake}"
        if self.remote_path is not None and (self.remote_file is not None or self.remote_folder != _FOLDER):
            yield "remote_path: give either this or remote_folder and remote_file"


@dataclass(frozen=True)
class _Place:
    """Where a script is on the builder, and the directory there that is its own, if it has one."""

    path: str
    private: str = ""

    @property
    def removed(self) -> str:
        """What goes when the script has ended."""
        return self.private or self.path


def _send(host: Host, script: Script, place: _Place) -> None:
    try:
        if place.private:
            make = program("private", _MAKE_PRIVATE, relative_to_login(place.private))
            made = host.run(make, capture=True, name=f"make {shown(place.private)}", when_lost="repeat")
            if made.status != 0:
                said = made.stderr.strip() or f"exit status {made.status}"
                raise UploadFailed(f"{shown(place.private)} can't be made on the builder: {said}")
        File(content=script.data, destination=place.path, mode=0o700).provision(host)
    except (ConnectionLost, UploadFailed, WaitTimeout) as error:
        error.message = f"{script.name}: {error.message}"
        if isinstance(error, ConnectionLost):
            error.started = False
        raise


def _goes_down(host: Host) -> bool:
    """Whether the connection ends soon."""

    def look() -> bool | Pending:
        try:
            asked = "whether the builder goes down"
            host.run(program("alive", ":"), capture=True, timeout=_LOOK, name=asked, when_lost="raise")
        except ConnectionLost:
            return True
        return Pending("the builder is there")

    try:
        return waiting.wait_for("the end of the connection", look, deadline=Deadline(_GOES_DOWN), emit=host.emit)
    except WaitTimeout:
        return False


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidOption(f"{path} can't be read: {getattr(error, 'strerror', error)}") from error


def _failure(name: str, done: Completed) -> ScriptFailed:
    hints = {
        126: "the builder could not execute it: the interpreter, or what `execute_command` names, lacks a permission",
        127: "a command was not found: one in the script, or the interpreter in its first line",
        137: "something killed it: the builder may be out of memory",
    }
    how = "was killed by a signal" if done.status < 0 else f"exited with status {done.status}"
    return ScriptFailed(f"{name} {how}", status=done.status, tail=done.tail, hint=hints.get(done.status, ""))
