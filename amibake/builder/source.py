"""Which image the builder is launched from."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from amibake.builder.base import Architecture, OneOrMore, Options, Part

AMI_ID = r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$"

WHEEZY = "ami-22de994a"
"""The article's image: Debian 7 "Wheezy", us-east-1, long withdrawn."""

ARCH = "{arch}"
_DEBIANS_WORD: dict[Architecture, str] = {"arm64": "arm64", "i386": "i386", "x86_64": "amd64"}


class ImageFilter(Part):
    """The newest available image that matches all of this. At least one owner is needed: anybody can publish an
    image under any name.

    `ImageFilter(owners=["136693071363"], name="debian-12-amd64-*")`
    """

    owners: Annotated[tuple[str, ...], OneOrMore] = Field(min_length=1)
    """Account ids, or the aliases "self", "amazon" and "aws-marketplace"."""

    name: str | None = Field(None, min_length=1)
    """The image's name, with * and ? as wildcards; {arch} in it stands for the instance type's architecture as Debian
    and Ubuntu spell it, "amd64" or "arm64"."""

    filters: dict[str, str] = Field(default_factory=dict)
    """Further filters by the names of EC2's DescribeImages: {"architecture": "x86_64", "tag:team": "web"}."""

    most_recent: bool = True
    """Take the newest match; with False more than one match is an error. [true; Packer's is false]"""

    include_deprecated: bool = False
    """Whether deprecated images of other accounts count too."""

    @property
    def follows_architecture(self) -> bool:
        """Whether it depends on the architecture of the instance type."""
        return self.name is not None and ARCH in self.name

    def on(self, architecture: Architecture) -> ImageFilter:
        """The filter for this architecture."""
        if self.name is None or not self.follows_architecture:
            return self
        return self.model_copy(update={"name": self.name.replace(ARCH, _DEBIANS_WORD[architecture])})

    def __str__(self) -> str:
        wanted = {**({"name": self.name} if self.name else {}), **self.filters}
        return ", ".join(
            [*(f"{key} {value!r}" for key, value in wanted.items()), f"owned by {' or '.join(self.owners)}"]
        )


DEBIAN_12 = ImageFilter(owners=("136693071363",), name="debian-12-{arch}-*")
"""Debian 12 "bookworm" of the instance type's architecture, as Debian itself publishes it. `ssh_username`: "admin"."""

DEBIAN_13 = ImageFilter(owners=("136693071363",), name="debian-13-{arch}-*")
"""Debian 13 "trixie", likewise."""

UBUNTU_24_04 = ImageFilter(
    owners=("099720109477",), name="ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*"
)
"""Ubuntu 24.04 LTS of the instance type's architecture, as Canonical publishes it. `ssh_username`: "ubuntu"."""


def _needs_id(value: str | ImageFilter) -> str | ImageFilter:
    import re

    if isinstance(value, str) and not re.match(AMI_ID, value):
        raise ValueError('an image id ("ami-" and 8 or 17 hex digits), or an ImageFilter')
    return value


class Source(Options):
    """The source image."""

    source_ami: Annotated[str | ImageFilter, BeforeValidator(ImageFilter.of), AfterValidator(_needs_id)] = WHEEZY
    """The image to start from: an id, or an ImageFilter (or its fields as a dict) for the newest match.
    `source_ami_filter` is another name for it. [the article's Debian "Wheezy", "ami-22de994a", which is long
    withdrawn]"""
