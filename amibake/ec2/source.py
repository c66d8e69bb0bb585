"""Finding the source image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amibake.builder import DEBIAN_12, DEBIAN_13, UBUNTU_24_04, WHEEZY, ImageFilter
from amibake.ec2.cloud import Cloud, missing, tag_dict
from amibake.errors import AmibakeError, InvalidOption, SourceImageNotFound

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

_WITH_CLOUD_INIT = {owner for known in (DEBIAN_12, DEBIAN_13, UBUNTU_24_04) for owner in known.owners}
_AMAZON_LINUX = ("amzn-ami-", "amzn2-ami-", "al2023-ami-")

_MODERN = (
    "The article's Debian Wheezy image was withdrawn long ago. A modern choice: "
    'source_ami=amibake.DEBIAN_12, instance_type="t3.micro", node_version="22".'
)


@dataclass(frozen=True)
class SourceImage:
    """What a bake needs to know of the image that it starts from."""

    id: str
    name: str
    owner: str
    creation_date: str
    owner_alias: str = ""
    architecture: str = "x86_64"
    root_device: str = "/dev/xvda"
    ebs_devices: tuple[str, ...] = ()
    encrypted_devices: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    is_billed: bool = False
    """Whether something is paid for with it: product codes, or a licence that is included."""

    @property
    def has_cloud_init(self) -> bool:
        """Whether it is known to read user data by cloud-init: an image of Debian's, Ubuntu's or Amazon Linux's own. Of
        images made from one nobody knows."""
        by_amazon = self.owner_alias == "amazon" and self.name.startswith(_AMAZON_LINUX)
        return self.owner in _WITH_CLOUD_INIT or by_amazon

    @property
    def is_old(self) -> bool:
        """Whether it is from before 2020: what was installed then may not know version 2 of the metadata service."""
        return "" < self.creation_date < "2020"  # dates are ISO 8601


def find_source_image(cloud: Cloud, wanted: str | ImageFilter) -> SourceImage:
    """The image with this id, or the newest that matches the filter.

    Raises:
        SourceImageNotFound: there is none here, or it is not ready to be launched from.
    """
    found = _by_id(cloud, wanted) if isinstance(wanted, str) else _by_filter(cloud, wanted)
    if not found:
        hint = _MODERN if wanted == WHEEZY else "Images live in one region: look at region= and at the account, too."
        raise SourceImageNotFound(f"source_ami: no image {wanted} in {cloud.region}", hint=hint)
    if isinstance(wanted, ImageFilter) and not wanted.most_recent and len(found) > 1:
        raise InvalidOption(
            f"source_ami: {len(found)} images match {wanted} in {cloud.region}",
            hint="Narrow the filter, or take the newest: most_recent=True.",
        )
    newest = max(found, key=lambda image: image.get("CreationDate", ""))
    if newest.get("State") != "available":
        raise SourceImageNotFound(f"source_ami: {newest['ImageId']} is {newest.get('State')}, not available")
    if newest.get("RootDeviceType", "ebs") != "ebs":
        raise InvalidOption(f"source_ami: {newest['ImageId']} has its root on {newest.get('RootDeviceType')}, not EBS")
    return _as_source(newest)


def _as_source(image: ImageTypeDef) -> SourceImage:
    disks = {one["DeviceName"]: one["Ebs"] for one in image.get("BlockDeviceMappings", []) if one.get("Ebs")}
    return SourceImage(
        id=image["ImageId"],
        name=image.get("Name", ""),
        owner=image.get("OwnerId", ""),
        creation_date=image.get("CreationDate", ""),
        owner_alias=image.get("ImageOwnerAlias", ""),
        architecture=image.get("Architecture", "x86_64"),
        root_device=image.get("RootDeviceName", "/dev/xvda"),
        ebs_devices=tuple(disks),
        encrypted_devices=tuple(name for name, ebs in disks.items() if ebs.get("Encrypted")),
        tags=tag_dict(image.get("Tags")),
        is_billed=bool(image.get("ProductCodes")) or image.get("UsageOperation", "RunInstances") != "RunInstances",
    )


def _by_id(cloud: Cloud, image_id: str) -> list[ImageTypeDef]:
    try:
        return cloud.ec2.describe_images(ImageIds=[image_id])["Images"]
    except AmibakeError as error:
        if missing(error):
            return []
        raise


def _by_filter(cloud: Cloud, wanted: ImageFilter) -> list[ImageTypeDef]:
    filters = {"state": "available", **({"name": wanted.name} if wanted.name else {}), **wanted.filters}
    asked: list[FilterTypeDef] = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    return cloud.ec2.describe_images(
        Owners=list(wanted.owners), Filters=asked, IncludeDeprecated=wanted.include_deprecated
    )["Images"]
