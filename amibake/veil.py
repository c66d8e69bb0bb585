"""What hides secrets wherever they might turn up: in the output of commands, in events and in errors."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any
from urllib.parse import quote, quote_plus

from amibake.events import Event
from amibake.secret import HIDDEN, Secret, revealed

_SHORTEST = 4
"""Characters from which on a line of a secret is hidden by itself too, and what was derived from one."""

_WIDTHS = (76, 64)
"""Where `base64` and `openssl` break their lines."""


class Veil:
    """Hides texts: each as a whole and in each of its lines of at least 4 characters, as it is and as shells quote it,
    as in JSON and in URLs, and in base64. What is hidden may grow at any time."""

    def __init__(self) -> None:
        self.forms: tuple[str, ...] = ()

    def add(self, values: Iterable[str | Secret]) -> None:
        """From now on these are hidden."""
        found = dict.fromkeys(self.forms)
        for value in values:
            found |= dict.fromkeys(form for form in _forms(revealed(value)) if form.strip())
        self.forms = tuple(found)

    def over(self, text: str) -> str:
        """The text with "***" for all that is hidden."""
        return VeiledStream(self).feed(text, final=True)

    def over_event(self, event: Event) -> Event:
        """The event, with it hidden in all of its texts."""
        if not self.forms:
            return event
        values = {field.name: getattr(event, field.name) for field in fields(event)}
        hidden = {name: self._over_value(value) for name, value in values.items()}
        return replace(event, **hidden) if hidden != values else event

    def over_error(self, error: BaseException) -> None:
        """Hide it in an exception: its arguments and its attributes, and those of what it came from or is made of.

        Never raises. The message of an ExceptionGroup can't be changed, nor can objects with a text of their own."""
        seen: set[int] = set()
        left: list[BaseException | None] = [error] if self.forms else []
        while left:
            one = left.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            left += [one.__cause__, one.__context__, *(each for each in one.args if isinstance(each, BaseException))]
            left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
            self._over_parts(one)
            with suppress(Exception):  # somebody else's __str__
                said = str(one)
                if self.over(said) != said:
                    object.__setattr__(one, "args", (self.over(said),))

    def _over_parts(self, error: BaseException) -> None:
        with suppress(Exception):
            object.__setattr__(error, "args", self._over_value(error.args))  # some refuse by setattr
        for name, value in list(vars(error).items()):
            with suppress(Exception):
                vars(error)[name] = self._over_value(value)
        for name in _slots(type(error)):
            with suppress(Exception):
                value = getattr(error, name)
                hidden = self._over_value(value)
                if hidden is not value and hidden != value:
                    object.__setattr__(error, name, hidden)

    def _over_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.over(value)
        if isinstance(value, bytes | bytearray):
            return type(value)(self.over(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
        if type(value) in (tuple, list, set, frozenset):
            return type(value)(self._over_value(one) for one in value)
        if type(value) is dict:
            return {self._over_value(key): self._over_value(one) for key, one in value.items()}
        return value


def _slots(kind: type) -> Iterator[str]:
    """Attributes that are in no `vars`: of built-in exceptions, and of `__slots__`."""
    for base in kind.__mro__:
        for name, found in vars(base).items():
            if isinstance(found, MemberDescriptorType | GetSetDescriptorType) and not name.startswith("__"):
                yield name


class VeiledStream:
    """Text that arrives in pieces, at any of which a hidden text may be split."""

    def __init__(self, veil: Veil) -> None:
        self._veil = veil
        self._held = ""
        self._covered = 0  # how many characters of what is held are hidden already

    def feed(self, text: str, *, final: bool = False) -> str:
        """What can be shown by now: all but an end that may be the beginning of a hidden text."""
        forms, text = self._veil.forms, self._held + text
        if not forms:
            return text
        keep = len(text) if final else _unfinished(text, forms)
        shown, clear = [], self._covered
        for start, end in sorted(_occurrences(text, forms)):
            if start >= keep:
                break
            if start >= clear:
                shown += [text[clear:start], HIDDEN]
            clear = max(clear, end)
        shown.append(text[clear:keep])
        self._held, self._covered = text[keep:], max(0, clear - keep)
        return "".join(shown)


def _occurrences(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where they are, also where they overlap."""
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + 1)


def _unfinished(text: str, forms: Iterable[str]) -> int:
    """Where the first of them begins that may go on after the end of the text; the text's length without any."""
    first = len(text)
    for form in forms:
        at = text.find(form[0], max(0, len(text) - len(form) + 1), first)
        while at >= 0:
            if form.startswith(text[at:]):
                first = at
                break
            at = text.find(form[0], at + 1, first)
    return first


def _forms(value: str) -> Iterator[str]:
    """All that gives the value away; a form that is longer than another which it contains may be among them."""
    lines = (line.strip() for line in value.splitlines())
    for part in {value, value.strip(), *(line for line in lines if len(line) >= _SHORTEST)}:
        yield part
        yield part.replace("'", "'\\''")
        yield part.replace("'", "'\"'\"'")
        yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", part, flags=re.ASCII)
        yield part.replace("\\", r"\\").replace("'", r"\'").replace("\n", r"\n").replace("\t", r"\t")
        for ascii_only in (True, False):
            yield json.dumps(part, ensure_ascii=ascii_only)[1:-1]
        data = part.encode("utf-8", "surrogateescape")
        for text in (quote(data, safe=""), quote(data), quote_plus(data)):
            yield text
            yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text)
        yield from _in_base64(data)


def _in_base64(data: bytes) -> Iterator[str]:
    """By itself, with a newline, inside of something longer, and as lines."""
    for alone in (data, data + b"\n"):
        encoded = base64.b64encode(alone).decode()
        whole = [encoded, *(encoded[at : at + width] for width in _WIDTHS for at in range(0, len(encoded), width))]
        yield from (form for form in whole if len(form) >= _SHORTEST)
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # what shares a character with what comes before or after is left out
        inside = encoded[(0, 2, 3)[before] : len(encoded) - ((before + len(data)) % 3 > 0)]
        if len(inside) > _SHORTEST:
            yield inside
            yield inside.replace("+", "-").replace("/", "_")
