"""Spot instances and fleets."""

from __future__ import annotations

from typing import Any

import pytest

SPOT = {"MarketType": "spot"}


def tags(kind: str, **pairs: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}


def tags_of(shown: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in shown.get("Tags", [])}


def request_of(cloud: Any, instance: str) -> Any:
    """The spot request behind an instance."""
    named = [cloud.instance(instance)["SpotInstanceRequestId"]]
    return cloud.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=named)["SpotInstanceRequests"][0]


class TestInstances:
    def test_have_a_request(self, cloud: Any) -> None:
        options = {**SPOT, "SpotOptions": {"MaxPrice": "0.05"}}
        specifications = [tags("spot-instances-request", a="b"), tags("instance", c="d")]
        instance = cloud.run(InstanceMarketOptions=options, TagSpecifications=specifications)
        assert cloud.instance(instance)["InstanceLifecycle"] == "spot"
        request = request_of(cloud, instance)
        assert (request["InstanceId"], request["State"], request["Type"]) == (instance, "active", "one-time")
        assert (request["SpotPrice"], tags_of(request)) == ("0.050000", {"a": "b"})
        assert "SpotInstanceRequestId" not in cloud.instance(cloud.run())

    def test_cannot_be_stopped_unless_persistent(self, cloud: Any) -> None:
        once = cloud.run(InstanceMarketOptions=SPOT)
        assert cloud.refusal("stop_instances", InstanceIds=[once])[0] == "UnsupportedOperation"
        options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
        persistent = cloud.run(InstanceMarketOptions={**SPOT, "SpotOptions": options})
        cloud.ec2.stop_instances(InstanceIds=[persistent])
        assert cloud.state(persistent) == "stopped"

    def test_can_be_interrupted(self, cloud: Any) -> None:
        instance = cloud.run(InstanceMarketOptions=SPOT)
        cloud.strict.interrupt(instance)
        shown = cloud.instance(instance)
        assert shown["State"]["Name"] == "terminated"
        assert shown["StateReason"]["Code"] == "Server.SpotInstanceTermination"
        assert shown["StateTransitionReason"] == "Server.SpotInstanceTermination"
        request = request_of(cloud, instance)
        assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-no-capacity")
        assert cloud.machines.told("terminate") == [("terminate", instance)]

    def test_only_spot_instances_are_interrupted(self, cloud: Any) -> None:
        with pytest.raises(Exception, match="there is no spot instance"):
            cloud.strict.interrupt(cloud.run())

    def test_terminated_ones_close_their_request(self, cloud: Any) -> None:
        instance = cloud.run(InstanceMarketOptions=SPOT)
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        assert request_of(cloud, instance)["Status"]["Code"] == "instance-terminated-by-user"


