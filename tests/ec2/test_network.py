"""Which VPC, subnets and security groups the options come to, and what of them is refused before anything is made."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from amibake.ec2.cloud import Cloud
from amibake.ec2.network import Network, find_network
from amibake.errors import AmibakeError, InvalidOption
from tests.ec2.support import Refuse, builder


@dataclass(frozen=True)
class Lab:
    """A VPC with three subnets, of which b is the freest and c the fullest, and a security group."""

    vpc: str
    a: str
    b: str
    c: str
    group: str


@pytest.fixture
def lab(cloud: Cloud) -> Lab:
    ec2 = cloud.ec2
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "lab"}])
    subnets = [
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=block,
            AvailabilityZone=f"us-east-1{zone}",
            TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": "Tier", "Value": "build"}]}],
        )["Subnet"]["SubnetId"]
        for zone, block in (("c", "10.9.0.0/28"), ("a", "10.9.1.0/24"), ("b", "10.9.16.0/20"))
    ]
    group = ec2.create_security_group(GroupName="lab", Description="lab", VpcId=vpc)["GroupId"]
    return Lab(vpc, a=subnets[1], b=subnets[2], c=subnets[0], group=group)


def mistakes(cloud: Cloud, **options: object) -> tuple[str, ...]:
    with pytest.raises(InvalidOption) as caught:
        find_network(cloud, builder(**options))
    return caught.value.mistakes


def test_without_any_option_ec2_chooses(cloud: Cloud) -> None:
    assert find_network(cloud, builder()) == Network()
    assert find_network(cloud, builder(availability_zone="us-east-1b")) == Network()


def test_subnets_are_tried_in_the_order_given_and_bring_their_vpc(cloud: Cloud, lab: Lab) -> None:
    assert find_network(cloud, builder(subnet_id=[lab.c, lab.a])) == Network(lab.vpc, (lab.c, lab.a))
    assert find_network(cloud, builder(subnet_id=lab.a, vpc_id=lab.vpc, availability_zone="us-east-1a")).subnet_ids == (
        lab.a,
    )


def test_a_vpcs_subnets_are_tried_the_freest_first(cloud: Cloud, lab: Lab) -> None:
    assert find_network(cloud, builder(vpc_id=lab.vpc)) == Network(lab.vpc, (lab.b, lab.a, lab.c))
    narrowed = builder(vpc_filter={"tag:Name": "lab"}, availability_zone="us-east-1c")
    assert find_network(cloud, narrowed) == Network(lab.vpc, (lab.c,))


def test_a_filters_subnets_are_tried_by_zone_or_the_freest_first_or_anyhow(
    cloud: Cloud, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = {"tag:Tier": "build"}
    assert find_network(cloud, builder(subnet_filter=tier)) == Network(lab.vpc, (lab.a, lab.b, lab.c))
    assert find_network(cloud, builder(subnet_filter={**tier, "most_free": True})).subnet_ids == (lab.b, lab.a, lab.c)
    narrowed = builder(subnet_filter=tier, availability_zone="us-east-1b", vpc_id=lab.vpc)
    assert find_network(cloud, narrowed).subnet_ids == (lab.b,)
    monkeypatch.setattr(random, "sample", lambda found, count: sorted(found, key=lambda one: one["CidrBlock"])[:count])
    shuffled = find_network(cloud, builder(subnet_filter={**tier, "random": True}))
    assert shuffled.subnet_ids == (lab.c, lab.a, lab.b)


def test_security_groups_are_found_by_id_and_by_filter(cloud: Cloud, lab: Lab) -> None:
    named = builder(subnet_id=lab.a, security_group_ids=[lab.group])
    assert find_network(cloud, named).group_ids == (lab.group,)
    filtered = builder(vpc_id=lab.vpc, security_group_filter={"group-name": "l*"})
    assert find_network(cloud, filtered).group_ids == (lab.group,)


def test_groups_alone_have_to_be_in_the_default_vpc(cloud: Cloud, lab: Lab) -> None:
    default = cloud.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    assert find_network(cloud, builder(security_group_id=default)) == Network(None, (), (default,))
    (mistake,) = mistakes(cloud, security_group_ids=[lab.group])
    assert mistake.startswith(f"security_group_ids: {lab.group} is in {lab.vpc}, which is not the default VPC")


def test_what_is_not_there_is_the_mistake_of_its_option_and_all_are_in_one_error(cloud: Cloud) -> None:
    assert mistakes(
        cloud,
        vpc_id="vpc-0",
        subnet_id=["subnet-0", "subnet-1"],
        security_group_ids=["sg-0"],
        availability_zone="eu-west-1z",
    ) == (
        "vpc_id: there is no vpc-0 in us-east-1",
        "subnet_id: there is no subnet-0, subnet-1 in us-east-1",
        "security_group_ids: there is no sg-0 in us-east-1",
    )
    assert mistakes(cloud, availability_zone="eu-west-1z") == (
        "availability_zone: there is no eu-west-1z in us-east-1",
    )


def test_what_matches_nothing_is_shown_with_its_filter(cloud: Cloud, lab: Lab) -> None:
    (vpc,) = mistakes(cloud, vpc_filter={"tag:Name": "nobody"})
    assert vpc == "vpc_filter: no VPC in us-east-1 matches tag:Name 'nobody'"
    subnet, group = mistakes(
        cloud, vpc_id=lab.vpc, subnet_filter={"tag:Tier": "none"}, security_group_filter={"group-name": "none"}
    )
    assert subnet.startswith("subnet_filter: no subnet in us-east-1 matches state 'available', tag:Tier 'none', vpc-id")
    assert group.startswith("security_group_filter: no security group in us-east-1 matches group-name 'none', vpc-id")
    (zone,) = mistakes(cloud, vpc_id=lab.vpc, availability_zone="us-east-1f")
    assert zone.startswith("vpc_id: no subnet in us-east-1 matches state 'available', vpc-id")
    assert "us-east-1f" in zone


def test_what_matches_too_much_is_listed(cloud: Cloud, lab: Lab) -> None:
    default = cloud.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    (vpc,) = mistakes(cloud, vpc_filter={"state": "available"})
    assert vpc == (
        f"vpc_filter: {', '.join(sorted([default, lab.vpc]))} match state 'available', where exactly one has to"
    )
    (subnet,) = mistakes(cloud, subnet_filter={"state": "available"})
    assert subnet.startswith("subnet_filter: in several VPCs: ")
    (group,) = mistakes(cloud, security_group_filter={"group-name": "default"})
    assert group.startswith("security_group_filter: in several VPCs: ")


def test_what_does_not_go_together_is_refused(cloud: Cloud, lab: Lab) -> None:
    other = cloud.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    assert f"subnet_id: {other['SubnetId']} is in {other['VpcId']}, not in {lab.vpc}" in mistakes(
        cloud, vpc_id=lab.vpc, subnet_id=other["SubnetId"]
    )
    assert mistakes(cloud, subnet_id=lab.a, availability_zone="us-east-1b") == (
        f"availability_zone: us-east-1b, but {lab.a} is in us-east-1a",
    )
    assert mistakes(cloud, subnet_id=other["SubnetId"], security_group_ids=[lab.group]) == (
        f"security_group_ids: {lab.group} is in {lab.vpc}, but the builder in {other['VpcId']}",
    )
    (several,) = mistakes(cloud, subnet_id=[lab.a, other["SubnetId"]])
    assert several.startswith("subnet_id: in several VPCs: ")


def test_a_filter_that_ec2_does_not_know_is_the_options_mistake(cloud: Cloud, lab: Lab) -> None:
    (vpc,) = mistakes(cloud, vpc_filter={"colour": "blue"})
    assert vpc.startswith("vpc_filter: DescribeVpcs: EC2 says InvalidParameterValue: ")
    assert "colour" in vpc


def test_other_refusals_are_what_they_are(cloud: Cloud, refuse: Refuse) -> None:
    refuse("describe_vpcs", "UnauthorizedOperation")
    with pytest.raises(AmibakeError, match="UnauthorizedOperation"):
        find_network(cloud, builder(vpc_filter={"tag:Name": "lab"}))
