"""Removing what bakes have left that could not clean up: those that were killed, say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from amibake import waiting
from amibake.builder.access import Access
from amibake.ec2.cloud import Cloud, connect, is_build
from amibake.ec2.dead import REGION, decide
from amibake.ec2.iam_remains import list_profiles
from amibake.ec2.listing import LISTED, Listed, list_things
from amibake.ec2.remains import KINDS, Remnant, Spared
from amibake.ec2.removal import Removal
from amibake.ec2.workers import Workers, workers
from amibake.errors import InvalidOption
from amibake.events import Emit, Event, to_logging
from amibake.interrupts import interruptible
from amibake.ledger import Ledger

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

ALL = "all"
TOLERANCE = 300.0
"""Seconds by which clocks may differ."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep has done, or would do.

    Attributes:
        removed: What it has removed; in a dry run what it would.
        finished: Images and snapshots that are published but were still marked as drafts, and are so no more; in a dry
            run those that would not be.
        spared: What has the tags of something temporary and stays, each with the reason: above all what belongs to
            bakes that go on.
        leftovers: What could not be removed, one line each, with the command that removes it.
        warnings: What could not be looked at, and the like.
        regions: Where it has looked.
        dry_run: Whether it has only looked.
    """

    removed: tuple[Remnant, ...]
    finished: tuple[Remnant, ...]
    spared: tuple[Spared, ...]
    leftovers: tuple[str, ...]
    warnings: tuple[str, ...]
    regions: tuple[str, ...]
    dry_run: bool


def sweep(
    *,
    regions: str | Iterable[str] | None = None,
    build: str | None = None,
    dry_run: bool = False,
    session: Session | None = None,
    on_event: Emit | None = None,
) -> Sweep:
    """Remove what dead bakes have left in the account: what carries their tags and has expired.

    Nothing published is removed, nothing without those tags, no image from which there is an instance, no snapshot that
    an image which stays is made of, and nothing of a build whose builder has not expired. Volumes that a bake has kept
    (`delete_on_termination=False`) are not temporary any more; those of one that was killed are.

    Args:
        regions: Where to look: one region's name or several, or "all" for all that the account has enabled. By default
            the session's region. What IAM has is looked for in any case.
        build: The id of a bake, as it is printed at its start and in every error: remove what is left of that, and
            nothing else, whether it has expired or not, and be its builder running.
        dry_run: Only look.
        session: Whose account; with None, boto3's own resolution applies.
        on_event: Receives what happens as it happens (see `amibake.events`), one event at a time but in several
            threads; with None it goes to `logging`.

    Raises:
        InvalidOption: these are no names of regions, or this is no id of a bake.
        NotAuthorized: nothing may be looked at anywhere.
    """
    named = _named([regions] if isinstance(regions, str) else regions, build)
    ledger = Ledger(_one_at_a_time(on_event or to_logging))
    with interruptible(), workers() as work:
        cloud = connect(
            session,
            build=build or "",
            ledger=ledger,
            access=Access(region=next((one for one in named if one != ALL), None)),
        )
        clouds = {region: cloud.elsewhere(region) for region in _regions(cloud, named)}
        with ledger.step("look for what bakes have left"):
            listed = _listed(work, cloud, clouds, build)
            now = _now(ledger, listed)
            verdict = decide(work, cloud, listed, now=now, build=build)
        removal = Removal(work, {**clouds, "": cloud}, now)
        if dry_run:
            removal.removed = sorted(verdict.remove, key=lambda thing: KINDS.index(thing.kind))
            removal.finished = verdict.finish
        elif verdict.remove or verdict.finish:
            with ledger.step("remove what bakes have left"):
                removal.finish(verdict.finish)
                removal.remove(verdict.remove, seen=[thing for one in listed for thing in one.things])
    return Sweep(
        removed=tuple(thing.as_remnant(now) for thing in removal.removed),
        finished=tuple(thing.as_remnant(now) for thing in removal.finished),
        spared=tuple(Spared(thing.as_remnant(now), reason) for thing, reason in verdict.spared),
        leftovers=tuple(ledger.leftovers),
        warnings=tuple(ledger.warnings),
        regions=tuple(clouds),
        dry_run=dry_run,
    )


def _named(regions: Iterable[object] | None, build: object) -> list[str]:
    """The regions that are named, if any. Raises InvalidOption for what is wrong with the arguments."""
    asked = list(regions or ())
    named = [one for one in asked if isinstance(one, str) and (one == ALL or re.fullmatch(REGION, one))]
    mistakes = [f"regions: {one!r} is no name of a region" for one in asked if one not in named]
    if regions is not None and not asked:
        mistakes.append('regions: none is named; "all" is for all that the account has enabled')
    if build is not None and not is_build(build):
        mistakes.append(f"build: the id of a bake, 16 hex digits, not {build!r}")
    if mistakes:
        raise InvalidOption(*mistakes)
    return list(dict.fromkeys(named))


def _regions(cloud: Cloud, named: list[str]) -> list[str]:
    if ALL not in named:
        return named or [cloud.region]
    found = cloud.ec2.describe_regions()["Regions"]
    return sorted(one["RegionName"] for one in found if one.get("OptInStatus") != "not-opted-in")


def _listed(work: Workers, cloud: Cloud, clouds: Mapping[str, Cloud], build: str | None) -> list[Listed]:
    """Everything there is. Where not even instances can be listed nothing can be told; what else can't be is left out.

    Raises:
        AmibakeError: instances can be listed nowhere.
    """
    calls = [partial(list_things, one, kind, build) for one in clouds.values() for kind in LISTED]
    cloud.clients.service("iam", cloud.region)  # making clients is not for threads
    listed = work.each(lambda call: call(), [*calls, partial(list_profiles, cloud, build)])
    blind = {one.region: one.error for one in listed if one.kind == "instance" and one.error}
    if len(blind) == len(clouds):
        raise next(iter(blind.values()))
    for region, error in blind.items():
        cloud.ledger.warn(f"{region} is left as it is, since its instances could not be listed: {error.message}")
    seen = [one for one in listed if one.region not in blind]
    for one in seen:
        if one.error:
            where = f"in {one.region}" if one.region else "of IAM's"
            cloud.ledger.warn(
                f"no {one.kind} {where} was looked at, since they could not be listed: {one.error.message}"
            )
    return seen


def _now(ledger: Ledger, listed: Iterable[Listed]) -> float:
    """The time by this machine's clock, but never later than by EC2's: a clock that is ahead is not to end bakes that
    go on."""
    here, there = waiting.clock.epoch(), [date for one in listed for date in one.dates]
    ahead = here - min(there, default=here)
    if ahead > TOLERANCE:
        ledger.warn(f"the clock of this machine is {waiting.duration(ahead)} ahead of EC2's, which counts")
    return min([here, *there])


def _one_at_a_time(emit: Emit) -> Emit:
    lock = Lock()

    def locked(event: Event) -> None:
        with lock:
            emit(event)

    return locked
