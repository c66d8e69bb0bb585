"""A tar archive in GNU's format, as a stream: that format has names as the bytes they are, of any length, and holes."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Sequence

BLOCK = 512
_IN_HEADER, _IN_BLOCK = 4, 21
_MAP_AT, _CHECKSUM_AT = 386, 148

END = bytes(2 * BLOCK + tarfile.RECORDSIZE)
"""Two empty blocks end an archive; tar reads in records, so the last one is filled."""


_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s247x")
"""Name, mode, owner, group, size, time, checksum, type, what it links to, and the format; all else is empty."""
_NAME = 100


def header(info: tarfile.TarInfo) -> bytes:
    """What comes ahead of an entry's content."""
    name = info.name.encode("utf-8", "surrogateescape") + (b"/" if info.isdir() else b"")
    link = info.linkname.encode("utf-8", "surrogateescape")
    most = max(info.size, info.mtime)
    if max(len(name), len(link)) > _NAME or most >= 8**11 or info.mtime < 0:
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    # What Python makes of it takes most of the time of a tree of small files.
    mode, size, mtime = b"%07o\0" % info.mode, b"%011o\0" % info.size, b"%011o\0" % int(info.mtime)
    root = b"0000000\0"
    fields = (name, mode, root, root, size, mtime, b" " * 8, info.type, link, tarfile.GNU_MAGIC)
    checksum = b"%06o\0 " % sum(_FIELDS.pack(*fields))
    return _FIELDS.pack(*fields[:6], checksum, *fields[7:])


def sparse_header(info: tarfile.TarInfo, segments: Sequence[tuple[int, int]]) -> bytes:
    """The same for a file of `info.size` bytes with data at these places only, (offset, length), each but the last in
    whole blocks. What follows is the data alone, without gaps."""
    places = [*segments, (info.size, 0)]
    size, info.size, info.type = info.size, sum(length for _, length in segments), b"S"
    *before, last = _blocks(header(info))
    block = bytearray(last)
    numbers = [_number(number) for place in places for number in place]
    block[_MAP_AT : _MAP_AT + 2 * 12 * _IN_HEADER] = b"".join(numbers[: 2 * _IN_HEADER]).ljust(
        2 * 12 * _IN_HEADER, b"\0"
    )
    block[482] = len(places) > _IN_HEADER
    block[483:495] = _number(size)
    block[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b" " * 8
    block[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b"%06o\0 " % sum(block)
    rest = numbers[2 * _IN_HEADER :]
    more = []
    while rest:
        here, rest = rest[: 2 * _IN_BLOCK], rest[2 * _IN_BLOCK :]
        more.append(b"".join(here).ljust(504, b"\0") + bytes([bool(rest)]).ljust(8, b"\0"))
    return b"".join([*before, bytes(block), *more])


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


def _number(value: int) -> bytes:
    """Octal where that fits, and GNU's base 256 where it does not."""
    return b"%011o\0" % value if value < 8**11 else b"\x80" + value.to_bytes(11, "big")
