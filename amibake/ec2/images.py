"""The image: made as a draft, awaited, published; and found again."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud, missing, tag_dict, tag_list
from amibake.ec2.instance import Machine
from amibake.ec2.resource import CONSISTENCY, eventually, resource, until_removed
from amibake.errors import AmibakeError, ImageFailed
from amibake.image import DRAFT, EXPIRES, ORIGIN, PUBLISHED, SOURCE_AMI, STATE, Image
from amibake.interrupts import held
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef


def draft_image(
    cloud: Cloud, machine: Machine, builder: Builder, tags: Mapping[str, str], published: Container[str]
) -> AbstractContextManager[str]:
    """CreateImage from the stopped builder; yields the image's id at once, while it is pending. It carries all of
    `tags` from the beginning, and a draft's own. At the end of the block it is removed again with its snapshots, unless
    it has been `published` meanwhile."""
    marks = {**tags, **cloud.marks, STATE: DRAFT, ORIGIN: f"{cloud.region}/{cloud.build}"}

    def create() -> str:
        ask = partial(
            cloud.ec2.create_image,
            InstanceId=machine.id,
            Name=builder.ami_name,
            Description=builder.ami_description,
            NoReboot=True,  # it is stopped; nothing is to start it again
            TagSpecifications=[{"ResourceType": kind, "Tags": tag_list(marks)} for kind in ("image", "snapshot")],
        )
        return eventually(cloud, ask, "InvalidInstanceID.NotFound")["ImageId"]

    def find() -> list[str]:
        found = cloud.ec2.describe_images(Owners=["self"], Filters=cloud.of_this_build())["Images"]
        return [image["ImageId"] for image in found]

    return resource(
        cloud,
        "image",
        create=create,
        find=find,
        release=partial(_remove, cloud),
        keep=published.__contains__,
    )


def _remove(cloud: Cloud, image_id: str) -> None:
    """Deregister an image, then delete its snapshots: those that it lists, and those of a still pending one, which
    lists none but has tagged them."""
    snapshots: set[str] = set()

    def deregister() -> None:
        image = _describe(cloud.ec2, image_id)
        tagged = cloud.ec2.describe_snapshots(OwnerIds=["self"], Filters=cloud.of_this_build())["Snapshots"]
        snapshots.update(snapshot_ids(image or {}), (found["SnapshotId"] for found in tagged))
        call = partial(cloud.ec2.deregister_image, ImageId=image_id)
        eventually(cloud, call, "InvalidAMIID.NotFound", releasing=True)

    by_hand = cloud.command("deregister-image", "--delete-associated-snapshots", "--image-id", image_id)
    cloud.ledger.release("image", image_id, deregister, by_hand)
    for snapshot in sorted(snapshots):
        delete = partial(cloud.ec2.delete_snapshot, SnapshotId=snapshot)
        cloud.ledger.release(
            "snapshot",
            snapshot,
            partial(until_removed, cloud, f"snapshot {snapshot} to be free", delete, "InvalidSnapshot.InUse"),
            cloud.command("delete-snapshot", "--snapshot-id", snapshot),
        )


def wait_until_available(cloud: Cloud, image_id: str) -> ImageTypeDef:
    """Wait for a pending image.

    Raises:
        ImageFailed: EC2 could not make it, and the message has EC2's reason; or it has vanished.
        WaitTimeout: the bake's time is up.
    """
    known = Deadline(CONSISTENCY)

    def probe() -> ImageTypeDef | Pending:
        image = _describe(cloud.ec2, image_id)
        if image is None:
            if known.remaining() <= 0:
                raise ImageFailed(f"image {image_id} has vanished while it was being made")
            return Pending("unknown")
        state = image["State"]
        if state in ("failed", "error", "invalid", "deregistered"):
            reason = image.get("StateReason", {}).get("Message", "no reason given")
            raise ImageFailed(f"image {image_id} is {state}: {reason}")
        return image if state == "available" else Pending(state)

    return wait_for(
        f"image {image_id} to be available",
        probe,
        deadline=Deadline(2 * 3600, within=cloud.deadline),
        emit=cloud.ledger.emit,
    )


def publish(cloud: Cloud, image: ImageTypeDef, published: set[str]) -> Image:
    """Mark a draft, and its snapshots, as published: from that call on nothing of ours removes it again, which its id
    in `published` says."""
    resources = [*snapshot_ids(image), image["ImageId"]]
    with held():
        _tag_as_published(cloud, resources)
        published.add(image["ImageId"])
    try:
        cloud.ec2.delete_tags(Resources=resources, Tags=[{"Key": EXPIRES}, {"Key": ORIGIN}])
    except AmibakeError as error:
        cloud.ledger.warn(f"the tags of a draft stay on {image['ImageId']}: {error.message}")
    tags = {key: value for key, value in tag_dict(image.get("Tags")).items() if key not in (EXPIRES, ORIGIN)}
    return as_image({**image, "Tags": tag_list({**tags, STATE: PUBLISHED})}, cloud.region)


def _tag_as_published(cloud: Cloud, resources: list[str]) -> None:
    call = partial(cloud.ec2.create_tags, Resources=resources, Tags=tag_list({STATE: PUBLISHED}))
    try:
        eventually(cloud, call, "InvalidAMIID.NotFound", "InvalidSnapshot.NotFound", "InvalidID")
    except AmibakeError as error:
        # Where the answer was lost the tag may be there: then the image counts, and must not be taken away again.
        image = None if error.code else _describe(cloud.ec2, resources[-1])
        if image is None or tag_dict(image.get("Tags")).get(STATE) != PUBLISHED:
            raise


def as_image(image: ImageTypeDef, region: str) -> Image:
    """What EC2 says of an image, as ours."""
    tags = tag_dict(image.get("Tags"))
    return Image(
        id=image["ImageId"],
        name=image.get("Name", ""),
        region=region,
        ids={region: image["ImageId"]},
        snapshots={region: snapshot_ids(image)},
        source_ami=tags.get(SOURCE_AMI, ""),
        tags=tags,
    )


def snapshot_ids(image: ImageTypeDef) -> tuple[str, ...]:
    """The snapshots that an image lists; a pending one lists none."""
    mappings = image.get("BlockDeviceMappings", [])
    return tuple(found for mapping in mappings if (found := mapping.get("Ebs", {}).get("SnapshotId")))


def find_by_id(cloud: Cloud, image_id: str) -> Image | None:
    """The image with this id, or None where there is none."""
    found = _describe(cloud.ec2, image_id)
    return as_image(found, cloud.region) if found else None


def find_published(cloud: Cloud, tags: Mapping[str, str]) -> Image | None:
    """The newest published image of this account with all these tags."""
    filters = {"state": "available", f"tag:{STATE}": PUBLISHED, **{f"tag:{key}": value for key, value in tags.items()}}
    found = cloud.ec2.describe_images(
        Owners=["self"], Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()]
    )["Images"]
    newest = max(found, key=lambda image: (image.get("CreationDate", ""), image["ImageId"]), default=None)
    return as_image(newest, cloud.region) if newest else None


def _describe(ec2: EC2Client, image_id: str) -> ImageTypeDef | None:
    try:
        found = ec2.describe_images(ImageIds=[image_id])["Images"]
    except AmibakeError as error:
        if missing(error):
            return None
        raise
    return found[0] if found else None
