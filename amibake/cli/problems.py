"""Errors for people: what went wrong, where, what to do about it, and what is left behind. Few lines, no traceback."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from amibake.cli.report import Failure
from amibake.cli.wording import in_flags, mistake, printable
from amibake.errors import AmibakeError, InvalidOption

INTERRUPTED = 130
_MESSAGE = 4
"""How many lines of a message are shown."""
_MOST = 11
"""How many lines an error has; of what a script printed as many as fit into that."""
_TAIL = (2, 6)
"""How many of those at least, and at most."""


def failure(error: BaseException, known: Collection[str] = ()) -> tuple[Failure, int]:
    """What to say of an error, and the exit status; `known` are the command's options, by their names in Python."""
    if isinstance(error, AmibakeError):
        return _of_ours(error, known), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return _of_an_interrupt(error)
    name = type(error).__name__  # its text may show a secret
    lines = [f"error: {name}: a fault of amibake's own, or of something that it uses", "hint: --debug shows where"]
    return Failure({"error": name, "message": lines[0], "exit_code": 1}, lines, error), 1


def _of_ours(error: AmibakeError, known: Collection[str]) -> Failure:
    text = mistake(error.message, known)
    lines = _few(text.splitlines(), _MESSAGE)
    if isinstance(error, InvalidOption):
        lines = _mistakes(error, known)
        text = "\n".join(lines)
    hint = in_flags(error.hint, known).splitlines()
    tail = [printable(line) for line in getattr(error, "tail", ())]
    lines = [f"error: {lines[0]}", *(f"  {line}" for line in lines[1:])]
    after = [f"hint: {hint[0]}", *(f"  {line}" for line in hint[1:])] if hint else []
    after += [f"left behind: {line}" for line in error.leftovers]
    after += [f"build: {error.build}"] if error.build else []
    least, most = _TAIL
    lines += [f"  | {line}" for line in tail[-min(most, max(least, _MOST - len(lines) - len(after))) :]]
    lines += after
    data = {
        "error": type(error).__name__,
        "message": text,
        "hint": in_flags(error.hint, known),
        "exit_code": error.exit_code,
        "code": error.code,
        "build": error.build,
        "leftovers": list(error.leftovers),
        "tail": tail,
    }
    return Failure(data, lines)


def _of_an_interrupt(error: KeyboardInterrupt) -> tuple[Failure, int]:
    status = int(getattr(error, "exit_code", INTERRUPTED))
    notes = list(getattr(error, "__notes__", ()))
    named = next((note.rpartition(" ")[2] for note in notes if note.startswith("amibake build ")), None)
    build = getattr(error, "build", None) or named
    leftovers = [note.removeprefix("left behind: ") for note in notes if note.startswith("left behind: ")]
    lines = ["interrupted", *(f"left behind: {line}" for line in leftovers)]
    lines += [f"build: {build}"] if build else []
    data = {"error": "Interrupted", "message": "interrupted", "exit_code": status}
    return Failure({**data, "build": build, "leftovers": leftovers}, lines), status


def _mistakes(error: InvalidOption, known: Collection[str]) -> list[str]:
    mistakes = [mistake(line, known) for line in error.mistakes]
    return mistakes if len(mistakes) == 1 else [f"{len(mistakes)} mistakes", *mistakes]


def _few(lines: Iterable[str], most: int) -> list[str]:
    known = [printable(line) for line in lines]
    return known if len(known) <= most else [*known[: most - 1], f"… and {len(known) - most + 1} more lines"]
