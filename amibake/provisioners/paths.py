"""What can be wrong with paths, patterns and accounts, as far as that is known beforehand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path


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
