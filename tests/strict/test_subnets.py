"""Subnets and VPCs."""

from __future__ import annotations

from typing import Any

import pytest


def request_for(cloud: Any, **changes: Any) -> dict[str, Any]:
    return {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes


def network(cloud: Any) -> tuple[str, str]:
    """A VPC that is not the default one, and its only subnet, tagged."""
    vpc = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    tags = [{"ResourceType": "subnet", "Tags": [{"Key": "Tier", "Value": "build"}]}]
    zone = {"AvailabilityZone": "us-east-1b"}
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", TagSpecifications=tags, **zone)["Subnet"]
    return vpc, subnet["SubnetId"]


def test_are_found_by_filters(cloud: Any) -> None:
    vpc, subnet = network(cloud)

    def found(**filters: str) -> list[str]:
        asked = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        return [each["SubnetId"] for each in cloud.ec2.describe_subnets(Filters=asked)["Subnets"]]

    assert found(**{"tag:Tier": "build"}) == [subnet]
    assert found(vpc_id=vpc, state="available", availability_zone="us-east-1b") == [subnet]
    assert found(vpc_id=vpc, availability_zone="us-east-1a") == []
    assert len(found(default_for_az="true")) == len(found()) - 1
    assert [each["VpcId"] for each in cloud.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]] == [vpc]


def test_that_are_not_there_are_named(cloud: Any) -> None:
    _, subnet = network(cloud)
    missing = "subnet-0123456789abcdef0"
    code, message = cloud.refusal("describe_subnets", SubnetIds=[subnet, missing])
    assert code == "InvalidSubnetID.NotFound"
    assert missing in message
    assert cloud.refusal("describe_vpcs", VpcIds=["vpc-0123456789abcdef0"])[0] == "InvalidVpcID.NotFound"


def test_have_free_addresses_that_can_be_set_and_are_used_up(cloud: Any) -> None:
    _, subnet = network(cloud)

    def free() -> int:
        count: int = cloud.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]
        return count

    assert free() == 251
    cloud.run(SubnetId=subnet)
    cloud.strict.set_free_addresses(subnet, 2)
    assert free() == 2
    cloud.run(SubnetId=subnet)
    assert free() == 1
    too_many = request_for(cloud, SubnetId=subnet, MinCount=2, MaxCount=2)
    assert cloud.refusal("run_instances", **too_many)[0] == "InsufficientFreeAddressesInSubnet"
    assert free() == 1
    assert len(cloud.machines.launches) == 2
    with pytest.raises(Exception, match="there is no subnet"):
        cloud.strict.set_free_addresses("subnet-0123456789abcdef0", 2)


def test_take_groups_of_their_own_network_only(cloud: Any) -> None:
    vpc, subnet = network(cloud)
    theirs = cloud.ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    ours = cloud.ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    interface = [{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [ours]}]
    for request in ({"SubnetId": subnet, "SecurityGroupIds": [ours]}, {"NetworkInterfaces": interface}):
        code, message = cloud.refusal("run_instances", **request_for(cloud, **request))
        assert (code, ours in message, subnet in message) == ("InvalidParameter", True, True)
    assert cloud.refusal("run_instances", **request_for(cloud, SecurityGroupIds=[theirs]))[0] == "InvalidParameter"
    assert cloud.instance(cloud.run(SubnetId=subnet, SecurityGroupIds=[theirs]))["VpcId"] == vpc
