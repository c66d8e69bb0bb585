"""The images of a bake while nobody counts on them: drafts, which are removed again unless they get published."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from amibake.ec2 import resource
from amibake.ec2.by_hand import removal
from amibake.ec2.cloud import CONSISTENCY, Cloud, missing
from amibake.ec2.resource import eventually, make, unless_gone
from amibake.errors import AmibakeError, WaitTimeout
from amibake.image import DRAFT, STATE
from amibake.interrupts import held
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

UNKNOWN = "InvalidAMIID.NotFound"
"""EC2's word for an image that it does not know, or not yet."""

LATE = 60.0
"""Seconds after an image was deregistered while it was pending in which snapshots of it may still show."""


@dataclass(frozen=True)
class Draft:
    """An image that this bake has made in `cloud`'s region; `snapshots` is how many it has or will have."""

    cloud: Cloud
    id: str
    snapshots: int


@dataclass
class Drafts:
    """All images that a bake has made, and which of them are `published`, by id, with their snapshots, or deregistered
    again, or can't be."""

    made: list[Draft] = field(default_factory=list)
    published: dict[str, tuple[str, ...]] = field(default_factory=dict)
    deregistered: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    def make(self, cloud: Cloud, create: Callable[[], str], *, snapshots: int) -> str:
        """Make an image that is to have so many snapshots; answers with its id at once, while it is pending."""
        known = {draft.id for draft in self.made}
        ids: list[str] = []

        def find() -> list[str]:
            found = cloud.ec2.describe_images(Owners=["self"], Filters=cloud.of_this_build())["Images"]
            return [image["ImageId"] for image in found if image["ImageId"] not in known]

        if cloud.resumed:
            known.update(find())  # of what was on the builder before this bake went on with it
        try:
            return make(cloud, "image", create=create, find=find, ids=ids)
        finally:
            self.made += [Draft(cloud, found, snapshots) for found in ids]

    @contextmanager
    def pending(self) -> Iterator[None]:
        """While they are made of a builder that is there: when that fails they are deregistered at once, since a
        builder whose image is pending is not to be terminated."""
        try:
            yield
        except BaseException:
            with held():
                for draft in self.made:
                    self.deregister(draft)
            raise

    def deregister(self, draft: Draft) -> None:
        """Deregister one, once; one that can't be is a leftover."""
        if draft.id in self.deregistered or draft.id in self.left:
            return
        call = partial(deregister, draft.cloud, draft.id)
        gone = resource.remove(draft.cloud, "image", draft.id, call)
        (self.deregistered if gone else self.left).add(draft.id)


@contextmanager
def unless_published() -> Iterator[Drafts]:
    """The drafts of a bake. In the end those that are not published are removed, with their snapshots, in all
    regions."""
    drafts = Drafts()
    try:
        yield drafts
    except BaseException as error:
        if drafts.published:
            error.add_note(f"published nevertheless: {', '.join(drafts.published)}")
        raise
    finally:
        with held():
            remove(drafts)


def remove(drafts: Drafts) -> None:
    """Deregister all that are not published, then delete their snapshots, which are found by their tag: a pending image
    lists none, and for a moment after it was deregistered there may be more of them."""
    unwanted = [draft for draft in drafts.made if draft.id not in drafts.published]
    spared = {snapshot for kept in drafts.published.values() for snapshot in kept}
    left = list(unwanted)
    try:
        for draft in unwanted:
            drafts.deregister(draft)
        for cloud in {draft.cloud.region: draft.cloud for draft in unwanted}.values():
            here = [draft for draft in unwanted if draft.cloud.region == cloud.region]
            # the snapshots of one that is still there can't be told apart
            if drafts.deregistered.issuperset(draft.id for draft in here):
                _delete_snapshots(cloud, spared, expected=max(draft.snapshots for draft in here))
            left = [draft for draft in left if draft not in here]
    except BaseException:
        for draft in left:
            draft.cloud.ledger.left(
                f"perhaps image {draft.id}, or snapshots of it", removal(draft.cloud, "image", draft.id)
            )
        raise


def deregister(cloud: Cloud, image_id: str) -> None:
    """Deregister an image of this bake, after taking away the protection against that which the bake has given it. That
    it is deregistered already is as good."""
    image = seen(cloud, image_id)
    if image and is_protected(image):
        unprotect = partial(cloud.ec2.disable_image_deregistration_protection, ImageId=image_id)
        eventually(cloud, unprotect, UNKNOWN, releasing=True)
    unless_gone(cloud, image_id, partial(cloud.ec2.deregister_image, ImageId=image_id))


def is_protected(image: ImageTypeDef) -> bool:
    """Whether EC2 refuses to deregister it."""
    return image.get("DeregistrationProtection", "disabled") != "disabled"


def _delete_snapshots(cloud: Cloud, spared: Collection[str], *, expected: int) -> None:
    done: set[str] = set()
    # an earlier bake that this one goes on with may have published some
    drafts: list[FilterTypeDef] = [*cloud.of_this_build(), {"Name": f"tag:{STATE}", "Values": [DRAFT]}]

    def probe() -> Pending | None:
        found = cloud.ec2.describe_snapshots(OwnerIds=["self"], Filters=drafts)["Snapshots"]
        for snapshot in sorted({one["SnapshotId"] for one in found}.difference(spared, done)):
            delete_snapshot(cloud, snapshot)
            done.add(snapshot)
        return None if len(done) >= expected else Pending(f"{len(done)} of {expected}")

    what = "the snapshots of an image that was given up"
    try:
        wait_for(what, probe, deadline=Deadline(LATE), emit=cloud.ledger.emit)
    except WaitTimeout:
        return  # so there are no more
    except AmibakeError as error:
        filters = f"Name=tag:amibake:build,Values={cloud.build}"
        cloud.ledger.left(
            f"perhaps snapshots of build {cloud.build} ({error.message})",
            cloud.command("describe-snapshots", "--owner-ids", "self", "--filters", filters),
        )


def delete_snapshot(cloud: Cloud, snapshot: str) -> None:
    """Delete one once EC2 lets it; one that can't be deleted is a leftover."""
    delete = partial(cloud.ec2.delete_snapshot, SnapshotId=snapshot)
    resource.remove(cloud, "snapshot", snapshot, delete, busy=("InvalidSnapshot.InUse",))


def snapshot_ids(image: ImageTypeDef) -> tuple[str, ...]:
    """The snapshots that an image lists; a pending one lists none."""
    mappings = image.get("BlockDeviceMappings", [])
    return tuple(found for mapping in mappings if (found := mapping.get("Ebs", {}).get("SnapshotId")))


def describe(ec2: EC2Client, image_id: str) -> ImageTypeDef | None:
    """What EC2 says of an image, or None where it knows of none."""
    try:
        found = ec2.describe_images(ImageIds=[image_id])["Images"]
    except AmibakeError as error:
        if missing(error):
            return None
        raise
    return found[0] if found else None


def seen(cloud: Cloud, image_id: str) -> ImageTypeDef | None:
    """What EC2 says of an image of which it has spoken before; None where it has not known it for a while."""
    deadline = Deadline(CONSISTENCY)

    def probe() -> ImageTypeDef | Pending:
        return describe(cloud.ec2, image_id) or Pending("unknown")

    try:
        return wait_for(f"image {image_id} to show", probe, deadline=deadline, emit=cloud.ledger.emit)
    except WaitTimeout:
        return None
