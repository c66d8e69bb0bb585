"""The commands of `amibake`."""

from __future__ import annotations

from typing import Annotated

import typer

from amibake._version import __version__
from amibake.cli import sweeping
from amibake.cli.building import Stages

app = typer.Typer(
    name="amibake",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Bakes EC2 images.",
)
app.add_typer(
    typer.Typer(cls=Stages, no_args_is_help=True, rich_markup_mode="rich"),
    name="build",
    help="Bake an image, by one of the two recipes.",
)
app.command("sweep")(sweeping.sweep)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amibake {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Bakes EC2 machine images: Packer's amazon-ebs flow without Packer."""
