"""`amibake doctor`: whether a bake would go well, looked at before anything is launched."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amibake.cli.help import Stacked
from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, parameter

if TYPE_CHECKING:
    from amibake.cli.checks import Check

_MARKS = {"ok": "✓", "wrong": "✗", "unknown": "?"}
_WIDE = 100
_STAGES = ("primal", "carnivore")


def make_command() -> Any:
    """The command, with the builder's options, which take a moment to put together."""
    from amibake.cli.options import builder_options

    options = builder_options()
    parameters = [_STAGE, *(option.parameter() for option in options), _ENVIRONMENT]
    only = typer.Typer(add_completion=False, rich_markup_mode="rich")
    names = {option.name for option in options} | {"environment"}
    only.command("doctor", cls=Stacked)(command(_doctor, parameters, name="doctor", help=HELP, known=names))
    return typer.main.get_command(only)


HELP = (
    "Check credentials, region, instance type, source image, network, quota and permissions before anything is "
    "launched.\n\nOptions are the builder's, and come from the configuration file too. Nothing is made: calls are "
    "tried as dry runs. The exit status is 1 when something is wrong."
)
_STAGE = inspect.Parameter(
    "stage",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        typer.Argument(
            help="Whose options in the configuration file count: primal or carnivore [primal].",
            metavar="STAGE",
            autocompletion=lambda incomplete: [one for one in _STAGES if one.startswith(incomplete)],
            show_default=False,
        ),
    ],
    default="primal",
)
_ENVIRONMENT = parameter(
    "environment",
    str | None,
    "--environment",
    "-e",
    help="Take the options of this environment in the configuration file.",
    metavar="NAME",
)


def _doctor(_: Reporter, *, stage: str, environment: str | None, **given: Any) -> Outcome:
    from amibake.builder import Builder
    from amibake.cli.baking import builder_values
    from amibake.cli.checks import Check, examine
    from amibake.cli.jsonlines import plain
    from amibake.cli.sources import LATEST, settled
    from amibake.ec2.cloud import connect
    from amibake.errors import InvalidOption, NotAuthorized, SourceImageNotFound
    from amibake.ledger import Ledger

    if stage not in _STAGES:
        raise InvalidOption(f"stage: {stage!r} is neither {' nor '.join(map(repr, _STAGES))}")
    options = builder_values(stage, given, environment)
    app = options.get("app", "ponyfoo")
    found: list[Check] = []
    if stage == "carnivore" and "source_ami" not in options:
        hint = 'name a primal image: source_ami="latest-primal" is the application\'s newest'
        found.append(Check("source image", "wrong", "source_ami: is missing", hint))
    try:
        options = settled(options, app, None)
    except NotAuthorized:
        pass  # which is what is looked at first
    except SourceImageNotFound as error:
        found.append(Check("source image", "wrong", error.message, error.hint))
    if found or options.get("source_ami") == LATEST:
        options["source_ami"] = "ami-00000000"
    builder = Builder(**{"ami_name": f"{app}-{stage} {{{{timestamp}}}}", "max_retries": 1, **options})
    cloud = connect(None, build="0" * 16, ledger=Ledger(lambda _: None), access=builder)
    missing = {check.check for check in found}
    found += [check for check in examine(cloud, builder) if check.check not in missing]
    found = [_in_flags(check) for check in found]
    wrong = [check for check in found if check.state == "wrong"]
    end = f"{len(wrong)} of {len(found)} are wrong" if wrong else "Nothing is wrong, as far as can be told beforehand."
    return Outcome(
        {"doctor": {"ok": not wrong, "checks": plain(found)}},
        [*table(found, _width()), "", end],
        brief=[f"{check.check}: {check.said}" for check in wrong],
        status=1 if wrong else 0,
    )


def _in_flags(check: Check) -> Check:
    """In the words of the command line."""
    from amibake.cli.baking import OPTIONS
    from amibake.cli.wording import in_flags, mistake

    names = {option.name for options in OPTIONS.values() for option in options}
    said = "\n".join(mistake(line, names) for line in check.said.splitlines())
    return replace(check, said=said, hint=in_flags(check.hint, names))


def _width() -> int:
    return min(shutil.get_terminal_size().columns, _WIDE) if sys.stdout.isatty() else _WIDE


def table(checks: Sequence[Check], width: int) -> Iterator[str]:
    """A line for each, with a mark, and below it what to do about it."""
    column = max(len(check.check) for check in checks)
    indent = " " * (column + 4)
    for check in checks:
        first, *rest = textwrap.wrap(
            " ".join(check.said.split()), width - len(indent), break_long_words=False, break_on_hyphens=False
        ) or [""]
        yield f"{_MARKS[check.state]} {check.check.ljust(column)}  {first}"
        yield from (indent + line for line in rest)
        if check.hint and check.state != "ok":
            hint = "→ " + " ".join(check.hint.split())
            lines = textwrap.wrap(
                hint, width - len(indent), break_long_words=False, break_on_hyphens=False, subsequent_indent="  "
            )
            yield from (indent + line for line in lines)
