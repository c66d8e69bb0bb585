"""`amibake sweep`: remove what dead bakes have left."""

from __future__ import annotations

from typing import Any

from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, parameter, switch


def _sweep(report: Reporter, *, regions: list[str] | None, build: str | None, dry_run: bool) -> Outcome:
    import amibake
    from amibake.cli.jsonlines import plain

    library: Any = amibake
    done = library.sweep(regions=regions or None, build=build, dry_run=dry_run, on_event=report.event)
    would = "would be " if done.dry_run else ""
    lines = [f"{would}removed: {one}" for one in done.removed]
    lines += [f"{would}marked as published: {one}" for one in done.finished]
    lines += [f"left behind: {one}" for one in done.leftovers]
    return Outcome(
        {"sweep": plain(done)},
        lines or [f"nothing to remove in {', '.join(done.regions)}"],
        more=[f"stays: {one}" for one in done.spared],
        brief=[one.id for one in done.removed],
        status=1 if done.leftovers else 0,
        left=done.leftovers,
    )


sweep = command(
    _sweep,
    [
        parameter(
            "regions",
            list[str] | None,
            "--region",
            "--regions",
            help='Where to look; may be repeated; "all" for all that the account has enabled [the session\'s].',
        ),
        parameter(
            "build",
            str | None,
            "--build",
            help="One dead bake, by its id, whether it has expired or not.",
            metavar="ID",
        ),
        switch("dry_run", "--dry-run", help="Say what would be removed, and remove nothing."),
    ],
    name="sweep",
    help="Remove what dead bakes have left in the account: what has expired, and nothing that is published.",
    known={"regions", "build", "dry_run"},
)
