"""Key pairs, paging, and what clients get for what moto lacks."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from moto.server import ThreadedMotoServer


class TestKeyPairs:
    def test_are_deleted_by_id(self, cloud: Any) -> None:
        key = cloud.ec2.create_key_pair(KeyName="k")["KeyPairId"]
        assert cloud.refusal("delete_key_pair", KeyPairId=key, DryRun=True)[0] == "DryRunOperation"
        assert cloud.ec2.delete_key_pair(KeyPairId=key)["Return"] is True
        assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []

    def test_and_by_name_and_when_they_are_not_there(self, cloud: Any) -> None:
        cloud.ec2.create_key_pair(KeyName="k")
        cloud.ec2.delete_key_pair(KeyName="k")
        assert cloud.ec2.delete_key_pair(KeyName="k")["Return"] is True
        assert cloud.ec2.delete_key_pair(KeyPairId="key-0123456789abcdef0")["Return"] is True

    def test_are_found_by_id_and_tag(self, cloud: Any) -> None:
        tags = [{"ResourceType": "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}]
        key = cloud.ec2.create_key_pair(KeyName="k", TagSpecifications=tags)["KeyPairId"]
        cloud.ec2.create_key_pair(KeyName="other")
        for request in ({"KeyPairIds": [key]}, {"Filters": [{"Name": "tag:a", "Values": ["b"]}]}):
            assert [pair["KeyName"] for pair in cloud.ec2.describe_key_pairs(**request)["KeyPairs"]] == ["k"]
        refused = cloud.refusal("describe_key_pairs", KeyPairIds=[key, "key-0123456789abcdef0"])
        assert refused[0] == "InvalidKeyPair.NotFound"


class TestWhatMotoLacks:
    def test_is_an_invalid_action(self, cloud: Any) -> None:
        code, message = cloud.refusal("enable_fast_launch", ImageId=cloud.image)
        assert code == "InvalidAction"
        assert "EnableFastLaunch" in message

    @pytest.mark.parametrize("operation", ["describe_instances", "describe_images"])
    def test_or_an_invalid_filter(self, cloud: Any, operation: str) -> None:
        cloud.run()
        code, message = cloud.refusal(operation, Filters=[{"Name": "no-such-thing", "Values": ["x"]}])
        assert code == "InvalidParameterValue"
        assert "no-such-thing" in message

    @pytest.mark.usefixtures("cloud")
    def test_over_http_even_for_an_action_that_nobody_knows(self) -> None:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/ec2/aws4_request"}
            body = b"Action=FlyToTheMoon&Version=2016-11-15"
            request = urllib.request.Request(f"http://{host}:{port}/", body, headers)
            with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
                pass
            with caught.value as answer:
                assert answer.code == 400
                assert b"<Code>InvalidAction</Code>" in answer.read()
        finally:
            server.stop()


def test_snapshots_of_others_are_found_by_id_and_owner(cloud: Any) -> None:
    (mapping,) = cloud.describe_image(cloud.image)["BlockDeviceMappings"]
    snapshot = mapping["Ebs"]["SnapshotId"]

    def found(**request: Any) -> list[str]:
        return [each["SnapshotId"] for each in cloud.ec2.describe_snapshots(**request)["Snapshots"]]

    assert found() == []
    assert found(SnapshotIds=[snapshot]) == [snapshot]
    assert found(OwnerIds=["136693071363"]) == [snapshot]


def test_dry_runs_change_nothing(cloud: Any) -> None:
    instance = cloud.run()
    copy = {"SourceImageId": cloud.image, "SourceRegion": "us-east-1", "Name": "copy"}
    for operation, request in {
        "start_instances": {"InstanceIds": [instance]},
        "terminate_instances": {"InstanceIds": [instance]},
        "copy_image": copy,
        "register_image": {"Name": "registered"},
        "deregister_image": {"ImageId": cloud.image},
    }.items():
        assert cloud.refusal(operation, **request, DryRun=True)[0] == "DryRunOperation"
    assert cloud.state(instance) == "running"
    assert len(cloud.ec2.describe_images()["Images"]) == 1
