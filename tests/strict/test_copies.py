"""CopyImage and RegisterImage: encryption, tags, tokens, and snapshots that several images share."""

from __future__ import annotations

from typing import Any

import pytest

from amibake.strict import Delays

IRISH_KEY = "arn:aws:kms:eu-west-1:123456789012:key/0ea3fef3-80a7-4778-9d8c-1c0c6EXAMPLE"


def copy(there: Any, source: str, name: str = "copy", **changes: Any) -> str:
    request = {"SourceImageId": source, "SourceRegion": "us-east-1", "Name": name} | changes
    image: str = there.copy_image(**request)["ImageId"]
    return image


def describe(there: Any, image: str) -> Any:
    return there.describe_images(ImageIds=[image])["Images"][0]


def root_of(there: Any, image: str) -> Any:
    return describe(there, image)["BlockDeviceMappings"][0]["Ebs"]


def snapshots(there: Any) -> list[Any]:
    found: list[Any] = there.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return found


class TestEncryption:
    def test_is_with_the_key_asked_for(self, cloud: Any, ireland: Any) -> None:
        image = copy(ireland, cloud.bake(), Encrypted=True, KmsKeyId=IRISH_KEY)
        root = root_of(ireland, image)
        assert (root["Encrypted"], root["KmsKeyId"]) == (True, IRISH_KEY)
        (snapshot,) = snapshots(ireland)
        assert (snapshot["Encrypted"], snapshot["KmsKeyId"]) == (True, IRISH_KEY)

    def test_is_with_the_regions_own_default_key(self, cloud: Any, ireland: Any) -> None:
        root = root_of(ireland, copy(ireland, cloud.bake(), Encrypted=True))
        assert root["KmsKeyId"].startswith("arn:aws:kms:eu-west-1:")
        friend = {"Add": [{"UserId": "210987654321"}]}
        named = {"SnapshotId": root["SnapshotId"], "CreateVolumePermission": friend}
        with pytest.raises(ireland.exceptions.ClientError, match="EBS default key"):
            ireland.modify_snapshot_attribute(**named)

    def test_is_never_taken_away(self, cloud: Any, ireland: Any) -> None:
        source = copy(cloud.ec2, cloud.bake(), "encrypted", Encrypted=True)
        root = root_of(ireland, copy(ireland, source, Encrypted=False))
        assert root["Encrypted"] is True
        assert root["KmsKeyId"].startswith("arn:aws:kms:eu-west-1:")

    def test_is_not_there_unasked(self, cloud: Any, ireland: Any) -> None:
        root = root_of(ireland, copy(ireland, cloud.bake()))
        assert root["Encrypted"] is False
        assert "KmsKeyId" not in root

    def test_a_key_needs_it(self, cloud: Any) -> None:
        request = {"SourceImageId": cloud.bake(), "SourceRegion": "us-east-1", "Name": "copy"}
        refused = cloud.refusal("copy_image", **request, KmsKeyId="alias/images")
        assert refused[0] == "InvalidParameterDependency"

    def test_a_key_of_another_region_fails_the_copy(self, cloud: Any) -> None:
        image = copy(cloud.ec2, cloud.bake(), Encrypted=True, KmsKeyId=IRISH_KEY)
        shown = cloud.describe_image(image)
        assert shown["State"] == "failed"
        assert IRISH_KEY in shown["StateReason"]["Message"]
        assert len(snapshots(cloud.ec2)) == 1


class TestOnTheWay:
    @pytest.fixture
    def delays(self) -> Delays:
        return Delays(available=60)

    def test_snapshots_are_found_by_tag_while_the_image_lists_none(self, cloud: Any, ireland: Any) -> None:
        source = cloud.bake()
        cloud.shop.now += 60
        tags = [{"ResourceType": kind, "Tags": [{"Key": "for", "Value": kind}]} for kind in ("image", "snapshot")]
        image = copy(ireland, source, TagSpecifications=tags)
        shown = describe(ireland, image)
        assert (shown["State"], shown["Tags"]) == ("pending", tags[0]["Tags"])
        assert (shown["SourceImageId"], shown["SourceImageRegion"]) == (source, "us-east-1")
        assert "SnapshotId" not in shown["BlockDeviceMappings"][0]["Ebs"]
        tagged = [{"Name": "tag:for", "Values": ["snapshot"]}]
        (snapshot,) = ireland.describe_snapshots(Filters=tagged)["Snapshots"]
        assert (snapshot["State"], snapshot["Progress"]) == ("pending", "0%")
        cloud.shop.now += 60
        assert root_of(ireland, image)["SnapshotId"] == snapshot["SnapshotId"]
        (snapshot,) = snapshots(ireland)
        assert (snapshot["State"], snapshot["Progress"]) == ("completed", "100%")

    def test_one_region_can_fail(self, cloud: Any, ireland: Any) -> None:
        source = cloud.bake()
        cloud.shop.now += 60
        cloud.strict.fail_images("no luck", region="eu-west-1")
        here, there = copy(cloud.ec2, source, "here"), copy(ireland, source)
        assert len(snapshots(ireland)) == 1
        cloud.shop.now += 60
        assert describe(cloud.ec2, here)["State"] == "available"
        shown = describe(ireland, there)
        assert (shown["State"], shown["StateReason"]["Message"]) == ("failed", "no luck")
        assert snapshots(ireland) == []

    def test_snapshots_of_one_deregistered_while_pending_stay(self, cloud: Any, ireland: Any) -> None:
        source = cloud.bake()
        cloud.shop.now += 60
        cloud.strict.late_snapshots = 20.0
        image = copy(ireland, source)
        ireland.deregister_image(ImageId=image)
        assert snapshots(ireland) == []
        cloud.shop.now += 20
        (late,) = snapshots(ireland)
        assert late["State"] == "pending"
        with pytest.raises(ireland.exceptions.ClientError, match="IncorrectState"):
            register(ireland, late["SnapshotId"])
        cloud.shop.now += 40
        assert [each["State"] for each in snapshots(ireland)] == ["completed"]
        ireland.delete_snapshot(SnapshotId=late["SnapshotId"])
        assert cloud.machines.told("delete_image") == []


