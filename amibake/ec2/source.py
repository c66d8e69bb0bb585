"""Finding the source image, and a free name for the new one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amibake import template, waiting
from amibake.builder import WHEEZY, Builder, ImageFilter
from amibake.builder.base import tags_mistake
from amibake.ec2.cloud import Cloud, missing
from amibake.errors import AmibakeError, InvalidOption, SourceImageNotFound

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

MOST_DESCRIPTION = 255

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
    ebs_devices: tuple[str, ...]

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
    newest = max(found, key=lambda image: image.get("CreationDate", ""))
    if newest.get("State") != "available":
        raise SourceImageNotFound(f"source_ami: {newest['ImageId']} is {newest.get('State')}, not available")
    if newest.get("RootDeviceType", "ebs") != "ebs":
        raise InvalidOption(f"source_ami: {newest['ImageId']} has its root on {newest.get('RootDeviceType')}, not EBS")
    return SourceImage(
        id=newest["ImageId"],
        name=newest.get("Name", ""),
        owner=newest.get("OwnerId", ""),
        creation_date=newest.get("CreationDate", ""),
        ebs_devices=tuple(one["DeviceName"] for one in newest.get("BlockDeviceMappings", []) if one.get("Ebs")),
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
    return cloud.ec2.describe_images(Owners=list(wanted.owners), Filters=asked)["Images"]


def rendered(cloud: Cloud, builder: Builder, source: SourceImage) -> Builder:
    """The builder's options with every template expression filled in, all from the same moment.

    Raises:
        InvalidOption: the name that comes out is not one that EC2 takes, or an image of this account has it already.
    """
    fields = {
        "BuildRegion": cloud.region,
        "SourceAMI": source.id,
        "SourceAMICreationDate": source.creation_date,
        "SourceAMIName": source.name,
        "SourceAMIOwner": source.owner,
    }
    epoch = waiting.clock.epoch()

    def fill(text: str) -> str:
        return template.render(text, epoch=epoch, fields=fields)

    name = fill(builder.ami_name)
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", name):
        raise InvalidOption(
            f"ami_name: {name!r} is not a name for an image",
            hint="3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _; "
            "{{ … | clean_resource_name }} replaces the others.",
        )
    description, tags = fill(builder.ami_description), {key: fill(value) for key, value in builder.tags.items()}
    if len(description) > MOST_DESCRIPTION or not description.isascii():
        raise InvalidOption(f"ami_description: {description!r}: EC2 takes up to {MOST_DESCRIPTION} ASCII characters")
    if mistake := tags_mistake(tags):
        raise InvalidOption(f"tags: {mistake}")
    if taken := _called(cloud, name):
        raise InvalidOption(
            f"ami_name: {taken} is called {name!r} already in {cloud.region}",
            hint="Names are unique in an account and region; {{timestamp}} in the name makes it so.",
        )
    return builder.model_copy(
        update={
            "ami_name": name,
            "ami_description": description,
            "tags": tags,
        }
    )


def _called(cloud: Cloud, name: str) -> str | None:
    """The id of the account's image of this name. Brackets are looked for by ?, since not every EC2 takes them for
    what they are."""
    pattern = re.sub(r"[\[\]]", "?", name)
    found = cloud.ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [pattern]}])["Images"]
    return next((image["ImageId"] for image in found if image.get("Name") == name), None)
