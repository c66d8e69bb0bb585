"""What kind of machine the builder is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import BeforeValidator, Field

from amibake.builder.base import Group, OneOrMore, Part, Tags
from amibake.builder.values import Policy

if TYPE_CHECKING:
    from amibake.builder.keywords import MetadataOptionsFields, PlacementFields

INSTANCE_TYPE = r"^[a-z0-9-]+\.[a-z0-9-]+$"
InstanceType = Annotated[str, Field(pattern=INSTANCE_TYPE)]


def _license_arn(value: Any) -> Any:
    """Packer's block, {"license_configuration_request": {"license_configuration_arn": …}}, is the ARN in it."""
    for name in ("license_configuration_request", "license_configuration_arn"):
        if isinstance(value, Mapping) and set(value) == {name}:
            value = value[name]
    return value


def _licenses(value: Any) -> Any:
    return (value,) if isinstance(value, (str, Mapping)) else value


License = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:license-manager:.+$"), BeforeValidator(_license_arn)]
INSTANCE_PROFILE = r"^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/.+|[A-Za-z0-9_+=,.@-]{1,128})$"
USER_DATA_LIMIT = 16 * 1024
"""Bytes. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html"""

BURSTABLE = ("t2", "t3", "t3a", "t4g")


class MetadataOptions(Part):
    """The builder's instance metadata service, by EC2's own words."""

    http_endpoint: Literal["enabled", "disabled"] = "enabled"
    """Whether there is one."""

    http_tokens: Literal["required", "optional"] | None = None
    """Whether version 2 is demanded. [required; optional for a source image of before 2020, with a warning, since what
    was installed then may not know version 2]"""

    http_put_response_hop_limit: int | None = Field(None, ge=1, le=64)
    """How many hops the answer with the token may take; containers on the builder need 2 [the image's or account's]."""

    instance_metadata_tags: Literal["enabled", "disabled"] | None = None
    """Whether the instance's tags are in its metadata [the account's choice]."""

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[MetadataOptionsFields]) -> None: ...


class Placement(Part):
    """Where in EC2's data centre, by EC2's own words."""

    tenancy: Literal["default", "dedicated", "host"] | None = None
    """On shared hardware, hardware of this account's own, or a dedicated host [the VPC's]."""

    host_id: str | None = Field(None, pattern=r"^h-[0-9a-f]+$")
    """The dedicated host, such as "h-0a1b2c3d" [EC2's choice]."""

    host_resource_group_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:resource-groups:.+$")
    """The ARN of a resource group of dedicated hosts [none]."""

    group_name: str | None = Field(None, min_length=1)
    """The placement group [none]."""

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[PlacementFields]) -> None: ...


def _is_no_path(value: Any) -> Any:
    if isinstance(value, PurePath):
        raise ValueError("has to be text; a file is given as user_data_file")
    return value


