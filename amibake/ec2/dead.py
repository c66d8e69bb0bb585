"""What of that which bakes have left is to be removed, and what stays, and why.

A bake is dead when its time is over, or when it is named. An image of a dead bake that is published, by its own tag or
by that of the image in its region of origin, is never removed: what a draft carries is taken off it instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from amibake.ec2.cloud import Cloud
from amibake.ec2.drafts import snapshot_ids
from amibake.ec2.images import has_published
from amibake.ec2.listing import Listed, instances_of
from amibake.ec2.remains import Thing
from amibake.ec2.workers import Workers
from amibake.errors import AmibakeError
from amibake.image import DRAFT, ORIGIN, PUBLISHED, STATE

REGION = "[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"


@dataclass(frozen=True)
class Verdict:
    """What is to be done with everything that was listed.

    Attributes:
        remove: What goes.
        finish: Images and snapshots that are published though they are marked as drafts.
        spared: What stays, with the reason.
    """

    remove: list[Thing] = field(default_factory=list)
    finish: list[Thing] = field(default_factory=list)
    spared: list[tuple[Thing, str]] = field(default_factory=list)

    def spare(self, thing: Thing, reason: str) -> None:
        """It stays."""
        self.spared.append((thing, reason))


def decide(work: Workers, cloud: Cloud, listed: Sequence[Listed], *, now: float, build: str | None) -> Verdict:
    """Say of everything that was listed whether it goes. What has to be asked of EC2 for that is asked here."""
    verdict = Verdict()
    dead = _dead(listed, now, build, verdict)
    by_kind: dict[str, list[Thing]] = {}
    for thing in dead:
        by_kind.setdefault(thing.kind, []).append(thing)
    images, snapshots = by_kind.pop("image", []), by_kind.pop("snapshot", [])
    going = {thing.id for thing in by_kind.get("instance", ())}
    for thing in (thing for things in by_kind.values() for thing in things):
        users = [one for one in _attached_to(thing) if one not in going]
        if users:
            verdict.spare(thing, f"it is attached to {users[0]}")
        else:
            verdict.remove.append(thing)
    _decide_images(work, cloud, listed, verdict, images, snapshots)
    return verdict


def _dead(listed: Sequence[Listed], now: float, build: str | None, verdict: Verdict) -> list[Thing]:
    """What is of a dead bake; the rest is spared. Not everything of a bake that was taken up again (`resume`) has got
    a later time to die, but its builder has."""
    things = [thing for one in listed for thing in one.things if not _is_over(thing)]
    alive = {thing.build: thing.id for thing in things if thing.kind == "instance" and thing.why_not(now, build)}
    dead: list[Thing] = []
    for thing in things:
        reason = thing.why_not(now, build)
        if not reason and build is None and thing.build in alive:
            reason = f"{alive[thing.build]} of the same bake has not expired"
        if reason:
            verdict.spare(thing, reason)
        else:
            dead.append(thing)
    return dead


def _is_over(thing: Thing) -> bool:
    """Whether EC2 only goes on telling of it."""
    return thing.kind == "instance" and thing.facts["State"]["Name"] == "terminated"


def _attached_to(thing: Thing) -> Iterable[str]:
    """The instances that a volume or an interface is attached to; "a service" where it is to something else."""
    attachments = thing.facts.get("Attachments", ()) if thing.kind == "volume" else ()
    if thing.kind == "network interface" and "Attachment" in thing.facts:
        attachments = [thing.facts["Attachment"]]
    return [one.get("InstanceId", "a service") for one in attachments]


def _decide_images(
    work: Workers,
    cloud: Cloud,
    listed: Sequence[Listed],
    verdict: Verdict,
    images: Sequence[Thing],
    snapshots: Sequence[Thing],
) -> None:
    known = {one.region: [*one.things, *one.more] for one in listed if one.kind == "image" and one.error is None}
    snapshots, unclear = _split(snapshots, known)
    for thing in unclear:
        verdict.spare(thing, "whether an image is made of it could not be asked")
    origins = _ask_origins(work, cloud, [*images, *snapshots])
    drafts = [thing for thing in images if _is_draft(thing, origins, verdict)]
    users = _ask_users(work, cloud, drafts)
    for image in drafts:
        reason = users.get(image.id) or users.get(image.region)
        if reason:
            verdict.spare(image, reason)
        else:
            verdict.remove.append(image)
    going = {thing.id for thing in verdict.remove}
    staying = {
        (region, snapshot): image.id
        for region, there in known.items()
        for image in there
        if image.id not in going
        for snapshot in snapshot_ids(image.facts)  # type: ignore[arg-type]  # they are EC2's
    }
    for snapshot in [thing for thing in snapshots if _is_draft(thing, origins, verdict)]:
        if user := staying.get((snapshot.region, snapshot.id)):
            verdict.spare(snapshot, f"{user} is made of it")
        else:
            verdict.remove.append(snapshot)


def _split(things: Iterable[Thing], known: Mapping[str, object]) -> tuple[list[Thing], list[Thing]]:
    """Those in the regions that are known, and the others."""
    here, elsewhere = list[Thing](), list[Thing]()
    for thing in things:
        (here if thing.region in known else elsewhere).append(thing)
    return here, elsewhere


def _origin(thing: Thing) -> tuple[str, str]:
    """The region in which it was decided whether it is published, and of which build; empty where none is named."""
    region, _, build = thing.tags.get(ORIGIN, "").partition("/")
    return region, build


def _ask_origins(work: Workers, cloud: Cloud, things: Iterable[Thing]) -> dict[tuple[str, str], bool | AmibakeError]:
    """Whether each origin has published: what it says, or the error that it answers with."""
    asked = [origin for origin in dict.fromkeys(map(_origin, things)) if re.fullmatch(REGION, origin[0])]
    clouds = {region: cloud.elsewhere(region) for region, _ in asked}  # making clients is not for threads

    def ask(origin: tuple[str, str]) -> bool | AmibakeError:
        try:
            return has_published(clouds[origin[0]], origin[1])
        except AmibakeError as error:
            return error

    return dict(zip(asked, work.each(ask, asked), strict=True))


def _is_draft(thing: Thing, origins: Mapping[tuple[str, str], bool | AmibakeError], verdict: Verdict) -> bool:
    """Whether it is known to be published nowhere; if not, the verdict on it is noted."""
    state = thing.tags.get(STATE)
    if state == PUBLISHED:
        verdict.finish.append(thing)
        return False
    if state != DRAFT:
        verdict.spare(thing, f"its {STATE} is {state!r}, not {DRAFT!r}")
        return False
    if ORIGIN not in thing.tags:
        return True  # never to be published
    origin = _origin(thing)
    said = origins.get(origin)
    if said is None or origin[1] != thing.build:
        verdict.spare(thing, f"its {ORIGIN} is {thing.tags[ORIGIN]!r}, so whether it is published is not known")
    elif isinstance(said, AmibakeError):
        verdict.spare(thing, f"whether it is published could not be asked in {origin[0]} ({said.message})")
    elif said:
        verdict.finish.append(thing)
    return said is False and origin[1] == thing.build


def _ask_users(work: Workers, cloud: Cloud, images: Iterable[Thing]) -> dict[str, str]:
    """{image: why it is in use}, and {region: why that is not known}."""
    ids: dict[str, list[str]] = {}
    for image in images:
        ids.setdefault(image.region, []).append(image.id)
    clouds = {region: cloud.elsewhere(region) for region in ids}

    def ask(region: str) -> dict[str, str]:
        try:
            return {
                image: f"{user} has been launched from it"
                for image, user in instances_of(clouds[region], ids[region]).items()
            }
        except AmibakeError as error:
            return {region: f"whether instances run from it could not be asked ({error.message})"}

    return {key: reason for found in work.each(ask, ids) for key, reason in found.items()}
