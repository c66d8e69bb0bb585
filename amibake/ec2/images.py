"""The image in the build region: made as a draft and awaited; and images found again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from amibake.ec2.cloud import CONSISTENCY, Cloud, tag_dict, tag_list
from amibake.ec2.drafts import Drafts, describe, snapshot_ids
from amibake.ec2.instance import STEADY, UNKNOWN, Machine
from amibake.ec2.refusals import of_an_option
from amibake.ec2.request import device_name, image_mappings
from amibake.ec2.resource import eventually
from amibake.ec2.watch import IMAGES, Sight, watching
from amibake.errors import AmibakeError, ImageFailed
from amibake.image import BUILD, DRAFT, ORIGIN, PUBLISHED, SOURCE_AMI, STATE, Image
from amibake.waiting import Deadline, Pending, together, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef, InstanceTypeDef

    from amibake.ec2.lookup import Plan


_TAKES = 20.0
"""Seconds before which an image is hardly ever available."""

_OPTIONS = {
    "InvalidAMIName.Duplicate": "ami_name",
    "InvalidBlockDeviceMapping": "ami_block_device_mappings",
    "InvalidSnapshot.NotFound": "ami_block_device_mappings",
}
"""EC2's words for what an option got wrong."""


@dataclass(frozen=True)
class DraftTags:
    """What a bake's images and their snapshots carry while they are drafts, beside the bake's own marks; `home` is the
    region in which it is decided whether all of them are published."""

    cloud: Cloud
    image: Mapping[str, str]
    snapshot: Mapping[str, str]
    home: str

    def published(self) -> Any:
        """The TagSpecifications of a call that registers an image which is published already."""
        return [{"ResourceType": "image", "Tags": tag_list({**self.image, BUILD: self.cloud.build, STATE: PUBLISHED})}]

    def of(self, *, kept: bool) -> Any:
        """The TagSpecifications of a call that makes an image; without a home for one that is not to be `kept`."""
        marks = {**self.cloud.marks, STATE: DRAFT, **({ORIGIN: f"{self.home}/{self.cloud.build}"} if kept else {})}
        tags = {"image": self.image, "snapshot": self.snapshot}
        return [{"ResourceType": kind, "Tags": tag_list({**each, **marks})} for kind, each in tags.items()]


def create_image(
    cloud: Cloud, drafts: Drafts, machine: Machine, plan: Plan, tags: DraftTags, seen: InstanceTypeDef | None = None
) -> str:
    """CreateImage from the builder, which is stopped or, if it is a spot instance, sealed and synced; answers with the
    image's id at once, while it is pending. It carries its tags from the beginning. `seen` is what EC2 has said of the
    builder last, where that is known."""
    builder = plan.builder
    mappings = image_mappings(builder, plan.source)

    more: dict[str, Any] = {"BlockDeviceMappings": mappings} if mappings else {}

    def create() -> str:
        ask = partial(
            cloud.ec2.create_image,
            InstanceId=machine.id,
            Name=plan.names[cloud.region],
            Description=builder.ami_description,
            NoReboot=True,  # nothing is to start what is sealed again
            TagSpecifications=tags.of(kept=cloud.region in plan.regions),
            **more,
        )
        try:
            return eventually(cloud, ask, UNKNOWN)["ImageId"]
        except AmibakeError as error:
            raise of_an_option(error, _OPTIONS) from error

    attached = {one.get("DeviceName") for one in (seen or machine.describe() or {}).get("BlockDeviceMappings", ())}
    left_out = {device_name(one, plan.source) for one in builder.ami_block_device_mappings if one.no_device}
    return drafts.make(cloud, create, snapshots=len(attached - left_out))


def wait_until_available(cloud: Cloud, images: Mapping[str, str]) -> dict[str, ImageTypeDef]:
    """Wait for pending images, {region: id}, together.

    Raises:
        ImageFailed: EC2 could not make one, and the message has EC2's reason; or it has vanished.
        WaitTimeout: the bake's time is up.
    """
    unknown: dict[str, Deadline] = {}
    done: dict[str, ImageTypeDef] = {}
    with cloud.ledger.waits("image available"), ExitStack() as sights:
        seen: dict[str, Sight[ImageTypeDef]] = {}
        for region, image_id in images.items():
            there = cloud.elsewhere(region)
            alone = partial(describe, there.ec2, image_id)
            seen[region] = sights.enter_context(watching(there, IMAGES, image_id, alone))

        def probe() -> dict[str, ImageTypeDef] | Pending:
            pending = list[Pending]()
            for region in [region for region in images if region not in done]:
                found = _state(seen[region].look(), images[region], region, unknown)
                if isinstance(found, str):
                    pending.append(seen[region].pending(f"{region}: {found}" if len(images) > 1 else found))
                else:
                    done[region] = found
            return together(pending) if pending else {region: done[region] for region in images}

        what = " and ".join(f"image {image_id}" for image_id in images.values())
        return wait_for(
            f"{what} to be available",
            probe,
            deadline=cloud.deadline,
            emit=cloud.ledger.emit,
            early=_TAKES,
            steady=STEADY,
        )


