"""The builder's options as keywords, so that editors complete them and type checkers know them.

Written by tools/options.py from the model; a test keeps the two equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from amibake.builder.access import AssumeRole
from amibake.builder.devices import BlockDevice
from amibake.builder.instance import MetadataOptions, Placement
from amibake.builder.network import SubnetFilter
from amibake.builder.publication import DeregistrationProtection
from amibake.builder.source import ImageFilter
from amibake.secret import Secret


class AssumeRoleFields(TypedDict, total=False):
    """What `AssumeRole` takes."""

    role_arn: Required[str]
    session_name: str | None
    duration_seconds: int
    external_id: str | None
    policy: str | Mapping[str, Any] | None
    policy_arns: Sequence[str]
    tags: Mapping[str, str]
    transitive_tag_keys: Sequence[str]


class BlockDeviceFields(TypedDict, total=False):
    """What `BlockDevice` takes."""

    device_name: str
    volume_size: int | None
    volume_type: Literal["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"] | None
    iops: int | None
    throughput: int | None
    encrypted: bool | None
    kms_key_id: str | None
    snapshot_id: str | None
    delete_on_termination: bool | None
    no_device: bool
    virtual_name: str | None


class DeregistrationProtectionFields(TypedDict, total=False):
    """What `DeregistrationProtection` takes."""

    enabled: bool
    with_cooldown: bool


class ImageFilterFields(TypedDict, total=False):
    """What `ImageFilter` takes."""

    owners: Required[str | Sequence[str]]
    name: str | None
    filters: Mapping[str, str]
    most_recent: bool
    include_deprecated: bool


class MetadataOptionsFields(TypedDict, total=False):
    """What `MetadataOptions` takes."""

    http_endpoint: Literal["enabled", "disabled"]
    http_tokens: Literal["required", "optional"] | None
    http_put_response_hop_limit: int | None
    instance_metadata_tags: Literal["enabled", "disabled"] | None


class PlacementFields(TypedDict, total=False):
    """What `Placement` takes."""

    tenancy: Literal["default", "dedicated", "host"] | None
    host_id: str | None
    host_resource_group_arn: str | None
    group_name: str | None


class SubnetFilterFields(TypedDict, total=False):
    """What `SubnetFilter` takes."""

    filters: Required[Mapping[str, str]]
    most_free: bool
    random: bool


class CarnivoreOptions(TypedDict, total=False):
    """What `build_carnivore` takes besides its own: the builder's options but the source image's, and those
    that the recipe itself decides."""

    region: str | None
    profile: str | None
    access_key: str | None
    secret_key: str | None
    token: str | None
    assume_role: AssumeRole | Mapping[str, Any] | None
    max_retries: int
    retry_timeout: float | str | timedelta
    vpc_id: str | None
    vpc_filter: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None
    subnet_id: str | Sequence[str]
    subnet_filter: SubnetFilter | Mapping[str, Any] | None
    availability_zone: str | None
    associate_public_ip_address: bool | None
    security_group_ids: str | Sequence[str]
    security_group_filter: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None
    temporary_security_group_source_cidrs: str | Sequence[str]
    temporary_security_group_source_public_ip: bool
    instance_type: str | Sequence[str]
    iam_instance_profile: str | None
    temporary_iam_instance_profile_policy_document: str | Mapping[str, Any] | None
    user_data: str | None
    user_data_file: str | os.PathLike[str] | None
    metadata_options: MetadataOptions | Mapping[str, Any]
    shutdown_behavior: Literal["stop", "terminate"]
    disable_stop_instance: bool
    ebs_optimized: bool | None
    enable_unlimited_credits: bool | None
    enable_nitro_enclave: bool
    placement: Placement | Mapping[str, Any] | None
    capacity_reservation_preference: Literal["open", "none", "capacity-reservations-only"] | None
    capacity_reservation_id: str | None
    capacity_reservation_group_arn: str | None
    license_specifications: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
    run_tags: Mapping[str, str]
    run_volume_tags: Mapping[str, str]
    spot_price: str | float | Decimal | None
    spot_instance_types: str | Sequence[str]
    spot_allocation_strategy: (
        Literal[
            "price-capacity-optimized",
            "capacity-optimized",
            "capacity-optimized-prioritized",
            "lowest-price",
            "diversified",
        ]
        | None
    )
    spot_tags: Mapping[str, str]
    fleet_tags: Mapping[str, str]
    launch_block_device_mappings: Sequence[BlockDevice | Mapping[str, Any]]
    ami_block_device_mappings: Sequence[BlockDevice | Mapping[str, Any]]
    communicator: Literal["ssh", "none"]
    ssh_username: str
    ssh_host: str | None
    ssh_port: int
    ssh_interface: Literal["public_ip", "private_ip", "public_dns", "private_dns", "ipv6", "instance_id"] | None
    ssh_timeout: float | str | timedelta
    ssh_private_key_file: str | os.PathLike[str] | None
    ssh_certificate_file: str | os.PathLike[str] | None
    ssh_keypair_name: str | None
    ssh_agent_auth: bool
    ssh_password: str | Secret | None
    temporary_key_pair_type: Literal["ed25519", "rsa"]
    temporary_key_pair_bits: Literal[2048, 3072, 4096] | None
    temporary_key_pair_name: str | None
    ssh_bastion_host: str | None
    ssh_bastion_port: int
    ssh_bastion_username: str | None
    ssh_bastion_private_key_file: str | os.PathLike[str] | None
    ssh_bastion_certificate_file: str | os.PathLike[str] | None
    ssh_bastion_agent_auth: bool
    ssh_bastion_password: str | Secret | None
    ssh_proxy_command: str | None
    ssh_keep_alive_interval: float | str | timedelta
    ssh_ciphers: str | Sequence[str]
    ssh_key_exchange_algorithms: str | Sequence[str]
    ami_name: str
    ami_description: str
    tags: Mapping[str, str]
    snapshot_tags: Mapping[str, str]
    variables: Mapping[str, str | None]
    encrypt_boot: bool | None
    kms_key_id: str | None
    ena_support: bool | None
    sriov_support: bool
    imds_support: Literal["v2.0"] | None
    skip_create_ami: bool
    force_deregister: bool
    force_delete_snapshot: bool
    build_name: str | None
    max_build_time: float | str | timedelta
    ami_regions: str | Sequence[str] | Mapping[str, str | None]
    region_kms_key_ids: Mapping[str, str]
    skip_save_build_region: bool
    snapshot_copy_duration_minutes: int | None
    ami_users: str | Sequence[str]
    ami_groups: str | Sequence[Literal["all"]]
    ami_org_arns: str | Sequence[str]
    ami_ou_arns: str | Sequence[str]
    ami_product_codes: str | Sequence[str]
    snapshot_users: str | Sequence[str]
    snapshot_groups: str | Sequence[Literal["all"]]
    deprecate_at: str | datetime | None
    deprecate_after: str | timedelta | None
    deregistration_protection: bool | DeregistrationProtection | Mapping[str, Any]
    security_group_id: str | Sequence[str]


class PrimalOptions(CarnivoreOptions, total=False):
    """What `build_primal` takes besides its own."""

    source_ami: str | ImageFilter | Mapping[str, Any]
    source_ami_filter: ImageFilter | Mapping[str, Any]


class BuilderOptions(PrimalOptions, total=False):
    """All of the builder's options."""

    app: str | None
    stage: str | None
    node_env: str | None
