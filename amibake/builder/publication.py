"""Where the image goes, who may use it, and how long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import AfterValidator, BeforeValidator, Field

from amibake import waiting
from amibake.builder.base import Group, OneOrMore, Part
from amibake.builder.values import Account, KmsKey, Region

if TYPE_CHECKING:
    from amibake.builder.keywords import DeregistrationProtectionFields

_ORGANIZATIONS = r"^arn:aws[a-z-]*:organizations::[0-9]{12}:"
Organization = Annotated[str, Field(pattern=_ORGANIZATIONS + r"organization/o-[a-z0-9]{10,32}$")]
Unit = Annotated[str, Field(pattern=_ORGANIZATIONS + r"ou/o-[a-z0-9]{10,32}/ou-[a-z0-9-]+$")]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LATEST = timedelta(days=3650)
_TOO_LATE = "has to be within ten years"
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html"""
DEFAULT_KEYS = ("", "alias/aws/ebs")
"""The account's own key for EBS, which nobody else can use."""


class DeregistrationProtection(Part):
    """Protection of the image against being deregistered."""

    enabled: bool = True
    """Whether it is protected."""

    with_cooldown: bool = False
    """Whether it stays so for 24 hours once that is switched off."""

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[DeregistrationProtectionFields]) -> None: ...

    @classmethod
    def of(cls, value: Any) -> Any:
        """True and False are enough."""
        return cls(enabled=value) if isinstance(value, bool) else super().of(value)


