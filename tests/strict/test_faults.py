"""What a test can make EC2 refuse, and the record of requests."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


def request_for(cloud: Any, **changes: Any) -> dict[str, Any]:
    return {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes


def status(cloud: Any, operation: str, **request: Any) -> tuple[str, int]:
    """Code and HTTP status of a refusal."""
    with pytest.raises(ClientError) as caught:
        getattr(cloud.ec2, operation)(**request)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class TestRefusedActions:
    def test_are_refused_like_on_ec2(self, cloud: Any) -> None:
        cloud.strict.refuse("CreateTags")
        tags = {"Resources": [cloud.image], "Tags": [{"Key": "a", "Value": "b"}]}
        assert status(cloud, "create_tags", **tags) == ("UnauthorizedOperation", 403)
        assert cloud.refusal("create_tags", **tags)[1] == "You are not authorized to perform this operation."
        assert tags["Tags"][0] not in cloud.describe_image(cloud.image)["Tags"]

    def test_a_number_of_times_or_until_lifted(self, cloud: Any) -> None:
        twice = cloud.strict.refuse("DescribeImages", "RequestLimitExceeded", times=2)
        for _ in range(2):
            assert status(cloud, "describe_images") == ("RequestLimitExceeded", 503)
        assert cloud.ec2.describe_images()["Images"]
        always = cloud.strict.refuse("DescribeImages", "InvalidParameterValue", "no such thing")
        assert cloud.refusal("describe_images") == ("InvalidParameterValue", "no such thing")
        always.lift()
        assert cloud.ec2.describe_images()["Images"]
        assert (twice.met, always.met) == (2, 1)

    def test_in_one_region(self, cloud: Any, ireland: Any) -> None:
        cloud.strict.refuse("DescribeImages", region="eu-west-1")
        assert cloud.ec2.describe_images()["Images"]
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            ireland.describe_images()

    def test_before_anything_is_done_even_of_a_dry_run(self, cloud: Any) -> None:
        cloud.strict.refuse("RunInstances")
        assert cloud.refusal("run_instances", **request_for(cloud, DryRun=True))[0] == "UnauthorizedOperation"
        assert cloud.refusal("run_instances", **request_for(cloud))[0] == "UnauthorizedOperation"
        assert cloud.ec2.describe_instances()["Reservations"] == []


class TestRefusedLaunches:
    def test_lack_capacity(self, cloud: Any) -> None:
        refusal = cloud.strict.refuse_launches()
        assert status(cloud, "run_instances", **request_for(cloud)) == ("InsufficientInstanceCapacity", 500)
        message = cloud.refusal("run_instances", **request_for(cloud, Placement={"AvailabilityZone": "us-east-1b"}))[1]
        assert "t3.micro" in message
        assert "us-east-1b" in message
        assert refusal.met == 2
        assert cloud.ec2.describe_instances()["Reservations"] == []
        assert cloud.ec2.describe_volumes()["Volumes"] == []
        assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
        assert cloud.machines.launches == []

    def test_of_some_types_and_subnets(self, cloud: Any) -> None:
        first, second = [each["SubnetId"] for each in cloud.ec2.describe_subnets()["Subnets"][:2]]
        cloud.strict.refuse_launches("Unsupported", instance_types=("t3.small",), subnet_ids=(first,))
        refused = request_for(cloud, InstanceType="t3.small", SubnetId=first)
        assert cloud.refusal("run_instances", **refused)[0] == "Unsupported"
        interface = [{"DeviceIndex": 0, "SubnetId": first}]
        refused = request_for(cloud, InstanceType="t3.small", NetworkInterfaces=interface)
        assert cloud.refusal("run_instances", **refused)[0] == "Unsupported"
        assert cloud.run(InstanceType="t3.micro", SubnetId=first)
        assert cloud.run(InstanceType="t3.small", SubnetId=second)

    def test_of_some_zones_and_lifecycles(self, cloud: Any) -> None:
        zone = {"AvailabilityZone": "us-east-1c"}
        cloud.strict.refuse_launches(availability_zones=("us-east-1c",), times=1)
        assert cloud.run()
        assert cloud.refusal("run_instances", **request_for(cloud, Placement=zone))[0] == "InsufficientInstanceCapacity"
        assert cloud.run(Placement=zone)
        cloud.strict.refuse_launches("SpotMaxPriceTooLow", lifecycle="spot")
        assert cloud.run()
        spot = request_for(cloud, InstanceMarketOptions={"MarketType": "spot"})
        assert status(cloud, "run_instances", **spot) == ("SpotMaxPriceTooLow", 400)
        assert cloud.ec2.describe_spot_instance_requests()["SpotInstanceRequests"] == []

    def test_are_retried_by_clients_that_retry(self, cloud: Any) -> None:
        refusal = cloud.strict.refuse_launches(times=1)
        config = Config(retries={"mode": "standard", "total_max_attempts": 2})
        keys: dict[str, Any] = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        patient = boto3.client("ec2", region_name="us-east-1", config=config, **keys)
        assert patient.run_instances(**request_for(cloud))["Instances"]
        assert refusal.met == 1


class TestRecord:
    def test_has_the_literal_parameters_in_order(self, cloud: Any, ireland: Any) -> None:
        cloud.strict.requests.clear()
        mapping = [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 9}}]
        instance = cloud.run(BlockDeviceMappings=mapping)
        ireland.describe_images(Owners=["self"])
        assert cloud.refusal("stop_instances", InstanceIds=["i-0123456789abcdef0"])[0] == "InvalidInstanceID.NotFound"
        cloud.ec2.get_console_output(InstanceId=instance)
        seen = [(request.region, request.action) for request in cloud.strict.requests]
        assert seen == [
            ("us-east-1", "RunInstances"),
            ("eu-west-1", "DescribeImages"),
            ("us-east-1", "StopInstances"),
            ("us-east-1", "GetConsoleOutput"),
        ]
        run, describe, stop, _ = (dict(request.params) for request in cloud.strict.requests)
        run.pop("ClientToken")
        assert run == {
            "ImageId": cloud.image,
            "InstanceType": "t3.micro",
            "MinCount": "1",
            "MaxCount": "1",
            "BlockDeviceMapping.1.DeviceName": "/dev/xvda",
            "BlockDeviceMapping.1.Ebs.Encrypted": "true",
            "BlockDeviceMapping.1.Ebs.VolumeSize": "9",
        }
        assert (describe, stop) == ({"Owner.1": "self"}, {"InstanceId.1": "i-0123456789abcdef0"})

    def test_does_not_grow_without_end(self, cloud: Any) -> None:
        for number in range(25_000):
            cloud.strict.record("us-east-1", str(number), {})
        assert 10_000 <= len(cloud.strict.requests) <= 20_000
        assert cloud.strict.requests[-1].action == "24999"
