"""The image that a bake makes, and the tags that say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amibake.timings import Timings

NAME = "Name"
BUILD = "amibake:build"
APP = "amibake:app"
STAGE = "amibake:stage"
NODE_ENV = "amibake:node-env"
SOURCE_AMI = "amibake:source-ami"
VERSION = "amibake:version"
STATE = "amibake:state"
EXPIRES = "amibake:expires"
"""Seconds since 1970 from which on a temporary resource, or a draft, counts as dead."""
ORIGIN = "amibake:origin"
"""region/build of the bake that made a draft."""

DRAFT = "draft"
PUBLISHED = "published"


@dataclass(frozen=True)
class Image:
    """A published image.

    Attributes:
        id: Its id in the region where it was baked.
        name: Its name.
        region: That region.
        ids: {region: id} in every region that it is in.
        snapshots: {region: [snapshot ids]}.
        source_ami: The id of the image that it was baked from.
        tags: Its tags.
        timings: {step: seconds} of the bake, and more: `timings.steps` has when each began and what of it was waiting
            for EC2, `timings.total` how long all of it took. Empty for an image that was looked up.
        warnings: What the bake survived but a person should know.
        leftovers: What the bake could not remove, with the command that removes it.
        created: When EC2 made it, "2026-01-31T12:00:00.000Z".
    """

    id: str
    name: str
    region: str
    ids: Mapping[str, str]
    snapshots: Mapping[str, tuple[str, ...]]
    source_ami: str
    tags: Mapping[str, str]
    timings: Timings = field(default_factory=Timings)
    warnings: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    created: str = ""
