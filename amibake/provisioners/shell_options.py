"""What can be wrong with the options of a `Shell`, each on its own: of what kind they are, and the variables."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amibake import waiting
from amibake.remote import LONGEST_VARIABLE, mistakes_of_variables, too_long
from amibake.secret import Secret

Variables = Mapping[str, str | Secret] | Sequence[str]
"""{"NAME": "value"} or ["NAME=value"]."""

_TEXTS = ("inline_shebang", "execute_command", "remote_folder", "remote_file", "remote_path", "env_var_format")
_FLAGS = ("sudo", "skip_clean", "binary", "expect_disconnect", "use_env_var_file")
_SECONDS = ("start_retry_timeout", "pause_after")


def wrong_kinds(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """The mistakes of options that are of a wrong kind, by the options' names."""
    found = {name: _of_text(given[name], or_none=name != "remote_folder") for name in _TEXTS}
    found |= {name: _of_flag(given[name]) for name in _FLAGS}
    found |= {name: _of_seconds(given[name]) for name in _SECONDS}
    found["valid_exit_codes"] = _of_codes(given["valid_exit_codes"])
    return {name: [f"{name}: {mistake}" for mistake in mistakes] for name, mistakes in found.items() if mistakes}


def _of_text(given: object, *, or_none: bool) -> list[str]:
    if given is None and or_none:
        return []
    if not isinstance(given, str):
        return [f"{_shown(given)} is no text"]
    return ["has a NUL"] if "\0" in given else []


def _of_flag(given: object) -> list[str]:
    return [] if isinstance(given, bool) else [f"{_shown(given)} is neither True nor False"]


def _of_seconds(given: Any) -> list[str]:
    try:
        seconds = waiting.seconds(given)
    except (TypeError, ValueError):
        return [f'{_shown(given)} has to be seconds, or text such as "90s", "5m" or "1h30m"']
    return [] if math.isfinite(seconds) and seconds >= 0 else [f"{given} is no number of seconds to wait"]


def _of_codes(given: object) -> list[str]:
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Collection):
        return [f"must be a list of exit statuses, not {_shown(given)}"]
    if not given:
        return ["is empty, so nothing could succeed"]
    wrong = [code for code in given if not isinstance(code, int) or isinstance(code, bool)]
    return [f"{_shown(code)} is no exit status" for code in wrong]


def mistakes_of_lines(lines: Any) -> Iterator[str]:
    """What is wrong with `inline`."""
    if not _is_list(lines):
        yield "inline: must be a list, and not empty"
        return
    for number, line in enumerate(lines, 1):
        if isinstance(line, Secret):
            yield f"inline: line {number} is a Secret, which the builder gets by environment_vars only"
        elif not isinstance(line, str):
            yield f"inline: line {number} is no text but {_shown(line)}"
        elif "\0" in line:
            yield f"inline: line {number} has a NUL"


def mistakes_of_paths(option: str, given: Any) -> Iterator[str]:
    """What is wrong with `script` or `scripts`, before any is read."""
    if option == "scripts" and not _is_list(given):
        yield "scripts: must be a list, and not empty"
        return
    for path in given if option == "scripts" else [given]:
        if not isinstance(path, str | Path):
            yield f"{option}: {_shown(path)} is no path"


def mistakes_of_places(folder: str, file: str | None, path: str | None) -> Iterator[str]:
    """What is wrong with where a script is to be put."""
    for option, value in (("remote_folder", folder), ("remote_file", file), ("remote_path", path)):
        if value == "":
            yield f"{option}: is empty"
    if file and "/" in file:
        yield f"remote_file: {file!r} is a path; give remote_path"
    elif file in {".", ".."}:
        yield f"remote_file: {file!r} is a directory"
    if path and (path == "~" or posixpath.basename(path) in {"", ".", ".."}):
        yield f"remote_path: {path!r} is a directory; the name of the script is to be in it"


def variables_of(given: Variables) -> dict[str, str | Secret]:
    """Them as a mapping."""
    if isinstance(given, Mapping):
        return dict(given)
    return {name: value for name, _, value in (entry.partition("=") for entry in given)}


def mistakes_in_variables(option: str, given: Variables) -> list[str]:
    """What is wrong with `environment_vars` or `env`. Of values nothing is said: one may be a secret."""
    if isinstance(given, str | bytes) or not isinstance(given, Mapping if option == "env" else Mapping | Sequence):
        either = "" if option == "env" else ' or a list of "NAME=value"'
        return [f"{option}: must be a mapping{either}"]
    mistakes: list[str] = []
    if not isinstance(given, Mapping):
        entries: Sequence[object] = given
        if wrong := [number for number, entry in enumerate(entries, 1) if not isinstance(entry, str)]:
            return [f"{option}: entry {number} is no text; a Secret goes into a mapping" for number in wrong]
        bare = [number for number, entry in enumerate(given, 1) if "=" not in entry]
        mistakes += [f"{option}: entry {number} has no =" for number in bare]
    variables: dict[Any, Any] = {**variables_of(given)}
    named = {name: value for name, value in variables.items() if isinstance(name, str)}
    mistakes += [f"{option}: {_shown(name)} is no name of a variable" for name in variables if name not in named]
    mistakes += [f"{option}: {mistake}" for mistake in mistakes_of_variables(named)]
    texts = {name: value for name, value in named.items() if isinstance(value, str | Secret)}
    for name, size in too_long(texts).items():
        limit = f"{size} bytes, {LONGEST_VARIABLE} at most (MAX_ARG_STRLEN)"
        mistakes.append(f"{option}: {name} is longer than Linux lets a variable be: {limit}")
    return mistakes


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes) and bool(given)


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:79]}…"
