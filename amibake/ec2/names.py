"""Names, descriptions and tags: their template expressions filled in, and a name that is free."""

from __future__ import annotations

import re

from amibake import template, waiting
from amibake.builder import Builder
from amibake.builder.base import tags_mistake
from amibake.ec2.cloud import Cloud
from amibake.ec2.source import SourceImage
from amibake.errors import InvalidOption

MOST_DESCRIPTION = 255


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
