"""The way from a builder's subnet to the internet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amibake.ec2.cloud import Cloud
from amibake.ec2.network import Network
from amibake.errors import InvalidOption

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_GATEWAYS = ("GatewayId", "NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "EgressOnlyInternetGatewayId")


@dataclass(frozen=True)
class Place:
    """Where the builder would be.

    Attributes:
        vpc: The VPC's id.
        subnet: The subnet's id.
        is_public: Whether instances get a public address there by themselves.
    """

    vpc: str
    subnet: str
    is_public: bool


def find_place(cloud: Cloud, network: Network, zone: str | None) -> Place:
    """The first subnet of the network, or of the default VPC where it names none; `zone` is the availability zone that
    is asked for.

    Raises:
        InvalidOption: there is no default VPC, or no subnet in it.
    """
    named: Any = [{"Name": "subnet-id", "Values": list(network.subnet_ids)}]
    default: Any = [{"Name": "default-for-az", "Values": ["true"]}]
    default += [{"Name": "availability-zone", "Values": [zone]}] if zone else []
    found = cloud.ec2.describe_subnets(Filters=named if network.subnet_ids else default)["Subnets"]
    if not found:
        raise InvalidOption(
            f"subnet_id: {cloud.region} has no default VPC with a subnet{f' in {zone}' if zone else ''}",
            hint="Name a subnet_id or a vpc_id, or make one: aws ec2 create-default-vpc",
        )
    first = min(found, key=lambda one: network.subnet_ids.index(one["SubnetId"]) if network.subnet_ids else 0)
    return Place(first["VpcId"], first["SubnetId"], bool(first.get("MapPublicIpOnLaunch")))


def way_out(cloud: Cloud, place: Place) -> str:
    """The id of the gateway that the subnet's default route leads to ("igw-…", "nat-…"), or ""."""
    of_the_vpc: Any = [{"Name": "vpc-id", "Values": [place.vpc]}]
    tables = cloud.ec2.describe_route_tables(Filters=of_the_vpc)["RouteTables"]
    own = [one for one in tables for link in one.get("Associations", ()) if link.get("SubnetId") == place.subnet]
    main = [one for one in tables for link in one.get("Associations", ()) if link.get("Main")]
    for table in (own or main)[:1]:
        for route in table.get("Routes", ()):
            to: Any = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
            facts: Any = route
            gateways = [facts[key] for key in _GATEWAYS if facts.get(key)]
            if to in _EVERYWHERE and route.get("State") != "blackhole" and gateways:
                return str(gateways[0])
    return ""
