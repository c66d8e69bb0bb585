"""`amibake build`: a bake by one of the recipes, with an option for each of its keywords."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from amibake.cli.help import Stacked
from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, switch

if TYPE_CHECKING:
    from amibake.cli.options import Option
    from amibake.ec2.cloud import Session
    from amibake.image import Image

STAGES = {
    "primal": "Bake the base image: OS tweaks, nginx, node, npm dependencies.",
    "carnivore": "Bake the deployment image on top of a primal one.",
}


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
    from amibake import recipes
    from amibake.cli.options import options_of

    recipe: Callable[..., Image | None] = getattr(recipes, f"build_{stage}")
    options = options_of(recipe)

    def bake(report: Reporter, *, sandbox: bool, **given: Any) -> Outcome:
        return _outcome(_bake(recipe, values(options, given), report, sandbox=sandbox))

    parameters = [*(option.parameter() for option in options), _SANDBOX]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    help_text = f"{STAGES[stage]}\n\nEvery option is a keyword of amibake.build_{stage} in Python."
    only = typer.Typer(add_completion=False, rich_markup_mode="rich")
    only.command(stage, cls=Stacked)(
        command(bake, parameters, name=stage, help=help_text, known={option.name for option in options}, logs=True)
    )
    return typer.main.get_command(only)


_SANDBOX = switch(
    "sandbox",
    "--sandbox",
    help="Bake on this machine, in containers, to try it: the image is gone in the end.",
    panel="Where",
)


def values(options: list[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of what the command line gives.

    Raises:
        InvalidOption: what can't be read, each of them.
    """
    from amibake.errors import InvalidOption

    read, mistakes = dict[str, Any](), list[str]()
    for option in options:
        value = given[option.name]
        if value is not None and value != []:
            try:
                read[option.name] = option.kind.read(value)
            except ValueError as error:
                mistakes.append(f"{option.name}: {error}")
    if mistakes:
        raise InvalidOption(*mistakes)
    return read


def _bake(
    recipe: Callable[..., Image | None], options: dict[str, Any], report: Reporter, *, sandbox: bool
) -> Image | None:
    from amibake.cli.sources import settled

    with _place(report, wanted=sandbox) as (session, defaults):
        keywords = inspect.signature(recipe).parameters
        options = {**{name: value for name, value in defaults.items() if name in keywords}, **options}
        app = options.get("app", keywords["app"].default)
        return recipe(**settled(options, app, session), session=session, on_event=report.event)


@contextmanager
def _place(report: Reporter, *, wanted: bool) -> Iterator[tuple[Session | None, dict[str, Any]]]:
    """The session to bake with, and what is said for the options there: the account's, or a local cloud's."""
    if not wanted:
        yield None, {}
        return
    from amibake.events import Warned
    from amibake.sandbox import LocalCloud

    with LocalCloud() as cloud:
        report.event(Warned(f"baking in the sandbox {cloud.id}, with node from {cloud.node_mirror}"))
        yield cloud.session, {"node_mirror": cloud.node_mirror}


def _outcome(image: Image | None) -> Outcome:
    from amibake.cli.jsonlines import plain
    from amibake.image import BUILD

    if image is None:
        return Outcome({"image": None}, ["no image was made: --skip-create-ami"])
    where = ", ".join(f"{one} in {region}" for region, one in image.ids.items())
    lines = [f"{image.name}: {where}", *(f"left behind: {line}" for line in image.leftovers)]
    more = [f"baked from {image.source_ami} as build {image.tags.get(BUILD, 'unknown')}"]
    return Outcome({"image": plain(image)}, lines, more, [image.id], timings=image.timings)
