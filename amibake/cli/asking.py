"""`--on-error ask`: a bake that has failed waits for somebody to say what becomes of its builder."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amibake.builder.access import Access
from amibake.cli.kinds import Kind
from amibake.cli.report import Reporter
from amibake.ec2.cloud import connect
from amibake.errors import AmibakeError, InvalidOption
from amibake.events import Warned
from amibake.keeping import key_file
from amibake.ledger import Ledger
from amibake.sweeping import sweep

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

ASK = "ask"
_KEPT = re.compile(r"\n?(The builder .* is kept, until .*)", re.DOTALL)
_BUILD, _LEFT = "amibake build ", "left behind: "


def with_ask(kind: Kind) -> Kind:
    """The ways to go on after an error, and this one."""
    words = (*kind.words, ASK)
    note = ' "ask" is for terminals: the builder is kept until somebody has said which of the two it is to be.'
    return kind._replace(words=words, metavar=f"[{'|'.join(words)}]", read=lambda text: text, note=note)


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def check_on_error(options: Mapping[str, Any], *, sandbox: bool) -> None:
    """Raises InvalidOption where nobody can be asked, or where what is kept would not last."""
    wanted = options.get("on_error")
    if wanted == ASK and not on_terminal():
        raise InvalidOption(
            "on_error: nobody can be asked here, since standard input and standard error are no terminal",
            hint='Say what is to be done: on_error="cleanup" or on_error="keep".',
        )
    if wanted == "keep" and sandbox:
        raise InvalidOption(
            "on_error: what is kept in the sandbox goes with it, at the end of the command",
            hint='on_error="ask" waits for you to have a look.',
        )


def decide(error: Exception, options: Mapping[str, Any], session: Session | None, report: Reporter) -> None:
    """Tell of the error of a bake that kept its builder, ask, and clean up if that is the answer; then the error says
    what is left now. With a session it is in the sandbox, which ends in any case."""
    kept = _kept(error)
    if not kept:
        return
    message = error.message if isinstance(error, AmibakeError) else type(error).__name__
    told = [f"error: {message.splitlines()[0]}", *kept.splitlines()[:2]]
    if session is not None:
        report.ask(told, "It goes with the sandbox once you press Enter:")
        _forget(error, ())
    elif _wants_it_gone(report, told):
        _clean_up(error, options, report)


def _wants_it_gone(report: Reporter, told: list[str]) -> bool:
    while True:
        answer = report.ask(told, "Clean up, or keep it? [c/k]")
        if answer is None or answer[:1] in ("c", "k"):
            return answer is not None and answer.startswith("c")
        told = []


def _clean_up(error: Exception, options: Mapping[str, Any], report: Reporter) -> None:
    build = _build(error)
    access = Access(**{name: value for name, value in options.items() if name in Access.model_fields})
    try:
        cloud = connect(None, build=build, ledger=Ledger(report.event), access=access)
        done = sweep(regions=cloud.region, build=build, session=cloud.clients.session, on_event=report.event)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the bake's error says what is left
        message = problem.message if isinstance(problem, AmibakeError) else type(problem).__name__
        report.event(Warned(f"it is still there: {message}"))
        return
    except KeyboardInterrupt as interrupt:
        for note in _notes(error):
            interrupt.add_note(note)
        raise
    key_file(build).unlink(missing_ok=True)
    _forget(error, done.leftovers)


def _kept(error: Exception) -> str:
    """What the error says of the builder that was kept, or nothing."""
    texts = [error.hint] if isinstance(error, AmibakeError) else getattr(error, "__notes__", [])
    found = [match[1] for match in map(_KEPT.search, texts) if match]
    return found[0] if found else ""


def _notes(error: Exception) -> list[str]:
    """Of which bake the error is and what that has left, as notes of another exception."""
    if isinstance(error, AmibakeError):
        return [f"{_BUILD}{error.build}", *(f"{_LEFT}{line}" for line in error.leftovers)]
    return list(error.__notes__)


def _build(error: Exception) -> str:
    if isinstance(error, AmibakeError):
        return error.build or ""
    return next(note.removeprefix(_BUILD) for note in error.__notes__ if note.startswith(_BUILD))


def _forget(error: Exception, leftovers: tuple[str, ...]) -> None:
    """Let the error say that this is all that is left."""
    if isinstance(error, AmibakeError):
        error.hint, error.leftovers = _KEPT.sub("", error.hint), leftovers
        return
    others = [note for note in error.__notes__ if not (note.startswith(_LEFT) or _KEPT.search(note))]
    error.__notes__ = [*others, *(f"{_LEFT}{line}" for line in leftovers)]
