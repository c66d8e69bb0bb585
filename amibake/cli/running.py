"""How commands are run: with the options that all of them have in common, and with errors as exit codes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from amibake.cli.log import Logged
from amibake.cli.problems import failure
from amibake.cli.report import Lines, Outcome, Plain, Quiet, Reporter

_PANEL = "Output"


def parameter(
    name: str,
    kind: Any,
    *flags: str,
    help: str,  # noqa: A002 - typer's word
    panel: str | None = None,
    metavar: str | None = None,
    default: Any = None,
) -> inspect.Parameter:
    """An option that need not be given, as a parameter for `command`."""
    option = typer.Option(*flags, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option], default=default)


def switch(name: str, *flags: str, help: str, panel: str | None = None) -> inspect.Parameter:  # noqa: A002
    """A switch that is off unless it is given, as a parameter for `command`."""
    return parameter(name, bool, *flags, help=help, panel=panel, default=False)


COMMON = [
    switch("plain", "--plain", help="Plain lines with time stamps, on a terminal too.", panel=_PANEL),
    switch(
        "json_lines",
        "--json",
        help="A JSON object a line on standard output, the last one the result or the error.",
        panel=_PANEL,
    ),
    switch(
        "quiet",
        "--quiet",
        "-q",
        help="Nothing but the result on standard output: of a bake the image's id.",
        panel=_PANEL,
    ),
    switch("debug", "--debug", help="Show where in the program an error came from.", panel=_PANEL),
]
"""What every command has."""
LOGS = [
    parameter(
        "log_dir",
        str | None,
        "--log-dir",
        help="Where the log, amibake-<build>.log, is written [the current directory].",
        panel=_PANEL,
        metavar="PATH",
    ),
    switch("no_log", "--no-log", help="Write no log.", panel=_PANEL),
]
"""What those have that write a log."""


def command(
    do: Callable[..., Outcome],
    parameters: list[inspect.Parameter],
    *,
    name: str,
    help: str,  # noqa: A002
    known: Collection[str] = (),
    logs: bool = False,
) -> Callable[..., None]:
    """A function for typer that calls `do` with a reporter and the values of these parameters, tells what came of it,
    and ends the program with the exit code of what went wrong. `known` are options whose names are put into the
    command line's words; `logs` is whether all that happens is written to a file, too."""

    def run(plain: bool, json_lines: bool, quiet: bool, debug: bool, **given: Any) -> None:
        teller = reporter(plain=plain, json_lines=json_lines, quiet=quiet)
        if logs:
            directory, no_log = given.pop("log_dir"), given.pop("no_log")
            teller = teller if no_log else Logged(teller, Path(directory or "."))
        with teller as report:
            try:
                outcome = do(report, **given)
                report.done(outcome)
                status = outcome.status
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is told
                if debug:
                    sys.excepthook(type(error), error, error.__traceback__)
                told, status = failure(error, known)
                report.failed(told)
        if status:
            raise typer.Exit(status)

    run.__name__ = name
    run.__doc__ = help
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature([*parameters, *COMMON, *(LOGS if logs else [])])  # type: ignore[attr-defined]
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
    if json_lines:
        return Lines()
    if plain or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return Plain()
    from amibake.cli.live import View

    return View()