class Instance(Group):
    """Instance: what kind of machine the builder is."""

    instance_type: Annotated[tuple[InstanceType, ...], OneOrMore] = Field(("t1.micro",), min_length=1)
    """EC2's name of the builder's size, such as "t3.micro", or several, tried in turn when EC2 has no capacity [the
    article's "t1.micro", which few regions offer]."""

    iam_instance_profile: str | None = Field(None, pattern=INSTANCE_PROFILE)
    """The name, or the ARN, of an IAM instance profile for the builder [none]."""

    temporary_iam_instance_profile_policy_document: Policy = None
    """A policy document, as a dict or as JSON text: a role with it and an instance profile are made for the builder
    and removed in the end [none]."""

    user_data: Annotated[str | None, BeforeValidator(_is_no_path)] = Field(None, repr=False)
    """User data for the builder, plain text; it is encoded for EC2. What amibake has to say to cloud-init is added to
    it, as parts of one MIME message, unless it is for something else than cloud-init [none]."""

    user_data_file: Path | None = None
    """A file with the user data [none]."""

    metadata_options: Annotated[MetadataOptions, BeforeValidator(MetadataOptions.of)] = MetadataOptions()
    """The builder's metadata service: a `MetadataOptions`, or its fields as a dict."""

    shutdown_behavior: Literal["stop", "terminate"] | None = None
    """What a shutdown from within does to the builder. The image gets "stop" in any case. ["terminate": a timer on the
    builder powers it off soon after `max_build_time`, so that it goes even if this program was killed; "stop" with
    `disable_stop_instance`]"""

    disable_stop_instance: bool = False
    """Leave it to the builder to switch itself off, and wait for that; with `communicator="none"` only, where user data
    does all the work."""

    ebs_optimized: bool | None = None
    """Whether the builder is EBS-optimised [what the type is by default]."""

    enable_unlimited_credits: bool | None = None
    """Whether a burstable builder (t2, t3, t3a, t4g) may burst beyond its credits, for money [the account's choice]."""

    enable_nitro_enclave: bool = False
    """Whether the builder can run Nitro enclaves."""

    placement: Annotated[Placement | None, BeforeValidator(Placement.of)] = None
    """Where in EC2's data centre: a `Placement`, or its fields as a dict [EC2's choice]."""

    capacity_reservation_preference: Literal["open", "none", "capacity-reservations-only"] | None = None
    """Whether the builder may run in a capacity reservation ["open", as EC2 does; Packer's is "none"]."""

    capacity_reservation_id: str | None = Field(None, pattern=r"^cr-[0-9a-f]+$")
    """The capacity reservation to run in, such as "cr-0a1b2c3d" [none]."""

    capacity_reservation_group_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:resource-groups:.+$")
    """The ARN of a resource group of capacity reservations to run in [none]."""

    license_specifications: Annotated[tuple[License, ...], BeforeValidator(_licenses)] = ()
    """License Manager's configurations for the builder, by their ARNs, such as
    "arn:aws:license-manager:eu-west-1:123456789012:license-configuration:lic-0123" [none]."""

    run_tags: Tags = Field(default_factory=dict)
    """Tags for what is temporary: builder, volumes, network interface, key pair, security group, and what a spot
    builder or a temporary profile needs. Never for the AMI; values may hold template expressions."""

    run_volume_tags: Tags = Field(default_factory=dict)
    """More tags for the builder's volumes; values may hold template expressions."""


def instance_mistakes(options: Instance, types: Collection[str]) -> Iterator[str]:
    """What contradicts itself; `types` are the instance types that may be launched."""
    for one, other in (
        ("iam_instance_profile", "temporary_iam_instance_profile_policy_document"),
        ("user_data", "user_data_file"),
    ):
        if getattr(options, one) is not None and getattr(options, other) is not None:
            yield f"{one}: give either this or {other}"
    yield from _user_data_mistakes(options)
    reservations = [name for name in Instance.model_fields if name.startswith("capacity_") and getattr(options, name)]
    if len(reservations) > 1:
        yield f"{reservations[0]}: give either this or {reservations[1]}"
    unlimited = options.enable_unlimited_credits
    if unlimited is not None:
        fixed = [one for one in types if one.split(".")[0] not in BURSTABLE]
        if fixed:
            yield f"enable_unlimited_credits: for {', '.join(BURSTABLE)} only, not for {', '.join(fixed)}"
    place = options.placement
    if place and place.host_id and place.host_resource_group_arn:
        yield "placement: give either host_id or host_resource_group_arn"
    if place and (place.host_id or place.host_resource_group_arn) and place.tenancy not in (None, "host"):
        yield f'placement: a dedicated host means tenancy "host", not "{place.tenancy}"'


def _user_data_mistakes(options: Instance) -> Iterator[str]:
    name, data = "user_data", b""
    if options.user_data is not None:
        try:
            data = options.user_data.encode()
        except UnicodeEncodeError as error:
            yield f"{name}: is no text that can be encoded as UTF-8: {error.reason}"
    if options.user_data_file is not None:
        name = "user_data_file"
        try:
            data = options.user_data_file.expanduser().read_bytes()
            data.decode()
        except OSError as error:
            yield f"{name}: {options.user_data_file}: {error.strerror}"
        except UnicodeDecodeError:
            yield f"{name}: {options.user_data_file} is not UTF-8 text"
    if len(data) > USER_DATA_LIMIT:
        yield f"{name}: {len(data):,} bytes, where EC2 takes {USER_DATA_LIMIT:,}"
