"""Errors for people: what went wrong, where, what to do about it, and what is left behind. Few lines, no traceback."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from amibake.cli.report import Failure
from amibake.cli.wording import in_flags, mistake, printable
from amibake.errors import AmibakeError, InvalidOption

INTERRUPTED = 130
_MESSAGE = 4
"""How many lines of a message are shown; a configuration's mistakes all are."""
_MOST = 11
"""How many lines an error has; of what a script printed as many as fit into that."""
_TAIL = (2, 6)
"""How many of those at least, and at most; likewise of the builder's console, which ends a hint."""
_CONSOLE = "its console ends with:"
_BUILD, _LEFT = "amibake build ", "left behind: "
"""What the notes begin with that a bake makes on exceptions which are not ours."""


def failure(error: BaseException, known: Collection[str] = ()) -> tuple[Failure, int]:
    """What to say of an error, and the exit status; `known` are the command's options, by their names in Python."""
    if isinstance(error, AmibakeError):
        return _of_ours(error, known), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return _of_an_interrupt(error)
    name = type(error).__name__  # its text may show a secret
    text, hint = f"{name}: a fault of amibake's own, or of something that it uses", "--debug shows where"
    build, leftovers = _noted(error)
    data = _data(name, text, 1, hint=hint, build=build, leftovers=leftovers)
    return Failure(data, [f"error: {text}", *_after([hint], leftovers, build)], error), 1


def _of_ours(error: AmibakeError, known: Collection[str]) -> Failure:
    text = mistake(error.message, known)
    shown = _few(text.splitlines())
    if isinstance(error, InvalidOption):
        shown = _mistakes(error, known)
        text = "\n".join(shown)
    hint = "\n".join(map(printable, in_flags(error.hint, known).splitlines()))
    tail = [printable(line) for line in getattr(error, "tail", ())]
    before = [f"error: {shown[0]}", *(f"  {line}" for line in shown[1:])]
    hints, console, rest = _around_the_console(hint.splitlines())
    others = len(before) + len(list(_after([*hints, *rest], error.leftovers, error.build)))
    least, most = _TAIL
    room = min(most, max(least, _MOST - others))
    after = _after([*hints, *console[-room:], *rest], error.leftovers, error.build)
    data = _data(type(error).__name__, text, error.exit_code, hint=hint, build=error.build, leftovers=error.leftovers)
    data |= {"code": error.code, "tail": tail}
    cut = [*(text.splitlines() if len(text.splitlines()) > len(shown) else ()), *console[:-room]]
    return Failure(data, [*before, *(f"  | {line}" for line in tail[-room:]), *after], cut=cut)


def _around_the_console(hint: Sequence[str]) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """The lines up to the builder's console, those of that, and what follows."""
    start = next((number for number, line in enumerate(hint, 1) if line.endswith(_CONSOLE)), len(hint))
    end = next((number for number in range(start, len(hint)) if not hint[number].startswith("  ")), len(hint))
    return hint[:start], hint[start:end], hint[end:]


def _of_an_interrupt(error: KeyboardInterrupt) -> tuple[Failure, int]:
    status = int(getattr(error, "exit_code", INTERRUPTED))
    build, leftovers = _noted(error)
    data = _data("Interrupted", "interrupted", status, build=build, leftovers=leftovers)
    return Failure(data, ["interrupted", *_after([], leftovers, build)]), status


def _noted(error: BaseException) -> tuple[str | None, list[str]]:
    """The bake in which it happened, and what that left behind."""
    notes = list(getattr(error, "__notes__", ()))
    build = next((note.removeprefix(_BUILD) for note in notes if note.startswith(_BUILD)), None)
    return build, [note.removeprefix(_LEFT) for note in notes if note.startswith(_LEFT)]


def _after(hint: Sequence[str], leftovers: Sequence[str], build: str | None) -> Iterator[str]:
    for number, line in enumerate(hint):
        yield f"  {line}" if number else f"hint: {line}"
    yield from (f"left behind: {line}" for line in leftovers)
    if build:
        yield f"build: {build}"


def _data(
    error: str, message: str, exit_code: int, *, hint: str = "", build: str | None, leftovers: Sequence[str]
) -> dict[str, Any]:
    return {
        "error": error,
        "message": message,
        "hint": hint,
        "exit_code": exit_code,
        "code": "",
        "build": build,
        "leftovers": list(leftovers),
        "tail": [],
    }


def _mistakes(error: InvalidOption, known: Collection[str]) -> list[str]:
    mistakes = [mistake(line, known) for line in error.mistakes]
    return mistakes if len(mistakes) == 1 else [f"{len(mistakes)} mistakes", *mistakes]


def _few(lines: Sequence[str]) -> list[str]:
    shown = [printable(line) for line in lines] or [""]
    return (
        shown if len(shown) <= _MESSAGE else [*shown[: _MESSAGE - 1], f"… and {len(shown) - _MESSAGE + 1} more lines"]
    )
