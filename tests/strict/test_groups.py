"""Security groups: in use or not, and what machines are told to let in."""

from __future__ import annotations

from typing import Any

from amibake.strict import Ingress

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


def new_group(cloud: Any, name: str = "g") -> str:
    group_id: str = cloud.ec2.create_security_group(GroupName=name, Description="d")["GroupId"]
    return group_id


def authorize(cloud: Any, group: str, *permissions: dict[str, Any]) -> None:
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))


def test_a_group_in_use_cannot_be_deleted_until_the_instance_is_terminated(cloud: Any) -> None:
    group = new_group(cloud)
    instance = cloud.run(SecurityGroupIds=[group])
    assert [g["GroupId"] for g in cloud.instance(instance)["SecurityGroups"]] == [group]
    cloud.shop.closed = True
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    assert cloud.refusal("delete_security_group", GroupId=group)[0] == "DependencyViolation"
    cloud.shop.work()
    cloud.ec2.delete_security_group(GroupId=group)
    assert cloud.refusal("delete_security_group", GroupId=group)[0] == "InvalidGroup.NotFound"


def test_nor_one_that_another_group_names(cloud: Any) -> None:
    peer, group = new_group(cloud, "peer"), new_group(cloud)
    authorize(cloud, group, SSH | {"UserIdGroupPairs": [{"GroupId": peer}]})
    assert cloud.refusal("delete_security_group", GroupName="peer")[0] == "DependencyViolation"
    cloud.ec2.delete_security_group(GroupId=group)
    cloud.ec2.delete_security_group(GroupName="peer")


def test_nor_one_on_an_interface(cloud: Any) -> None:
    group = new_group(cloud)
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    cloud.ec2.create_network_interface(SubnetId=subnet, Groups=[group])
    assert cloud.refusal("delete_security_group", GroupId=group)[0] == "DependencyViolation"


def test_a_stopped_instance_that_is_moved_to_another_group_uses_the_first_one_no_more(cloud: Any) -> None:
    group = new_group(cloud)
    instance = cloud.stopped(SecurityGroupIds=[group])
    (default,) = cloud.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    cloud.ec2.modify_instance_attribute(InstanceId=instance, Groups=[default["GroupId"]])
    cloud.ec2.delete_security_group(GroupId=group)
    assert [one["GroupName"] for one in cloud.instance(instance)["SecurityGroups"]] == ["default"]


def test_an_instance_is_not_moved_to_a_group_of_another_vpc_nor_once_it_goes_down(cloud: Any) -> None:
    vpc = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    (other,) = cloud.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    request = {"InstanceId": cloud.stopped(), "Groups": [other["GroupId"]]}
    code, message = cloud.refusal("modify_instance_attribute", **request)
    assert (code, message.partition(" belong")[0]) == ("InvalidGroup.NotFound", "You have specified two resources that")
    cloud.ec2.terminate_instances(InstanceIds=[request["InstanceId"]])
    assert cloud.refusal("modify_instance_attribute", **request)[0] == "IncorrectInstanceState"


def test_nor_the_default_one(cloud: Any) -> None:
    instance = cloud.run()
    (default,) = cloud.instance(instance)["SecurityGroups"]
    assert default["GroupName"] == "default"
    assert cloud.refusal("delete_security_group", GroupId=default["GroupId"])[0] == "CannotDelete"


def test_an_unknown_vpc_is_refused(cloud: Any) -> None:
    request = {"GroupName": "g", "Description": "d", "VpcId": "vpc-0123456789abcdef0"}
    assert cloud.refusal("create_security_group", **request)[0] == "InvalidVpcID.NotFound"


def test_a_known_vpc_and_tags_are_kept(cloud: Any) -> None:
    vpc = cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}]
    cloud.ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc, TagSpecifications=tags)
    (group,) = cloud.ec2.describe_security_groups(Filters=[{"Name": "tag:a", "Values": ["b"]}])["SecurityGroups"]
    assert (group["GroupName"], group["VpcId"]) == ("g", vpc)


