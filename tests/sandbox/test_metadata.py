"""The metadata service in process: its protocol, and what it tells of the instances in the books of a strict EC2."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import boto3
import pytest
from moto import mock_aws

from amibake.sandbox.metadata.books import Books
from amibake.sandbox.metadata.service import MetadataService
from amibake.sandbox.metadata.tree import Directory, Metadata
from amibake.strict import Launch, StrictEC2

TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
ONE, OTHER, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
IP_MINTTL = 21
"""Of Linux; Python has no name for it."""
MAC_PATH = "network/interfaces/macs"


def top(instance_id: str) -> Directory:
    return Directory({"meta-data": Directory({"instance-id": instance_id}), "user-data": b"\x1f\x8b"})


class Service:
    """A metadata service for two instances, and who asks it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.instances = {address: Metadata(f"i-{address}", top(f"i-{address}")) for address in (ONE, OTHER)}
        self.service = MetadataService(self.instances.get, clock=lambda: self.now)
        self.port = self.service.start(ONE)

    def ask(
        self, path: str = "/latest/meta-data/instance-id", method: str = "GET", address: str = ONE, **headers: str
    ) -> HTTPResponse:
        connection = HTTPConnection(ONE, self.port, source_address=(address, 0), timeout=30)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.text = answer.read().decode(errors="replace")  # type: ignore[attr-defined]
        connection.close()
        return answer

    def status(self, *arguments: str, **headers: str) -> int:
        return self.ask(*arguments, **headers).status

    def token(self, ttl: str = "60", address: str = ONE) -> str:
        answer = self.ask("/latest/api/token", "PUT", address, **{TTL: ttl})
        assert (answer.status, answer.headers[TTL]) == (200, ttl)
        token: str = answer.text  # type: ignore[attr-defined]
        return token


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    with made.service:
        yield made


def test_each_instance_sees_its_own_and_strangers_nothing(service: Service) -> None:
    for address in (ONE, OTHER):
        assert service.ask(address=address).text == f"i-{address}"  # type: ignore[attr-defined]
    assert service.status("/latest/meta-data/instance-id", "GET", STRANGER) == 403
    assert service.status("/latest/api/token", "PUT", STRANGER, **{TTL: "60"}) == 403


def test_a_token_is_good_for_its_instance_until_it_expires(service: Service) -> None:
    token = service.token("60")
    service.now += 59
    answer = service.ask(**{TOKEN: token})
    assert (answer.status, answer.headers[TTL]) == (200, "1")
    assert service.status("/latest/", "GET", OTHER, **{TOKEN: token}) == 401
    service.now += 1
    assert service.status(**{TOKEN: token}) == 401


@pytest.mark.parametrize("token", ["", "nonsense", "AAAAAAAABOPL", "ü"])
def test_what_is_no_token_is_refused_also_where_none_is_needed(service: Service, token: str) -> None:
    assert service.status(**{TOKEN: token}) == 401


def test_where_tokens_are_required_nothing_goes_without(service: Service) -> None:
    service.instances[ONE] = Metadata("i-1", top("i-1"), tokens_required=True)
    answer = service.ask()
    assert answer.status == 401
    assert "<title>401 - Unauthorized</title>" in answer.text  # type: ignore[attr-defined]
    assert service.status(**{TOKEN: service.token()}) == 200


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "²", "9" * 5000])
def test_a_time_to_live_is_between_one_second_and_six_hours(service: Service, ttl: str) -> None:
    assert service.status("/latest/api/token", "PUT", **{TTL: ttl}) == 400
    assert service.token("1") != service.token("21600")


def test_no_token_without_a_time_to_live_or_through_a_proxy(service: Service) -> None:
    assert service.status("/latest/api/token", "PUT") == 400
    assert service.status("/latest/api/token", "PUT", ONE, **{TTL: "60", "X-Forwarded-For": "203.0.113.1"}) == 403


