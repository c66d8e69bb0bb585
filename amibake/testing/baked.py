"""What one bake did, for a test to look at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from amibake.recipes import shipped
from amibake.testing.behaviour import Answer, Behaviour, Ran

_OF_A_RECIPE = {"primal": "NODE_SOURCE", "carnivore": "NGINX_WORKERS"}
"""A variable that only this recipe's provisioning script has."""


class Machine(Protocol):
    """What was sent up to a builder, below a directory that stands for its root, and what was run on it."""

    root: Path
    username: str
    ran: list[Ran]

    def upload(self, path: str) -> Path:
        """Where on this machine's disk something is that was sent up there."""


@dataclass(frozen=True)
class Upload:
    """A file or a directory on the builder's disk.

    Attributes:
        name: Where it is there.
        path: Where the test can read it; `path.rglob("*")` has what is in a directory.
    """

    name: str
    path: Path

    def bytes(self) -> bytes:
        """Its content."""
        return self.path.read_bytes()

    def text(self) -> str:
        """Its content, which is UTF-8."""
        return self.path.read_text(encoding="utf-8")

    def json(self) -> Any:
        """Its content, which is JSON."""
        return json.loads(self.bytes())

    def files(self) -> list[str]:
        """The names of all files in this directory, relative to it, sorted."""
        return sorted(str(found.relative_to(self.path)) for found in self.path.rglob("*") if not found.is_dir())


@dataclass(frozen=True)
class Bake:
    """One bake that has launched a builder.

    Attributes:
        id: Its build id, which all that it made carries as the tag `amibake:build`.
        region: Where it was.
        instance_id: The builder.
        instance_type: EC2's name of the builder's size.
        source_ami: What the builder was launched from.
        tags: The builder's.
        user_data: What the builder was given at its launch: the user's own, and amibake's beside it; None for nothing.
    """

    id: str
    region: str
    instance_id: str
    instance_type: str
    source_ami: str
    tags: Mapping[str, str]
    user_data: str | None
    _machine: Machine

    @property
    def username(self) -> str:
        """Who logged in."""
        return self._machine.username

    @property
    def uploads(self) -> list[str]:
        """The files that were sent up, each by its whole path on the builder, sorted; in process also those that its
        image had from the bake before."""
        root = self._machine.root
        return sorted(f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir())

    def upload(self, name: str) -> Upload:
        """What was sent up to this place; relative to the home of who logged in where it is no whole path.

        Raises:
            LookupError: nothing was.
        """
        path = self._machine.upload(name)
        if not path.exists():
            there = ", ".join(self.uploads[:20]) or "nothing at all"
            raise LookupError(f"nothing was sent up to {name}; on the builder there is {there}")
        return Upload(name, path)

    @property
    def scripts(self) -> list[Ran]:
        """The scripts that were run, in order."""
        return [ran for ran in self._machine.ran if ran.script]

    @property
    def commands(self) -> list[Ran]:
        """All that was run, in order: also what amibake does on a builder of its own accord, such as sealing it."""
        return list(self._machine.ran)

    def script(self, name: str) -> Ran:
        """The script that was run last of those that are meant: see `Bakery.script`.

        Raises:
            LookupError: none of them was.
        """
        found = [ran for ran in self._machine.ran if means(name)(ran)]
        if not found:
            ran = "".join(f"\n  {one}" for one in map(heading, self.scripts)) or " none"
            raise LookupError(f"no script {name!r} was run on {self.instance_id}; those that were:{ran}")
        return found[-1]


def heading(ran: Ran) -> str:
    """A script in a line: its name where it is a recipe's, its first line that says something, how it ended."""
    name = next((recipe for recipe, variable in _OF_A_RECIPE.items() if variable in ran.environment), "")
    lines = (line.strip() for line in ran.script.splitlines() if not line.startswith("#"))
    what = name or next(filter(None, lines), ran.command.splitlines()[0])[:60]
    ended = "not ended" if ran.status is None else f"exit status {ran.status}"
    return f"{what} as {'root' if ran.sudo else ran.user}: {ended}"


def means(name: str) -> Callable[[Ran], bool]:
    """Whether a command is the one that a test calls by this name: see `Bakery.script`."""
    variable = _OF_A_RECIPE.get(name)
    if variable is not None:
        text = shipped(name).read_text()
        return lambda ran: bool(ran.script) and (variable in ran.environment or ran.script == text)
    path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113 - Path.is_file fails on a text that is too long to be a path
        text = path.read_bytes().decode(errors="replace").replace("\r\n", "\n")
        return lambda ran: ran.script.replace("\r\n", "\n") == text
    return lambda ran: name in ran.command or name in ran.script


class Prepared:
    """How a script is to end, from now on: one of these is called. Without it, it exits with 0 and is not run."""

    def __init__(self, behaviour: Behaviour, name: str) -> None:
        self._behaviour = behaviour
        self._name = name

    def exits(self, status: int, *, stdout: str = "", stderr: str = "") -> None:
        """It is not run, but prints this and exits so."""
        self._behaviour.on(means(self._name), Answer(status, stdout, stderr))

    def does(self, do: Callable[[], object]) -> None:
        """It is not run; this is called instead, and it exits with 0. A call that takes time is a script that does."""
        self._behaviour.on(means(self._name), Answer(does=do))

    def runs(self, **replaced: str) -> None:
        """It really runs: as whoever runs the tests, on this very machine, in a home of its own, with these commands
        replaced by shell scripts: `runs(nginx="echo started", apt_get="exit 0")`. An underscore is a hyphen, and `sudo`
        only runs the rest. What names whole paths, such as /etc, means this machine's: replace what does that."""
        commands = {name.replace("_", "-"): script for name, script in replaced.items()}
        self._behaviour.on(means(self._name), Answer(runs=commands))

    def drops_connection(self) -> None:
        """The connection is lost in place of its answer, once."""
        meant, left = means(self._name), [True]
        self._behaviour.on(lambda ran: meant(ran) and bool(left) and left.pop(), Answer(drops=True))
