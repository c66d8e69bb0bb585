"""One bake by a recipe, as the command line asks for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amibake import recipes
from amibake.cli.asking import ASK, check_on_error, decide
from amibake.cli.config import configured
from amibake.cli.jsonlines import plain
from amibake.cli.manifest import add_to_manifest, check_manifest
from amibake.cli.options import Option, builder_options, options_of
from amibake.cli.planning import plan as planned
from amibake.cli.report import Note, Outcome, Reporter
from amibake.cli.sources import settled
from amibake.errors import InvalidOption
from amibake.image import BUILD, Image

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

RECIPES: dict[str, Callable[..., Image | None]] = {
    "primal": recipes.build_primal,
    "carnivore": recipes.build_carnivore,
}
OPTIONS: dict[str, list[Option]] = {stage: options_of(recipe) for stage, recipe in RECIPES.items()}
"""The options of each recipe."""


@dataclass(frozen=True)
class Wish:
    """What the command line says besides the recipe's options.

    Attributes:
        sandbox: Whether to bake on this machine.
        environment: Whose options in the configuration file count.
        manifest: The file to which the image is added.
        plan: Whether only to tell what the bake would be.
    """

    sandbox: bool = False
    environment: str | None = None
    manifest: str | None = None
    plan: bool = False


def bake(stage: str, given: Mapping[str, Any], wish: Wish, report: Reporter) -> Outcome:
    """Bake, and tell what came of it.

    Raises:
        AmibakeError: see `amibake.errors`.
    """
    options = values(stage, given, wish.environment)
    if wish.manifest is not None:
        check_manifest(Path(wish.manifest))
    check_on_error(options, sandbox=wish.sandbox)
    with _place(report, options, stage, wanted=wish.sandbox) as (session, options):
        if wish.plan:
            return planned(stage, options, session, report)
        image = _baked(stage, options, session, report)
    if image is None:
        return Outcome({"image": None}, ["no image was made: --skip-create-ami"])
    if wish.manifest is not None:
        add_to_manifest(Path(wish.manifest), image)
    where = ", ".join(f"{one} in {region}" for region, one in image.ids.items())
    more = [f"baked from {image.source_ami} as build {image.tags.get(BUILD, 'unknown')}"]
    more += ["the sandbox has ended, and the image with it"] if wish.sandbox else []
    return Outcome(
        {"image": plain(image)},
        [f"{image.name}: {where}", *(f"left behind: {line}" for line in image.leftovers)],
        more,
        [image.id],
        timings=image.timings,
        left=image.leftovers,
    )


def _baked(stage: str, options: dict[str, Any], session: Session | None, report: Reporter) -> Image | None:
    asks = options.get("on_error") == ASK
    options = {**options, "on_error": "keep"} if asks else options
    try:
        return RECIPES[stage](**options, session=session, on_event=report.event)
    except Exception as error:
        if asks:
            decide(error, options, session, report)
        raise


def values(stage: str, given: Mapping[str, Any], environment: str | None = None) -> dict[str, Any]:
    """The keywords of what the command line gives, and, for the rest, the configuration file.

    Raises:
        InvalidOption: what can't be read, or is missing, each of them.
    """
    return _read(OPTIONS[stage], stage, given, environment)


def builder_values(stage: str, given: Mapping[str, Any], environment: str | None = None) -> dict[str, Any]:
    """The same of the builder's options alone."""
    return _read(builder_options(), stage, given, environment)


def _read(options: list[Option], stage: str, given: Mapping[str, Any], environment: str | None) -> dict[str, Any]:
    known = {name: {option.name for option in options} for name, options in OPTIONS.items()}
    found = configured(stage, environment, known)
    found |= {name: value for name, value in given.items() if value is not None and value != []}
    read, mistakes = dict[str, Any](), list[str]()
    for option in options:
        if option.name in found:
            try:
                read[option.name] = option.read(found[option.name])
            except ValueError as error:
                mistakes.append(f"{option.name}: {error}")
        elif option.required:
            mistakes.append(f"{option.name}: is missing")
    if mistakes:
        raise InvalidOption(*mistakes)
    return read


@contextmanager
def _place(
    report: Reporter, options: dict[str, Any], stage: str, *, wanted: bool
) -> Iterator[tuple[Session | None, dict[str, Any]]]:
    """The session to bake with, and the options as they are meant there: in the account, or in a local cloud."""
    if not wanted:
        yield None, settled(options, _app(stage, options), None)
        return
    from amibake.sandbox import LocalCloud

    with LocalCloud(options.get("region") or "us-east-1", progress=lambda text: report.event(Note(text))) as cloud:
        mirrored = {"node_mirror": cloud.node_mirror} if "node_mirror" in _keywords(stage) else {}
        options = {**mirrored, **options}
        node = f"; node comes from {options['node_mirror']}" if "node_mirror" in options else ""
        report.event(Note(f"sandbox {cloud.id}: everything happens on this machine{node}"))
        yield cloud.session, settled(options, _app(stage, options), cloud.session)


def _app(stage: str, options: Mapping[str, Any]) -> object:
    return options.get("app", _keywords(stage)["app"].default)


def _keywords(stage: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(RECIPES[stage]).parameters
