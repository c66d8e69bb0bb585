"""RunInstances: what is refused, what is idempotent, what is made."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS


def request_for(cloud: Any, **changes: Any) -> dict[str, Any]:
    return {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes


def volumes_of(cloud: Any, instance: str) -> dict[str, Any]:
    """The volumes by device name."""
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    volumes = cloud.ec2.describe_volumes(Filters=attached)["Volumes"]
    return {volume["Attachments"][0]["Device"]: volume for volume in volumes}


class TestClientToken:
    def test_same_request_same_instances(self, cloud: Any) -> None:
        first = cloud.ec2.run_instances(**request_for(cloud, ClientToken="t", MinCount=2, MaxCount=2))
        second = cloud.ec2.run_instances(**request_for(cloud, ClientToken="t", MinCount=2, MaxCount=2))
        ids = [each["InstanceId"] for each in first["Instances"]]
        assert ids == [each["InstanceId"] for each in second["Instances"]]
        assert len(cloud.machines.launches) == 2
        by_token = [{"Name": "client-token", "Values": ["t"]}]
        (reservation,) = cloud.ec2.describe_instances(Filters=by_token)["Reservations"]
        assert [each["InstanceId"] for each in reservation["Instances"]] == ids

    def test_another_request_is_refused(self, cloud: Any) -> None:
        cloud.run(ClientToken="t")
        other = request_for(cloud, ClientToken="t", InstanceType="t3.small")
        assert cloud.refusal("run_instances", **other)[0] == "IdempotentParameterMismatch"

    def test_terminated_is_refused(self, cloud: Any) -> None:
        instance = cloud.run(ClientToken="t")
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        refused = cloud.refusal("run_instances", **request_for(cloud, ClientToken="t"))
        assert refused[0] == "IdempotentInstanceTerminated"

    def test_another_token_is_another_instance(self, cloud: Any) -> None:
        assert cloud.run(ClientToken="t") != cloud.run(ClientToken="u")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t3.nonsense"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.micro"}, "InvalidParameterValue"),
        ({"SecurityGroups": ["nobody"]}, "InvalidGroup.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"InstanceInitiatedShutdownBehavior": "explode"}, "InvalidParameterValue"),
        ({"UserData": "x" * 17000}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_refused_and_nothing_is_left(cloud: Any, changes: dict[str, Any], code: str) -> None:
    assert cloud.refusal("run_instances", **request_for(cloud, **changes))[0] == code
    assert cloud.ec2.describe_instances()["Reservations"] == []
    assert cloud.machines.told() == []


def test_no_image_at_all_is_refused(cloud: Any) -> None:
    request = request_for(cloud)
    del request["ImageId"]
    assert cloud.refusal("run_instances", **request)[0] == "MissingParameter"


def test_the_message_names_both_architectures(cloud: Any) -> None:
    _, message = cloud.refusal("run_instances", **request_for(cloud, InstanceType="t4g.micro"))
    assert "'arm64'" in message
    assert "'x86_64'" in message


def test_a_type_without_ena_suits_an_old_image_and_nitro_does_not(cloud: Any) -> None:
    wheezy = cloud.strict.add_image(name="wheezy", owner_id="379101102735", image_id="ami-22de994a", ena_support=False)
    assert cloud.state(cloud.run(ImageId=wheezy, InstanceType="t1.micro")) == "running"
    code, message = cloud.refusal("run_instances", **request_for(cloud, ImageId=wheezy))
    assert code == "InvalidParameterCombination"
    assert "ENA" in message


def test_a_type_that_the_region_does_not_offer(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INSTANCE_TYPE_OFFERINGS["region"], "us-east-1", [{"InstanceType": "t3.small"}])
    assert cloud.refusal("run_instances", **request_for(cloud))[0] == "Unsupported"


def test_the_machine_gets_to_know_its_launch(cloud: Any) -> None:
    key = cloud.ec2.create_key_pair(KeyName="k", KeyType="ed25519")
    assert key["KeyPairId"]
    instance = cloud.run(KeyName="k", UserData="#!/bin/sh\n")
    (launch,) = cloud.machines.launches
    assert (launch.instance_id, launch.image_id, launch.instance_type) == (instance, cloud.image, "t3.micro")
    assert (launch.key_name, launch.user_data, launch.root_volume_gib) == ("k", "#!/bin/sh\n", 8)
    assert launch.public_key
    assert launch.public_key.startswith("ssh-ed25519 ")
    assert "\n" not in launch.public_key


def test_a_machine_without_key_and_user_data(cloud: Any) -> None:
    cloud.run()
    (launch,) = cloud.machines.launches
    assert (launch.key_name, launch.public_key, launch.user_data) == (None, None, None)


def test_user_data_that_is_no_text_still_launches(cloud: Any) -> None:
    cloud.run(UserData=b"\x1f\x8b gzip")
    assert cloud.machines.launches[0].user_data == "\x1f\ufffd gzip"


def test_tags_of_all_kinds_are_kept(cloud: Any) -> None:
    kinds = ["instance", "volume", "network-interface"]
    tags = [{"ResourceType": kind, "Tags": [{"Key": "for", "Value": kind}]} for kind in kinds]
    shown = cloud.instance(cloud.run(TagSpecifications=tags))
    assert shown["Tags"] == [{"Key": "for", "Value": "instance"}]
    (volume,) = cloud.ec2.describe_volumes()["Volumes"]
    assert volume["Tags"] == [{"Key": "for", "Value": "volume"}]
    (interface,) = cloud.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert interface["TagSet"] == [{"Key": "for", "Value": "network-interface"}]


class TestDevices:
    def test_without_a_request_are_the_images(self, cloud: Any) -> None:
        (root,) = volumes_of(cloud, cloud.run()).items()
        assert root[0] == "/dev/xvda"
        assert (root[1]["Size"], root[1]["VolumeType"], root[1]["Encrypted"]) == (8, "gp3", False)

    def test_are_as_asked_for(self, cloud: Any) -> None:
        asked = [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True, "Iops": 4000}},
            {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "VolumeType": "io1", "Iops": 100}},
            {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
        ]
        volumes = volumes_of(cloud, cloud.run(BlockDeviceMappings=asked))
        root, data = volumes["/dev/xvda"], volumes["/dev/sdb"]
        assert (root["Size"], root["VolumeType"], root["Encrypted"], root["Iops"]) == (20, "gp3", True, 4000)
        assert (data["Size"], data["VolumeType"], data["Iops"]) == (5, "io1", 100)
        assert set(volumes) == {"/dev/xvda", "/dev/sdb"}
        assert cloud.machines.launches[0].root_volume_gib == 20

    def test_another_type_does_not_keep_the_old_ones_iops(self, cloud: Any) -> None:
        asked = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp2"}}]
        root = volumes_of(cloud, cloud.run(BlockDeviceMappings=asked))["/dev/xvda"]
        assert (root["VolumeType"], root.get("Iops")) == ("gp2", None)

    def test_encryption_by_default(self, cloud: Any) -> None:
        cloud.ec2.enable_ebs_encryption_by_default()
        assert volumes_of(cloud, cloud.run())["/dev/xvda"]["Encrypted"] is True

    @pytest.mark.parametrize(
        ("mapping", "code"),
        [
            ({"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}, "InvalidBlockDeviceMapping"),
            ({"DeviceName": "/dev/sdb", "Ebs": {}}, "MissingParameter"),
            ({"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}, "InvalidSnapshot.NotFound"),
            ({"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "VolumeType": "io1"}}, "InvalidParameterDependency"),
        ],
    )
    def test_that_cannot_be_are_refused_and_nothing_is_left(
        self, cloud: Any, mapping: dict[str, Any], code: str
    ) -> None:
        assert cloud.refusal("run_instances", **request_for(cloud, BlockDeviceMappings=[mapping]))[0] == code
        assert cloud.ec2.describe_instances()["Reservations"] == []
        assert cloud.ec2.describe_volumes()["Volumes"] == []
        assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []

    def test_a_snapshot_can_fill_a_device(self, cloud: Any) -> None:
        instance = cloud.run()
        volume = volumes_of(cloud, instance)["/dev/xvda"]["VolumeId"]
        snapshot = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        asked = [
            {"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": snapshot}},
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": False}},
        ]
        volumes = volumes_of(cloud, cloud.run(BlockDeviceMappings=asked))
        assert {v["SnapshotId"] for v in volumes.values()} == {snapshot}
        assert {v["Size"] for v in volumes.values()} == {8}

    def test_delete_on_termination_is_honoured(self, cloud: Any) -> None:
        asked = [
            {"DeviceName": "/dev/xvda", "NoDevice": ""},
            {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 6, "DeleteOnTermination": True}},
        ]
        cloud.ec2.terminate_instances(InstanceIds=[cloud.run(BlockDeviceMappings=asked)])
        assert [volume["Size"] for volume in cloud.ec2.describe_volumes()["Volumes"]] == [5]


class TestInterfaces:
    def test_what_the_launch_made_goes_with_the_instance(self, cloud: Any) -> None:
        cloud.ec2.terminate_instances(InstanceIds=[cloud.run()])
        assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []

    def test_kept_where_asked_for(self, cloud: Any) -> None:
        kept = [{"DeviceIndex": 0, "DeleteOnTermination": False}]
        cloud.ec2.terminate_instances(InstanceIds=[cloud.run(NetworkInterfaces=kept)])
        (interface,) = cloud.ec2.describe_network_interfaces()["NetworkInterfaces"]
        assert interface["Status"] == "available"

    def test_one_that_was_there_before_stays(self, cloud: Any) -> None:
        subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        made = cloud.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        instance = cloud.run(NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": made}])
        assert cloud.instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"] == made
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        assert len(cloud.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_a_launch_template_fills_what_is_left_open(cloud: Any) -> None:
    cloud.ec2.create_key_pair(KeyName="k")
    data = {
        "ImageId": cloud.image,
        "InstanceType": "t3.small",
        "KeyName": "k",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}}],
    }
    cloud.ec2.create_launch_template(LaunchTemplateName="lt", LaunchTemplateData=data)
    answer = cloud.ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "lt"}, MinCount=1, MaxCount=3)
    assert len(answer["Instances"]) == 3
    instance = cloud.instance(answer["Instances"][0]["InstanceId"])
    assert (instance["ImageId"], instance["InstanceType"], instance["KeyName"]) == (cloud.image, "t3.small", "k")
    assert cloud.machines.launches[0].root_volume_gib == 30
    named = {"InstanceId": instance["InstanceId"], "Attribute": "instanceInitiatedShutdownBehavior"}
    behaviour = cloud.ec2.describe_instance_attribute(**named)["InstanceInitiatedShutdownBehavior"]
    assert behaviour == {"Value": "terminate"}
