"""Where the builder runs: the VPC, subnets and security groups that the options name, looked up and held together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.errors import AmibakeError, InvalidOption

Found = dict[str, Any]
"""What EC2 says of one thing."""


@dataclass(frozen=True)
class Network:
    """What the network options come to.

    Attributes:
        vpc_id: The VPC; None for the default one.
        subnet_ids: The subnets to try, the first choice first; empty where EC2 is to choose.
        group_ids: The user's own security groups.
    """

    vpc_id: str | None = None
    subnet_ids: tuple[str, ...] = ()
    group_ids: tuple[str, ...] = ()


def find_network(cloud: Cloud, builder: Builder) -> Network:
    """Look up what the network options name; nothing is changed.

    Raises:
        InvalidOption: what is not there, what matches too much, and what does not go together: all of it.
    """
    search = _Search(cloud, builder)
    vpc_id = search.vpc()
    subnets = search.subnets(vpc_id)
    vpc_id = vpc_id or next((subnet["VpcId"] for subnet in subnets), None)
    groups = search.groups(vpc_id)
    if search.mistakes:
        raise InvalidOption(*search.mistakes)
    return Network(
        vpc_id,
        tuple(subnet["SubnetId"] for subnet in subnets),
        tuple(group["GroupId"] for group in groups),
    )


class _Search:
    """Look-ups that note what is wrong as the mistake of an option, and go on."""

    def __init__(self, cloud: Cloud, builder: Builder) -> None:
        self.ec2 = cloud.ec2
        self.region = cloud.region
        self.builder = builder
        self.mistakes: list[str] = []

    def vpc(self) -> str | None:
        """The VPC that is named, or None."""
        builder = self.builder
        if builder.vpc_id:
            found = self._by_id("vpc_id", self.ec2.describe_vpcs, "Vpcs", "VpcId", "vpc-id", [builder.vpc_id])
        elif builder.vpc_filter:
            found = self._find("vpc_filter", self.ec2.describe_vpcs, "Vpcs", builder.vpc_filter, "VPC")
            if len(found) > 1:
                which = ", ".join(sorted(one["VpcId"] for one in found))
                self._wrong("vpc_filter", f"{which} match {_shown(builder.vpc_filter)}, where exactly one has to")
        else:
            return None
        return found[0]["VpcId"] if len(found) == 1 else None

    def subnets(self, vpc_id: str | None) -> list[Found]:
        """The subnets to try, in order."""
        builder = self.builder
        if builder.subnet_id:
            return self._named_subnets(vpc_id)
        if builder.subnet_filter:
            found = self._subnets_of("subnet_filter", vpc_id, builder.subnet_filter.filters)
            if not self.mistakes:
                self._check_one_vpc("subnet_filter", found)
            if builder.subnet_filter.random:
                return random.sample(found, len(found))
            return _freest_first(found) if builder.subnet_filter.most_free else sorted(found, key=_by_zone)
        if vpc_id:
            return _freest_first(self._subnets_of("vpc_id" if builder.vpc_id else "vpc_filter", vpc_id, {}))
        if builder.availability_zone and not self.mistakes:
            self._check_zone(builder.availability_zone)
        return []

    def _named_subnets(self, vpc_id: str | None) -> list[Found]:
        ids, zone = list(dict.fromkeys(self.builder.subnet_id)), self.builder.availability_zone
        there = self._by_id("subnet_id", self.ec2.describe_subnets, "Subnets", "SubnetId", "subnet-id", ids)
        self._check_one_vpc("subnet_id", there)
        for one in there:
            if vpc_id and one["VpcId"] != vpc_id:
                self._wrong("subnet_id", f"{one['SubnetId']} is in {one['VpcId']}, not in {vpc_id}")
            if zone and one["AvailabilityZone"] != zone:
                self._wrong("availability_zone", f"{zone}, but {one['SubnetId']} is in {one['AvailabilityZone']}")
        return there

    def _subnets_of(self, option: str, vpc_id: str | None, filters: Mapping[str, str]) -> list[Found]:
        narrowed = {"state": "available", **filters}
        if vpc_id:
            narrowed["vpc-id"] = vpc_id
        if self.builder.availability_zone:
            narrowed["availability-zone"] = self.builder.availability_zone
        return self._find(option, self.ec2.describe_subnets, "Subnets", narrowed, "subnet")

    def _check_zone(self, zone: str) -> None:
        option, describe = "availability_zone", self.ec2.describe_availability_zones
        self._by_id(option, describe, "AvailabilityZones", "ZoneName", "zone-name", [zone])

    def groups(self, vpc_id: str | None) -> list[Found]:
        """The user's own security groups."""
        builder = self.builder
        if builder.security_group_ids:
            option, ids = "security_group_ids", list(dict.fromkeys(builder.security_group_ids))
            found = self._by_id(option, self.ec2.describe_security_groups, "SecurityGroups", "GroupId", "group-id", ids)
        elif builder.security_group_filter:
            option = "security_group_filter"
            narrowed = {**builder.security_group_filter, **({"vpc-id": vpc_id} if vpc_id else {})}
            found = self._find(option, self.ec2.describe_security_groups, "SecurityGroups", narrowed, "security group")
        else:
            return []
        self._check_groups(option, found, vpc_id)
        return sorted(found, key=lambda group: group["GroupId"]) if builder.security_group_filter else found

    def _check_groups(self, option: str, groups: Sequence[Found], vpc_id: str | None) -> None:
        self._check_one_vpc(option, groups)
        if self.mistakes or not groups:
            return
        theirs = groups[0]["VpcId"]
        if vpc_id and theirs != vpc_id:
            self._wrong(option, f"{_ids(groups, 'GroupId')} is in {theirs}, but the builder in {vpc_id}")
        if not vpc_id:
            (vpc,) = self.ec2.describe_vpcs(VpcIds=[theirs])["Vpcs"]
            if not vpc.get("IsDefault"):
                where = f"{_ids(groups, 'GroupId')} is in {theirs}, which is not the default VPC"
                self._wrong(option, f"{where}: name its vpc_id or a subnet_id")

    def _check_one_vpc(self, option: str, found: Sequence[Found]) -> None:
        if len(vpcs := sorted({one["VpcId"] for one in found})) > 1:
            self._wrong(option, f"in several VPCs: {', '.join(vpcs)}; a builder is in one")

    def _by_id(
        self, option: str, describe: Callable[..., Any], key: str, name: str, filter_name: str, ids: list[str]
    ) -> list[Found]:
        """What has these ids, in their order. A filter, unlike the ids themselves, finds all but those that are not
        there."""
        asked = [{"Name": filter_name, "Values": ids}]
        found = {one[name]: one for one in describe(Filters=asked)[key]}
        if lacking := [one for one in ids if one not in found]:
            self._wrong(option, f"there is no {', '.join(lacking)} in {self.region}")
        return [found[one] for one in ids if one in found]

    def _find(
        self, option: str, describe: Callable[..., Any], key: str, filters: Mapping[str, str], kind: str
    ) -> list[Found]:
        """What matches these filters; that nothing does is wrong."""
        asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        try:
            found: list[Found] = describe(Filters=asked)[key]
        except AmibakeError as error:
            if not error.code.startswith(("InvalidParameter", "InvalidFilter")):
                raise
            self._wrong(option, error.message)  # no such filter
            return []
        if not found:
            self._wrong(option, f"no {kind} in {self.region} matches {_shown(filters)}")
        return found

    def _wrong(self, option: str, what: str) -> None:
        self.mistakes.append(f"{option}: {what}")


def _freest_first(subnets: Iterable[Found]) -> list[Found]:
    return sorted(subnets, key=lambda subnet: (-subnet["AvailableIpAddressCount"], subnet["SubnetId"]))


def _by_zone(subnet: Found) -> tuple[str, str]:
    return subnet["AvailabilityZone"], subnet["SubnetId"]


def _shown(filters: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in filters.items())


def _ids(found: Iterable[Found], name: str) -> str:
    return ", ".join(one[name] for one in found)