def _moment(value: Any) -> Any:
    """RFC 3339, or a datetime with its zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError('has to be a date and time with its zone, such as "2027-01-31T00:00:00Z"') from None
    if not isinstance(value, datetime):
        if value is None:
            return None
        raise ValueError('has to be a date and time with its zone, such as "2027-01-31T00:00:00Z"')
    if value.tzinfo is None:
        raise ValueError('needs a zone, such as the Z of "2027-01-31T00:00:00Z"')
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond all calendars") from None


def _age(value: Any) -> Any:
    """ "90d" as a timedelta."""
    if value is None or isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('has to be a number and a unit of s, m, h, d or w, such as "90d", or a timedelta')
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise ValueError(_TOO_LATE) from None


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


class Publication(Group):
    """Publication: where the image goes, who may use it, and how long."""

    ami_regions: Annotated[tuple[Region, ...], OneOrMore, AfterValidator(_once)] = ()
    """The regions to copy the image to, a list, or a dict {region: KMS key} that says `region_kms_key_ids` as well
    [none but the one it is baked in]."""

    region_kms_key_ids: dict[Region, KmsKey | Literal[""]] = Field(default_factory=dict)
    """The KMS keys for the copies by region, ids, ARNs or aliases, "" for that region's default; with
    encrypt_boot=True [the defaults]."""

    skip_save_build_region: bool = False
    """Keep the copies only; the image in the build region is removed last."""

    snapshot_copy_duration_minutes: int | None = Field(None, ge=15, le=2880, multiple_of=15)
    """How long a copy may take, which EC2 then charges for: a multiple of 15 minutes [as long as it takes]."""

    ami_users: Annotated[tuple[Account, ...], OneOrMore] = ()
    """The accounts that may launch the image, their ids of 12 digits [this one]."""

    ami_groups: Annotated[tuple[Literal["all"], ...], OneOrMore] = ()
    """"all" makes the image public [no]."""

    ami_org_arns: Annotated[tuple[Organization, ...], OneOrMore] = ()
    """The organisations whose accounts may launch the image, by their ARNs, such as
    "arn:aws:organizations::123456789012:organization/o-0123456789" [none]."""

    ami_ou_arns: Annotated[tuple[Unit, ...], OneOrMore] = ()
    """The organisational units whose accounts may launch the image, by their ARNs, such as
    "arn:aws:organizations::123456789012:ou/o-0123456789/ou-0123-01234567" [none]."""

    ami_product_codes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], OneOrMore] = ()
    """Product codes of AWS Marketplace for the image [none]."""

    snapshot_users: Annotated[tuple[Account, ...], OneOrMore] = ()
    """The accounts that may make volumes of the snapshots, their ids of 12 digits [this one]."""

    snapshot_groups: Annotated[tuple[Literal["all"], ...], OneOrMore] = ()
    """"all" makes the snapshots public [no]."""

    deprecate_at: Annotated[datetime | None, BeforeValidator(_moment)] = None
    """When the image counts as deprecated: RFC 3339, or a datetime with its zone [never]."""

    deprecate_after: Annotated[timedelta | None, BeforeValidator(_age)] = None
    """The same by age: "90d", or a timedelta [never]."""

    deregistration_protection: Annotated[DeregistrationProtection, BeforeValidator(DeregistrationProtection.of)] = (
        DeregistrationProtection(enabled=False)
    )
    """Whether the image is protected against being deregistered: true, or a `DeregistrationProtection`, or its fields
    as a dict [no]."""


def publication_mistakes(
    options: Publication, *, encrypt_boot: bool | None, encrypted: bool, kms_key_id: str | None
) -> Iterator[str]:
    """What contradicts itself, or what EC2 would refuse once everything else is done. `encrypted` is whether any disk
    of the image is known to be, `kms_key_id` by which key in the build region."""
    if stray := sorted(options.region_kms_key_ids.keys() - set(options.ami_regions)):
        yield f"region_kms_key_ids: {', '.join(stray)} is not among ami_regions"
    if any(options.region_kms_key_ids.values()) and not encrypt_boot:
        yield "region_kms_key_ids: there is nothing to encrypt without encrypt_boot=True"
    if options.snapshot_copy_duration_minutes is not None and not options.ami_regions:
        yield "snapshot_copy_duration_minutes: there are no copies without ami_regions"
    if options.skip_save_build_region and not options.ami_regions:
        yield "skip_save_build_region: nothing is left without ami_regions"
    if options.deprecate_at is not None and options.deprecate_after is not None:
        yield "deprecate_at: give either this or deprecate_after"
    yield from _deprecation_mistakes(options)
    if options.deregistration_protection.with_cooldown and not options.deregistration_protection.enabled:
        yield "deregistration_protection: with_cooldown needs enabled"
    if encrypted:
        yield from _sharing_mistakes(options, kms_key_id)


def _deprecation_mistakes(options: Publication) -> Iterator[str]:
    now = datetime.fromtimestamp(waiting.clock.epoch(), UTC)
    if options.deprecate_at is not None and options.deprecate_at < now:
        yield "deprecate_at: has to be in the future"
    if options.deprecate_at is not None and options.deprecate_at > now + _LATEST:
        yield f"deprecate_at: {_TOO_LATE}"
    if options.deprecate_after is not None and options.deprecate_after < timedelta(minutes=1):
        yield "deprecate_after: has to be at least a minute"
    if options.deprecate_after is not None and options.deprecate_after > _LATEST:
        yield f"deprecate_after: {_TOO_LATE}"


def _sharing_mistakes(options: Publication, kms_key_id: str | None) -> Iterator[str]:
    for name in ("ami_groups", "snapshot_groups"):
        if getattr(options, name):
            yield f"{name}: what is encrypted can't be public: see encrypt_boot"
    shared = [name for name in ("ami_users", "ami_org_arns", "ami_ou_arns", "snapshot_users") if getattr(options, name)]
    keys = {"kms_key_id": kms_key_id or ""} if not options.skip_save_build_region else {}
    keys |= {f"region_kms_key_ids of {name}": options.region_kms_key_ids.get(name, "") for name in options.ami_regions}
    for where, key in keys.items():
        if shared and key in DEFAULT_KEYS:
            yield f"{shared[0]}: nobody else can use what is encrypted with the default key: give one as {where}"
