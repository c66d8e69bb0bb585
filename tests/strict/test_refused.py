"""Requests that moto takes, or falls over, and EC2 refuses."""

from __future__ import annotations

from typing import Any

import pytest

GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/reserved"


def spot(**options: Any) -> dict[str, Any]:
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def reservation(preference: str | None = None, **target: str) -> dict[str, Any]:
    given: dict[str, Any] = {"CapacityReservationPreference": preference} if preference else {}
    return {"CapacityReservationSpecification": given | ({"CapacityReservationTarget": target} if target else {})}


def disk(name: str = "/dev/sdb", **ebs: Any) -> dict[str, Any]:
    return {"DeviceName": name, "Ebs": ebs}


def launch(cloud: Any, **changes: Any) -> dict[str, Any]:
    return {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (reservation("open", CapacityReservationId="cr-1"), "InvalidParameterCombination"),
        (
            reservation(CapacityReservationId="cr-1", CapacityReservationResourceGroupArn=GROUP),
            "InvalidParameterCombination",
        ),
        (reservation("perhaps"), "InvalidParameterValue"),
        (reservation(CapacityReservationId="cr-2"), "InvalidCapacityReservationId.NotFound"),
        ({"Placement": {"GroupName": "nowhere"}}, "InvalidPlacementGroup.Unknown"),
        ({"InstanceMarketOptions": {"MarketType": "foo"}}, "InvalidParameterValue"),
        ({**spot(), "Placement": {"Tenancy": "host"}}, "InvalidParameterCombination"),
        (spot(SpotInstanceType="persistent"), "InvalidParameterCombination"),
        (
            spot(SpotInstanceType="persistent", InstanceInterruptionBehavior="terminate"),
            "InvalidParameterCombination",
        ),
        (spot(MaxPrice="0.001"), "InvalidParameterValue"),
        ({"EnclaveOptions": {"Enabled": True}}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [disk(VolumeSize=1), disk(VolumeSize=2)]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [disk(VolumeSize=8, VolumeType="gp3", Iops=4001)]}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [disk(VolumeSize=8, VolumeType="gp3", Throughput=751)]}, "InvalidParameterValue"),
    ],
)
def test_launches(cloud: Any, changes: dict[str, Any], code: str) -> None:
    cloud.strict.add_capacity_reservation("cr-1")
    assert cloud.refusal("run_instances", **launch(cloud, **changes))[0] == code


@pytest.mark.parametrize(
    "changes",
    [
        reservation("capacity-reservations-only", CapacityReservationId="cr-1"),
        reservation(CapacityReservationId="cr-1"),
        reservation(CapacityReservationResourceGroupArn=GROUP),
        {"Placement": {"GroupName": "near"}},
        {**spot(), "Placement": {"Tenancy": "dedicated"}},
        spot(MaxPrice="0.0011"),
        {"EnclaveOptions": {"Enabled": True}, "InstanceType": "m5.xlarge"},
        {"BlockDeviceMappings": [disk(VolumeSize=1, VolumeType="gp3", Iops=3000, Throughput=750)]},
        {"BlockDeviceMappings": [disk(VolumeSize=8, VolumeType="gp3", Iops=4000, Throughput=1000)]},
    ],
)
def test_what_is_just_possible_is_launched(cloud: Any, changes: dict[str, Any]) -> None:
    cloud.strict.add_capacity_reservation("cr-1")
    cloud.strict.add_placement_group("near")
    cloud.ec2.run_instances(**launch(cloud, **changes))


@pytest.mark.parametrize(
    ("config", "capacity", "code"),
    [
        ({}, {}, "MissingParameter"),
        ({"LaunchTemplateSpecification": {"LaunchTemplateName": "web"}}, {}, "MissingParameter"),
        (
            {"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "foo"}},
            {},
            "InvalidParameterValue",
        ),
        (None, {"TotalTargetCapacity": 0}, "InvalidParameterValue"),
        (None, {"DefaultTargetCapacityType": "Spot"}, "InvalidParameterValue"),
    ],
)
def test_fleets(cloud: Any, config: dict[str, Any] | None, capacity: dict[str, Any], code: str) -> None:
    data = {"ImageId": cloud.image, "InstanceType": "t3.micro"}
    cloud.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)
    if config is None:
        config = {"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "$Latest"}}
    request = {
        "Type": "instant",
        "LaunchTemplateConfigs": [config],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"} | capacity,
    }
    assert cloud.refusal("create_fleet", **request)[0] == code


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("foo", "InvalidParameterValue"),
        ("0", "InvalidLaunchTemplateId.VersionNotFound"),
        ("2", "InvalidLaunchTemplateId.VersionNotFound"),
    ],
)
def test_versions_of_launch_templates(cloud: Any, version: str, code: str) -> None:
    data = {"ImageId": cloud.image, "InstanceType": "t3.micro"}
    cloud.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)
    named = {"LaunchTemplateName": "web", "Version": version}
    assert cloud.refusal("run_instances", MinCount=1, MaxCount=1, LaunchTemplate=named)[0] == code


@pytest.mark.parametrize(
    "mapping",
    [
        {"DeviceName": "/dev/xvda", "NoDevice": ""},
        disk("/dev/xvda", VolumeType="io1", Iops=100),
        disk("/dev/xvda", Iops=4000),
        disk("/dev/xvda", Throughput=250),
        disk("/dev/xvda", KmsKeyId="alias/images"),
        disk("/dev/xvda", SnapshotId="snap-0a1b2c3d"),
        disk("/dev/xvda", VolumeSize=30),
        disk("/dev/xvda", Encrypted=True),
        disk(SnapshotId="snap-0a1b2c3d", Encrypted=True),
    ],
)
def test_devices_of_images(cloud: Any, mapping: dict[str, Any]) -> None:
    request = {"InstanceId": cloud.stopped(), "Name": "img", "BlockDeviceMappings": [mapping]}
    assert cloud.refusal("create_image", **request)[0] == "InvalidBlockDeviceMapping"


def test_what_an_image_has_anyway_may_be_said(cloud: Any) -> None:
    same = disk("/dev/xvda", VolumeSize=8, VolumeType="gp3", DeleteOnTermination=False)
    (root,) = cloud.describe_image(cloud.bake(BlockDeviceMappings=[same]))["BlockDeviceMappings"]
    assert (root["Ebs"]["VolumeSize"], root["Ebs"]["DeleteOnTermination"]) == (8, False)


def test_tokens_and_regions_that_are_none(cloud: Any) -> None:
    assert cloud.refusal("describe_images", NextToken="abc")[0] == "InvalidNextToken"
    request = {"SourceImageId": cloud.bake(), "SourceRegion": "xx-nowhere-1", "Name": "copy"}
    assert cloud.refusal("copy_image", **request)[0] == "InvalidParameterValue"


def test_a_copy_is_encrypted_where_the_region_does_so_by_default(cloud: Any, ireland: Any) -> None:
    ireland.enable_ebs_encryption_by_default()
    copy = ireland.copy_image(SourceImageId=cloud.bake(), SourceRegion="us-east-1", Name="copy")["ImageId"]
    (shown,) = ireland.describe_images(ImageIds=[copy])["Images"]
    assert [one["Ebs"]["Encrypted"] for one in shown["BlockDeviceMappings"]] == [True]
