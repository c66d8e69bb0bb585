"""`amibake build`: a bake by one of the recipes, with an option for each of its keywords."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from amibake.cli.help import Stacked
from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, parameter, switch

STAGES = {
    "primal": "Bake the base image: OS tweaks, nginx, node, npm dependencies.",
    "carnivore": "Bake the deployment image on top of a primal one.",
}
_PANEL = "Where, and from what"
_MORE = [
    switch(
        "sandbox",
        "--sandbox",
        help="Bake on this machine, in containers, to try it; node comes from the sandbox's mirror unless another is "
        "named. The image is gone in the end.",
        panel=_PANEL,
    ),
    switch(
        "plan",
        "--plan",
        help="Tell what the bake would be: the options as they come out, what is sent up and run, and the calls that "
        "change something in the account, in order. It looks things up, and launches nothing.",
        panel=_PANEL,
    ),
    parameter(
        "environment",
        str | None,
        "--environment",
        "-e",
        help="Take the options of this environment in amibake.toml, or in [tool.amibake] of pyproject.toml.",
        panel=_PANEL,
        metavar="NAME",
    ),
    parameter(
        "manifest",
        str | None,
        "--manifest",
        help="Add the image to this file, in the form of Packer's manifest.",
        panel="Output",
        metavar="PATH",
    ),
]


class Stages(TyperGroup):
    """The group of the two recipes, whose options take a moment to put together: only what is asked for is."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Their names, in the order of their use."""
        return list(STAGES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None."""
        if cmd_name in STAGES and cmd_name not in self.commands:
            self.add_command(_command(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)


def _command(stage: str) -> Any:
    from amibake.cli.baking import OPTIONS, Wish, bake

    def run(
        report: Reporter, *, sandbox: bool, plan: bool, environment: str | None, manifest: str | None, **given: Any
    ) -> Outcome:
        return bake(stage, given, Wish(sandbox, environment, manifest, plan), report)

    help_text = (
        f"{STAGES[stage]}\n\nEvery option is a keyword of amibake.build_{stage} in Python, and can stand in a "
        "configuration file by that name."
    )
    parameters = [*(option.parameter() for option in OPTIONS[stage]), *_MORE]
    only = typer.Typer(add_completion=False, rich_markup_mode="rich")
    only.command(stage, cls=Stacked)(
        command(run, parameters, name=stage, help=help_text, known=_names(parameters), logs=True)
    )
    return typer.main.get_command(only)


def _names(parameters: list[Any]) -> set[str]:
    return {parameter.name for parameter in parameters}
