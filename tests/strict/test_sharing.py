"""Attributes of images and snapshots, above all who else may use them."""

from __future__ import annotations

from typing import Any

import pytest

KEY = "arn:aws:kms:us-east-1:123456789012:key/0ea3fef3-80a7-4778-9d8c-1c0c6EXAMPLE"
FRIEND, OTHER = "210987654321", "109876543210"
ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdef1234"
UNITS = [
    "arn:aws:organizations::123456789012:ou/o-abcdef1234/ou-ab12-abcdef12",
    "arn:aws:organizations::123456789012:ou/o-abcdef1234/ou-ab12-abcdef34",
]


def permissions(cloud: Any, image: str) -> list[Any]:
    found: list[Any] = cloud.ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")[
        "LaunchPermissions"
    ]
    return found


def encrypted(cloud: Any, **ebs: Any) -> str:
    """An image of an instance whose root was launched encrypted."""
    root = [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, **ebs}}]
    image: str = cloud.bake(instance=cloud.stopped(BlockDeviceMappings=root))
    return image


def snapshot_of(cloud: Any, image: str) -> str:
    found: str = cloud.describe_image(image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    return found


class TestLaunchPermissions:
    def test_by_a_structure(self, cloud: Any) -> None:
        image = cloud.bake()
        add = [{"UserId": FRIEND}, {"OrganizationArn": ORGANIZATION}, {"OrganizationalUnitArn": UNITS[0]}]
        cloud.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": add})
        cloud.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": add[:1]})
        assert permissions(cloud, image) == add
        change = {"Add": [{"Group": "all"}], "Remove": add[:2]}
        cloud.ec2.modify_image_attribute(ImageId=image, LaunchPermission=change)
        assert permissions(cloud, image) == [add[2], {"Group": "all"}]
        assert cloud.describe_image(image)["Public"] is True

    def test_by_lists(self, cloud: Any) -> None:
        image = cloud.bake()
        request = {"ImageId": image, "Attribute": "launchPermission"}
        lists = {
            "UserIds": [FRIEND, OTHER],
            "UserGroups": ["all"],
            "OrganizationArns": [ORGANIZATION],
            "OrganizationalUnitArns": UNITS,
        }
        cloud.ec2.modify_image_attribute(**request, OperationType="add", **lists)
        units = [{"OrganizationalUnitArn": unit} for unit in UNITS]
        organization = {"OrganizationArn": ORGANIZATION}
        expected = [{"UserId": FRIEND}, {"UserId": OTHER}, {"Group": "all"}, organization, *units]
        assert permissions(cloud, image) == expected
        cloud.ec2.modify_image_attribute(**request, OperationType="remove", UserGroups=["all"], UserIds=[OTHER])
        assert permissions(cloud, image) == [{"UserId": FRIEND}, organization, *units]
        cloud.ec2.reset_image_attribute(ImageId=image, Attribute="launchPermission")
        assert permissions(cloud, image) == []

    @pytest.mark.parametrize(
        "permission",
        [
            {"UserId": "12345"},
            {"UserId": "12345678901x"},
            {"Group": "everybody"},
            {"OrganizationArn": "o-abcdef1234"},
            {"OrganizationArn": UNITS[0]},
            {"OrganizationalUnitArn": ORGANIZATION},
        ],
    )
    def test_malformed_ones_are_refused_and_none_is_added(self, cloud: Any, permission: dict[str, str]) -> None:
        image = cloud.bake()
        change = {"Add": [{"UserId": FRIEND}, permission]}
        refused = cloud.refusal("modify_image_attribute", ImageId=image, LaunchPermission=change)
        assert refused[0] == "InvalidAMIAttributeItemValue"
        assert permissions(cloud, image) == []

    def test_lists_need_an_operation(self, cloud: Any) -> None:
        request = {"ImageId": cloud.bake(), "Attribute": "launchPermission", "UserIds": [FRIEND]}
        assert cloud.refusal("modify_image_attribute", **request)[0] == "MissingParameter"

    def test_encrypted_images_are_for_accounts_only(self, cloud: Any) -> None:
        image = encrypted(cloud, KmsKeyId=KEY)
        cloud.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": FRIEND}]})
        everybody = {"Add": [{"Group": "all"}]}
        refused = cloud.refusal("modify_image_attribute", ImageId=image, LaunchPermission=everybody)
        assert refused[0] == "OperationNotPermitted"
        assert permissions(cloud, image) == [{"UserId": FRIEND}]

    def test_with_the_default_key_for_nobody(self, cloud: Any) -> None:
        image = encrypted(cloud)
        friend = {"Add": [{"UserId": FRIEND}]}
        code, message = cloud.refusal("modify_image_attribute", ImageId=image, LaunchPermission=friend)
        assert (code, message) == ("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
        cloud.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Remove": [{"UserId": FRIEND}]})

    def test_those_with_product_codes_are_not_public(self, cloud: Any) -> None:
        image = cloud.bake()
        cloud.ec2.modify_image_attribute(ImageId=image, Attribute="productCodes", ProductCodes=["abc"])
        everybody = {"Add": [{"Group": "all"}]}
        refused = cloud.refusal("modify_image_attribute", ImageId=image, LaunchPermission=everybody)
        assert refused[0] == "OperationNotPermitted"


class TestImageAttributes:
    @pytest.mark.parametrize(
        "request_", [{"Description": {"Value": "new"}}, {"Attribute": "description", "Value": "new"}]
    )
    def test_description(self, cloud: Any, request_: dict[str, Any]) -> None:
        image = cloud.bake(Description="old")
        cloud.ec2.modify_image_attribute(ImageId=image, **request_)
        assert cloud.describe_image(image)["Description"] == "new"
        attribute = cloud.ec2.describe_image_attribute(ImageId=image, Attribute="description")
        assert attribute["Description"] == {"Value": "new"}
        refused = cloud.refusal("modify_image_attribute", ImageId=image, Description={"Value": "ä"})
        assert refused[0] == "InvalidParameterValue"

    @pytest.mark.parametrize(
        "request_", [{"ImdsSupport": {"Value": "v2.0"}}, {"Attribute": "imdsSupport", "Value": "v2.0"}]
    )
    def test_imds_support(self, cloud: Any, request_: dict[str, Any]) -> None:
        image = cloud.bake()
        cloud.ec2.modify_image_attribute(ImageId=image, **request_)
        assert cloud.describe_image(image)["ImdsSupport"] == "v2.0"
        attribute = cloud.ec2.describe_image_attribute(ImageId=image, Attribute="imdsSupport")
        assert attribute["ImdsSupport"] == {"Value": "v2.0"}
        refused = cloud.refusal("modify_image_attribute", ImageId=image, ImdsSupport={"Value": "v1.0"})
        assert refused[0] == "InvalidParameterValue"

    def test_product_codes(self, cloud: Any) -> None:
        image = cloud.bake()
        for codes in (["abc", "def"], ["def", "ghi"]):
            cloud.ec2.modify_image_attribute(ImageId=image, Attribute="productCodes", ProductCodes=codes)
        found = cloud.ec2.describe_image_attribute(ImageId=image, Attribute="productCodes")["ProductCodes"]
        assert [each["ProductCodeId"] for each in found] == ["abc", "def", "ghi"]
        assert cloud.describe_image(image)["ProductCodes"] == found

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"Attribute": "bootMode", "Value": "uefi"},
            {"Description": {"Value": "new"}, "LaunchPermission": {"Add": [{"UserId": FRIEND}]}},
            {"Attribute": "imdsSupport", "Description": {"Value": "new"}},
        ],
    )
    def test_none_or_several_are_refused(self, cloud: Any, request_: dict[str, Any]) -> None:
        image = cloud.bake()
        refused = cloud.refusal("modify_image_attribute", ImageId=image, **request_)
        assert refused[0] == "InvalidParameterCombination"
        assert permissions(cloud, image) == []

    def test_those_of_others_are_hidden(self, cloud: Any) -> None:
        described = cloud.refusal("describe_image_attribute", ImageId=cloud.image, Attribute="description")
        assert described[0] == "AuthFailure"
        modified = cloud.refusal("modify_image_attribute", ImageId=cloud.image, Description={"Value": "mine"})
        assert modified[0] == "AuthFailure"

    def test_what_cannot_be_described(self, cloud: Any) -> None:
        image = cloud.bake()
        mapping = cloud.refusal("describe_image_attribute", ImageId=image, Attribute="blockDeviceMapping")
        assert mapping[0] == "AuthFailure"
        assert cloud.refusal("describe_image_attribute", ImageId=image, Attribute="colour")[0] == "InvalidRequest"


