"""Images: how they come to be, what they show meanwhile, how they go."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from amibake.strict import Delays


def stopped(cloud: Any, **changes: Any) -> str:
    instance: str = cloud.run(**changes)
    cloud.shop.now += 1
    cloud.ec2.stop_instances(InstanceIds=[instance])
    return instance


def image_of(cloud: Any, instance: str, name: str = "img", **changes: Any) -> str:
    image: str = cloud.ec2.create_image(InstanceId=instance, Name=name, **changes)["ImageId"]
    return image


def devices_of(cloud: Any, image: str) -> dict[str, Any]:
    """The Ebs part of its mappings, by device name."""
    mappings = cloud.describe_image(image)["BlockDeviceMappings"]
    return {mapping["DeviceName"]: mapping["Ebs"] for mapping in mappings}


def own_snapshots(cloud: Any) -> list[Any]:
    snapshots: list[Any] = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return snapshots


class TestCreateImage:
    @pytest.fixture
    def delays(self) -> Delays:
        return Delays(available=60)

    def test_is_pending_without_snapshots_then_available_with(self, cloud: Any) -> None:
        instance = stopped(cloud)
        image = image_of(cloud, instance, Description="what it is")
        shown = cloud.describe_image(image)
        assert (shown["State"], shown["Description"]) == ("pending", "what it is")
        assert "SnapshotId" not in devices_of(cloud, image)["/dev/xvda"]
        assert [each["State"] for each in own_snapshots(cloud)] == ["pending"]
        cloud.shop.now += 60
        shown = cloud.describe_image(image)
        assert shown["State"] == "available"
        (snapshot,) = own_snapshots(cloud)
        assert devices_of(cloud, image)["/dev/xvda"]["SnapshotId"] == snapshot["SnapshotId"]
        assert (snapshot["State"], snapshot["VolumeSize"]) == ("completed", 8)
        assert cloud.machines.told("create_image") == [("create_image", instance, image)]

    def test_is_pending_while_the_machine_works(self, cloud: Any) -> None:
        instance = stopped(cloud)
        cloud.shop.closed = True
        image = image_of(cloud, instance)
        cloud.shop.now += 60
        assert cloud.describe_image(image)["State"] == "pending"
        cloud.shop.work()
        assert cloud.describe_image(image)["State"] == "available"

    def test_a_failure_shows_at_the_end(self, cloud: Any) -> None:
        cloud.machines.broken = {"create_image"}
        image = image_of(cloud, stopped(cloud))
        shown = cloud.describe_image(image)
        assert (shown["State"], shown.get("StateReason")) == ("pending", None)
        cloud.shop.now += 60
        assert cloud.describe_image(image)["State"] == "failed"

    def test_a_pending_image_cannot_be_launched(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        request = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        assert cloud.refusal("run_instances", **request)[0] == "InvalidAMIID.Unavailable"
        assert cloud.refusal("copy_image", Name="copy", SourceImageId=image, SourceRegion="us-east-1")[0] == (
            "InvalidAMIID.Unavailable"
        )

    @pytest.mark.parametrize("captured", [True, False])
    def test_terminating_the_builder_fails_a_pending_image(self, cloud: Any, captured: bool) -> None:
        instance = stopped(cloud)
        cloud.shop.closed = not captured
        image = image_of(cloud, instance)
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        cloud.shop.work()
        cloud.shop.now += 100
        shown = cloud.describe_image(image)
        assert shown["State"] == "failed"
        assert instance in shown["StateReason"]["Message"]
        assert own_snapshots(cloud) == []
        expected = [("create_image", instance, image), ("delete_image", image)] if captured else []
        assert cloud.machines.told("create_image", "delete_image") == expected
        request = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        assert cloud.refusal("run_instances", **request)[0] == "InvalidAMIID.Unavailable"

    def test_terminating_the_builder_later_does_not(self, cloud: Any) -> None:
        instance = stopped(cloud)
        image = image_of(cloud, instance)
        cloud.shop.now += 60
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        assert cloud.describe_image(image)["State"] == "available"

    def test_a_pending_image_can_be_deregistered(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        cloud.ec2.deregister_image(ImageId=image)
        cloud.shop.now += 100
        assert cloud.refusal("describe_images", ImageIds=[image])[0] == "InvalidAMIID.NotFound"
        (orphan,) = own_snapshots(cloud)
        cloud.ec2.delete_snapshot(SnapshotId=orphan["SnapshotId"])
        assert own_snapshots(cloud) == []
        assert cloud.machines.told("delete_image") == [("delete_image", image)]

    def test_snapshots_of_one_deregistered_while_pending_may_show_later(self, cloud: Any) -> None:
        cloud.strict.late_snapshots = 20.0
        tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "build", "Value": "7"}]}]
        image = image_of(cloud, stopped(cloud), TagSpecifications=tags)
        cloud.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
        of_the_build = [{"Name": "tag:build", "Values": ["7"]}]
        assert cloud.ec2.describe_snapshots(Filters=of_the_build)["Snapshots"] == []
        cloud.shop.now += 20
        (late,) = cloud.ec2.describe_snapshots(Filters=of_the_build)["Snapshots"]
        cloud.ec2.delete_snapshot(SnapshotId=late["SnapshotId"])
        cloud.shop.now += 100
        assert own_snapshots(cloud) == []

    def test_late_snapshots_show_with_their_image_at_the_latest(self, cloud: Any) -> None:
        cloud.strict.late_snapshots = 500.0
        image_of(cloud, stopped(cloud))
        assert own_snapshots(cloud) == []
        cloud.shop.now += 60
        assert [each["State"] for each in own_snapshots(cloud)] == ["completed"]

    @pytest.mark.parametrize("leave_snapshots", [True, False])
    def test_one_can_be_made_to_fail(self, cloud: Any, leave_snapshots: bool) -> None:
        fault = cloud.strict.fail_images("no luck", times=1, leave_snapshots=leave_snapshots)
        image = image_of(cloud, stopped(cloud))
        assert cloud.describe_image(image)["State"] == "pending"
        cloud.shop.now += 60
        shown = cloud.describe_image(image)
        assert (shown["State"], shown["StateReason"]["Message"]) == ("failed", "no luck")
        assert "SnapshotId" not in shown["BlockDeviceMappings"][0]["Ebs"]
        left = own_snapshots(cloud)
        assert [each["State"] for each in left] == (["error"] if leave_snapshots else [])
        cloud.ec2.deregister_image(ImageId=image)
        for each in left:
            cloud.ec2.delete_snapshot(SnapshotId=each["SnapshotId"])
        assert cloud.machines.told("create_image", "delete_image") == []
        assert fault.met == 1
        image_of(cloud, stopped(cloud))
        cloud.shop.now += 60
        assert len(own_snapshots(cloud)) == 1

    def test_a_pending_instance_cannot_be_imaged(self, cloud: Any) -> None:
        cloud.shop.closed = True
        refused = cloud.refusal("create_image", InstanceId=cloud.run(), Name="img")
        assert refused[0] == "InvalidParameterValue"
        assert "not in state 'running'" in refused[1]

    def test_the_name_of_a_pending_image_is_taken(self, cloud: Any) -> None:
        instance = stopped(cloud)
        image = image_of(cloud, instance)
        code, message = cloud.refusal("create_image", InstanceId=instance, Name="img")
        assert code == "InvalidAMIName.Duplicate"
        assert image in message


def test_a_capture_that_fails_fails_the_image(cloud: Any) -> None:
    instance = stopped(cloud)
    cloud.machines.broken = {"create_image"}
    image = image_of(cloud, instance)
    shown = cloud.describe_image(image)
    assert (shown["State"], shown["StateReason"]["Code"]) == ("failed", "Server.InternalError")
    assert "create_image is broken" in shown["StateReason"]["Message"]
    assert own_snapshots(cloud) == []
    cloud.ec2.deregister_image(ImageId=image)
    assert cloud.machines.told("delete_image") == []


def test_terminated_instances_cannot_be_imaged(cloud: Any) -> None:
    instance = cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    assert cloud.refusal("create_image", InstanceId=instance, Name="img")[0] == "InvalidParameterValue"
    assert cloud.refusal("create_image", InstanceId=instance, Name="img", DryRun=True)[0] == "DryRunOperation"


class TestOfARunningInstance:
    @pytest.mark.parametrize("no_reboot", [True, False])
    def test_the_machine_is_stopped_captured_and_started(self, cloud: Any, no_reboot: bool) -> None:
        instance = cloud.run()
        image = image_of(cloud, instance, NoReboot=no_reboot)
        told = [call[0] for call in cloud.machines.told("stop", "create_image", "start")]
        assert told == ["stop", "create_image", "start"]
        assert cloud.state(instance) == "running"
        assert cloud.instance(instance)["PublicIpAddress"] == "10.2.0.1"
        assert cloud.describe_image(image)["State"] == "available"

    def test_its_power_off_meanwhile_is_ours(self, cloud: Any) -> None:
        instance = cloud.run()
        stop = cloud.machines.stop

        def stop_and_report(instance_id: str, *, force: bool) -> None:
            stop(instance_id, force=force)
            cloud.machines.on_power_off(instance_id, False)

        cloud.machines.stop = stop_and_report
        image_of(cloud, instance)
        assert cloud.state(instance) == "running"

    def test_one_that_does_not_come_up_again_is_stopped(self, cloud: Any) -> None:
        instance = cloud.run()
        cloud.machines.broken = {"start"}
        image = image_of(cloud, instance)
        assert cloud.state(instance) == "stopped"
        assert cloud.describe_image(image)["State"] == "available"

    def test_one_that_is_stopped_meanwhile_stays_so(self, cloud: Any) -> None:
        instance = cloud.run()
        cloud.shop.closed = True
        image_of(cloud, instance)
        cloud.ec2.stop_instances(InstanceIds=[instance])
        cloud.shop.work()
        assert cloud.state(instance) == "stopped"
        assert cloud.machines.told("start") == []


class TestWhatIsInIt:
    def test_comes_from_the_source_image_and_the_instance(self, cloud: Any) -> None:
        arm = cloud.strict.add_image(
            name="arm", owner_id="136693071363", architecture="arm64", root_device_name="/dev/sda1"
        )
        source = cloud.describe_image(arm)
        instance = stopped(cloud, ImageId=arm, InstanceType="t4g.micro")
        cloud.ec2.modify_instance_attribute(InstanceId=instance, SriovNetSupport={"Value": "none"})
        shown = cloud.describe_image(image_of(cloud, instance))
        for same in (
            "Architecture",
            "RootDeviceName",
            "RootDeviceType",
            "VirtualizationType",
            "EnaSupport",
            "BootMode",
        ):
            assert shown[same] == source[same]
        assert (shown["SourceInstanceId"], shown["OwnerId"]) == (instance, cloud.strict.account_id)
        assert shown["Public"] is False

    def test_devices_are_the_instances_volumes(self, cloud: Any) -> None:
        asked = [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "VolumeType": "io1", "Iops": 100}},
        ]
        devices = devices_of(cloud, image_of(cloud, stopped(cloud, BlockDeviceMappings=asked)))
        root, data = devices["/dev/xvda"], devices["/dev/sdb"]
        assert (root["VolumeSize"], root["VolumeType"], root["Encrypted"]) == (20, "gp3", True)
        assert root["DeleteOnTermination"] is False
        assert (data["VolumeSize"], data["VolumeType"], data["Iops"], data["Encrypted"]) == (5, "io1", 100, False)
        snapshots = {each["SnapshotId"]: each for each in own_snapshots(cloud)}
        assert set(snapshots) == {root["SnapshotId"], data["SnapshotId"]}
        assert snapshots[root["SnapshotId"]]["Encrypted"] is True
        assert snapshots[data["SnapshotId"]]["VolumeSize"] == 5

    def test_request_changes_what_it_may(self, cloud: Any) -> None:
        instance = stopped(cloud, BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5}}])
        changes = [
            {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdb", "NoDevice": ""},
            {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 9}},
        ]
        devices = devices_of(cloud, image_of(cloud, instance, BlockDeviceMappings=changes))
        assert set(devices) == {"/dev/xvda", "/dev/sdc"}
        assert devices["/dev/xvda"]["DeleteOnTermination"] is False
        assert devices["/dev/sdc"]["VolumeSize"] == 9
        assert len(own_snapshots(cloud)) == 1

    @pytest.mark.parametrize("ebs", [{"VolumeSize": 30}, {"Encrypted": True}])
    def test_size_and_encryption_cannot_be_changed(self, cloud: Any, ebs: dict[str, Any]) -> None:
        changes = [{"DeviceName": "/dev/xvda", "Ebs": ebs}]
        refused = cloud.refusal("create_image", InstanceId=stopped(cloud), Name="img", BlockDeviceMappings=changes)
        assert refused[0] == "InvalidBlockDeviceMapping"

    def test_tags_are_on_image_and_snapshots(self, cloud: Any) -> None:
        tags = [{"ResourceType": kind, "Tags": [{"Key": "for", "Value": kind}]} for kind in ("image", "snapshot")]
        image = image_of(cloud, stopped(cloud), TagSpecifications=tags)
        assert cloud.describe_image(image)["Tags"] == tags[0]["Tags"]
        (snapshot,) = own_snapshots(cloud)
        assert snapshot["Tags"] == tags[1]["Tags"]
        cloud.ec2.create_tags(Resources=[image, snapshot["SnapshotId"]], Tags=[{"Key": "more", "Value": "x"}])
        more = [{"Name": "tag:more", "Values": ["x"]}]
        assert [each["ImageId"] for each in cloud.ec2.describe_images(Filters=more)["Images"]] == [image]
        assert len(cloud.ec2.describe_snapshots(Filters=more)["Snapshots"]) == 1

    def test_other_tags_are_refused(self, cloud: Any) -> None:
        tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]
        refused = cloud.refusal("create_image", InstanceId=stopped(cloud), Name="img", TagSpecifications=tags)
        assert refused[0] == "InvalidParameterValue"

    def test_it_boots(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        instance = cloud.run(ImageId=image)
        assert cloud.machines.launches[-1].image_id == image
        assert cloud.instance(instance)["ImageId"] == image


class TestNames:
    @pytest.mark.parametrize("name", ["x" * 129, "with{brace}", "tab\there"])
    def test_malformed(self, cloud: Any, name: str) -> None:
        refused = cloud.refusal("create_image", InstanceId=stopped(cloud), Name=name)
        assert refused[0] == "InvalidAMIName.Malformed"

    def test_all_allowed_characters(self, cloud: Any) -> None:
        assert image_of(cloud, stopped(cloud), "Az09()[] ./-'@_")

    def test_are_unique_in_an_account_and_region(self, cloud: Any) -> None:
        instance = stopped(cloud)
        image = image_of(cloud, instance)
        snapshot = devices_of(cloud, image)["/dev/xvda"]["SnapshotId"]
        root = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}]
        duplicate = "InvalidAMIName.Duplicate"
        assert cloud.refusal("create_image", InstanceId=instance, Name="img")[0] == duplicate
        copy = {"Name": "img", "SourceImageId": image, "SourceRegion": "us-east-1"}
        assert cloud.refusal("copy_image", **copy)[0] == duplicate
        registered = {"Name": "img", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": root}
        assert cloud.refusal("register_image", **registered)[0] == duplicate
        cloud.ec2.deregister_image(ImageId=image)
        assert image_of(cloud, instance)

    def test_of_other_accounts_are_free(self, cloud: Any) -> None:
        assert image_of(cloud, stopped(cloud), "debian-12-amd64-20260101")


class TestDescribe:
    def test_base_images(self, cloud: Any) -> None:
        date = "2026-01-02T03:04:05.000Z"
        image = cloud.strict.add_image(
            name="debian-12-arm64-20260102",
            owner_id="136693071363",
            architecture="arm64",
            creation_date=date,
            description="Debian 12",
            root_volume_gib=3,
        )
        shown = cloud.describe_image(image)
        assert (shown["CreationDate"], shown["OwnerId"], shown["Architecture"]) == (date, "136693071363", "arm64")
        assert (shown["Description"], shown["Public"], shown["State"]) == ("Debian 12", True, "available")
        assert devices_of(cloud, image)["/dev/xvda"]["VolumeSize"] == 3
        assert own_snapshots(cloud) == []

    def test_filters_and_owners(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        snapshot = devices_of(cloud, image)["/dev/xvda"]["SnapshotId"]

        def found(**request: Any) -> list[str]:
            return [each["ImageId"] for each in cloud.ec2.describe_images(**request)["Images"]]

        def by(name: str, value: str) -> list[str]:
            return found(Filters=[{"Name": name, "Values": [value]}])

        assert found() == [cloud.image, image]
        assert found(Owners=["self"]) == [image]
        assert found(Owners=["136693071363"]) == [cloud.image]
        assert found(ImageIds=[image], Owners=["136693071363"]) == []
        assert by("name", "debian-12-*") == [cloud.image]
        assert by("block-device-mapping.snapshot-id", snapshot) == [image]
        assert by("block-device-mapping.delete-on-termination", "true") == [cloud.image, image]
        assert by("ena-support", "true") == [cloud.image, image]
        assert by("creation-date", "2*") == [cloud.image, image]
        assert by("state", "pending") == []
        assert by("root-device-type", "ebs") == [cloud.image, image]

    def test_pages(self, cloud: Any) -> None:
        for number in range(4):
            cloud.strict.add_image(name=f"image {number}", owner_id="136693071363")
        pages = cloud.ec2.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 2})
        assert [len(page["Images"]) for page in pages] == [2, 2, 1]

    def test_base_images_of_all_kinds(self, cloud: Any) -> None:
        image = cloud.strict.add_image(
            name="windows",
            owner_id="136693071363",
            virtualization_type="paravirtual",
            boot_mode="legacy-bios",
            root_device_type="instance-store",
            sriov_net_support=None,
            imds_support="v2.0",
            encrypted=True,
            kms_key_id="alias/theirs",
            product_codes=["abc"],
            usage_operation="RunInstances:0002",
            platform_details="Windows",
            tags={"a": "b"},
        )
        shown = cloud.describe_image(image)
        assert (shown["VirtualizationType"], shown["BootMode"]) == ("paravirtual", "legacy-bios")
        assert (shown["RootDeviceType"], shown["ImdsSupport"]) == ("instance-store", "v2.0")
        assert (shown["UsageOperation"], shown["PlatformDetails"]) == ("RunInstances:0002", "Windows")
        assert shown["ProductCodes"] == [{"ProductCodeId": "abc", "ProductCodeType": "marketplace"}]
        assert shown["Tags"] == [{"Key": "a", "Value": "b"}]
        assert "SriovNetSupport" not in shown
        ebs = shown["BlockDeviceMappings"][0]["Ebs"]
        assert (ebs["Encrypted"], ebs["KmsKeyId"]) == (True, "alias/theirs")
        usual = cloud.describe_image(cloud.image)
        assert (usual["UsageOperation"], usual["PlatformDetails"]) == ("RunInstances", "Linux/UNIX")
        assert (usual["SriovNetSupport"], usual.get("ProductCodes", [])) == ("simple", [])
        by_code = [{"Name": "product-code", "Values": ["abc"]}]
        assert [each["ImageId"] for each in cloud.ec2.describe_images(Filters=by_code)["Images"]] == [image]

    def test_ids_that_are_not_there(self, cloud: Any) -> None:
        assert cloud.refusal("describe_images", ImageIds=["nonsense"])[0] == "InvalidAMIID.Malformed"
        missing = "ami-0123456789abcdef0"
        code, message = cloud.refusal("describe_images", ImageIds=[cloud.image, missing])
        assert code == "InvalidAMIID.NotFound"
        assert missing in message
        assert cloud.image not in message


class TestGoing:
    def test_snapshots_stay_unless_asked_for(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        (snapshot,) = own_snapshots(cloud)
        assert cloud.refusal("delete_snapshot", SnapshotId=snapshot["SnapshotId"])[0] == "InvalidSnapshot.InUse"
        cloud.ec2.deregister_image(ImageId=image)
        assert len(own_snapshots(cloud)) == 1
        assert cloud.machines.told("delete_image") == []
        cloud.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
        assert own_snapshots(cloud) == []
        assert cloud.machines.told("delete_image") == [("delete_image", image)]

    def test_with_its_snapshots(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        cloud.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
        assert own_snapshots(cloud) == []
        assert cloud.machines.told("delete_image") == [("delete_image", image)]

    def test_is_unavailable_afterwards(self, cloud: Any) -> None:
        image = image_of(cloud, stopped(cloud))
        cloud.ec2.deregister_image(ImageId=image)
        assert cloud.refusal("deregister_image", ImageId=image)[0] == "InvalidAMIID.Unavailable"
        assert cloud.refusal("describe_images", ImageIds=[image])[0] == "InvalidAMIID.NotFound"
        request = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        assert cloud.refusal("run_instances", **request)[0] == "InvalidAMIID.Unavailable"

    def test_those_of_others_stay(self, cloud: Any) -> None:
        assert cloud.refusal("deregister_image", ImageId=cloud.image)[0] == "AuthFailure"

    def test_a_snapshot_of_a_volume_is_nobodys_disk(self, cloud: Any) -> None:
        cloud.run()
        volume = cloud.ec2.describe_volumes()["Volumes"][0]["VolumeId"]
        cloud.ec2.delete_snapshot(SnapshotId=cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"])
        assert cloud.machines.told("delete_image") == []


class TestCopies:
    def test_have_snapshots_of_their_own_on_the_same_disk(self, cloud: Any) -> None:
        tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
        changes = [{"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 9}}]
        source = image_of(cloud, stopped(cloud), Description="d", TagSpecifications=tags, BlockDeviceMappings=changes)
        there = boto3.client(
            "ec2",
            region_name="eu-west-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        request = {"SourceImageId": source, "SourceRegion": "us-east-1", "Name": "copy", "Encrypted": True}
        copy = there.copy_image(**request, CopyImageTags=True)["ImageId"]
        (shown,) = there.describe_images(ImageIds=[copy])["Images"]
        assert (shown["Name"], shown["Description"], shown["State"]) == ("copy", "d", "available")
        assert shown["Tags"] == [{"Key": "a", "Value": "b"}]
        assert shown["RootDeviceName"] == "/dev/xvda"
        assert [m["Ebs"]["Encrypted"] for m in shown["BlockDeviceMappings"]] == [True, True]
        (snapshot,) = there.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        assert (snapshot["Encrypted"], snapshot["VolumeSize"]) == (True, 8)
        assert snapshot["SnapshotId"] != own_snapshots(cloud)[0]["SnapshotId"]

        cloud.ec2.deregister_image(ImageId=source, DeleteAssociatedSnapshots=True)
        assert cloud.machines.told("delete_image") == []
        there.run_instances(ImageId=copy, InstanceType="t3.micro", MinCount=1, MaxCount=1)
        assert cloud.machines.launches[-1].image_id == source
        there.deregister_image(ImageId=copy, DeleteAssociatedSnapshots=True)
        assert cloud.machines.told("delete_image") == [("delete_image", source)]

    def test_tags_are_not_copied_unasked(self, cloud: Any) -> None:
        tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
        source = image_of(cloud, stopped(cloud), TagSpecifications=tags)
        request = {"SourceImageId": source, "SourceRegion": "us-east-1", "Name": "copy"}
        assert cloud.describe_image(cloud.ec2.copy_image(**request)["ImageId"])["Tags"] == []


class TestRegistered:
    def test_from_the_snapshot_of_an_image(self, cloud: Any) -> None:
        source = image_of(cloud, stopped(cloud))
        (snapshot,) = own_snapshots(cloud)
        request = {
            "Name": "registered",
            "Architecture": "x86_64",
            "RootDeviceName": "/dev/xvda",
            "VirtualizationType": "hvm",
            "EnaSupport": True,
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot["SnapshotId"]}}],
        }
        image = cloud.ec2.register_image(**request)["ImageId"]
        shown = cloud.describe_image(image)
        assert (shown["State"], shown["Architecture"], shown["EnaSupport"]) == ("available", "x86_64", True)
        assert devices_of(cloud, image)["/dev/xvda"]["VolumeSize"] == 8
        cloud.run(ImageId=image)
        assert cloud.machines.launches[-1].image_id == source
        cloud.ec2.deregister_image(ImageId=source)
        in_use = cloud.refusal("delete_snapshot", SnapshotId=snapshot["SnapshotId"])
        assert in_use[0] == "InvalidSnapshot.InUse"
        assert image in in_use[1]

    def test_without_one_is_refused(self, cloud: Any) -> None:
        devices = [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 8}}]
        refused = cloud.refusal("register_image", Name="registered", BlockDeviceMappings=devices)
        assert refused[0] == "MissingParameter"