def _state(image: ImageTypeDef | None, image_id: str, region: str, unknown: dict[str, Deadline]) -> ImageTypeDef | str:
    """The image once it is available, or what it is instead. `unknown` has until when each image that EC2 does not know
    is believed in, and each that lists no snapshot."""
    if image is None:
        if unknown.setdefault(image_id, Deadline(CONSISTENCY)).remaining() <= 0:
            raise ImageFailed(f"image {image_id} has vanished while it was being made")
        return "unknown"
    unknown.pop(image_id, None)
    state = image["State"]
    if state in ("failed", "error", "invalid", "deregistered"):
        reason = image.get("StateReason", {}).get("Message", "no reason given")
        raise ImageFailed(f"image {image_id} in {region} is {state}: {reason}")
    if state != "available":
        return state
    # its snapshots are to be marked as published, too
    if not snapshot_ids(image) and unknown.setdefault(f"{image_id} -", Deadline(CONSISTENCY)).remaining() > 0:
        return "available, but lists no snapshot yet"
    return image


def as_image(images: Mapping[str, ImageTypeDef], region: str) -> Image:
    """What EC2 says of an image and its copies, {region: image}, as ours."""
    image = images[region]
    tags = tag_dict(image.get("Tags"))
    return Image(
        id=image["ImageId"],
        name=image.get("Name", ""),
        region=region,
        ids={where: one["ImageId"] for where, one in images.items()},
        snapshots={where: snapshot_ids(one) for where, one in images.items()},
        source_ami=tags.get(SOURCE_AMI, ""),
        tags=tags,
        created=image.get("CreationDate", ""),
    )


def find_by_id(cloud: Cloud, image_id: str) -> Image | None:
    """The image with this id, or None where there is none."""
    found = describe(cloud.ec2, image_id)
    return as_image({cloud.region: found}, cloud.region) if found else None


def find_published(cloud: Cloud, tags: Mapping[str, str]) -> Image | None:
    """The newest published image of this account with all these tags."""
    return next(published(cloud, tags), None)


def published(cloud: Cloud, tags: Mapping[str, str]) -> Iterator[Image]:
    """The published images of this account with all these tags, the newest first."""
    wanted = {"state": ["available"], f"tag:{STATE}": [PUBLISHED, DRAFT]}
    wanted |= {f"tag:{key}": [value] for key, value in tags.items()}
    found = cloud.ec2.describe_images(
        Owners=["self"], Filters=[{"Name": name, "Values": values} for name, values in wanted.items()]
    )["Images"]
    newest = sorted(found, key=lambda image: (image.get("CreationDate", ""), image["ImageId"]), reverse=True)
    for image in newest:
        if is_published(cloud, image):
            yield as_image({cloud.region: image}, cloud.region)


def is_published(cloud: Cloud, image: ImageTypeDef) -> bool:
    """Whether it is published. A copy counts from the moment at which the image in its region of origin is marked as
    published; its own mark follows."""
    tags = tag_dict(image.get("Tags"))
    if tags.get(STATE) == PUBLISHED:
        return True
    origin, _, build = tags.get(ORIGIN, "").partition("/")
    if not build or origin == cloud.region:
        return False
    return has_published(cloud.elsewhere(origin), build)


def has_published(cloud: Cloud, build: str) -> bool:
    """Whether an image of this build is published in the cloud's region. One that is disabled is, too."""
    asked = {f"tag:{BUILD}": build, f"tag:{STATE}": PUBLISHED}
    filters: Any = [{"Name": name, "Values": [value]} for name, value in asked.items()]
    return bool(cloud.ec2.describe_images(Owners=["self"], Filters=filters, IncludeDisabled=True)["Images"])
