"""The options of the command line, from what says them already: the model's fields, and the recipes' own keywords."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_type_hints

import typer
from pydantic.fields import FieldInfo

from amibake.builder import GROUPS
from amibake.builder.base import Part
from amibake.builder.descriptions import descriptions
from amibake.cli import wording
from amibake.cli.asking import with_ask
from amibake.cli.kinds import VARIABLES, Kind, kind_of, part_of
from amibake.cli.sources import SOURCE
from amibake.flow import bake

_NOT_OURS = ("provisioners", "error_cleanup_provisioners", "session", "on_event", "handle_signals", "cancel", "options")
"""What only Python can give a recipe."""
_DECIDED = ("app", "stage", "node_env")
"""Options that the recipes set, by keywords of their own where they are not fixed."""
_KINDS = {"source_ami": SOURCE, "environment_vars": VARIABLES}
"""How these are written, where their types do not say it."""


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        name: The keyword that it is in Python.
        kind: How its value is written.
        help: What it means, with its default in brackets.
        panel: The title of the part of the help that it is in.
        required: Whether it has to be given, here or in a configuration file.
        secret: Whether its value is to be shown nowhere; then the environment can give it as well.
    """

    name: str
    kind: Kind
    help: str
    panel: str
    required: bool = False
    secret: bool = False

    @property
    def variable(self) -> str | None:
        """The environment variable that gives the value: of secrets, which would be seen on a command line."""
        return f"AMIBAKE_{self.name.upper()}" if self.secret else None

    def read(self, value: Any) -> Any:
        """The value of what the command line, or a configuration file, has for it.

        Raises:
            ValueError: it is none.
        """
        if self.kind.type is str and self.kind.metavar == "PATH" and not isinstance(value, str):
            raise ValueError(f"has to be the text of a path, not {value!r}")
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        written = texts if self.kind.type == list[str] else isinstance(value, str)
        return self.kind.read(value) if written or self.kind.type is bool else value

    def parameter(self) -> inspect.Parameter:
        """The same as a parameter of a function, for typer."""
        switch = self.kind.type is bool
        flag = wording.flag(self.name)
        words = self.kind.words
        info = typer.Option(
            f"{flag}/--no-{flag[2:]}" if switch else flag,
            help=f"{self.help} Required." if self.required else self.help,
            metavar=self.kind.metavar,
            show_default=False,
            rich_help_panel=self.panel,
            envvar=self.variable,
            autocompletion=(lambda incomplete: [one for one in words if one.startswith(incomplete)]) if words else None,
        )
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[self.kind.type | None, info],
            default=None,
        )


def options_of(recipe: Callable[..., Any]) -> list[Option]:
    """All options of a recipe: its own first, then the builder's in their groups."""
    own = list(_own(recipe))
    taken = {option.name for option in own} | set(_DECIDED)
    return _in_flags([*own, *(option for option in _of_the_builder() if option.name not in taken)])


def builder_options() -> list[Option]:
    """The builder's options alone, but for those that only a recipe sets."""
    return _in_flags([option for option in _of_the_builder() if option.name not in ("stage", "node_env")])


def _in_flags(found: list[Option]) -> list[Option]:
    names = {option.name for option in found}
    return [replace(option, help=wording.in_flags(option.help, names) + option.kind.note) for option in found]


def _own(recipe: Callable[..., Any]) -> Iterator[Option]:
    said = {**_arguments(bake), **{name: text for name, text in _arguments(recipe).items() if "`bake`" not in text}}
    for name, parameter in inspect.signature(recipe).parameters.items():
        if name not in _NOT_OURS:
            kind = _KINDS.get(name) or kind_of(_type(recipe, name))
            yield Option(
                name,
                with_ask(kind) if name == "on_error" else kind,
                _with_default(said[name], parameter.default),
                "When it fails" if parameter.kind is parameter.KEYWORD_ONLY else "Recipe: what goes into the image",
                required=parameter.default is parameter.empty,
            )


def _type(recipe: Callable[..., Any], name: str) -> Any:
    """The type of one parameter; some of the others' are known to type checkers only."""

    def only() -> None: ...

    only.__annotations__ = {name: recipe.__annotations__[name]}
    return get_type_hints(only, vars(sys.modules[recipe.__module__]))[name]


def _of_the_builder() -> Iterator[Option]:
    for group in GROUPS:
        panel = inspect.cleandoc(group.__doc__ or "").rstrip(".")
        for name in group.__annotations__:
            if name in group.model_fields:
                field = group.model_fields[name]
                yield Option(
                    name,
                    _KINDS.get(name) or kind_of(field.annotation),
                    _with_default(descriptions(group).get(name, ""), _default(field)) + _fields(field.annotation),
                    panel,
                    secret=not field.repr and field.annotation == str | None and name.endswith(_SECRETS),
                )


_SECRETS = ("password", "secret_key", "token")


def _fields(annotation: Any) -> str:
    part = part_of(annotation)
    return f" Fields: {', '.join(part.model_fields)}." if part else ""


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _with_default(text: str, default: Any) -> str:
    """The text with the default in brackets, where it does not say that itself."""
    text = " ".join(text.split())
    plain = default is None or default is inspect.Parameter.empty or default in ((), {}, "", False)
    if plain or isinstance(default, Part) or re.search(r"\[[^]]*\]", text):
        return text
    shown = json.dumps(list(default) if isinstance(default, tuple) else default)
    return f"{text.rstrip('.')} [{shown}]."


def _arguments(function: Callable[..., Any]) -> dict[str, str]:
    """What a docstring's "Args:" say of each."""
    _, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", rest)[0]
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}
