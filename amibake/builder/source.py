"""Which image the builder is launched from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from pydantic import BeforeValidator, Field

from amibake.builder.base import Architecture, Group, OneOrMore, Part

if TYPE_CHECKING:
    from amibake.builder.keywords import ImageFilterFields

AMI_ID = r"ami-([0-9a-f]{8}|[0-9a-f]{17})\Z"

WHEEZY = "ami-22de994a"
"""The article's image: Debian 7 "Wheezy", us-east-1, long withdrawn."""

ARCH = "{arch}"
_DEBIANS_WORD: dict[Architecture, str] = {"arm64": "arm64", "i386": "i386", "x86_64": "amd64"}


def _is_owner(value: Any) -> Any:
    words = ("self", "amazon", "aws-marketplace", "aws-backup-vault")
    if not isinstance(value, str) or (value not in words and not re.fullmatch("[0-9]{12}", value)):
        raise ValueError(f'an account\'s id, text of 12 digits such as "136693071363", or one of {", ".join(words)}')
    return value


Owner = Annotated[str, BeforeValidator(_is_owner)]


class ImageFilter(Part):
    """The newest available image that matches all of this. At least one owner is needed: anybody can publish an
    image under any name.

    `ImageFilter(owners=["136693071363"], name="debian-12-amd64-*")`
    """

    owners: Annotated[tuple[Owner, ...], OneOrMore] = Field(min_length=1)
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

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[ImageFilterFields]) -> None: ...

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


def _id_or_filter(value: Any) -> Any:
    if isinstance(value, (Mapping, ImageFilter)):
        return ImageFilter.of(value)
    if not isinstance(value, str) or not re.fullmatch(AMI_ID, value):
        raise ValueError('has to be an image id ("ami-" and 8 or 17 hex digits), or an ImageFilter')
    return value


class Source(Group):
    """Source image: what the builder is launched from."""

    source_ami: Annotated[str | ImageFilter, BeforeValidator(_id_or_filter)] = WHEEZY
    """The image to start from: an id, or an ImageFilter (or its fields as a dict) for the newest match.
    `source_ami_filter` is another name for it. [the article's Debian "Wheezy", "ami-22de994a", which is long
    withdrawn]"""
