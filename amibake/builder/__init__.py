"""The options of a bake, by Packer's names, in one frozen model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from pydantic import model_validator

from amibake import template
from amibake.builder.access import Access, AssumeRole, access_mistakes
from amibake.builder.ami import Ami, ami_mistakes
from amibake.builder.devices import BlockDevice, Devices, devices_mistakes
from amibake.builder.instance import Instance, MetadataOptions, Placement, instance_mistakes
from amibake.builder.network import Network, SubnetFilter, network_mistakes
from amibake.builder.publication import DeregistrationProtection, Publication, publication_mistakes
from amibake.builder.source import DEBIAN_12, DEBIAN_13, UBUNTU_24_04, WHEEZY, ImageFilter, Source
from amibake.builder.spot import Spot, spot_mistakes
from amibake.builder.ssh import SSH, ssh_mistakes
from amibake.errors import InvalidOption

if TYPE_CHECKING:
    from amibake.builder.keywords import BuilderOptions, CarnivoreOptions, PrimalOptions

__all__ = [
    "DEBIAN_12",
    "DEBIAN_13",
    "GROUPS",
    "UBUNTU_24_04",
    "WHEEZY",
    "AssumeRole",
    "BlockDevice",
    "Builder",
    "BuilderOptions",
    "CarnivoreOptions",
    "DeregistrationProtection",
    "ImageFilter",
    "MetadataOptions",
    "Placement",
    "PrimalOptions",
    "SubnetFilter",
]

GROUPS = (Access, Source, Network, Instance, Spot, Devices, SSH, Ami, Publication)
"""The groups of options, in the order in which a reader wants them."""

TEMPLATES = ("ami_name", "ami_description")
TEMPLATE_TAGS = ("tags", "snapshot_tags", "run_tags", "run_volume_tags", "spot_tags", "fleet_tags")
"""The options that may hold template expressions: texts, and dicts of texts."""

_NOT_FOR_SPOT = ("ena_support", "sriov_support", "disable_stop_instance", "shutdown_behavior")
_SYNONYMS = {"source_ami_filter": "source_ami", "security_group_id": "security_group_ids"}


def __getattr__(name: str) -> Any:
    if name not in ("BuilderOptions", "CarnivoreOptions", "PrimalOptions"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from amibake.builder import keywords  # for type checkers: a bake has no use for its hundreds of types

    return getattr(keywords, name)


class Builder(Publication, Ami, SSH, Devices, Spot, Instance, Network, Source, Access, defer_build=False):
    """Everything that a bake needs to know besides its provisioners.

    Raises:
        InvalidOption: with every mistake, one line each: the option's name, what is wrong, what is allowed.
    """

    def __init__(self, /, **options: Unpack[BuilderOptions]) -> None:
        given: dict[str, Any] = dict(options)
        said: dict[str, str] = {}
        found = list(_by_one_name(given, said))
        try:
            super().__init__(**given)
        except InvalidOption as error:
            found += error.mistakes
            found += self._mistakes_of_the_rest(given, {line.partition(":")[0] for line in error.mistakes})
        if found:
            raise InvalidOption(*dict.fromkeys(_as_said(line, said) for line in found)) from None

    def _mistakes_of_the_rest(self, given: dict[str, Any], faulty: set[str]) -> list[str]:
        """What is wrong with options taken together is found only where each of them is right by itself: so once more
        without those that are not."""
        rest = {name: value for name, value in given.items() if name not in faulty}
        follows = re.compile(rf"\b({'|'.join(map(re.escape, faulty))})\b")
        try:
            super().__init__(**{"ami_name": "none", **rest})
        except InvalidOption as error:
            return [line for line in error.mistakes if not follows.search(line)]
        return []

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if mistakes := list(_mistakes(self)):
            raise ValueError("\n".join(mistakes))
        return self

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The types that may be launched, the first choice first."""
        return self.spot_instance_types or self.instance_type

    @property
    def is_spot(self) -> bool:
        """Whether the builder is a spot instance."""
        return self.spot_price is not None

    @property
    def ends_itself(self) -> bool:
        """Whether a shutdown from within terminates the builder."""
        if self.shutdown_behavior is None:
            return not self.disable_stop_instance
        return self.shutdown_behavior == "terminate"

    @property
    def demanded_host_key(self) -> str | None:
        """The SSH host key that the user knows."""
        return None if self.ssh_host_key in ("first-use", "inject") else self.ssh_host_key

    @property
    def has_temporary_key(self) -> bool:
        """Whether the bake makes a key pair for itself."""
        own = (self.ssh_private_key_file, self.ssh_agent_auth, self.ssh_password)
        return self.communicator == "ssh" and not any(own)

    @property
    def has_temporary_group(self) -> bool:
        """Whether the bake makes a security group for itself."""
        return not self.security_group_ids and not self.security_group_filter