class TestSnapshots:
    @pytest.mark.parametrize(
        ("add", "remove"),
        [
            (
                {"CreateVolumePermission": {"Add": [{"UserId": FRIEND}, {"UserId": OTHER}, {"Group": "all"}]}},
                {"CreateVolumePermission": {"Remove": [{"UserId": OTHER}, {"Group": "all"}]}},
            ),
            (
                {"OperationType": "add", "UserIds": [FRIEND, OTHER], "GroupNames": ["all"]},
                {"OperationType": "remove", "UserIds": [OTHER], "GroupNames": ["all"]},
            ),
        ],
    )
    def test_are_shared_in_both_forms(self, cloud: Any, add: dict[str, Any], remove: dict[str, Any]) -> None:
        named = {"SnapshotId": snapshot_of(cloud, cloud.bake()), "Attribute": "createVolumePermission"}

        def shared() -> Any:
            return cloud.ec2.describe_snapshot_attribute(**named)["CreateVolumePermissions"]

        cloud.ec2.modify_snapshot_attribute(**named, **add)
        assert shared() == [{"Group": "all"}, {"UserId": OTHER}, {"UserId": FRIEND}]
        cloud.ec2.modify_snapshot_attribute(**named, **remove)
        assert shared() == [{"UserId": FRIEND}]

    def test_encrypted_ones_are_for_accounts_only(self, cloud: Any) -> None:
        snapshot = snapshot_of(cloud, encrypted(cloud, KmsKeyId=KEY))
        (shown,) = cloud.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
        assert (shown["Encrypted"], shown["KmsKeyId"]) == (True, KEY)
        friend, everybody = {"Add": [{"UserId": FRIEND}]}, {"Add": [{"Group": "all"}]}
        cloud.ec2.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission=friend)
        refused = cloud.refusal("modify_snapshot_attribute", SnapshotId=snapshot, CreateVolumePermission=everybody)
        assert refused[0] == "OperationNotPermitted"

    @pytest.mark.parametrize("ebs", [{}, {"KmsKeyId": "alias/aws/ebs"}])
    def test_with_the_default_key_for_nobody(self, cloud: Any, ebs: dict[str, str]) -> None:
        snapshot = snapshot_of(cloud, encrypted(cloud, **ebs))
        friend = {"Add": [{"UserId": FRIEND}]}
        refused = cloud.refusal("modify_snapshot_attribute", SnapshotId=snapshot, CreateVolumePermission=friend)
        assert refused == ("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")

    def test_malformed_accounts_and_those_of_others_are_refused(self, cloud: Any) -> None:
        snapshot = snapshot_of(cloud, cloud.bake())
        request = {"OperationType": "add", "UserIds": ["me"]}
        assert cloud.refusal("modify_snapshot_attribute", SnapshotId=snapshot, **request)[0] == (
            "InvalidAMIAttributeItemValue"
        )
        theirs = {"SnapshotId": snapshot_of(cloud, cloud.image), "OperationType": "add", "UserIds": [FRIEND]}
        assert cloud.refusal("modify_snapshot_attribute", **theirs)[0] == "AuthFailure"

    def test_dry_runs_and_product_codes(self, cloud: Any) -> None:
        named = {"SnapshotId": snapshot_of(cloud, cloud.bake())}
        change = {"OperationType": "add", "UserIds": [FRIEND], "DryRun": True}
        assert cloud.refusal("modify_snapshot_attribute", **named, **change)[0] == "DryRunOperation"
        permission = {"Attribute": "createVolumePermission"}
        assert cloud.refusal("describe_snapshot_attribute", **named, **permission, DryRun=True)[0] == "DryRunOperation"
        assert cloud.ec2.describe_snapshot_attribute(**named, **permission)["CreateVolumePermissions"] == []
        assert cloud.ec2.describe_snapshot_attribute(**named, Attribute="productCodes")["ProductCodes"] == []
