"""The builder's options as keywords, so that editors complete them and type checkers know them.

The test beside the model keeps this equal to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from amibake.builder.source import ImageFilter


class CarnivoreOptions(TypedDict, total=False):
    """What `build_carnivore` takes besides its own: the builder's options but the source image's, and those that the
    recipe itself decides."""

    region: str | None
    profile: str | None
    subnet_id: str | None
    associate_public_ip_address: bool | None
    security_group_ids: Sequence[str]
    temporary_security_group_source_cidrs: Sequence[str]
    instance_type: str
    iam_instance_profile: str | None
    user_data: str | None
    run_tags: dict[str, str]
    ssh_username: str
    ssh_host: str | None
    ssh_port: int
    ssh_interface: Literal["public_ip", "private_ip"] | None
    ssh_timeout: float
    temporary_key_pair_type: Literal["ed25519", "rsa"]
    ami_name: str
    ami_description: str
    tags: dict[str, str]
    max_build_time: float


class PrimalOptions(CarnivoreOptions, total=False):
    """What `build_primal` takes besides its own."""

    source_ami: str | ImageFilter
    source_ami_filter: ImageFilter


class BuilderOptions(PrimalOptions, total=False):
    """All of the builder's options."""

    app: str | None
    stage: str | None
    node_env: str | None
