"""Which image the builder is launched from."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from amibake.builder.base import Options

AMI_ID = r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$"

WHEEZY = "ami-22de994a"
"""The article's image: Debian 7 "Wheezy", us-east-1, long withdrawn."""


class ImageFilter(Options):
    """The newest available image that matches all of this. At least one owner is needed: anybody can publish an
    image under any name.

    `ImageFilter(owners=["136693071363"], name="debian-12-amd64-*")`
    """

    owners: tuple[str, ...] = Field(min_length=1)
    """Account ids, or the aliases "self", "amazon" and "aws-marketplace"."""

    name: str | None = Field(None, min_length=1)
    """The image's name, with * and ? as wildcards."""

    filters: dict[str, str] = Field(default_factory=dict)
    """Further filters by the names of EC2's DescribeImages: {"architecture": "x86_64", "tag:team": "web"}."""

    def __str__(self) -> str:
        wanted = {**({"name": self.name} if self.name else {}), **self.filters}
        return ", ".join(
            [*(f"{key} {value!r}" for key, value in wanted.items()), f"owned by {' or '.join(self.owners)}"]
        )


DEBIAN_12 = ImageFilter(owners=("136693071363",), name="debian-12-amd64-*")
"""Debian 12 "bookworm" for x86_64, as Debian itself publishes it. `ssh_username` is "admin"."""


def _needs_id(value: str | ImageFilter) -> str | ImageFilter:
    import re

    if isinstance(value, str) and not re.match(AMI_ID, value):
        raise ValueError('an image id ("ami-" and 8 or 17 hex digits), or an ImageFilter')
    return value


class Source(Options):
    """The source image."""

    source_ami: Annotated[str | ImageFilter, AfterValidator(_needs_id)] = WHEEZY
    """The image to start from: an id, or an ImageFilter for the newest match. `source_ami_filter` is another
    name for it. [the article's Debian "Wheezy", "ami-22de994a", which is long withdrawn]"""
