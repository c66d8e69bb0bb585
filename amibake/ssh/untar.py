"""Reads a tar archive as GNU tar writes it with --format=gnu, from a side that may be hostile.

Only what is asked for there is understood, everything else refused, and nothing that is announced is believed beyond
what memory allows.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from amibake.ssh.tarstream import BLOCK

_LONGEST_NAME = 1 << 16

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
        mtime=_number(block[136:148]),
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
