"""`amibake sweep`: remove what dead bakes have left."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command


def _sweep(_: Reporter, *, region: list[str] | None, build: str | None, dry_run: bool) -> Outcome:
    import amibake

    library: Any = amibake
    swept = library.sweep(regions=region or None, build=build, dry_run=dry_run)
    return Outcome({"swept": str(swept)}, [str(swept)])


def _option(name: str, kind: Any, default: Any, *flags: str, help: str) -> inspect.Parameter:  # noqa: A002
    annotation = Annotated[kind, typer.Option(*flags, help=help, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


sweep = command(
    _sweep,
    [
        _option("region", list[str] | None, None, "--region", help="Where to look; may be repeated [the session's]."),
        _option("build", str | None, None, "--build", help="One dead bake, by its id, before it has expired."),
        _option("dry_run", bool, False, "--dry-run", help="Say what would be removed, and remove nothing."),
    ],
    name="sweep",
    help="Remove what dead bakes have left in the account: what has expired, and nothing that is published.",
)