class TestIngress:
    def test_is_told_before_the_instance_runs(self, cloud: Any) -> None:
        group = new_group(cloud)
        authorize(cloud, group, SSH | {"IpRanges": [{"CidrIp": "192.0.2.1/32"}]})
        cloud.shop.closed = True
        instance = cloud.run(SecurityGroupIds=[group])
        cloud.shop.work()
        assert cloud.machines.told() == [("run", instance), ("set_ingress", instance)]
        assert cloud.machines.ingress[instance] == [Ingress("tcp", 22, 22, ("192.0.2.1/32",))]

    def test_follows_authorize_and_revoke(self, cloud: Any) -> None:
        group = new_group(cloud)
        instance = cloud.run(SecurityGroupIds=[group])
        assert cloud.machines.ingress[instance] == []
        rule = SSH | {"IpRanges": [{"CidrIp": "192.0.2.2/32"}, {"CidrIp": "192.0.2.1/32"}]}
        authorize(cloud, group, rule, {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]})
        assert cloud.machines.ingress[instance] == [Ingress("tcp", 22, 22, ("192.0.2.1/32", "192.0.2.2/32"))]
        cloud.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
        assert cloud.machines.ingress[instance] == []

    def test_is_told_only_when_it_changes(self, cloud: Any) -> None:
        instance = cloud.run(SecurityGroupIds=[new_group(cloud)])
        cloud.ec2.describe_instances()
        new_group(cloud, "another")
        assert cloud.machines.told("set_ingress") == [("set_ingress", instance)]

    def test_follows_the_instance_to_other_groups(self, cloud: Any) -> None:
        instance = cloud.run(SecurityGroupIds=[new_group(cloud)])
        other = new_group(cloud, "other")
        authorize(cloud, other, {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "192.0.2.0/24"}]})
        cloud.ec2.modify_instance_attribute(InstanceId=instance, Groups=[other])
        assert cloud.machines.ingress[instance] == [Ingress("-1", 0, 65535, ("192.0.2.0/24",))]
        shown = cloud.instance(instance)
        assert [g["GroupId"] for g in shown["SecurityGroups"]] == [other]
        assert [g["GroupId"] for g in shown["NetworkInterfaces"][0]["Groups"]] == [other]

    def test_an_unknown_group_is_refused(self, cloud: Any) -> None:
        request = {"InstanceId": cloud.run(), "Groups": ["sg-0123456789abcdef0"]}
        assert cloud.refusal("modify_instance_attribute", **request)[0] == "InvalidGroup.NotFound"

    def test_peers_are_the_addresses_of_those_in_the_group(self, cloud: Any) -> None:
        peers, group = new_group(cloud, "peers"), new_group(cloud)
        authorize(cloud, group, SSH | {"UserIdGroupPairs": [{"GroupId": peers}]})
        instance = cloud.run(SecurityGroupIds=[group])
        assert cloud.machines.ingress[instance] == []
        one, two = cloud.run(SecurityGroupIds=[peers]), cloud.run(SecurityGroupIds=[peers])
        assert cloud.machines.ingress[instance] == [Ingress("tcp", 22, 22, ("10.1.0.2/32", "10.1.0.3/32"))]
        cloud.ec2.terminate_instances(InstanceIds=[one])
        cloud.ec2.stop_instances(InstanceIds=[two])
        assert cloud.machines.ingress[instance] == []
        cloud.ec2.start_instances(InstanceIds=[two])
        assert cloud.machines.ingress[instance] == [Ingress("tcp", 22, 22, ("10.2.0.1/32",))]

    def test_a_machine_that_takes_no_rules_does_not_come_up(self, cloud: Any) -> None:
        cloud.machines.broken = {"set_ingress"}
        instance = cloud.run()
        assert cloud.state(instance) == "terminated"
        assert cloud.machines.told("terminate") == [("terminate", instance)]
