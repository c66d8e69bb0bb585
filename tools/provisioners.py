"""The provisioners' options for the reference page: the fields of the dataclasses, and what their docstrings say."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import amibake

CLASSES: tuple[type[amibake.Step], ...] = (
    amibake.Step,
    amibake.File,
    amibake.Shell,
    amibake.Reboot,
    amibake.WaitForCloudInit,
    amibake.ShellLocal,
    amibake.Breakpoint,
)

_SIMPLE = {
    Path: "a path",
    bool: "`True` or `False`",
    bytes: "bytes",
    float: "a number",
    int: "a whole number",
    str: "text",
}
_PLURALS = {"text": "texts", "a path": "paths", "a whole number": "whole numbers"}
_SECONDS = 'a number of seconds, or text such as `"90s"` or `"1h30m"`'


class Option(NamedTuple):
    """One of a provisioner's options, as the page has it."""

    name: str
    takes: str
    default: str
    text: str


def lead(provisioner: type[amibake.Step]) -> str:
    """What it is, from its docstring."""
    text, _, _ = inspect.cleandoc(provisioner.__doc__ or "").partition("\nAttributes:\n")
    return text.strip()


def options(provisioner: type[amibake.Step]) -> Iterator[Option]:
    """The options that it has itself, or with a default of its own."""
    texts, kinds = _texts(provisioner), get_type_hints(provisioner)
    for field in dataclasses.fields(provisioner):
        if field.name in inspect.get_annotations(provisioner):
            yield Option(field.name, _words(kinds[field.name]), _default(field), texts.get(field.name, ""))


def _texts(provisioner: type[amibake.Step]) -> dict[str, str]:
    _, _, attributes = inspect.cleandoc(provisioner.__doc__ or "").partition("\nAttributes:\n")
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*|\n(?=\n* {8}))*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        given = [part for part in arguments if part is not type(None)]
        return _SECONDS if set(given) == {float, str} else ", or ".join(map(_words, given))
    if origin is Literal:
        return " or ".join(f"`{json.dumps(one)}`" for one in arguments)
    if origin is not None and issubclass(origin, Mapping):
        return "a dict"
    if origin is not None and issubclass(origin, Sequence):
        parts = [_words(arguments[0])] if get_origin(arguments[0]) is None else map(_words, get_args(arguments[0]))
        return f"a list of {' or '.join(_PLURALS.get(part, part) for part in parts)}"
    return _SIMPLE.get(kind) or f"a `{kind.__name__}`"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "none"
    if field.default is None or field.default in ((), "", b""):
        return "none"
    if isinstance(field.default, tuple):
        return f"`{list(field.default)}`"
    if isinstance(field.default, float):
        return f"{field.default:g}"
    return f"`{json.dumps(field.default)}`" if isinstance(field.default, str) else f"`{field.default}`"