def test_where_it_is_off_it_is_closed(service: Service) -> None:
    token = service.token()
    service.instances[ONE] = Metadata("i-1", top("i-1"), enabled=False)
    assert service.status(**{TOKEN: token}) == 403
    assert service.status("/latest/api/token", "PUT", **{TTL: "60"}) == 403


def test_methods_and_paths_that_are_not_there(service: Service) -> None:
    assert service.ask("/latest/api/token").headers["Allow"] == "PUT"
    assert service.status("/latest/meta-data/", "PUT", **{TTL: "60"}) == 405
    for path in ("/latest/meta-data/nothing", "/latest/meta-data/instance-id/more", "/2099-01-01/", "/latest/dynamic"):
        assert service.status(path) == 404
    head = service.ask("/latest/meta-data/instance-id", "HEAD")
    assert (head.status, head.headers["Content-Length"], head.text) == (200, "11", "")  # type: ignore[attr-defined]


def test_what_is_no_address_is_refused(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection((ONE, service.port), timeout=30) as asking:
        asking.sendall(b"GET http://[ HTTP/1.1\r\n\r\n")
        assert asking.recv(12) == b"HTTP/1.1 400"
    assert capfd.readouterr().err == ""


def test_a_connection_serves_several_requests(service: Service) -> None:
    connection = HTTPConnection(ONE, service.port, timeout=30)
    for _ in range(2):
        connection.request("GET", "/2021-03-23/meta-data//instance-id/")
        assert connection.getresponse().read() == b"i-127.0.0.1"
    connection.close()


def test_a_token_travels_as_far_as_the_hop_limit_says(service: Service) -> None:
    def answers(least: int) -> bool:
        """Whether a token reaches who takes only what may still travel that far."""
        with socket.create_connection((ONE, service.port), timeout=0.2) as asking:
            asking.setsockopt(socket.IPPROTO_IP, IP_MINTTL, least)
            asking.sendall(f"PUT /latest/api/token HTTP/1.1\r\n{TTL}: 60\r\n\r\n".encode())
            try:
                return asking.recv(12) == b"HTTP/1.1 200"
            except TimeoutError:
                return False

    assert answers(1)
    assert not answers(2)
    service.instances[ONE] = Metadata("i-1", top("i-1"), hop_limit=2)
    assert answers(2)


class World:
    """A strict EC2 whose instances have no machines, and what their metadata is."""

    def __init__(self, strict: StrictEC2, region: str) -> None:
        self.books = Books(strict)
        self.ec2 = boto3.client("ec2", region_name=region)
        self.iam = boto3.client("iam", region_name=region)
        self.image = strict.add_image(name="debian", owner_id="136693071363", region=region)

    def run(self, **options: Any) -> dict[str, Any]:
        options = {"ImageId": self.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | options
        instance_id = self.ec2.run_instances(**options)["Instances"][0]["InstanceId"]
        return self.described(instance_id)

    def described(self, instance_id: str) -> dict[str, Any]:
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 1})
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        instance: dict[str, Any] = reservation["Instances"][0]
        return instance | {"ReservationId": reservation["ReservationId"]}

    def metadata(self, instance_id: str, public_key: str | None = None) -> Metadata | None:
        launch = Launch(
            instance_id=instance_id,
            image_id=self.image,
            instance_type="t3.micro",
            key_name="deploy",
            public_key=public_key,
            user_data=None,
            root_volume_gib=8,
        )
        return self.books(launch, "198.18.7.9")

    def get(self, instance_id: str, path: str, **known: str) -> str | None:
        metadata = self.metadata(instance_id, **known)
        assert metadata
        found = metadata.find(f"/latest/{path}")
        return found.decode() if found is not None else None


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws(), StrictEC2() as strict:
        yield World(strict, getattr(request, "param", "us-east-1"))


