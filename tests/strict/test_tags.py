"""Tags and descriptions that EC2 refuses, wherever they are given."""

from __future__ import annotations

from typing import Any

import pytest

INVALID = {
    "a key too long": ([{"Key": "k" * 129, "Value": ""}], "Tag key exceeds the maximum length of 128 characters"),
    "a value too long": ([{"Key": "k", "Value": "v" * 257}], "Tag value exceeds the maximum length of 256 characters"),
    "a reserved key": ([{"Key": "aws:k", "Value": ""}], "Tag keys starting with 'aws:' are reserved for internal use"),
    "an empty key": ([{"Key": "", "Value": "v"}], "Tag key must have a value"),
    "a key twice": ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "Duplicate tag key 'k' specified."),
}


def numbered(count: int, first: int = 0) -> list[dict[str, str]]:
    return [{"Key": f"k{number}", "Value": ""} for number in range(first, first + count)]


def image_of(cloud: Any, instance: str, **request: Any) -> str:
    image: str = cloud.ec2.create_image(InstanceId=instance, Name="img", **request)["ImageId"]
    return image


def specified(kind: str, tags: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags}]


@pytest.mark.parametrize(("tags", "message"), INVALID.values(), ids=INVALID.keys())
class TestRefusedTags:
    def test_of_an_instance_and_nothing_is_launched(self, cloud: Any, tags: list[dict[str, str]], message: str) -> None:
        request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        for kind in ("instance", "volume", "network-interface"):
            refused = cloud.refusal("run_instances", **request, TagSpecifications=specified(kind, tags))
            assert refused == ("InvalidParameterValue", message)
        assert cloud.ec2.describe_instances()["Reservations"] == []

    def test_of_an_image_and_none_is_made(self, cloud: Any, tags: list[dict[str, str]], message: str) -> None:
        instance = cloud.run()
        for kind in ("image", "snapshot"):
            request = {"InstanceId": instance, "Name": "img", "TagSpecifications": specified(kind, tags)}
            assert cloud.refusal("create_image", **request) == ("InvalidParameterValue", message)
        assert cloud.ec2.describe_images(Owners=["self"])["Images"] == []

    def test_of_key_pairs_and_groups(self, cloud: Any, tags: list[dict[str, str]], message: str) -> None:
        key = {"KeyName": "k", "TagSpecifications": specified("key-pair", tags)}
        assert cloud.refusal("create_key_pair", **key) == ("InvalidParameterValue", message)
        group = {"GroupName": "g", "Description": "d", "TagSpecifications": specified("security-group", tags)}
        assert cloud.refusal("create_security_group", **group) == ("InvalidParameterValue", message)
        assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []

    def test_that_are_added_later(self, cloud: Any, tags: list[dict[str, str]], message: str) -> None:
        instance = cloud.run()
        assert cloud.refusal("create_tags", Resources=[instance], Tags=tags) == ("InvalidParameterValue", message)
        assert "Tags" not in cloud.instance(instance)


def test_tags_as_long_as_they_can_be_are_taken(cloud: Any) -> None:
    tags = [{"Key": "k" * 128, "Value": "v" * 256}, *numbered(49)]
    assert len(cloud.instance(cloud.run(TagSpecifications=specified("instance", tags)))["Tags"]) == 50


def test_more_than_fifty_are_refused(cloud: Any) -> None:
    request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    refused = cloud.refusal("run_instances", **request, TagSpecifications=specified("instance", numbered(51)))
    assert refused[0] == "TagLimitExceeded"
    assert cloud.ec2.describe_instances()["Reservations"] == []
    instance = cloud.run()
    two = specified("image", numbered(30)) + specified("image", numbered(30, 30))
    refused = cloud.refusal("create_image", InstanceId=instance, Name="img", TagSpecifications=two)
    assert refused[0] == "TagLimitExceeded"
    assert cloud.ec2.describe_images(Owners=["self"])["Images"] == []
    cloud.ec2.create_tags(Resources=[instance], Tags=numbered(50))
    assert cloud.refusal("create_tags", Resources=[instance], Tags=numbered(1, 50))[0] == "TagLimitExceeded"


def test_nor_can_a_copy_have_more_with_its_originals(cloud: Any) -> None:
    source = image_of(cloud, cloud.run(), TagSpecifications=specified("image", numbered(30)))
    copy = {"Name": "copy", "SourceImageId": source, "SourceRegion": "us-east-1", "CopyImageTags": True}
    refused = cloud.refusal("copy_image", **copy, TagSpecifications=specified("image", numbered(30, 30)))
    assert refused[0] == "TagLimitExceeded"
    assert len(cloud.ec2.describe_images(Owners=["self"])["Images"]) == 1
    assert len(cloud.ec2.describe_snapshots()["Snapshots"]) == 1


@pytest.mark.parametrize(
    ("operation", "kind", "given"),
    [
        ("create_image", "instance", {"InstanceId": "i-1", "Name": "img"}),
        ("copy_image", "volume", {"SourceImageId": "ami-1", "SourceRegion": "us-east-1", "Name": "img"}),
        ("register_image", "snapshot", {"Name": "img"}),
        ("run_instances", "image", {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
        ("create_security_group", "instance", {"GroupName": "g", "Description": "d"}),
        ("import_key_pair", "security-group", {"KeyName": "k", "PublicKeyMaterial": b"x"}),
    ],
)
def test_types_that_the_call_does_not_make_are_refused(
    cloud: Any, operation: str, kind: str, given: dict[str, Any]
) -> None:
    refused = cloud.refusal(operation, **given, TagSpecifications=specified(kind, numbered(1)))
    message = f"'{kind}' is not a valid taggable resource type for this operation."
    assert refused == ("InvalidParameterValue", message)


def test_a_specification_without_tags_is_refused(cloud: Any) -> None:
    refused = cloud.refusal(
        "create_image", InstanceId=cloud.run(), Name="img", TagSpecifications=specified("image", [])
    )
    assert refused == ("InvalidParameterValue", "Tag specification must have at least one tag")


class TestDescriptions:
    @pytest.mark.parametrize(
        ("text", "why"),
        [("d" * 256, "It exceeds 255 characters"), ("a – b", "Character sets beyond ASCII are not supported.")],
    )
    def test_refused(self, cloud: Any, text: str, why: str) -> None:
        message = f"Value ({text}) for parameter description is invalid. {why}"
        instance = cloud.run()
        refused = cloud.refusal("create_image", InstanceId=instance, Name="img", Description=text)
        assert refused == ("InvalidParameterValue", message)
        source = image_of(cloud, instance)
        copy = {"Name": "copy", "SourceImageId": source, "SourceRegion": "us-east-1", "Description": text}
        assert cloud.refusal("copy_image", **copy) == ("InvalidParameterValue", message)

    def test_as_long_as_it_can_be(self, cloud: Any) -> None:
        image = image_of(cloud, cloud.run(), Description="d" * 255)
        assert cloud.describe_image(image)["Description"] == "d" * 255
