"""The builder's instance types: what they run, and whether the region has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amibake.builder import Builder
from amibake.builder.base import Architecture
from amibake.ec2.cloud import Cloud
from amibake.ec2.source import SourceImage
from amibake.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2.literals import InstanceTypeType

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceTypeInfo.html; the widest first
_ARCHITECTURES: tuple[Architecture, ...] = ("x86_64", "arm64", "i386")

Types = dict[str, frozenset[str]]
"""{instance type: the architectures that it runs}."""


def find_types(cloud: Cloud, builder: Builder) -> Types:
    """What the builder's instance types run.

    Raises:
        InvalidOption: a type that the region does not have.
    """
    name = "spot_instance_types" if builder.spot_instance_types else "instance_type"
    offered = _described(cloud, builder.instance_types)
    if lacking := [one for one in builder.instance_types if one not in offered]:
        raise InvalidOption(
            f"{name}: {', '.join(lacking)}: not to be had in {cloud.region}",
            hint='A size that every region offers: instance_type="t3.micro".',
        )
    return offered


def _described(cloud: Cloud, names: Sequence[str]) -> Types:
    wanted = cast("list[InstanceTypeType]", list(names))
    offers = cloud.ec2.describe_instance_type_offerings(
        LocationType="region", Filters=[{"Name": "instance-type", "Values": wanted}]
    )["InstanceTypeOfferings"]
    there = [one["InstanceType"] for one in offers if "InstanceType" in one]
    if not there:
        return {}
    found = cloud.ec2.describe_instance_types(InstanceTypes=there)["InstanceTypes"]
    return {
        str(one.get("InstanceType")): frozenset(one.get("ProcessorInfo", {}).get("SupportedArchitectures", ()))
        for one in found
    }


def common_architecture(types: Types) -> Architecture:
    """The architecture that a source image which follows the types' has to have.

    Raises:
        InvalidOption: they have none in common.
    """
    for architecture in _ARCHITECTURES:
        if all(architecture in runs for runs in types.values()):
            return architecture
    raise InvalidOption(f"instance_type: {_listed(types)} have no architecture in common, so no image runs on all")


def check_architecture(types: Types, source: SourceImage) -> None:
    """Raises InvalidOption when a type does not run the source image."""
    wrong = {name: runs for name, runs in types.items() if source.architecture not in runs}
    if wrong:
        raise InvalidOption(
            f"instance_type: {_listed(wrong)} can't run {source.id}, which is for {source.architecture}",
            hint="source_ami=amibake.DEBIAN_12 follows the architecture of the instance type.",
        )


def _listed(types: Mapping[str, frozenset[str]]) -> str:
    return ", ".join(f"{name} ({' and '.join(sorted(runs))})" for name, runs in types.items())