def _by_one_name(given: dict[str, Any], said: dict[str, str]) -> Iterator[str]:
    """Bring options that may be said in two ways into one; yields what was said in both. What the user called an
    option goes into `said`."""
    for synonym, name in _SYNONYMS.items():
        if synonym in given:
            if name in given:
                yield f"{name}: give either this or {synonym}, which is the same option"
            else:
                said[name] = synonym
            given[name] = given.pop(synonym)
    regions = given.get("ami_regions")
    if isinstance(regions, Mapping):
        given["ami_regions"] = tuple(regions)
        if given.get("region_kms_key_ids"):
            yield "region_kms_key_ids: ami_regions names keys already"
        else:
            said["region_kms_key_ids"] = "ami_regions"
            given["region_kms_key_ids"] = {name: key for name, key in regions.items() if key}


def _as_said(line: str, said: Mapping[str, str]) -> str:
    name, colon, rest = line.partition(":")
    return said.get(name, name) + colon + rest


def _mistakes(options: Builder) -> Iterator[str]:
    """What is wrong with options taken together, one line for each."""
    yield from access_mistakes(options)
    yield from network_mistakes(options)
    yield from instance_mistakes(options, options.instance_types)
    yield from spot_mistakes(options)
    yield from devices_mistakes(options)
    yield from ssh_mistakes(options)
    yield from ami_mistakes(options)
    yield from publication_mistakes(
        options,
        encrypt_boot=options.encrypt_boot,
        encrypted=_is_encrypted(options),
        kms_key_id=_home_key(options),
    )
    yield from _template_mistakes(options)
    yield from _communicator_mistakes(options)
    yield from _spot_mistakes(options)
    yield from _user_data_mistakes(options)
    yield from _mistakes_across_groups(options)


def _is_encrypted(options: Builder) -> bool:
    return bool(options.encrypt_boot or any(device.encrypted for device in options.launch_block_device_mappings))


def _home_key(options: Builder) -> str | None:
    """The key that the image in the build region is encrypted with, as far as the options say."""
    roots = [device.kms_key_id for device in options.launch_block_device_mappings if device.encrypted is not False]
    given = [options.kms_key_id, options.region_kms_key_ids.get(options.region or ""), *roots]
    return next((key for key in given if key), None)


def _template_mistakes(options: Builder) -> Iterator[str]:
    texts = [(name, getattr(options, name)) for name in TEMPLATES]
    texts += [(name, text) for name in TEMPLATE_TAGS for text in getattr(options, name).values()]
    variables = {name: value or "" for name, value in options.variables.items()}
    for name, text in texts:
        try:
            template.check(text, variables)
        except ValueError as error:
            yield f"{name}: {error}"


def _mistakes_across_groups(options: Builder) -> Iterator[str]:
    if options.ssh_interface in ("public_ip", "public_dns") and options.associate_public_ip_address is False:
        yield f'ssh_interface: "{options.ssh_interface}", but associate_public_ip_address is False'
    zone = options.availability_zone
    if zone and options.region and not zone.startswith(options.region):
        yield f"availability_zone: {zone} is not in {options.region}"
    if options.ssh_bastion_host and options.temporary_security_group_source_public_ip:
        yield "temporary_security_group_source_public_ip: the builder sees the address of ssh_bastion_host, not ours"
    if options.encrypt_boot is not None:
        for option in ("launch_block_device_mappings", "ami_block_device_mappings"):
            for device in getattr(options, option):
                if device.encrypted is (not options.encrypt_boot):
                    yield f"encrypt_boot: {device.device_name} in {option} says otherwise"


def _spot_mistakes(options: Builder) -> Iterator[str]:
    if options.is_spot:
        reservations = [name for name in Instance.model_fields if name.startswith("capacity_")]
        for name in (*_NOT_FOR_SPOT, *reservations):
            if getattr(options, name) != Builder.model_fields[name].default:
                yield f"{name}: not for a spot builder, which spot_price makes it"
        if options.communicator == "none":
            yield "communicator: a spot builder can't be waited for until it has switched itself off"
        if options.placement and options.placement.tenancy == "host":
            yield "placement: a spot builder can't have a dedicated host"


def _user_data_mistakes(options: Builder) -> Iterator[str]:
    if options.ssh_host_key == "inject" and options.metadata_options.http_endpoint == "disabled":
        yield 'ssh_host_key: "inject" goes by user data, which the builder can\'t get with http_endpoint="disabled"'


def _communicator_mistakes(options: Builder) -> Iterator[str]:
    if options.communicator == "none":
        for name in sorted(options.model_fields_set):
            if name.startswith(("ssh_", "temporary_key_", "temporary_security_")):
                yield f'{name}: there is no SSH with communicator="none"'
    elif options.disable_stop_instance:
        yield 'disable_stop_instance: only with communicator="none": SSH does not outlive the builder'
    if options.disable_stop_instance and options.shutdown_behavior == "terminate":
        yield 'disable_stop_instance: with shutdown_behavior="terminate" nothing would be left to make an image of'
