"""Which account and region the image is baked in."""

from __future__ import annotations

from pydantic import Field

from amibake.builder.base import Options


class Access(Options):
    """Access: region and credentials."""

    region: str | None = Field(None, min_length=1)
    """The region to bake in [the session's; "us-east-1" where that names none]."""

    profile: str | None = Field(None, min_length=1)
    """The profile of the shared AWS configuration to use [boto3's own choice]. Not together with `session=`."""
