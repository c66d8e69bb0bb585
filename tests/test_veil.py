"""What hides secrets in errors, whatever they are made of."""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from amibake.errors import ScriptFailed
from amibake.secret import HIDDEN
from amibake.veil import Veil

SECRET = "hunter2-hunter2"


@pytest.fixture
def veil() -> Veil:
    veil = Veil()
    veil.add([SECRET])
    return veil


class Spoken:
    def __str__(self) -> str:
        return f"spoken {SECRET}"

    __repr__ = __str__


class Slotted(Exception):
    __slots__ = ("said",)
    said: str

    def __str__(self) -> str:
        return str(self.said)


def slotted() -> Slotted:
    error = Slotted()
    error.said = SECRET
    return error


@dataclass(frozen=True)
class Frozen(Exception):
    said: str


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def noted() -> ValueError:
    error = ValueError("v")
    error.add_note(SECRET)
    return error


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileNotFoundError(2, "no", f"/x/{SECRET}", None, f"/y/{SECRET}"),
        lambda: ExceptionGroup("several", [ValueError(SECRET), ExceptionGroup("deep", [KeyError(SECRET)])]),
        lambda: subprocess.CalledProcessError(1, ["a", SECRET], output=SECRET.encode(), stderr=SECRET.encode()),
        lambda: UnicodeDecodeError("utf-8", SECRET.encode() + b"\xff", 0, 1, f"after {SECRET}"),
        lambda: KeyError({"a": SECRET, SECRET: [{SECRET}, frozenset({SECRET})]}),
        lambda: ValueError(ValueError(SECRET)),
        lambda: ValueError(Spoken()),
        lambda: ImportError("no", name=SECRET, path=SECRET),
        lambda: SystemExit(SECRET),
        lambda: ScriptFailed("no", status=1, tail=(SECRET,), hint=SECRET),
        lambda: Frozen(SECRET),
        slotted,
        noted,
    ],
)
def test_no_error_shows_a_secret(veil: Veil, make: Callable[[], BaseException]) -> None:
    error = make()
    assert SECRET in shown(error)
    veil.over_error(error)
    assert SECRET not in shown(error)
    assert HIDDEN in shown(error)


def shown(error: BaseException) -> str:
    """As a traceback shows it, with its attributes."""
    parts: list[Any] = [vars(error), error.args]
    parts += [getattr(error, name, None) for name in ("filename", "filename2", "name", "path", "object", "code")]
    return "".join(traceback.format_exception(error)) + repr(parts)


def test_an_error_that_resists_is_left_as_it_is(veil: Veil) -> None:
    loop: list[Any] = [SECRET]
    loop.append(loop)
    mute, group = Mute("m", SECRET, loop), ExceptionGroup(SECRET, [ValueError(SECRET)])
    for error in (mute, group):
        veil.over_error(error)
    assert mute.args[:2] == ("m", SECRET)
    assert [str(each) for each in group.exceptions] == [HIDDEN]


def test_causes_are_veiled_and_what_has_nothing_to_hide_is_untouched(veil: Veil) -> None:
    error, cause = OSError(2, "no", b"\xff/plain"), ValueError(SECRET)
    error.__cause__, cause.__context__ = cause, error
    veil.over_error(error)
    assert (error.filename, error.args, str(cause)) == (b"\xff/plain", (2, "no"), HIDDEN)
