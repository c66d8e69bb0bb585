"""The commands of `amibake`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from amibake._version import __version__
from amibake.cli import doctor, images, policies, sandboxes, sweeping
from amibake.cli.building import Stages
from amibake.cli.unreadable import readable

_ORDER = ("build", "images", "launch", "sweep", "doctor", "policy", "sandbox")


class Commands(TyperGroup):
    """All commands, in the order in which a reader wants them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """What is to be run; a list of all commands does without options that take a moment to put together."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, doctor.make_command() if name == "doctor" else found, rest

    def main(self, args: Any = None, *given: Any, **more: Any) -> Any:
        """Run what the command line says, and end the program with its exit status."""
        arguments = sys.argv[1:] if args is None else list(args)
        main = partial(super().main, arguments, *given, **{**more, "standalone_mode": False})
        sys.exit(readable(main, arguments))


app = typer.Typer(
    cls=Commands,
    name="amibake",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Bakes EC2 machine images: Packer's amazon-ebs flow without Packer.",
)
app.add_typer(
    typer.Typer(cls=Stages, no_args_is_help=True, rich_markup_mode="rich"),
    name="build",
    help="Bake an image, by one of the two recipes.",
)
app.command("images")(images.images)
app.command("launch")(images.launch)
app.command("sweep")(sweeping.sweep)
app.command("doctor", help=doctor.HELP)(lambda: None)
app.command("policy")(policies.policy)
app.add_typer(sandboxes.app, name="sandbox", help="An EC2 on this machine, with containers for instances.")


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