class TestRequests:
    def test_the_same_token_gets_the_same_image(self, cloud: Any, ireland: Any) -> None:
        source = cloud.bake()
        image = copy(ireland, source, ClientToken="t")
        cloud.ec2.deregister_image(ImageId=source)
        assert copy(ireland, source, ClientToken="t") == image
        with pytest.raises(ireland.exceptions.ClientError, match="IdempotentParameterMismatch"):
            copy(ireland, source, "other", ClientToken="t")
        assert len(ireland.describe_images(Owners=["self"])["Images"]) == 1

    @pytest.mark.parametrize(("minutes", "allowed"), [(15, True), (90, True), (20, False), (0, False), (3000, False)])
    def test_a_duration_is_in_quarters_of_an_hour(self, cloud: Any, minutes: int, allowed: bool) -> None:
        request = {"SourceImageId": cloud.bake(), "SourceRegion": "us-east-1", "Name": "copy"}
        request["SnapshotCopyCompletionDurationMinutes"] = minutes
        if allowed:
            assert cloud.ec2.copy_image(**request)["ImageId"]
        else:
            assert cloud.refusal("copy_image", **request)[0] == "InvalidParameterValue"

    def test_dry_runs_and_unknown_sources(self, cloud: Any) -> None:
        request = {"SourceImageId": "ami-0123456789abcdef0", "SourceRegion": "us-east-1", "Name": "copy"}
        assert cloud.refusal("copy_image", **request, DryRun=True)[0] == "DryRunOperation"
        assert cloud.refusal("copy_image", **request)[0] == "InvalidAMIID.NotFound"


def register(there: Any, snapshot: str, name: str = "registered", **changes: Any) -> str:
    request = {
        "Name": name,
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}}],
    }
    image: str = there.register_image(**(request | changes))["ImageId"]
    return image


class TestRegister:
    def test_shows_what_was_asked_for(self, cloud: Any) -> None:
        snapshot = root_of(cloud.ec2, cloud.bake())["SnapshotId"]
        asked: dict[str, Any] = {
            "Architecture": "arm64",
            "BootMode": "uefi-preferred",
            "Description": "d",
            "EnaSupport": True,
            "ImdsSupport": "v2.0",
            "SriovNetSupport": "simple",
            "TpmSupport": "v2.0",
            "VirtualizationType": "hvm",
        }
        tags = [{"Key": "a", "Value": "b"}]
        specifications = [{"ResourceType": "image", "Tags": tags}]
        image = register(cloud.ec2, snapshot, **asked, TagSpecifications=specifications)
        shown = cloud.describe_image(image)
        assert {name: shown[name] for name in asked} == asked
        assert (shown["State"], shown["Tags"], shown["RootDeviceName"]) == ("available", tags, "/dev/xvda")
        assert root_of(cloud.ec2, image)["SnapshotId"] == snapshot

    def test_asks_for_little_gets_little(self, cloud: Any) -> None:
        shown = cloud.describe_image(register(cloud.ec2, root_of(cloud.ec2, cloud.bake())["SnapshotId"]))
        assert (shown["Architecture"], shown["VirtualizationType"], shown["EnaSupport"]) == (
            "i386",
            "paravirtual",
            False,
        )
        assert not {"SriovNetSupport", "BootMode", "ImdsSupport", "TpmSupport"} & set(shown)

    def test_two_images_may_have_the_same_snapshot(self, cloud: Any) -> None:
        first = cloud.bake()
        snapshot = root_of(cloud.ec2, first)["SnapshotId"]
        second = register(cloud.ec2, snapshot)
        assert cloud.refusal("delete_snapshot", SnapshotId=snapshot)[0] == "InvalidSnapshot.InUse"
        cloud.ec2.deregister_image(ImageId=first, DeleteAssociatedSnapshots=True)
        assert [each["SnapshotId"] for each in snapshots(cloud.ec2)] == [snapshot]
        code, message = cloud.refusal("delete_snapshot", SnapshotId=snapshot)
        assert code == "InvalidSnapshot.InUse"
        assert second in message
        cloud.ec2.deregister_image(ImageId=second)
        cloud.ec2.delete_snapshot(SnapshotId=snapshot)
        assert snapshots(cloud.ec2) == []

    def test_encryption_is_the_snapshots(self, cloud: Any) -> None:
        source = copy(cloud.ec2, cloud.bake(), Encrypted=True, KmsKeyId="alias/images")
        snapshot = root_of(cloud.ec2, source)["SnapshotId"]
        root = root_of(cloud.ec2, register(cloud.ec2, snapshot))
        assert (root["Encrypted"], root["KmsKeyId"]) == (True, "alias/images")
        device = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "Encrypted": True}}
        request = {"Name": "other", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [device]}
        assert cloud.refusal("register_image", **request)[0] == "InvalidBlockDeviceMapping"

    def test_snapshots_cannot_be_tagged(self, cloud: Any) -> None:
        snapshot = root_of(cloud.ec2, cloud.bake())["SnapshotId"]
        tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
        with pytest.raises(cloud.ec2.exceptions.ClientError, match="not a valid taggable"):
            register(cloud.ec2, snapshot, TagSpecifications=tags)
