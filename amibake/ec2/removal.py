"""Removing what dead bakes have left, in the order in which EC2 lets it, side by side within a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from amibake.ec2 import by_hand, iam_remains
from amibake.ec2.cloud import RELEASE, Cloud, missing, tag_list
from amibake.ec2.drafts import LATE, describe, is_protected, snapshot_ids
from amibake.ec2.images import is_published
from amibake.ec2.listing import list_things
from amibake.ec2.profile import BUSY, UNKNOWN
from amibake.ec2.remains import KINDS, Thing
from amibake.ec2.resource import patiently
from amibake.ec2.spot import delete_fleets
from amibake.ec2.workers import Workers
from amibake.errors import AmibakeError, WaitTimeout
from amibake.image import DRAFT, EXPIRES, ORIGIN, PUBLISHED, STATE
from amibake.waiting import Deadline, Pending, wait_for

PATIENCE = 120.0
"""Seconds for which something may still be in use by what has just been removed."""

_IN_USE = {
    "network interface": ("InvalidNetworkInterface.InUse",),
    "security group": ("DependencyViolation",),
    "snapshot": ("InvalidSnapshot.InUse",),
    "volume": ("VolumeInUse",),
    **dict.fromkeys(iam_remains.KINDS, BUSY),
}


@dataclass
class Removal:
    """Removes things; `clouds` is one for each region, and for "" one to speak to IAM. What could not be removed is a
    leftover in the cloud's ledger. Attributes: `removed`, `finished`."""

    work: Workers
    clouds: Mapping[str, Cloud]
    now: float
    removed: list[Thing] = field(default_factory=list)
    finished: list[Thing] = field(default_factory=list)
    _staying: set[str] = field(default_factory=set)
    """The builds and images of which something else depends that is still there."""
    _published: set[str] = field(default_factory=set)
    """Images that have been published since they were listed, and their snapshots."""

    def remove(self, things: Sequence[Thing], seen: Sequence[Thing]) -> None:
        """Remove these; `seen` are all that were listed."""
        for kind in KINDS:
            of_kind = [thing for thing in things if thing.kind == kind]
            if kind == "instance":
                self._end(of_kind)
            else:
                self._removed(of_kind, self.work.each(self._remove_one, of_kind))
        self._remove_late(seen)

    def finish(self, things: Sequence[Thing]) -> None:
        """Turn the tags of drafts into those of what is published."""
        done = self.work.each(self._finish_one, things)
        self.finished += [thing for thing, well in zip(things, done, strict=True) if well]

    def _removed(self, things: Sequence[Thing], gone: Sequence[bool]) -> None:
        for thing, is_gone in zip(things, gone, strict=True):
            if is_gone:
                self.removed.append(thing)
            else:
                self._staying |= {thing.id, *([thing.build] if thing.kind == "instance" else ())}
                self._staying.update(snapshot_ids(thing.facts) if thing.kind == "image" else ())  # type: ignore[arg-type]

    def _end(self, instances: Sequence[Thing]) -> None:
        """Terminate all of them first, then wait for all."""
        errors = dict(zip([one.id for one in instances], self.work.each(self._terminate, instances), strict=True))
        errors |= self._wait_until_terminated([one for one in instances if errors[one.id] is None])
        self._removed(instances, [self._release(one, partial(_confirm, errors[one.id])) for one in instances])

    def _terminate(self, instance: Thing) -> AmibakeError | None:
        try:
            self.clouds[instance.region].ec2.terminate_instances(InstanceIds=[instance.id])
        except AmibakeError as error:
            return None if missing(error) else error
        return None

    def _wait_until_terminated(self, instances: Sequence[Thing]) -> dict[str, AmibakeError | None]:
        """The errors of those that are not."""
        left = {region: [one.id for one in instances if one.region == region] for region in self.clouds}

        def probe() -> Pending | None:
            seen: dict[str, str] = {}
            for region in [region for region, ids in left.items() if ids]:
                found = _states(self.clouds[region], left[region])
                left[region] = list(found)
                seen |= found
            return Pending(", ".join(f"{one} is {state}" for one, state in seen.items())) if seen else None

        emit = next(iter(self.clouds.values())).ledger.emit
        try:
            wait_for("instances to be terminated", probe, deadline=Deadline(RELEASE), emit=emit)
        except WaitTimeout as timeout:
            return {one: timeout for ids in left.values() for one in ids}
        return {}

    def _remove_one(self, thing: Thing) -> bool:
        if thing.id in self._published:
            return False
        if thing.kind == "snapshot" and thing.id in self._staying:
            error = AmibakeError("the image that is made of it could not be removed")
            return self._release(thing, partial(_confirm, error))
        cloud = self.clouds[thing.region]
        if thing.kind == "image":
            try:
                published = self._was_published_meanwhile(cloud, thing)
            except AmibakeError as error:
                return self._release(thing, partial(_confirm, error))
            if published:
                return False
        call = _call(cloud, thing) if thing.region else iam_remains.removal(cloud, thing)
        busy = _IN_USE.get(thing.kind, ())
        # what an instance that is still there holds will not be free soon
        deadline = Deadline(0 if thing.build in self._staying else PATIENCE)

        def remove() -> None:
            def again(error: AmibakeError) -> bool:
                return error.code in busy and not self.work.stopped.is_set()

            try:
                patiently(cloud, f"{thing.kind} {thing.id} to be free", call, again=again, deadline=deadline)
            except AmibakeError as error:
                if not missing(error) and error.code != UNKNOWN:
                    raise

        return self._release(thing, remove)

    def _was_published_meanwhile(self, cloud: Cloud, image: Thing) -> bool:
        """Since it was listed instances have been waited for; a bake that is named may go on all the while."""
        found = describe(cloud.ec2, image.id)
        if found is None or not is_published(cloud, found):
            return False
        self._published |= {image.id, *snapshot_ids(found)}
        cloud.ledger.warn(f"image {image.id} in {image.region} stays: its bake has published it meanwhile")
        return True

    def _release(self, thing: Thing, remove: Callable[[], object]) -> bool:
        """Answers whether it is gone; if not, it is a leftover."""
        cloud, gone = self.clouds[thing.region], list[bool]()

        def removed() -> None:
            remove()
            gone.append(True)

        cloud.ledger.release(thing.kind, thing.id, removed, _by_hand(cloud, thing))
        return bool(gone)

    def _remove_late(self, seen: Sequence[Thing]) -> None:
        """An image that is deregistered while it is pending may get snapshots for a moment more."""
        builds = {(one.region, one.build) for one in self.removed if _is_pending_image(one)}
        known = {thing.id for thing in seen}

        def probe() -> Pending:
            for region, build in sorted(builds):
                late = list_things(self.clouds[region], "snapshot", build)
                new = [one for one in late.things if one.id not in known and self._is_dead_draft(one, build)]
                known.update(one.id for one in new)
                self._removed(new, self.work.each(self._remove_one, new))
            return Pending("perhaps")

        if builds:
            emit = next(iter(self.clouds.values())).ledger.emit
            try:
                wait_for("snapshots of images that were pending", probe, deadline=Deadline(LATE), emit=emit)
            except WaitTimeout:
                return  # so there are no more

    def _is_dead_draft(self, snapshot: Thing, build: str) -> bool:
        return not snapshot.why_not(self.now, build) and snapshot.tags.get(STATE) == DRAFT

    def _finish_one(self, thing: Thing) -> bool:
        cloud = self.clouds[thing.region]
        try:
            cloud.ec2.create_tags(Resources=[thing.id], Tags=tag_list({STATE: PUBLISHED}))
            cloud.ec2.delete_tags(Resources=[thing.id], Tags=[{"Key": EXPIRES}, {"Key": ORIGIN}])
        except AmibakeError as error:
            if not missing(error):
                cloud.ledger.warn(f"the tags of a draft stay on {thing.id} in {thing.region}: {error.message}")
            return False
        return True


