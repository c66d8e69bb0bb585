"""Taking a name from an image that has it (force_deregister), once the new one is complete.

Names are unique in an account and region and can't be changed. So the new image is made under a provisional name, and
once it is there the old one is deregistered and the new one's snapshots are registered under the name, at once: there
is no moment in which the disk of either is not kept by an image or as a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.drafts import Drafts, deregister, snapshot_ids
from amibake.ec2.images import DraftTags, wait_until_available
from amibake.ec2.resource import until_removed
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError, InvalidOption
from amibake.events import Removed

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from amibake.ec2.lookup import Plan

_KEPT = (
    "Architecture",
    "BootMode",
    "Description",
    "EnaSupport",
    "ImdsSupport",
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
        if image.get("DeregistrationProtection", "disabled") != "disabled"
    ]
    if source.is_billed:
        mistakes.append(
            f"force_deregister: {source.id} has product codes or licences included, which a name can't be given to "
            "afterwards: use a name of its own, such as one with {{timestamp}}"
        )
    if mistakes:
        raise InvalidOption(*mistakes)


def take_names(
    cloud: Cloud, drafts: Drafts, images: Mapping[str, ImageTypeDef], plan: Plan, tags: DraftTags
) -> dict[str, ImageTypeDef]:
    """The images, {region: image}, with those whose name was taken exchanged for ones that have it."""
    current, freed = dict(images), list[str]()
    try:
        for region, old in plan.taken.items():
            here = cloud.elsewhere(region)
            deregister(here, old["ImageId"], releasing=False)
            cloud.ledger.emit(Removed("image", old["ImageId"]))
            freed.append(f"{old['ImageId']} in {region}, whose snapshots are {', '.join(snapshot_ids(old))}")
            made = _register(here, drafts, images[region], plan.builder.ami_name, tags)
            current |= wait_until_available(cloud, {region: made})
            deregister(here, images[region]["ImageId"], releasing=False)
            drafts.made[:] = [draft for draft in drafts.made if draft.id != images[region]["ImageId"]]
    except AmibakeError as error:
        if freed:
            error.hint = "\n".join(filter(None, [error.hint, *(f"Deregistered before: {image}" for image in freed)]))
        raise
    return current


def _register(cloud: Cloud, drafts: Drafts, image: ImageTypeDef, name: str, tags: DraftTags) -> str:
    facts: Mapping[str, Any] = image
    mappings: list[Any] = []
    for one in image.get("BlockDeviceMappings", []):
        ebs: Mapping[str, Any] = one.get("Ebs", {})
        kept = {key: ebs[key] for key in _KEPT_OF_EBS if ebs.get(key) is not None}
        mappings.append(
            {**{key: value for key, value in one.items() if key != "Ebs"}, **({"Ebs": kept} if kept else {})}
        )
    request = {key: facts[key] for key in _KEPT if facts.get(key)}
    register = partial(
        cloud.ec2.register_image,
        Name=name,
        BlockDeviceMappings=mappings,
        TagSpecifications=tags.of(kept=True, kinds=("image",)),
        **request,
    )
    return drafts.make(cloud, lambda: register()["ImageId"], snapshots=len(snapshot_ids(image)))


def delete_old_snapshots(cloud: Cloud, taken: Mapping[str, ImageTypeDef]) -> None:
    """The snapshots of images that have made way; what can't be deleted is a leftover."""
    for region, old in taken.items():
        here = cloud.elsewhere(region)
        for snapshot in snapshot_ids(old):
            delete = partial(here.ec2.delete_snapshot, SnapshotId=snapshot)
            cloud.ledger.release(
                "snapshot",
                snapshot,
                partial(until_removed, here, f"snapshot {snapshot} to be free", delete, "InvalidSnapshot.InUse"),
                here.command("delete-snapshot", "--snapshot-id", snapshot),
            )
