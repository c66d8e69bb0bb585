"""The syntax of Go's text/template, as far as a line of text needs it: expressions, without variables and branches.

`{{ }}` holds pipes of functions with arguments; `{{- ` and ` -}}` trim the space around; `{{/* */}}` is a comment. What
functions and fields there are is up to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

Value = str | int | Mapping[str, str]
"""What an argument can be. Only texts and numbers can be shown."""


class Names(Protocol):
    """What the names in an expression stand for. Each raises ValueError for one that it does not know."""

    def call(self, name: str, arguments: list[Value]) -> Value:
        """The function's value."""

    def field(self, name: str, *keys: str) -> Value:
        """The value of `.name`, or of a key in it, `.name.key`."""

    def known(self) -> str:
        """The names that there are, for an error about one that is missing."""


_SHOWN = 60
"""As much of what does not end is in an error's message, in characters."""

_SPACE = " \t\r\n"
_OPENING = re.compile(
    r"""\{\{ (?P<trim>-(?=[ \t\r\n]))?
    (?P<comment>(?(trim)[ \t\r\n])/\* (?: (?:(?!\*/).)* \*/ (?P<after>[ \t\r\n]-)? \}\} )? )?""",
    re.VERBOSE | re.DOTALL,
)
_TOKEN = re.compile(
    r"""(?P<end>(?:[ \t\r\n]-)?\}\}) | (?P<space>[ \t\r\n]+(?!-\}\}))
    | (?P<quoted>"(?:[^"\\\n]|\\[^\n])*") | (?P<raw>`[^`]*`) | (?P<number>[-+]?[0-9][\w.]*)
    | (?P<field>(?:\.[^\W\d]\w*)+) | (?P<name>[^\W\d]\w*)
    | (?P<open>\() | (?P<close>\)) | (?P<pipe>\|)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES = dict(zip(b'abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True))


def rendered(text: str, names: Names) -> Iterator[str]:
    """The pieces of the text, literal and filled in, in order.

    Raises:
        ValueError: the first mistake in an expression, which the message shows.
    """
    end, trims = 0, False
    while opening := _OPENING.search(text, end):
        literal = text[end : opening.start()]
        literal = literal.lstrip(_SPACE) if trims else literal
        yield literal.rstrip(_SPACE) if opening["trim"] else literal
        if opening["comment"]:
            if not opening["comment"].endswith("}}"):
                raise ValueError(f"{text[opening.start() :][:_SHOWN]}: the comment does not end: */}}}} is missing")
            end, trims = opening.end(), bool(opening["after"])
        else:
            expression = _Expression(text, opening, names)
            yield expression.text()
            end, trims = expression.end, expression.trims
    yield text[end:].lstrip(_SPACE) if trims else text[end:]


class _Expression:
    """One `{{ … }}`, evaluated as it is parsed: there are no branches, so that every part has a value or is a mistake.

    Attributes: `end` is where it ends in the text, `trims` whether the space after it goes.
    """

    def __init__(self, text: str, opening: re.Match[str], names: Names) -> None:
        self._names = names
        self._tokens: list[tuple[str, str]] = []
        self.end, kind = opening.end(), ""
        while kind != "end":
            token = _TOKEN.match(text, self.end)
            if token is None:
                raise ValueError(f"{text[opening.start() :][:_SHOWN]}: {_unreadable(text[self.end :])}")
            self.end, kind = token.end(), str(token.lastgroup)
            self._tokens.append((kind, token[0]))
        self.trims = "-" in self._tokens[-1][1]
        self._source = text[opening.start() : self.end]

    def text(self) -> str:
        """Its value. Raises ValueError, with the expression in the message."""
        try:
            value = self._pipeline("end")
            if isinstance(value, Mapping):
                raise ValueError('a map is not a text; a value of it is: index .Map "key"')
        except ValueError as error:
            raise ValueError(f"{self._source}: {error}") from error
        return value if isinstance(value, str) else str(value)

    def _pipeline(self, closing: str) -> Value:
        value = self._command()
        while self._tokens[0][0] == "pipe":
            self._tokens.pop(0)
            value = self._command(value)
        kind, _ = self._tokens.pop(0)
        if kind != closing:
            raise ValueError('a ")" without a "("' if kind == "close" else 'a "(" without a ")"')
        return value

    def _command(self, *piped: Value) -> Value:
        self._skip_space()
        kind, name = self._tokens[0]
        if kind in {"pipe", "close", "end"}:
            raise ValueError(f"a value is missing; there are {self._names.known()}")
        if kind == "name":
            self._tokens.pop(0)
            return self._names.call(name, [*self._operands(), *piped])
        value = self._operand()
        if self._operands() or piped:
            raise ValueError(f"{name} is not a function, and takes no arguments")
        return value

    def _operands(self) -> list[Value]:
        operands: list[Value] = []
        while True:
            spaced = self._skip_space()
            kind, text = self._tokens[0]
            if kind in {"pipe", "close", "end"}:
                return operands
            if not spaced:
                raise ValueError(f"a space is missing before {text}")
            operands.append(self._operand())

    def _operand(self) -> Value:
        kind, text = self._tokens.pop(0)
        match kind:
            case "quoted":
                return _unquoted(text)
            case "raw":
                return text[1:-1]
            case "number":
                try:
                    return int(text, 0)
                except ValueError:
                    raise ValueError(f"{text} is not a whole number") from None
            case "field":
                return self._names.field(*text[1:].split("."))
            case "open":
                return self._pipeline("close")
            case _:
                return self._names.call(text, [])

    def _skip_space(self) -> bool:
        spaced = self._tokens[0][0] == "space"
        if spaced:
            self._tokens.pop(0)
        return spaced


def _unreadable(rest: str) -> str:
    if not rest or rest.startswith("{{"):
        return "the expression does not end: }} is missing"
    if rest[0] in '"`':
        return f"a text does not end: {rest[0]} is missing"
    if rest[0] == "'":
        return "texts are in \"…\" or `…`, not in '…'"
    if rest[0] in "$:=":
        return "variables of templates, as in $x := …, are not supported"
    return f"{rest[0]!r} means nothing here"


def _unquoted(quoted: str) -> str:
    def value(escape: re.Match[bytes]) -> bytes:
        byte, octal, short, long, letter = escape.groups()
        if byte or octal:
            return bytes([int(byte, 16) if byte else int(octal, 8)])
        return bytes([_ESCAPES[letter[0]]]) if letter else chr(int(short or long, 16)).encode()

    try:
        return _ESCAPE.sub(value, quoted[1:-1].encode()).decode()
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"{quoted} has an escape that Go does not know") from None