class TestFleets:
    @pytest.fixture
    def template(self, cloud: Any) -> str:
        data = {
            "ImageId": cloud.image,
            "InstanceType": "t3.micro",
            "MetadataOptions": {"HttpTokens": "required"},
            "TagSpecifications": [tags("instance", a="template"), tags("volume", v="template")],
        }
        answer = cloud.ec2.create_launch_template(LaunchTemplateName="lt", LaunchTemplateData=data)
        template: str = answer["LaunchTemplate"]["LaunchTemplateId"]
        return template

    def request(self, template: str, *overrides: dict[str, Any], **changes: Any) -> dict[str, Any]:
        config: dict[str, Any] = {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"}}
        if overrides:
            config["Overrides"] = list(overrides)
        return {
            "Type": "instant",
            "LaunchTemplateConfigs": [config],
            "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        } | changes

    def test_launch_the_first_override_that_they_can(self, cloud: Any, template: str) -> None:
        subnets = [each["SubnetId"] for each in cloud.ec2.describe_subnets()["Subnets"][:2]]
        overrides = [
            {"InstanceType": kind, "SubnetId": subnet, "MaxPrice": "0.1"}
            for kind in ("t3.small", "t3.medium")
            for subnet in subnets
        ]
        cloud.strict.refuse_launches(instance_types=("t3.small",))
        cloud.strict.refuse_launches("MaxSpotInstanceCountExceeded", subnet_ids=(subnets[0],))
        specifications = [tags("fleet", f="fleet"), tags("instance", b="fleet"), tags("volume", w="fleet")]
        options = {"AllocationStrategy": "price-capacity-optimized", "MaxTotalPrice": "0.2"}
        request = self.request(template, *overrides, SpotOptions=options, TagSpecifications=specifications)
        answer = cloud.ec2.create_fleet(**request)
        assert [each["ErrorCode"] for each in answer["Errors"]] == [
            "InsufficientInstanceCapacity",
            "InsufficientInstanceCapacity",
            "MaxSpotInstanceCountExceeded",
        ]
        tried = [each["LaunchTemplateAndOverrides"]["Overrides"] for each in answer["Errors"]]
        assert tried == overrides[:3]
        assert "t3.small" in answer["Errors"][0]["ErrorMessage"]
        (launched,) = answer["Instances"]
        assert (launched["InstanceType"], launched["Lifecycle"]) == ("t3.medium", "spot")
        assert launched["LaunchTemplateAndOverrides"]["Overrides"] == overrides[3]
        (instance,) = launched["InstanceIds"]
        shown = cloud.instance(instance)
        assert (shown["InstanceType"], shown["SubnetId"]) == ("t3.medium", subnets[1])
        assert (shown["InstanceLifecycle"], shown["MetadataOptions"]["HttpTokens"]) == ("spot", "required")
        own = {key: value for key, value in tags_of(shown).items() if not key.startswith("aws:ec2launchtemplate")}
        assert own == {"a": "template", "b": "fleet", "aws:ec2:fleet-id": answer["FleetId"]}
        assert tags_of(cloud.ec2.describe_volumes()["Volumes"][0]) == {"v": "template", "w": "fleet"}
        assert request_of(cloud, instance)["SpotPrice"] == "0.100000"
        (fleet,) = cloud.ec2.describe_fleets(FleetIds=[answer["FleetId"]])["Fleets"]
        assert (fleet["Type"], fleet["FleetState"], tags_of(fleet)) == ("instant", "active", {"f": "fleet"})
        assert cloud.refusal("stop_instances", InstanceIds=[instance])[0] == "UnsupportedOperation"

    def test_leave_nothing_when_all_is_refused(self, cloud: Any, template: str) -> None:
        cloud.strict.refuse_launches(lifecycle="spot")
        answer = cloud.ec2.create_fleet(**self.request(template))
        assert (answer["Instances"], [each["ErrorCode"] for each in answer["Errors"]]) == (
            [],
            ["InsufficientInstanceCapacity"],
        )
        assert cloud.ec2.describe_instances()["Reservations"] == []
        assert cloud.ec2.describe_volumes()["Volumes"] == []
        assert cloud.ec2.describe_spot_instance_requests()["SpotInstanceRequests"] == []
        assert cloud.run()

    def test_can_be_on_demand_and_of_several(self, cloud: Any, template: str) -> None:
        capacity = {"TotalTargetCapacity": 2, "DefaultTargetCapacityType": "on-demand"}
        answer = cloud.ec2.create_fleet(**self.request(template, TargetCapacitySpecification=capacity))
        (launched,) = answer["Instances"]
        assert (launched["Lifecycle"], len(launched["InstanceIds"])) == ("on-demand", 2)
        assert "InstanceLifecycle" not in cloud.instance(launched["InstanceIds"][0])
        deleted = cloud.ec2.delete_fleets(FleetIds=[answer["FleetId"]], TerminateInstances=True)
        assert [each["FleetId"] for each in deleted["SuccessfulFleetDeletions"]] == [answer["FleetId"]]
        assert [cloud.state(instance) for instance in launched["InstanceIds"]] == ["terminated"] * 2

    def test_heed_priorities_where_the_strategy_does(self, cloud: Any, template: str) -> None:
        overrides = [{"InstanceType": "t3.small", "Priority": 2.0}, {"InstanceType": "t3.medium", "Priority": 1.0}]
        for strategy, first in (("capacity-optimized-prioritized", "t3.medium"), ("lowest-price", "t3.small")):
            options = {"AllocationStrategy": strategy}
            answer = cloud.ec2.create_fleet(**self.request(template, *overrides, SpotOptions=options))
            assert answer["Instances"][0]["InstanceType"] == first

    def test_put_the_subnet_into_the_templates_interface(self, cloud: Any) -> None:
        interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True}
        data = {"ImageId": cloud.image, "InstanceType": "t3.micro", "NetworkInterfaces": [interface]}
        made = cloud.ec2.create_launch_template(LaunchTemplateName="nic", LaunchTemplateData=data)
        subnet = cloud.ec2.describe_subnets()["Subnets"][3]
        override = {
            "SubnetId": subnet["SubnetId"],
            "AvailabilityZone": subnet["AvailabilityZone"],
            "ImageId": cloud.image,
        }
        answer = cloud.ec2.create_fleet(**self.request(made["LaunchTemplate"]["LaunchTemplateId"], override))
        shown = cloud.instance(answer["Instances"][0]["InstanceIds"][0])
        assert (shown["SubnetId"], bool(shown["PublicIpAddress"])) == (subnet["SubnetId"], True)

    def test_the_same_token_launches_once(self, cloud: Any, template: str) -> None:
        answers = [cloud.ec2.create_fleet(**self.request(template, ClientToken="t")) for _ in range(2)]
        assert answers[0]["FleetId"] == answers[1]["FleetId"]
        assert len(cloud.machines.launches) == 1

    @pytest.mark.parametrize(
        "changes", [{"SpotOptions": {"AllocationStrategy": "best"}}, {"SpotOptions": {"MaxTotalPrice": "-1"}}]
    )
    def test_nonsense_is_refused(self, cloud: Any, template: str, changes: dict[str, Any]) -> None:
        assert cloud.refusal("create_fleet", **self.request(template, **changes))[0] == "InvalidParameterValue"

    def test_need_their_template(self, cloud: Any, template: str) -> None:
        missing = self.request("lt-0123456789abcdef0")
        assert cloud.refusal("create_fleet", **missing)[0] == "InvalidLaunchTemplateId.NotFound"
        assert cloud.refusal("create_fleet", **self.request(template), DryRun=True)[0] == "DryRunOperation"

    def test_that_maintain_are_motos(self, cloud: Any, template: str) -> None:
        answer = cloud.ec2.create_fleet(**self.request(template, Type="maintain"))
        (fleet,) = cloud.ec2.describe_fleets(FleetIds=[answer["FleetId"]])["Fleets"]
        assert fleet["Type"] == "maintain"
        assert len(cloud.machines.launches) == 1
