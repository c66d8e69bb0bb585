"""`amibake build … --plan`: what a bake would be, found out without making anything."""

from __future__ import annotations

import inspect
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amibake import ingredients, recipes
from amibake.cli.calls import Call, calls
from amibake.cli.jsonlines import plain
from amibake.cli.report import Outcome, Reporter
from amibake.ec2.cloud import connect
from amibake.ec2.lookup import Plan, look_up
from amibake.errors import InvalidOption
from amibake.flow import check
from amibake.host import Provisioner
from amibake.ledger import Ledger
from amibake.provisioners import File, Shell
from amibake.secret import HIDDEN, Secret, revealed
from amibake.ssh.local import look_at, scan

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

_NO_BUILD = "0" * 16
"""In place of a bake's id, where a name has one."""
_INGREDIENTS: Mapping[str, tuple[Callable[..., Any], Callable[..., ingredients.Recipe]]] = {
    "primal": (recipes.build_primal, ingredients.primal),
    "carnivore": (recipes.build_carnivore, ingredients.carnivore),
}
_NOT_INGREDIENTS = ("on_error", "resume")
"""Options that say how to bake, not what."""


def plan(stage: str, options: Mapping[str, Any], session: Session | None, report: Reporter) -> Outcome:
    """What `amibake build` with these options would do. Everything is looked up, and nothing is made.

    Raises:
        AmibakeError: as a bake, up to its launch.
    """
    if "resume" in options:
        raise InvalidOption("resume: a plan is of a bake from its beginning")
    recipe = _recipe(stage, options)
    check(recipe.builder, recipe.provisioners)
    ledger = Ledger(report.event)
    cloud = connect(session, build=_NO_BUILD, ledger=ledger, access=recipe.builder)
    with ledger.step("look up what is needed"):
        found = look_up(cloud, recipe.builder)
    wanted, steps = calls(found), [_step(one) for one in recipe.provisioners]
    data = {
        "name": found.builder.ami_name,
        "region": found.region,
        "regions": list(found.regions),
        "source_ami": plain(found.source),
        "options": _options(found),
        "provisioners": steps,
        "calls": plain(wanted),
    }
    text = [*_heading(found), "", *_shown(data["options"]), "", "On the builder", *_told(steps), "", *_listed(wanted)]
    return Outcome({"plan": data}, [*text, "", "Nothing was launched."], brief=[found.builder.ami_name])


def _recipe(stage: str, options: Mapping[str, Any]) -> ingredients.Recipe:
    """What the recipe comes to, with its defaults."""
    build, recipe = _INGREDIENTS[stage]
    given = {name: value for name, value in options.items() if name not in _NOT_INGREDIENTS}
    taken = inspect.signature(recipe).parameters
    found = inspect.signature(build).parameters.items()
    defaults = {name: one.default for name, one in found if name in taken and one.default is not one.empty}
    return recipe(**{**defaults, **given})


def _heading(found: Plan) -> Iterator[str]:
    builder, source = found.builder, found.source
    kind = "spot" if builder.is_spot else "on demand"
    yield f"{builder.ami_name!r} in {', '.join(found.regions)}"
    yield f"  from     {source.id} {source.name} ({source.architecture}, {source.creation_date[:10] or 'undated'})"
    where = " or ".join(found.network.subnet_ids) or builder.availability_zone or "EC2's choice in the default VPC"
    yield f"  builder  {' or '.join(builder.instance_types)}, {kind}, in {where}"


def _options(found: Plan) -> dict[str, Any]:
    """The builder's options that are not as they are by default, rendered; what may be secret hidden."""
    fields = type(found.builder).model_fields
    given = found.builder.model_dump(mode="json", exclude_defaults=True)
    return {name: value if fields[name].repr else HIDDEN for name, value in given.items()}


def _shown(options: Mapping[str, Any]) -> Iterator[str]:
    yield "Options, as far as they are not the defaults"
    width = max(map(len, options), default=0)
    for name, value in options.items():
        yield f"  {name.ljust(width)}  {json.dumps(value, ensure_ascii=False)}"


def _step(step: Provisioner) -> dict[str, Any]:
    """What is sent up, with how much that is; or what is run, with the variables that it sees."""
    if isinstance(step, File):
        files, size = _size(os.fspath(step.source or ""), step) if step.content is None else (1, _length(step.content))
        return {"does": str(step), "files": files, "bytes": size, "variables": {}}
    variables = plain(step.environment_vars) if isinstance(step, Shell) else {}
    return {"does": str(step), "files": 0, "bytes": 0, "variables": variables}


def _length(content: str | bytes | Secret) -> int:
    return len(content if isinstance(content, bytes) else revealed(content).encode())


def _size(source: str, step: File) -> tuple[int, int]:
    """How many files are sent, and how many bytes."""
    top = look_at(source, "", os.stat)
    entries = list(scan(top, step.exclude)) if Path(source).is_dir() else [top]
    files = [entry for entry in entries if stat.S_ISREG(entry.seen.st_mode)]
    return len(files), sum(entry.size for entry in files)


def _told(steps: list[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        much = f" ({step['files']} files, {step['bytes']:,} bytes)" if step["files"] else ""
        yield f"  {step['does']}{much}"
        yield from (f"    {name}={value}" for name, value in step["variables"].items())


def _listed(wanted: list[Call]) -> Iterator[str]:
    yield "Calls that change something"
    width = max(len(call.call) for call in wanted)
    several = len({call.region for call in wanted if call.region}) > 1
    for step, of_it in groupby(wanted, lambda call: call.step):
        yield f"  {step}"
        for call in of_it:
            where = f" ({call.region})" if several and call.region else ""
            yield f"    {call.call.ljust(width)}  {call.about}{where}"