def _confirm(error: AmibakeError | None) -> None:
    if error is not None:
        raise error


def _is_pending_image(thing: Thing) -> bool:
    return thing.kind == "image" and thing.facts.get("State") == "pending"


def _states(cloud: Cloud, instance_ids: Sequence[str]) -> dict[str, str]:
    """The states of those that are not terminated."""
    try:
        # by a filter, since one that EC2 has forgotten is no error then
        filters = [{"Name": "instance-id", "Values": list(instance_ids)}]
        reservations = cloud.ec2.describe_instances(Filters=filters)["Reservations"]  # type: ignore[arg-type]
    except AmibakeError as error:
        return dict.fromkeys(instance_ids, f"unknown ({error.message})")
    states = {one["InstanceId"]: one["State"]["Name"] for found in reservations for one in found["Instances"]}
    return {one: str(state) for one, state in states.items() if state != "terminated"}


def _call(cloud: Cloud, thing: Thing) -> Callable[[], object]:
    """The call that removes something in a region."""
    ec2 = cloud.ec2
    calls: dict[str, Callable[[], object]] = {
        "fleet": partial(delete_fleets, cloud, [thing.id]),
        "image": partial(_deregister, cloud, thing),
        "key pair": partial(ec2.delete_key_pair, KeyPairId=thing.id),
        "launch template": partial(ec2.delete_launch_template, LaunchTemplateId=thing.id),
        "network interface": partial(ec2.delete_network_interface, NetworkInterfaceId=thing.id),
        "security group": partial(ec2.delete_security_group, GroupId=thing.id),
        "snapshot": partial(ec2.delete_snapshot, SnapshotId=thing.id),
        "volume": partial(ec2.delete_volume, VolumeId=thing.id),
    }
    return calls[thing.kind]


def _by_hand(cloud: Cloud, thing: Thing) -> str:
    """The command that does the same."""
    kind = "key pair by id" if thing.kind == "key pair" else thing.kind
    protected = thing.kind == "image" and is_protected(thing.facts)  # type: ignore[arg-type]  # they are EC2's
    return by_hand.removal(cloud, kind, thing.id, role=thing.facts.get("role", ""), protected=protected)


def _deregister(cloud: Cloud, image: Thing) -> None:
    if is_protected(image.facts):  # type: ignore[arg-type]  # they are EC2's
        cloud.ec2.disable_image_deregistration_protection(ImageId=image.id)
    cloud.ec2.deregister_image(ImageId=image.id)
