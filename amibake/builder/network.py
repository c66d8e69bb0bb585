"""Where the builder runs, and who may reach it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from pydantic import AfterValidator, BeforeValidator, Field

from amibake.builder.base import Group, OneOrMore, Part

if TYPE_CHECKING:
    from amibake.builder.keywords import SubnetFilterFields


def _is_network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a CIDR block such as 203.0.113.7/32 ({error})") from error
    return value


Cidr = Annotated[str, AfterValidator(_is_network)]


def _filters(value: Any) -> Any:
    """Filters by themselves, or as Packer writes them: {"filters": {…}}."""
    if isinstance(value, Mapping) and value.keys() == {"filters"} and isinstance(value["filters"], Mapping):
        return value["filters"]
    if isinstance(value, (list, tuple)):
        raise ValueError('has to be a dict {"name": "value"}, not a list of {"Name": …, "Values": …}')
    return value


Filters = Annotated[dict[str, str], Field(min_length=1), BeforeValidator(_filters)]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]
GroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")]


class SubnetFilter(Part):
    """Subnets by EC2's filters, all of which are tried in turn when EC2 has no capacity.

    `SubnetFilter(filters={"tag:Tier": "build"}, most_free=True)`
    """

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[SubnetFilterFields]) -> None: ...

    filters: Filters
    """By the names of EC2's DescribeSubnets: {"tag:Tier": "build"}."""

    most_free: bool = False
    """Begin with the subnet that has the most free addresses [in the order of their availability zones]."""

    random: bool = False
    """Begin anywhere, so that many bakes at once spread over them."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Filters alone are enough: {"tag:Tier": "build"}."""
        if isinstance(value, Mapping) and "filters" not in value:
            switches = {key: value[key] for key in ("most_free", "random") if key in value}
            value = {"filters": {key: value[key] for key in value if key not in switches}, **switches}
        return super().of(value)


class Network(Group):
    """Network: where the builder runs, and who may reach it."""

    vpc_id: str | None = Field(None, pattern=r"^vpc-[0-9a-f]+$")
    """The VPC for the builder and its temporary security group, such as "vpc-0a1b2c3d" [the subnet's, or the default
    one]."""

    vpc_filter: Filters | None = None
    """The VPC by the filters of EC2's DescribeVpcs, which exactly one has to match: {"tag:Name": "build"} [none]."""

    subnet_id: Annotated[tuple[SubnetId, ...], OneOrMore] = ()
    """The subnet to launch the builder into, such as "subnet-0a1b2c3d", or several, tried in turn when EC2 has no
    capacity. [those of `vpc_id`, the freest first; without that EC2's choice in the default VPC]"""

    subnet_filter: Annotated[SubnetFilter | None, BeforeValidator(SubnetFilter.of)] = None
    """The subnets by a filter: {"tag:Tier": "build"}, or a `SubnetFilter` [none]."""

    availability_zone: str | None = Field(None, pattern=r"^[a-z]{2,4}(-[a-z0-9]+)+-[0-9]+[a-z]$")
    """The availability zone for the builder, such as "eu-west-1a" [the subnet's, or EC2's choice]."""

    associate_public_ip_address: bool | None = None
    """Whether the builder gets a public address [what the subnet says]."""

    security_group_ids: Annotated[tuple[GroupId, ...], OneOrMore] = ()
    """Existing security groups for the builder by their ids, such as "sg-0a1b2c3d", not by their names; with any, no
    temporary one is made. `security_group_id` is another name for it [none]."""

    security_group_filter: Filters | None = None
    """Existing security groups by the filters of EC2's DescribeSecurityGroups, of which at least one has to match
    [none]."""

    temporary_security_group_source_cidrs: Annotated[tuple[Cidr, ...], OneOrMore] = ()
    """Whom the temporary security group lets in on the SSH port. [our own address, as the builder sees it: for a
    private address the local end of the route to it, for a public one what checkip.amazonaws.com says, through a
    bastion the bastion's. Never the whole Internet, which is Packer's default.]"""

    temporary_security_group_source_public_ip: bool = False
    """Let in what checkip.amazonaws.com says is our public address, also where the builder's address is private."""


def network_mistakes(options: Network) -> Iterator[str]:
    """What contradicts itself."""
    for one, other in (("vpc_id", "vpc_filter"), ("subnet_id", "subnet_filter")):
        if getattr(options, one) and getattr(options, other):
            yield f"{one}: give either this or {other}"
    groups = [name for name in ("security_group_ids", "security_group_filter") if getattr(options, name)]
    if len(groups) == 2:
        yield "security_group_ids: give either this or security_group_filter"
    sources = ("temporary_security_group_source_cidrs", "temporary_security_group_source_public_ip")
    given = [name for name in sources if getattr(options, name)]
    if len(given) == 2:
        yield f"{given[0]}: give either this or {given[1]}"
    if given and groups:
        yield f"{given[0]}: there is no temporary security group with {groups[0]}"
    if options.subnet_filter and options.subnet_filter.most_free and options.subnet_filter.random:
        yield "subnet_filter: most_free or random, not both"
