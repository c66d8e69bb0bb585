"""How commands are run: with the options that all of them have in common, and with errors as exit codes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

import typer

from amibake.cli.problems import failure
from amibake.cli.report import Lines, Outcome, Plain, Quiet, Reporter

_PANEL = "Output"
_COMMON: dict[str, tuple[tuple[str, ...], str]] = {
    "plain": (("--plain",), "Plain lines with time stamps, on a terminal too."),
    "json_lines": (("--json",), "A JSON object a line on standard output, the last one the result or the error."),
    "quiet": (("--quiet", "-q"), "Nothing but the result on standard output: of a bake the image's id."),
    "debug": (("--debug",), "Show where in the program an error came from."),
}
COMMON = [
    inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[bool, typer.Option(*flags, help=text, rich_help_panel=_PANEL)],
        default=False,
    )
    for name, (flags, text) in _COMMON.items()
]
"""What every command has."""

Way = Literal["plain", "json", "quiet"]


def command(
    do: Callable[..., Outcome],
    parameters: list[inspect.Parameter],
    *,
    name: str,
    help: str,  # noqa: A002 - typer's word
    known: Collection[str] = (),
) -> Callable[..., None]:
    """A function for typer that calls `do` with a reporter and the values of these parameters, tells what came of it,
    and ends the program with the exit code of what went wrong. `known` are options whose names are put into the
    command line's words."""

    def run(plain: bool, json_lines: bool, quiet: bool, debug: bool, **given: Any) -> None:
        with reporter(plain=plain, json_lines=json_lines, quiet=quiet) as report:
            try:
                report.done(do(report, **given))
                return
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is told
                if debug:
                    sys.excepthook(type(error), error, error.__traceback__)
                told, status = failure(error, known)
                report.failed(told)
        raise typer.Exit(status)

    run.__name__ = name
    run.__doc__ = help
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature([*parameters, *COMMON])  # type: ignore[attr-defined]
    return run


def reporter(*, plain: bool, json_lines: bool, quiet: bool) -> Reporter:
    """Who tells.

    Raises:
        typer.BadParameter: two at once are asked for.
    """
    if plain + json_lines + quiet > 1:
        raise typer.BadParameter("give only one of --plain, --json and --quiet")
    if quiet:
        return Quiet()
    return Lines() if json_lines else Plain()
