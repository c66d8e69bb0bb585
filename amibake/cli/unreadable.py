"""Command lines that can't be read: told as every other error is, and to programs as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import typer

from amibake.cli.report import Lines, Plain

USAGE: Any = typer.BadParameter.__base__
"""What the parser raises, whichever click it brings."""


def readable(run: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Run a command whose command line may be unreadable; answers with the exit status. With `--json` among the
    arguments the error is the one JSON line on standard output."""
    try:
        status = run()
    except USAGE as error:
        return _told(error, arguments)
    except typer.Abort:
        return 1
    except SystemExit as end:  # the parser's own word for a pipe that nobody reads any more, which is no error
        if isinstance(end.__context__, BrokenPipeError):
            return 0
        raise
    return status if isinstance(status, int) else 0


def _told(error: Any, arguments: Sequence[str]) -> int:
    if type(error).__name__ == "NoArgsIsHelpError" and "--json" not in arguments:
        error.show()
        return int(error.exit_code)
    from amibake.cli.problems import failure
    from amibake.errors import InvalidOption

    message, hint = _said(error)
    told, status = failure(InvalidOption(message, hint=hint))
    with Lines() if "--json" in arguments else Plain() as report:
        report.failed(told)
    return status


def _said(error: Any) -> tuple[str, str]:
    """The message, and what helps: the nearest name, and where all of them are listed."""
    command = error.ctx.command_path if error.ctx is not None else "amibake"
    everything = f"`{command} --help` lists all that there is"
    wrong = getattr(error, "option_name", None)
    near = get_close_matches(wrong, getattr(error, "possibilities", None) or (), n=1, cutoff=0.5) if wrong else ()
    if near:
        return str(error.message), f"did you mean {near[0]}? {everything}"
    if type(error).__name__ == "NoArgsIsHelpError":
        return "a command is missing", everything
    return " ".join(error.format_message().split()), everything
