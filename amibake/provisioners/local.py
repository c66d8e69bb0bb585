"""`ShellLocal` runs something on this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from amibake import local
from amibake.errors import InvalidOption, ScriptFailed
from amibake.events import Output, StepSkipped
from amibake.host import Host
from amibake.provisioners.common import Step, is_list_of_texts
from amibake.remote import mistakes_of_variables, shortened
from amibake.veil import Veil
from amibake.waiting import Deadline

_WAYS = ("command", "inline", "script", "scripts")
_SCRIPT = re.compile(r"\{\{\s*\.(Script|Command|Path)\s*\}\}")
_VARS = re.compile(r"\{\{\s*\.Vars\s*\}\}")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a word begins within a name such as SourceAMIName."""


@dataclass(frozen=True)
class ShellLocal(Step):
    """Run something on this machine, not on the builder; give exactly one of `command`, `inline`, `script`, `scripts`.

    Its output arrives line by line as `Output` events; its standard input is empty. When its time is up, or the bake is
    interrupted, it ends with all that it has started; of that, what has left its process group ends on Linux only, and
    neither what runs as another user nor what has cleared its environment.

    In its environment, besides our own, is what is known of the builder, `host.data`: `AMIBAKE_ID`, `AMIBAKE_HOST`,
    `AMIBAKE_PORT`, `AMIBAKE_USER`, `AMIBAKE_SOURCE_AMI`, `AMIBAKE_SOURCE_AMI_NAME`, `AMIBAKE_BUILD_REGION`,
    `AMIBAKE_BUILD_ID` (also as `AMIBAKE_BUILD`) and so on.

    Attributes:
        command: A program and its arguments, as they are: no shell looks at them.
        inline: Lines of one script. Without a `#!` line /bin/sh -e runs it: the first failing command ends it.
        script: A script, which need not be executable. Without a `#!` line /bin/sh runs it.
        scripts: Several of these, one after another; the first that fails is the last that runs.
        environment_vars: {"NAME": "value"} or ["NAME=value"], beside the others. A value may be a `Secret`: it is
            replaced in what is told of the output.
        execute_command: How a script is run: a program and its arguments with Packer's `{{.Script}}` for its path,
            quoted where it follows `-c`. `{{.Vars}}` is replaced by nothing: the variables are there already.
        valid_exit_codes: The exit statuses that are no failure.
        working_directory: Where it starts; by default where this program is.
        only_on: Systems on which it is done, by Python's `sys.platform`: "linux", "darwin". By default on all.
    """

    command: Sequence[str] | None = None
    inline: Sequence[str] | None = field(default=None, kw_only=True)
    script: str | Path | None = field(default=None, kw_only=True)
    scripts: Sequence[str | Path] | None = field(default=None, kw_only=True)
    environment_vars: Mapping[str, Any] | Sequence[str] = field(default_factory=dict, repr=False, kw_only=True)
    execute_command: Sequence[str] | None = field(default=None, kw_only=True)
    valid_exit_codes: Sequence[int] = field(default=(0,), kw_only=True)
    working_directory: str | Path | None = field(default=None, kw_only=True)
    only_on: Sequence[str] = field(default=(), kw_only=True)

    def __str__(self) -> str:
        if self.command is not None and _texts(self.command):
            return f"run {shortened(shlex.join(self.command[:1]))} here"
        return f"run {', '.join(path.name for path in self._paths()) or 'an inline script'} here"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = [*self._mistakes_of_what(), *self._mistakes_of_variables(), *self._mistakes_of_the_rest()]
        mistakes += self.common_mistakes()
        if mistakes:
            raise InvalidOption(*(f"ShellLocal: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Run it.

        Raises:
            ScriptFailed: it exited with a status that is not valid; the error has its last lines.
            WaitTimeout: it took longer than it may.
            AmibakeError: it can't be started.
        """
        if self.only_on and sys.platform not in self.only_on:
            host.emit(StepSkipped(str(self), f"only on {', '.join(self.only_on)}, and this is {sys.platform}"))
            return
        deadline = Deadline(host.remaining() if self.limit is None else min(self.limit, host.remaining()))
        if self.command is not None:
            self._run(host, shortened(shlex.join(self.command)), self.command, deadline)
        elif self.inline is not None:
            with _written(self.inline) as path:
                self._run(host, "the inline script", self._words(path), deadline)
        for path in self._paths():
            self._run(host, str(path), self._words(path.absolute()), deadline)

    def _run(self, host: Host, name: str, words: Sequence[str], deadline: Deadline) -> None:
        variables, secrets = _revealed(self.environment_vars)
        veil = Veil()
        veil.add(secrets)
        conceal: Any = getattr(host, "conceal", None)
        if secrets and conceal is not None:
            conceal(secrets)  # what it prints may end up on the builder, and come back from there

        def tell(stream: Literal["stdout", "stderr"], line: str) -> None:
            host.emit(Output(stream, line))

        ended = local.run(
            words,
            name=name,
            environment={**os.environ, **_build_data(host.data), **variables},
            directory=self._directory(),
            deadline=deadline,
            tell=tell,
            veil=veil,
        )
        if ended.status not in self.valid_exit_codes:
            how = f"exited with status {ended.status}" if ended.status >= 0 else f"was killed by signal {-ended.status}"
            raise ScriptFailed(f"{name} {how}", status=max(ended.status, -1), tail=ended.tail)

    def _words(self, script: Path) -> list[str]:
        """The program and its arguments that run this script."""
        if self.execute_command is None:
            return [*_interpreter(script), str(script)]
        words, quoted = [], False
        for word in self.execute_command:
            path = shlex.quote(str(script)) if quoted else str(script)
            words.append(_VARS.sub("", _SCRIPT.sub(lambda _, path=path: path, word)))  # type: ignore[misc]
            quoted = word == "-c"
        return words

    def _paths(self) -> list[Path]:
        given = self.scripts if isinstance(self.scripts, Sequence) else [self.script]
        return [Path(path) for path in given if isinstance(path, str | os.PathLike)]

    def _directory(self) -> Path | None:
        return None if self.working_directory is None else Path(self.working_directory)

    def _mistakes_of_what(self) -> Iterator[str]:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            yield f"give exactly one of {', '.join(_WAYS)}, not {' and '.join(given) or 'none'}"
            return
        (way,) = given
        value = getattr(self, way)
        if way in ("command", "inline"):
            if not (_texts(value) and value and value[0]):
                yield f"{way}: must be a list of texts, and not empty"
            elif any("\0" in text for text in value):
                yield f"{way}: has a NUL"
            elif way == "command":
                yield from self._mistakes_of_program("command", value[0])
            return
        if way == "scripts" and (isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value):
            yield "scripts: must be a list, and not empty"
            return
        if not all(isinstance(path, str | os.PathLike) for path in ([value] if way == "script" else value)):
            yield f"{way}: has what is no path"
        yield from (f"{way}: {path} can't be read" for path in self._paths() if not _readable(path))

    def _mistakes_of_program(self, option: str, program: str) -> Iterator[str]:
        if "/" in program:
            # one that is relative starts from where it will run
            start = self.working_directory if isinstance(self.working_directory, str | os.PathLike) else "."
            found = shutil.which(str(Path(start, program).absolute()))
        else:
            path = None if list(self._mistakes_of_variables()) else _revealed(self.environment_vars)[0].get("PATH")
            found = shutil.which(program, path=path)
        if found is None:
            yield f"{option}: there is no program {program} here"

    def _mistakes_of_variables(self) -> Iterator[str]:
        given: Any = self.environment_vars
        if not (all(isinstance(name, str) for name in given) if isinstance(given, Mapping) else _texts(given)):
            yield 'environment_vars: must be a mapping or a list of "NAME=value"'
            return
        if not isinstance(given, Mapping):
            yield from (f"environment_vars: entry {n} has no =" for n, one in enumerate(given, 1) if "=" not in one)
        yield from (f"environment_vars: {mistake}" for mistake in mistakes_of_variables(_revealed(given)[0]))

    def _mistakes_of_execute_command(self) -> Iterator[str]:
        if self.execute_command is None:
            return
        if not is_list_of_texts(self.execute_command) or not self.execute_command:
            yield "execute_command: must be a list: a program and its arguments"
        elif self.command is not None:
            yield "execute_command: is for scripts; command is run as it is"
        elif not any(_SCRIPT.search(word) for word in self.execute_command):
            yield "execute_command: has no {{.Script}}, so the script would not be run"
        elif not _SCRIPT.search(self.execute_command[0]):
            yield from self._mistakes_of_program("execute_command", self.execute_command[0])

    def _mistakes_of_the_rest(self) -> Iterator[str]:
        yield from self._mistakes_of_execute_command()
        codes: Any = self.valid_exit_codes
        place: Any = self.working_directory
        if isinstance(codes, str | bytes) or not isinstance(codes, Collection) or not all(map(_is_status, codes)):
            yield "valid_exit_codes: must be a list of numbers from 0 to 255"
        elif not codes:
            yield "valid_exit_codes: is empty, so nothing could succeed"
        if place is not None and not isinstance(place, str | os.PathLike):
            yield "working_directory: must be a path"
        elif place is not None and not Path(place).is_dir():
            yield f"working_directory: {place} is no directory"
        if not is_list_of_texts(self.only_on):
            yield "only_on: must be a list of systems"


def _texts(given: Any) -> bool:
    """Whether it is a list of texts, of which each may be empty."""
    is_list = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    return is_list and all(isinstance(one, str) for one in given)


def _is_status(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= 255


def _build_data(data: Mapping[str, str]) -> dict[str, str]:
    known = {f"AMIBAKE_{_WORDS.sub('_', name).upper()}": value for name, value in data.items()}
    return {**known, **({"AMIBAKE_BUILD": data["BuildID"]} if "BuildID" in data else {})}


def _revealed(given: Mapping[str, Any] | Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables, and the values of those that are secret."""
    if not isinstance(given, Mapping):
        return {name: value for name, _, value in (entry.partition("=") for entry in given)}, []
    secrets = {name: value.reveal() for name, value in given.items() if hasattr(value, "reveal")}
    return {**given, **secrets}, list(secrets.values())


def _interpreter(script: Path) -> list[str]:
    """What runs it: its first line says, as to Linux; a program that is no text runs by itself."""
    with script.open("rb") as file:
        first = file.readline(1024)
    if first.startswith(b"#!"):
        return os.fsdecode(first[2:].strip()).split(None, 1)
    return [] if first.startswith(b"\x7fELF") else ["/bin/sh"]


@contextmanager
def _written(lines: Sequence[str]) -> Iterator[Path]:
    text = "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory(prefix="amibake-") as directory:
        path = Path(directory) / "inline"
        content = text if text.startswith("#!") else "#!/bin/sh -e\n" + text
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        path.chmod(0o700)
        yield path


def _readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