def test_an_instance_finds_in_its_metadata_what_others_are_told_of_it(world: World) -> None:
    instance = world.run(BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}])
    (interface,) = instance["NetworkInterfaces"]
    mac = interface["MacAddress"]
    (group,) = instance["SecurityGroups"]
    expected = {
        "ami-id": world.image,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping/ami": "xvda",
        "block-device-mapping/ebs1": "sdf",
        "block-device-mapping/root": "/dev/xvda",
        "hostname": "ip-198-18-7-9.ec2.internal",
        "instance-action": "none",
        "instance-id": instance["InstanceId"],
        "instance-life-cycle": "on-demand",
        "instance-type": "t3.micro",
        "local-hostname": "ip-198-18-7-9.ec2.internal",
        "local-ipv4": "198.18.7.9",
        "mac": mac,
        f"{MAC_PATH}/{mac}/device-number": "0",
        f"{MAC_PATH}/{mac}/interface-id": interface["NetworkInterfaceId"],
        f"{MAC_PATH}/{mac}/local-hostname": "ip-198-18-7-9.ec2.internal",
        f"{MAC_PATH}/{mac}/local-ipv4s": "198.18.7.9",
        f"{MAC_PATH}/{mac}/mac": mac,
        f"{MAC_PATH}/{mac}/owner-id": interface["OwnerId"],
        f"{MAC_PATH}/{mac}/public-ipv4s": instance["PublicIpAddress"],
        f"{MAC_PATH}/{mac}/security-group-ids": group["GroupId"],
        f"{MAC_PATH}/{mac}/security-groups": group["GroupName"],
        f"{MAC_PATH}/{mac}/subnet-id": instance["SubnetId"],
        f"{MAC_PATH}/{mac}/subnet-ipv4-cidr-block": "172.31.0.0/20",
        f"{MAC_PATH}/{mac}/vpc-id": instance["VpcId"],
        "placement/availability-zone": "us-east-1a",
        "placement/region": "us-east-1",
        "profile": "default-hvm",
        "public-ipv4": instance["PublicIpAddress"],
        "reservation-id": instance["ReservationId"],
        "security-groups": group["GroupName"],
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    assert leaves(world, instance["InstanceId"], "meta-data") == expected


def leaves(world: World, instance_id: str, directory: str) -> dict[str, str | None]:
    """Everything below a directory, found by its listings alone."""
    found: dict[str, str | None] = {}
    listing = world.get(instance_id, directory)
    assert listing
    for name in listing.split("\n"):
        path = f"{directory}/{name}"
        if name.endswith("/"):
            found |= leaves(world, instance_id, path.rstrip("/"))
        else:
            found[path.removeprefix("meta-data/")] = world.get(instance_id, path)
    return found


def test_directories_are_listed_as_ec2_does(world: World) -> None:
    instance_id = world.run(UserData="#!/bin/sh\n")["InstanceId"]
    metadata = world.metadata(instance_id)
    assert metadata
    versions = (metadata.find("/") or b"").decode().split("\n")
    assert (versions[0], versions[-1]) == ("1.0", "latest")
    assert metadata.find("/1.0/meta-data/ami-id") == world.image.encode()
    assert world.get(instance_id, "") == "dynamic\nmeta-data\nuser-data"
    assert world.get(instance_id, "dynamic") == "instance-identity/"
    assert world.get(instance_id, "meta-data/placement/") == "availability-zone\nregion"


def test_the_launch_key_is_there_in_ec2s_own_form(world: World) -> None:
    instance_id = world.run()["InstanceId"]
    assert world.get(instance_id, "meta-data/public-keys/") is None
    known = {"public_key": "ssh-ed25519 AAAA deploy\n"}
    assert world.get(instance_id, "meta-data/public-keys/", **known) == "0=deploy"
    assert world.get(instance_id, "meta-data/public-keys/0", **known) == "openssh-key"
    assert world.get(instance_id, "meta-data/public-keys/0/openssh-key", **known) == "ssh-ed25519 AAAA deploy\n"


def test_user_data_is_there_as_it_was_given(world: World) -> None:
    binary = b"\x1f\x8b\x00\xff"
    instance_id = world.run(UserData=binary)["InstanceId"]
    metadata = world.metadata(instance_id)
    assert metadata
    assert metadata.find("/latest/user-data") == binary
    without = world.run()["InstanceId"]
    assert world.get(without, "user-data") is None
    assert world.get(without, "") == "dynamic\nmeta-data"


def test_tags_are_there_when_that_is_asked_for(world: World) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web 1"}, {"Key": "Env", "Value": "x"}]}]
    instance_id = world.run(TagSpecifications=tags)["InstanceId"]
    assert world.get(instance_id, "meta-data/tags/instance") is None
    world.ec2.modify_instance_metadata_options(InstanceId=instance_id, InstanceMetadataTags="enabled")
    assert world.get(instance_id, "meta-data/tags/") == "instance/"
    assert world.get(instance_id, "meta-data/tags/instance/") == "Env\nName"
    world.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "Name", "Value": "web 2"}])
    assert world.get(instance_id, "meta-data/tags/instance/Name") == "web 2"


