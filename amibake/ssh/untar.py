"""Reads a tar archive as GNU tar writes it with --format=gnu, from a side that may be hostile.

Only what is asked for there is understood, everything else refused, and nothing that is announced is believed beyond
what memory allows.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fnmatch import translate

from amibake.remote import relative_to_login, shown
from amibake.ssh.tarstream import BLOCK

_LONGEST_NAME = 1 << 16
_LONGEST_PART = 255
_MOST_PLACES = 1 << 20
_LATEST = 1 << 40
"""Seconds after 1970, as many as every file system takes."""

Reading = Generator[None, None, bytes]
"""Yields while there is nothing to read yet."""


class Damaged(Exception):
    """What came is not what was asked for; says what is wrong with it."""


class Buffer:
    """What has arrived and was not read yet."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """It has arrived."""
        self._data += data

    def some(self, most: int) -> Reading:
        """At least one byte."""
        while not self._data:
            yield
        data = bytes(self._data[:most])
        del self._data[:most]
        return data

    def exactly(self, count: int) -> Reading:
        """So many bytes."""
        while len(self._data) < count:
            yield
        data = bytes(self._data[:count])
        del self._data[:count]
        return data

    def until(self, end: bytes, most: int = _LONGEST_NAME) -> Reading:
        """What comes ahead of this."""
        while (at := self._data.find(end)) < 0:
            if len(self._data) > most:
                raise Damaged("there is no end to a name")
            yield
        data = bytes(self._data[:at])
        del self._data[: at + len(end)]
        return data


@dataclass
class Member:
    """One entry's header.

    Attributes:
        kind: "file", "directory", "symlink", or "special" for a pipe or a device.
        segments: Where the data of a file are, (offset, length); they follow each other in the archive.
    """

    name: bytes
    kind: str
    mode: int
    mtime: int
    size: int
    target: bytes
    segments: list[tuple[int, int]]


_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7", b"S"), "file"),
    **dict.fromkeys((b"3", b"4", b"6"), "special"),
    b"5": "directory",
    b"2": "symlink",
}


def next_member(buffer: Buffer) -> Generator[None, None, Member | None]:
    """The next header, None at the end."""
    name = target = None
    while True:
        block = yield from buffer.exactly(BLOCK)
        if not any(block):
            return None
        _verify(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind not in (b"L", b"K"):
            break
        if size > _LONGEST_NAME:
            raise Damaged("a name is too long")
        long = (yield from buffer.exactly(size + -size % BLOCK))[:size].rstrip(b"\0")
        name, target = (long, target) if kind == b"L" else (name, long)
    if kind not in _KINDS:
        raise Damaged(f"an entry of type {kind!r} was not asked for")
    member = Member(
        name=_string(block[:100]) if name is None else name,
        kind=_KINDS[kind],
        mode=_number(block[100:108]),
        mtime=min(_number(block[136:148]), _LATEST),
        size=size if _KINDS[kind] == "file" else 0,
        target=_string(block[157:257]) if target is None else target,
        segments=[(0, size)],
    )
    if kind == b"S":
        yield from _read_map(buffer, block, member)
    return member


def _read_map(buffer: Buffer, block: bytes, member: Member) -> Generator[None, None, None]:
    places = _places(block, 386, 4)
    more = block[482]
    while more:
        extension = yield from buffer.exactly(BLOCK)
        places += _places(extension, 0, 21)
        more = extension[504]
        if len(places) > _MOST_PLACES:
            raise Damaged("a file has too many holes")
    size = _number(block[483:495])
    at = 0
    for offset, length in places:
        if offset < at or offset + length > size:
            raise Damaged("the holes of a file make no sense")
        at = offset + length
    if sum(length for _, length in places) != member.size:
        raise Damaged("the holes of a file make no sense")
    member.size, member.segments = size, [place for place in places if place[1]]


def _places(block: bytes, at: int, count: int) -> list[tuple[int, int]]:
    found = []
    for start in range(at, at + 24 * count, 24):
        if not block[start]:
            break
        found.append((_number(block[start : start + 12]), _number(block[start + 12 : start + 24])))
    return found


def _verify(block: bytes) -> None:
    if sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") != _number(block[148:156]):
        raise Damaged("it is no tar archive")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
        return max(value, 0)  # a time before 1970 is the only number that is ever below
    try:
        return int(_string(field).strip() or b"0", 8)
    except ValueError:
        raise Damaged("it is no tar archive") from None


def _string(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


class Names:
    """From names in the archive to paths below the destination.

    Attributes:
        pattern: Whether they are matches of a pattern, each with its own name there.
    """

    def __init__(self, source: str, kind: bytes, found: Sequence[bytes]) -> None:
        """Of what was found there for this source, whose far side says that it is a `kind`.

        Raises:
            Damaged: it is not what was asked for.
        """
        self.pattern = kind == b"pattern"
        self._found = [name.rstrip(b"/") for name in found]
        self._at = 0
        if not (self.pattern and set("*?[") & set(source)) and not (kind == b"path" and len(found) == 1):
            raise Damaged("what came is not what was asked for")
        if self.pattern:
            matches = _Pattern(source)
            for name in self._found:
                if not matches(name):
                    raise Damaged(f"{shown(os.fsdecode(name))} was not asked for")

    def parts(self, name: bytes) -> tuple[str, ...]:
        """Raises Damaged for one that was not found there, or that leads out of it."""
        name = name.rstrip(b"/")
        while self._at < len(self._found):
            found = self._found[self._at]
            if name == found or name.startswith(found + b"/"):
                break
            self._at += 1
        else:
            raise Damaged(f"{shown(os.fsdecode(name))} was not asked for")
        below = name[len(found) + 1 :]
        top = [posixpath.basename(found)] if self.pattern else []
        parts = [os.fsdecode(part) for part in [*top, *(below.split(b"/") if below else [])]]
        if any(part in {"", ".", ".."} or "\0" in part for part in parts):
            raise Damaged(f"{shown(os.fsdecode(name))} leads elsewhere")
        return tuple(parts)


# Of the C locale, as a bracket of fnmatch's has them; none begins with what would be taken for something else there.
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": '"-~!',
    "lower": "a-z",
    "print": " -~",
    "punct": ":-@!-/[-`{-~",
    "space": "\t-\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class _Pattern:
    """Whether a path is one that a shell finds for a pattern: each part by itself, byte by byte, and no wildcard stands
    for a dot at the beginning. Shells differ in whether a backslash quotes, so it may do both. In which directory all
    that is does not matter: nothing here is named after it.
    """

    def __init__(self, source: str) -> None:
        path = os.fsencode(relative_to_login(source)).decode("latin-1")
        self._parts = [_readings(part) for part in _parts(path.rpartition("/../")[2])]

    def __call__(self, name: bytes) -> bool:
        parts = _parts(name.decode("latin-1"))[-len(self._parts) :]
        return len(parts) == len(self._parts) and all(
            len(part) <= _LONGEST_PART and any(reading.match(part) for reading in readings)
            for part, readings in zip(parts, self._parts, strict=True)
        )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _readings(part: str) -> list[re.Pattern[str]]:
    part = re.sub(r"\[:([a-z]+):\]", lambda match: _CLASSES.get(match[1], match[0]), part).replace("[^", "[!")
    unquoted = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], part)
    hidden = r"(?!\.)" if part[0] in "*?[" else ""
    return [re.compile(hidden + translate(reading)) for reading in dict.fromkeys((part, unquoted))]
