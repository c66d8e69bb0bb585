"""Taking a name from an image that has it (force_deregister), once the new one is published.

Names are unique in an account and region and can't be changed. So the new image is made, and published, under a
provisional name. Only then the old one is deregistered, and the new one's snapshots are registered under the name: that
takes a moment. Whatever goes wrong on the way, the published image stays, with the provisional name: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from amibake.builder import Builder
from amibake.ec2.cloud import CONSISTENCY, Cloud, tag_dict
from amibake.ec2.drafts import delete_snapshot, deregister, describe, is_protected, seen, snapshot_ids
from amibake.ec2.images import DraftTags, wait_until_available
from amibake.ec2.names import find_taken
from amibake.ec2.publication import demand, deprecate, deprecation, protect, share
from amibake.ec2.resource import patiently, remove, unless_gone
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError, InvalidOption, WaitTimeout
from amibake.events import Removed
from amibake.image import BUILD, Image
from amibake.interrupts import held
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from amibake.ec2.lookup import Plan

_TAKEN = "InvalidAMIName.Duplicate"
_KEPT = (
    "Architecture",
    "BootMode",
    "Description",
    "EnaSupport",
    "ImdsSupport",
    "KernelId",
    "RamdiskId",
    "RootDeviceName",
    "SriovNetSupport",
    "TpmSupport",
    "VirtualizationType",
)
_KEPT_OF_EBS = ("DeleteOnTermination", "Iops", "SnapshotId", "Throughput", "VolumeSize", "VolumeType")


def provisional(name: str, build: str) -> str:
    """A name for an image that is to get its own one later, or never."""
    return f"{name[: 127 - len(build)].rstrip()} {build}"


def check_taken(builder: Builder, source: SourceImage, taken: Mapping[str, ImageTypeDef]) -> None:
    """Raises InvalidOption when the name is taken, {region: by this image}, and can't or shall not be freed."""
    if not taken:
        return
    if not builder.force_deregister:
        owners = ", ".join(f"{image['ImageId']} in {region}" for region, image in taken.items())
        raise InvalidOption(
            f"ami_name: {owners} is called {builder.ami_name!r} already",
            hint="Names are unique in an account and region; {{timestamp}} in the name makes it so.",
        )
    mistakes = [
        f"force_deregister: {image['ImageId']} in {region} is protected against deregistration"
        for region, image in taken.items()
        if is_protected(image)
    ]
    if source.is_billed:
        mistakes.append(
            f"force_deregister: {source.id} has product codes or licences included, which a name can't be given to "
            "afterwards: use a name of its own, such as one with {{timestamp}}"
        )
    if mistakes:
        raise InvalidOption(*mistakes)


def take_names(cloud: Cloud, published: Image, plan: Plan, tags: DraftTags) -> Image:
    """The published image, with those of its region exchanged for ones with the name that others had."""
    image = published
    for region, old in plan.taken.items():
        here = cloud.elsewhere(region)
        try:
            with held():
                image = _exchanged(here, image, old, plan.builder, tags)
        except AmibakeError as error:
            here.ledger.warn(
                f"{image.ids[region]} in {region} is published as {plan.names[region]!r}, since the name "
                f"{plan.builder.ami_name!r} could not be taken from {old['ImageId']}: {error.message}"
            )
    return image


def _exchanged(cloud: Cloud, image: Image, old: ImageTypeDef, builder: Builder, tags: DraftTags) -> Image:
    """The image with another one in this region, of the same snapshots and with the name."""
    region, ours = cloud.region, seen(cloud, image.ids[cloud.region])
    current = describe(cloud.ec2, old["ImageId"])
    if ours is None or (current is not None and is_protected(current)):
        raise AmibakeError("it has been protected meanwhile" if ours else "the new image is not to be seen")
    if current is not None:
        unless_gone(cloud, old["ImageId"], partial(cloud.ec2.deregister_image, ImageId=old["ImageId"]))
        cloud.ledger.emit(Removed("image", old["ImageId"]))
    named_id = _register(cloud, ours, builder, tags)
    try:
        named = wait_until_available(cloud, {region: named_id})[region]
        for step in (share, demand, partial(deprecate, moment=deprecation(builder)), protect):
            step(cloud, named, builder)
    except AmibakeError:
        _deregister_one_of_two(cloud, named_id)
        raise
    _deregister_one_of_two(cloud, ours["ImageId"])
    ids = {**image.ids, region: named_id}
    return replace(image, ids=ids, id=ids[image.region], name=builder.ami_name)


