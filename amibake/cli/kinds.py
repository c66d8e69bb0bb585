"""How a value of an option's type is written on a command line."""

from __future__ import annotations

import json
import os
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from amibake.builder.base import Part
from amibake.secret import Secret


class Kind(NamedTuple):
    """A way to write values.

    Attributes:
        type: What the parser of the command line makes of it: a text, several, or a switch.
        metavar: What stands for the value in the help; None for a switch.
        read: The value of what the parser made.

            Raises ValueError: it is none.
        words: What there is to choose from, where it is so.
        note: What the help says of it besides the option's own text.
    """

    type: Any
    metavar: str | None
    read: Callable[[Any], Any]
    words: tuple[str, ...] = ()
    note: str = ""


def kind_of(annotation: Any, *, repeated: bool = False) -> Kind:
    """How values of this type are written; `repeated` is within a list."""
    several = [found for found in map(_unwrapped, _alternatives(annotation)) if found is not type(None)]
    first = several[0]
    origin = get_origin(first)
    if any((get_origin(one) or one) is os.PathLike for one in several):
        return _SIMPLE[Path]
    if origin is tuple:
        inner = kind_of(get_args(first)[0], repeated=True)
        return Kind(list[str], inner.metavar, lambda texts: [inner.read(text) for text in texts], inner.words)
    if origin in (dict, Mapping) or first in (dict, Mapping):
        return Kind(list[str], "KEY=VALUE", mapping)
    if part_of(first):
        return Kind(str, "JSON", parsed)
    if origin is Literal:
        words = tuple(map(str, get_args(first)))
        values = dict(zip(words, get_args(first), strict=True))
        return Kind(
            str, f"[{'|'.join(words)}]" if not repeated else words[0], lambda text: values.get(text, text), words
        )
    return _SIMPLE.get(first, _TEXT)


def part_of(annotation: Any) -> type[Part] | None:
    """What a value of this type consists of, where it is written as JSON."""
    first = _alternatives(annotation)[0]
    if get_origin(first) is tuple:
        return part_of(get_args(first)[0])
    return first if isinstance(first, type) and issubclass(first, Part) else None


def parsed(text: str) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def variables(texts: list[str]) -> dict[str, str | Secret]:
    """The mapping of KEY=VALUE, or KEY alone, whose value is the environment's and is shown nowhere.

    Raises:
        ValueError: the environment has no such variable.
    """
    found: dict[str, str | Secret] = {}
    for number, text in enumerate(texts, start=1):
        key, equals, value = text.partition("=")
        if not equals and key not in os.environ:
            what = key if re.fullmatch("[A-Z_][A-Z0-9_]*", key) else f"number {number}"  # which may be a secret itself
            raise ValueError(f"{what} has no value here, and is not in the environment: give KEY=VALUE")
        found[key] = value if equals else Secret(os.environ[key])
    return found


def mapping(texts: list[str]) -> dict[str, str]:
    """The mapping of KEY=VALUE.

    Raises:
        ValueError: there is no "=".
    """
    pairs = [text.partition("=") for text in texts]
    for number, (key, equals, _) in enumerate(pairs, start=1):
        if not (key and equals):
            raise ValueError(f"number {number} has no =; it has to be KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _number(kind: type[int | float]) -> Callable[[str], int | float | str]:
    def read(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:  # "90s", say, or what the option itself has a better word for
            return text

    return read


def _alternatives(annotation: Any) -> list[Any]:
    annotation = _unwrapped(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for part in get_args(annotation) for one in _alternatives(part)]
    return [annotation]


def _unwrapped(annotation: Any) -> Any:
    return _unwrapped(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _same(value: Any) -> Any:
    return value


_TEXT = Kind(str, "TEXT", _same)
_SIMPLE = {
    bool: Kind(bool, None, _same),
    int: Kind(str, "INTEGER", _number(int)),
    float: Kind(str, "NUMBER", _number(float)),
    Path: Kind(str, "PATH", _same),
}
VARIABLES = Kind(
    list[str],
    "KEY=VALUE",
    variables,
    note=" KEY alone takes the value from the environment here, and shows it nowhere.",
)