def test_the_options_are_those_of_the_launch_until_they_are_modified(world: World) -> None:
    options = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}
    instance_id = world.run(MetadataOptions=options)["InstanceId"]
    metadata = world.metadata(instance_id)
    assert metadata
    assert (metadata.enabled, metadata.tokens_required, metadata.hop_limit) == (True, True, 3)
    world.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpEndpoint="disabled")
    metadata = world.metadata(instance_id)
    assert metadata
    assert not metadata.enabled


def test_a_profile_brings_credentials_of_its_role(world: World) -> None:
    world.iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    world.iam.create_instance_profile(InstanceProfileName="web-profile", Path="/x/")
    world.iam.add_role_to_instance_profile(InstanceProfileName="web-profile", RoleName="web")
    without = world.run()["InstanceId"]
    assert world.get(without, "meta-data/iam/info") is None
    instance = world.run(IamInstanceProfile={"Name": "web-profile"})
    instance_id = instance["InstanceId"]
    info = json.loads(world.get(instance_id, "meta-data/iam/info") or "")
    assert (info["Code"], info["InstanceProfileArn"]) == ("Success", instance["IamInstanceProfile"]["Arn"])
    assert world.get(instance_id, "meta-data/iam/security-credentials/") == "web"
    given = json.loads(world.get(instance_id, "meta-data/iam/security-credentials/web") or "")
    assert (given["Code"], given["Type"], given["AccessKeyId"][:4]) == ("Success", "AWS-HMAC", "ASIA")
    assert datetime.fromisoformat(given["Expiration"]) > datetime.fromisoformat(given["LastUpdated"])
    assert world.get(instance_id, "meta-data/iam/security-credentials/other") is None


@pytest.mark.parametrize("world", ["eu-west-1"], indirect=True)
def test_another_region_has_names_of_its_own(world: World) -> None:
    instance = world.run()
    instance_id = instance["InstanceId"]
    assert world.get(instance_id, "meta-data/local-hostname") == "ip-198-18-7-9.eu-west-1.compute.internal"
    document = json.loads(world.get(instance_id, "dynamic/instance-identity/document") or "")
    expected = {
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "imageId": world.image,
        "instanceId": instance_id,
        "instanceType": "t3.micro",
        "privateIp": "198.18.7.9",
        "region": "eu-west-1",
    }
    assert expected.items() <= document.items()
    assert document["pendingTime"].endswith("Z")


def test_an_instance_without_a_public_address_finds_none(world: World) -> None:
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": False}
    subnet = world.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance_id = world.run(NetworkInterfaces=[interface | {"SubnetId": subnet}])["InstanceId"]
    assert world.get(instance_id, "meta-data/public-ipv4") is None


def test_who_is_not_in_the_books_or_on_its_way_out_has_no_metadata(world: World) -> None:
    instance_id = world.run()["InstanceId"]
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    assert world.metadata(instance_id) is None
    assert world.metadata("i-0123456789abcdef0") is None
