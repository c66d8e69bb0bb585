"""What can be wrong with paths, patterns and accounts, as far as that is known beforehand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard


def is_path(given: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether it is a text or a `Path`: bytes are neither."""
    return isinstance(given, str) or (isinstance(given, os.PathLike) and isinstance(os.fspath(given), str))


def mistakes_of_path(given: object) -> Iterator[str]:
    """Of something that has to be a path, here or there."""
    if not is_path(given):
        yield f"{given!r} is no path: it must be a str or a Path, not {type(given).__name__}"


def mistakes_of_mode(mode: object) -> Iterator[str]:
    """Of permission bits. A text is none: whether "0644" is octal nobody can know."""
    if mode is None:
        return
    if not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= 0o7777:
        yield f"mode: {mode!r} is no permission bits, such as 0o644"


def mistakes_of_switch(option: str, value: object) -> Iterator[str]:
    """Of what is on or off. A text is neither: "no" counts as true."""
    if not isinstance(value, bool):
        yield f"{option}: {value!r} is neither True nor False"


def mistakes_of_local(source: str, *, generated: bool) -> Iterator[str]:
    """Of something that is to be read here. What is `generated` later need not be there yet."""
    if not source:
        yield "is empty"
        return
    try:
        Path(source).stat()
        if source.endswith("/") and not Path(source).is_dir():
            yield f"{source} is no directory"
        elif not os.access(source, os.R_OK):
            yield f"{source} can't be read"
    except FileNotFoundError as error:
        if not generated:
            yield f"{source!r}: {error.strerror}"
    except (OSError, ValueError) as error:
        yield f"{source!r}: {getattr(error, 'strerror', error)}"


def mistakes_of_remote(path: str) -> Iterator[str]:
    """Of something on the builder."""
    if not path:
        yield "is empty"
    if "\0" in path:
        yield "has a NUL"
    elif path.startswith("~") and not re.match("~(/|$)", path):
        yield f"{path} is another user's home; give its path"


def mistakes_of_exclude(exclude: object) -> Iterator[str]:
    """Of patterns of what is left out. A secret is not to be sent for a slash at the wrong end of one."""
    if isinstance(exclude, str | bytes) or not isinstance(exclude, Sequence):
        yield "exclude: must be a list of patterns"
        return
    for pattern in exclude:
        if not isinstance(pattern, str) or set(pattern.split("/")) & {"", ".", ".."}:
            yield f"exclude: {pattern!r} matches nothing: give a name, or a path within the directory as in 'a/*.json'"


def mistakes_of_account(option: str, value: object) -> Iterator[str]:
    """Of a user or a group: a name as Linux has them, or a number. Whether there is one only the builder knows."""
    if value is None:
        return
    number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1
    name = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?", value)
    if not number and not name:
        yield f"{option}: {value!r} is neither a name nor a number of a {'user' if option == 'owner' else 'group'}"
