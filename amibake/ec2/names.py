"""Names, descriptions and tags: their template expressions filled in, and a name that is free in every region."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from amibake import template, waiting
from amibake.builder import TEMPLATE_TAGS, TEMPLATES, Builder
from amibake.builder.base import tags_mistake
from amibake.ec2.cloud import Cloud
from amibake.ec2.source import SourceImage
from amibake.errors import InvalidOption

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

MOST_DESCRIPTION = 255
_OF_IAM = r"[\w\s.:/=+@-]*"
"""https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html"""

# What goes on one resource together.
_TOGETHER = (("tags", "snapshot_tags"), ("run_tags", "run_volume_tags"), ("run_tags", "spot_tags", "fleet_tags"))


def rendered(cloud: Cloud, builder: Builder, source: SourceImage) -> Builder:
    """The builder's options with every template expression filled in, all from the same moment.

    Raises:
        InvalidOption: what comes out is not what EC2 takes; all such mistakes in one error.
    """
    now = waiting.clock.epoch()
    fields: dict[str, str | Mapping[str, str]] = {
        "BuildRegion": cloud.region,
        "SourceAMI": source.id,
        "SourceAMICreationDate": source.creation_date,
        "SourceAMIName": source.name,
        "SourceAMIOwner": source.owner,
        "SourceAMIOwnerName": source.owner_alias,
        "SourceAMITags": source.tags,
    }
    variables = {name: value for name, value in builder.variables.items() if value is not None}
    mistakes: list[str] = []

    def fill(option: str, text: str) -> str:
        try:
            return template.render(text, epoch=now, fields=fields, variables=variables)
        except ValueError as error:
            mistakes.append(f"{option}: {error}")
            return text

    update: dict[str, Any] = {name: fill(name, getattr(builder, name)) for name in TEMPLATES}
    for name in TEMPLATE_TAGS:
        update[name] = {key: fill(name, text) for key, text in getattr(builder, name).items()}
    filled = builder.model_copy(update=update)
    mistakes += _mistakes(filled, now)
    if mistakes:
        raise InvalidOption(*dict.fromkeys(mistakes))
    return filled


def _mistakes(builder: Builder, now: float) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", builder.ami_name):
        yield (
            f"ami_name: {builder.ami_name!r} is not a name for an image: 3 to 128 letters, digits, spaces and "
            "( ) [ ] . / - ' @ _; {{ … | clean_resource_name }} replaces the others"
        )
    description = builder.ami_description
    if len(description) > MOST_DESCRIPTION or not description.isascii():
        yield f"ami_description: {description!r}: EC2 takes up to {MOST_DESCRIPTION} ASCII characters"
    for names in _TOGETHER:
        for end in range(1, len(names) + 1):
            tags = {key: value for name in names[:end] for key, value in getattr(builder, name).items()}
            if mistake := tags_mistake(tags):
                yield f"{names[end - 1]}: {mistake}"
                break
    if builder.deprecate_at is not None and builder.deprecate_at.timestamp() <= now + builder.max_build_time:
        yield f"deprecate_at: {builder.deprecate_at.isoformat()} is before the bake has to be over (max_build_time)"
    if builder.temporary_iam_instance_profile_policy_document is not None:
        for key, value in builder.run_tags.items():
            if not re.fullmatch(_OF_IAM, key + value):
                yield f"run_tags: {key}: for a temporary profile IAM takes letters, digits, spaces and _.:/=+-@ only"


def find_taken(cloud: Cloud, name: str, regions: Iterable[str]) -> dict[str, ImageTypeDef]:
    """The account's images that are called so already, {region: image}."""
    found = {region: _called(cloud.elsewhere(region), name) for region in regions}
    return {region: image for region, image in found.items() if image is not None}


def _called(cloud: Cloud, name: str) -> ImageTypeDef | None:
    """The account's image of this name. Brackets are looked for by ?, since not every EC2 takes them for what they
    are."""
    pattern = re.sub(r"[\[\]]", "?", name)
    found = cloud.ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "name", "Values": [pattern]}], IncludeDisabled=True
    )["Images"]
    return next((image for image in found if image.get("Name") == name), None)


def find_regions(cloud: Cloud, builder: Builder) -> tuple[str, ...]:
    """All regions of the bake, the build region first. Raises InvalidOption for one that the account lacks."""
    regions = tuple(dict.fromkeys((cloud.region, *builder.ami_regions)))
    if len(regions) == 1:
        return regions
    enabled = {region.get("RegionName") for region in cloud.ec2.describe_regions()["Regions"]}
    if lacking := [region for region in builder.ami_regions if region not in enabled]:
        raise InvalidOption(
            f"ami_regions: {', '.join(lacking)}: not enabled in this account, or there is no such region"
        )
    return regions
