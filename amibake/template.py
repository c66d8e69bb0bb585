"""{{timestamp}} and its like, in names, descriptions and tags: Packer's template language as far as names need it.

The syntax is that of Go's text/template: expressions in `{{ }}`, `{{- ` and ` -}}` to trim the space around them,
`{{/* comments */}}`, functions with arguments (`"text"`, `` `text` ``, whole numbers, fields, expressions in
parentheses), and pipes, where what comes in is the last argument. Every time is the bake's start, in UTC:

    web {{ isotime "2006-01-02" }} of {{ .SourceAMIName | replace_all "." "-" | clean_resource_name }}

Where Packer fills in nothing without a word (a variable that is not given, a tag that the source image lacks, an
environment variable that is not set, a layout that shows no time), there is an error here.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from amibake import gotemplate
from amibake.golayout import go_layout, strftime
from amibake.gotemplate import Value

FIELDS = (
    "BuildRegion",
    "SourceAMI",
    "SourceAMICreationDate",
    "SourceAMIName",
    "SourceAMIOwner",
    "SourceAMIOwnerName",
    "SourceAMITags",
)
"""What `{{ .Field }}` can name. SourceAMITags is a map: `{{ .SourceAMITags.team }}` is one of its values, and so is
`{{ index .SourceAMITags "cost-center" }}`, which any name can be written in."""

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_UNCLEAN = re.compile(rb"[^A-Za-z0-9()\[\] ./'@_-]")
"""Of bytes, as in Packer: a letter that is not ASCII becomes as many dashes as it has bytes in UTF-8."""

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "n": ((int,), "a whole number"),
    "map": ((Mapping,), "a map such as .SourceAMITags"),
    "values…": ((int, str), "a text or a whole number"),
}
"""What arguments of these names can be; the others are texts."""

_OUT = {
    **dict.fromkeys(
        ("if", "else", "end", "range", "with", "define", "block", "template", "break", "continue"),
        "is not supported: decide in Python, and give the outcome in variables=",
    ),
    **dict.fromkeys(
        ("consul_key", "vault", "aws_secretsmanager", "aws_secretsmanager_raw"),
        "is not supported: look it up in Python, and give the value in variables=",
    ),
    **dict.fromkeys(("pwd", "template_dir"), "is not supported: there is no template file; give a path in variables="),
    **dict.fromkeys(("build_name", "build_type"), "is not supported: a bake is a single build, without a name"),
    **dict.fromkeys(
        ("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "true", "false", "nil"),
        "is not supported: there are no conditions; decide in Python, and give the outcome in variables=",
    ),
    **dict.fromkeys(
        ("html", "js", "urlquery"),
        "is not supported: names and tags need no such escapes; there is clean_resource_name",
    ),
    **dict.fromkeys(("print", "println"), "is not supported: use printf, or write texts beside each other"),
    **dict.fromkeys(("len", "slice", "call"), "is not supported: work it out in Python, and give it in variables="),
    "build": "is not supported here: its data are there only once the builder runs",
    "packer_version": "is not supported: there is no Packer; the tag amibake:version has amibake's",
    "sed": "is not supported, nor by Packer any more: use replace or replace_all",
}
"""What templates written for Packer may use, and why it is not here."""

_VERB = re.compile(r"%(?P<flags>[-+ #0]*)(?P<width>[0-9]*)(?P<precision>\.[0-9]*)?(?P<verb>[^\W\d]|%)?")


class _Later(str):
    """A text that is known only once a bake has begun."""

    __slots__ = ()


class _AnyTags(dict[str, str]):
    """Tags that are known only once a bake has begun."""

    def __missing__(self, key: str) -> str:
        return _Later()


@dataclass(frozen=True)
class _Bake:
    """What expressions can ask of. `within` names the variables whose values are being rendered, outermost first."""

    at: datetime
    fields: Mapping[str, str | Mapping[str, str]]
    variables: Mapping[str, str | None]
    within: tuple[str, ...] = ()

    def call(self, name: str, arguments: list[Value]) -> Value:
        if name in _OUT:
            raise ValueError(f"{name} {_OUT[name]}")
        if name not in _FUNCTIONS:
            raise ValueError(f"unknown {name!r}; there are {self.known()}")
        usage, function = _FUNCTIONS[name]
        words = usage.split()
        most = len(arguments) if usage.endswith("…") else len(words)
        if not sum(word.isalpha() for word in words) <= len(arguments) <= most:
            raise ValueError(f"wrong number of arguments ({len(arguments)}); it is: {name} {usage}".rstrip())
        for word, argument in zip(words + words[-1:] * len(arguments), arguments, strict=False):
            kind, meaning = _KINDS.get(word, ((str,), "a text"))
            if not isinstance(argument, kind):
                raise ValueError(f"{word} must be {meaning}; it is: {name} {usage}")
        if any(isinstance(argument, _Later) for argument in arguments):
            return _Later()
        return function(self, *arguments)

    def field(self, name: str, *keys: str) -> Value:
        if name not in FIELDS:
            raise ValueError(f"unknown {name!r}; there are {self.known()}")
        value: Value = self.fields.get(name, "")
        if name == "SourceAMITags" and value == "":
            value = {}
        for key in keys:
            if not isinstance(value, Mapping):
                raise ValueError(f".{key} is of nothing: .{name} is a text")
            value = _tag(self, value, key)
        return value

    def known(self) -> str:
        return ", ".join([*_FUNCTIONS, *(f".{name}" for name in FIELDS)])


def render(
    text: str,
    *,
    epoch: float,
    fields: Mapping[str, str | Mapping[str, str]],
    variables: Mapping[str, str | None] | None = None,
) -> str:
    """Fill in every expression.

    Args:
        text: literal text with expressions in it.
        epoch: the bake's start in seconds since 1970.
        fields: the values of FIELDS; one that is missing is empty.
        variables: what `{{ user "name" }}` gives [none]. A value may hold expressions itself, except `uuid`; None
            stands for a variable that must be given but was not.

    Raises:
        ValueError: an expression that is not of this language, or has no value; the message shows it and says what is
            wrong and what there is.
    """
    return _rendered(text, _Bake(datetime.fromtimestamp(epoch, UTC), fields, variables or {}))


def check(text: str, variables: Mapping[str, str | None] | None = None) -> None:
    """Raises ValueError for all that is wrong whatever the source image turns out to be: syntax, unknown functions,
    fields and variables, arguments, layouts, the environment."""
    fields: dict[str, str | Mapping[str, str]] = dict.fromkeys(FIELDS, _Later())
    fields["SourceAMITags"] = _AnyTags()
    render(text, epoch=0, fields=fields, variables=variables)


def _rendered(text: str, bake: _Bake) -> str:
    pieces = list(gotemplate.rendered(text, bake))
    whole = "".join(pieces)
    return _Later(whole) if any(isinstance(piece, _Later) for piece in pieces) else whole


def _user(bake: _Bake, name: str) -> str:
    if name not in bake.variables:
        known = f"there are {', '.join(sorted(bake.variables))}" if bake.variables else "none is given"
        raise ValueError(f"unknown variable {name!r}; {known}")
    value = bake.variables[name]
    if value is None:
        raise ValueError(f"the variable {name!r} is needed, and has no value")
    if name in bake.within:
        raise ValueError(f"the variable {name!r} is made of itself: {' → '.join([*bake.within, name])}")
    try:
        return _rendered(value, replace(bake, within=(*bake.within, name)))
    except ValueError as error:
        raise ValueError(f"in the variable {name!r}: {error}") from error


def _env(_: _Bake, name: str) -> str:
    if name not in os.environ:
        raise ValueError(f"{name!r} is not set in the environment")
    return os.environ[name]


def _uuid(bake: _Bake) -> str:
    if bake.within:
        raise ValueError("every use of the variable would be another: make it in Python, with str(uuid.uuid4())")
    # Random, where Packer's begin with the time: timestamp and isotime are there for names that sort.
    return str(uuid.uuid4())


def _isotime(bake: _Bake, layout: str = "2006-01-02T15:04:05Z07:00") -> str:
    return go_layout(layout, bake.at)


def _split(_: _Bake, text: str, separator: str, n: int) -> str:
    parts = text.split(separator) if separator else list(text)
    if not 0 <= n < len(parts):
        raise ValueError(f"split at {separator!r} gives {len(parts)}, counted from 0; there is no number {n}")
    return parts[n]


def _tag(_: _Bake, tags: Mapping[str, str], key: str) -> str:
    try:
        return tags[key]
    except KeyError:
        known = f"there are {', '.join(sorted(tags))}" if tags else "it has none"
        raise ValueError(f"the source image has no tag {key!r}; {known}") from None


def _printf(_: _Bake, form: str, *values: str | int) -> str:
    left = list(values)

    def verb(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        if not left:
            raise ValueError(f"more verbs than values: printf {form!r}")
        value = left.pop(0)
        kind, odd = ("d", match["precision"]) if isinstance(value, int) else ("s", match["flags"].strip("-"))
        if match["verb"] not in {kind, "v"} or odd or "#" in match["flags"]:
            having = "a number: %d, %05d and %v" if kind == "d" else "a text: %s, %-5s, %.5s and %v"
            raise ValueError(f"printf has for {having}, not {match[0]}")
        return f"{match[0][:-1]}{kind}" % value

    written = _VERB.sub(verb, form)
    if left:
        raise ValueError(f"more values than verbs: printf {form!r}")
    return written


_FUNCTIONS: dict[str, tuple[str, Callable[..., str]]] = {
    "clean_resource_name": ("str", lambda _, text: _UNCLEAN.sub(b"-", text.encode()).decode()),
    "env": ("name", _env),
    "index": ("map key", _tag),
    "isotime": ("[layout]", _isotime),
    "legacy_isotime": ("[layout]", _isotime),
    "lower": ("str", lambda _, text: text.lower()),
    "printf": ("format values…", _printf),
    "replace": ("old new n src", lambda _, old, new, n, text: text.replace(old, new, n)),
    "replace_all": ("old new src", lambda _, old, new, text: text.replace(old, new)),
    "split": ("str sep n", _split),
    "strftime": ("format", lambda bake, form: strftime(form, bake.at)),
    "timestamp": ("", lambda bake: str((bake.at - _1970) // timedelta(seconds=1))),
    "upper": ("str", lambda _, text: text.upper()),
    "user": ("name", _user),
    "uuid": ("", _uuid),
}
"""Each with its arguments, which _KINDS knows; one in brackets can be left out, and of those with dots there is any
number."""