def _deregister_one_of_two(cloud: Cloud, image_id: str) -> None:
    """One of two images of the same snapshots, which stay for the other."""
    by_hand = cloud.command("deregister-image", "--image-id", image_id)
    if image_id in cloud.protected:
        by_hand = f"{cloud.command('disable-image-deregistration-protection', '--image-id', image_id)} && {by_hand}"
    remove(cloud, "image", image_id, partial(deregister, cloud, image_id), by_hand=by_hand)


def _register(cloud: Cloud, image: ImageTypeDef, builder: Builder, tags: DraftTags) -> str:
    facts: Mapping[str, Any] = image
    mappings: list[Any] = []
    for one in image.get("BlockDeviceMappings", []):
        ebs: Mapping[str, Any] = one.get("Ebs", {})
        wanted = (*_KEPT_OF_EBS, *(() if ebs.get("SnapshotId") else ("Encrypted",)))  # a snapshot says it by itself
        kept = {key: ebs[key] for key in wanted if ebs.get(key) is not None}
        rest = {key: value for key, value in one.items() if key != "Ebs"}
        mappings.append({**rest, **({"Ebs": kept} if kept else {})})
    register = partial(
        cloud.ec2.register_image,
        Name=builder.ami_name,
        BlockDeviceMappings=mappings,
        TagSpecifications=tags.published(),
        **{key: facts[key] for key in _KEPT if facts.get(key)},
    )

    def is_early(error: AmibakeError) -> bool:
        """The name is not free yet, or EC2 does not know the snapshots."""
        return error.code == "InvalidSnapshot.NotFound" or (error.code == _TAKEN and not error.lost)

    what, deadline = f"the name {builder.ami_name!r} to be free", Deadline(CONSISTENCY)
    try:
        return patiently(cloud, what, register, again=is_early, deadline=deadline)["ImageId"]
    except AmibakeError as error:
        ours = _lost(cloud, builder.ami_name) if error.lost else None
        if ours is None:
            raise
        return ours


def _lost(cloud: Cloud, name: str) -> str | None:
    """What a call has registered whose answer was lost, once EC2 shows it."""

    def probe() -> str | Pending:
        found = find_taken(cloud, name, [cloud.region]).get(cloud.region)
        ours = found is not None and tag_dict(found.get("Tags")).get(BUILD) == cloud.build
        return found["ImageId"] if found is not None and ours else Pending("none")

    try:
        return wait_for("a lost image to show", probe, deadline=Deadline(CONSISTENCY), emit=cloud.ledger.emit)
    except WaitTimeout:
        return None


def delete_old_snapshots(cloud: Cloud, taken: Mapping[str, ImageTypeDef], image: Image) -> None:
    """The snapshots that were made for images which have made way, but no others that they list; what can't be deleted
    is a leftover."""
    for region, old in taken.items():
        here, listed = cloud.elsewhere(region), sorted(set(snapshot_ids(old)) - set(image.snapshots[region]))
        try:
            unwanted = _own_snapshots(here, old, listed)
        except AmibakeError as error:
            look = here.command("describe-snapshots", "--snapshot-ids", *listed)
            here.ledger.left(f"perhaps snapshots of {old['ImageId']} ({error.message})", look)
        else:
            for snapshot in unwanted:
                delete_snapshot(here, snapshot)


def _own_snapshots(cloud: Cloud, old: ImageTypeDef, listed: list[str]) -> list[str]:
    """Those that were made for the image; none while it has not made way."""
    if not listed or describe(cloud.ec2, old["ImageId"]) is not None:
        return []
    build = tag_dict(old.get("Tags")).get(BUILD)
    found = cloud.ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": listed}])["Snapshots"]
    return [
        one["SnapshotId"]
        for one in found
        if (build is not None and tag_dict(one.get("Tags")).get(BUILD) == build)
        or old["ImageId"] in one.get("Description", "")  # "Created by CreateImage(i-…) for ami-…"
    ]
