"""Pydantic's findings in our words: the option, what is wrong with it, what is allowed. Never the value itself, which
may be a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from amibake.builder.descriptions import descriptions
from amibake.builder.packer import ELSEWHERE

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_WORDS = {
    "bool_parsing": "has to be True or False",
    "bool_type": "has to be True or False",
    "dict_type": 'has to be a dict, such as {{"name": "value"}}',
    "finite_number": "has to be a finite number",
    "float_parsing": "has to be a number",
    "float_type": "has to be a number",
    "greater_than": "has to be more than {gt:.12g}",
    "greater_than_equal": "has to be at least {ge:.12g}",
    "int_from_float": "has to be a whole number",
    "int_parsing": "has to be a whole number",
    "int_parsing_size": "has to be a whole number",
    "int_type": "has to be a whole number",
    "less_than_equal": "has to be at most {le:.12g}",
    "literal_error": "has to be {expected}",
    "missing": "is missing",
    "model_type": "has to be {class_name}(…), or its fields as a dict",
    "multiple_of": "has to be a multiple of {multiple_of:.12g}",
    "path_type": "has to be a path",
    "string_too_long": "has to have at most {max_length} characters",
    "string_too_short": "has to have at least {min_length} characters",
    "string_type": "has to be text",
    "too_long": "has to have at most {max_length}",
    "too_short": "is empty",
    "tuple_type": "has to be a list",
}
_BREAK = re.compile(r"[\t\n\r]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def character_mistake(value: Any, *, several_lines: bool) -> str | None:
    """What no option's text may hold: control characters, and line breaks where there can be but one line."""
    if isinstance(value, Mapping):
        texts, several_lines = [*value.keys(), *value.values()], True
    else:
        texts = list(value) if isinstance(value, (list, tuple)) else [value]
    for text in [str(one) for one in texts if isinstance(one, (str, PurePath))]:
        if _CONTROL.search(text):
            return "has a control character in it"
        if _BREAK.search(text) and not several_lines:
            return "has a line break or tab in it"
    return None


def mistakes(error: ValidationError, model: type[BaseModel], given: Mapping[str, Any]) -> list[str]:
    """Every mistake, one line each."""
    known = model.model_fields
    found: dict[tuple[str, str], list[str]] = {}
    details = error.errors(include_url=False, include_input=False)
    misspelt = {_nearest(str(one["loc"][0]), known) for one in details if one["type"] == "extra_forbidden"}
    for detail in details:
        if not detail["loc"]:  # mistakes of several options together name the first by themselves, one in each line
            found["", detail["msg"]] = detail["msg"].removeprefix("Value error, ").splitlines()
            continue
        name = str(detail["loc"][0])
        if detail["type"] == "missing" and name in misspelt:
            continue
        where = _where(detail, given.get(name))
        lines = [f"{name}: {where}{text}" for text in _texts(detail, name, model)]
        found.setdefault((name, where), lines)  # a union complains once for each of its branches
    return [line for lines in found.values() for line in lines]


def _texts(detail: ErrorDetails, name: str, model: type[BaseModel]) -> Iterator[str]:
    kind = detail["type"]
    if kind == "extra_forbidden":
        yield _no_such_option(name, model.model_fields)
    elif kind == "string_pattern_mismatch" and name in model.model_fields:
        yield f"not the right form: {' '.join(descriptions(model).get(name, '').split())}"
    elif kind == "string_too_short" and detail["ctx"]["min_length"] == 1:
        yield "is empty"
    elif kind in _WORDS:
        yield _WORDS[kind].format(**detail.get("ctx", {}))
    else:
        yield from detail["msg"].removeprefix("Value error, ").splitlines()


def _no_such_option(name: str, known: Mapping[str, FieldInfo]) -> str:
    of_a_part = len(known) < 20
    if name in ELSEWHERE and not of_a_part:
        return f"no such option; {ELSEWHERE[name]}"
    if near := _nearest(name, known):
        return f"no such option; did you mean {near}?"
    return f"no such option; there are {', '.join(known)}" if of_a_part else "no such option"


def _nearest(name: str, known: Mapping[str, FieldInfo]) -> str | None:
    return next(iter(get_close_matches(name, known, n=1)), None)


def _where(detail: ErrorDetails, value: Any) -> str:
    """Which of several values it is: "number 2: ", or a dict's key."""
    inner = detail["loc"][1:]
    if not inner:
        return ""
    if isinstance(value, Mapping) and inner[0] in {str(key) for key in value} | set(value):
        return "a key " if inner[-1] == "[key]" else f"{inner[0]}: "
    several = isinstance(value, (list, tuple)) and len(value) > 1
    return f"number {inner[0] + 1}: " if several and isinstance(inner[0], int) else ""
