"""What instances of a local EC2 get from 169.254.169.254, asked from within; and that one serves as a bastion."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from amibake.sandbox import LocalCloud
from tests.sandbox.test_engine.conftest import banner, eventually

pytestmark = pytest.mark.sandbox

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
# The base has neither curl nor python.
ASK = r"""ask() { # method path header…
    exec 3<>/dev/tcp/169.254.169.254/80 || return
    printf '%s %s HTTP/1.0\r\n' "$1" "$2" >&3; shift 2
    printf '%s\r\n' "$@" '' >&3
    cat <&3
}
"""
TELL = f"""#!/bin/bash
{ASK}
token=$(ask PUT /latest/api/token '{TTL}: 60' | tail -n 1)
ask GET /latest/meta-data/instance-id "{TOKEN}: $token" | tail -n 1 >>/root/ran
echo " ran" | tee -a /root/ran
"""


@dataclass
class Place:
    """A cloud, and ways into its instances."""

    cloud: LocalCloud
    key: Path
    ec2: Any = field(init=False)

    def __post_init__(self) -> None:
        self.ec2 = self.cloud.session.client("ec2")
        self.key.touch(0o600)
        self.key.write_text(self.ec2.create_key_pair(KeyName="key", KeyType="ed25519")["KeyMaterial"])

    def group(self, name: str, **source: Any) -> str:
        """A security group that admits ssh from somewhere."""
        group: str = self.ec2.create_security_group(GroupName=name, Description=name)["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22} | source
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        return group

    def launch(self, group: str, image: str = "", **options: Any) -> dict[str, Any]:
        if not image:
            named = [{"Name": "name", "Values": ["debian-12-a*"]}]
            image = self.ec2.describe_images(Filters=named)["Images"][0]["ImageId"]
        wanted = {"ImageId": image, "InstanceType": "t3.micro", "KeyName": "key", "SecurityGroupIds": [group]} | options
        (instance,) = self.ec2.run_instances(MinCount=1, MaxCount=1, **wanted)["Instances"]
        ids = [instance["InstanceId"]]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
        described: dict[str, Any] = self.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
        return described

    def ssh(self, instance: dict[str, Any], command: str, *options: str) -> subprocess.CompletedProcess[str]:
        address = instance["PrivateIpAddress"]
        options = ("-i", str(self.key), "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", *options)
        # what is cut off by a reboot shall not wait for an answer
        options += ("-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2")
        options += ("-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"admin@{address}")
        return subprocess.run(["ssh", *options, command], capture_output=True, text=True, timeout=60)

    def inside(self, instance: dict[str, Any], command: str) -> str:
        eventually(lambda: banner(instance["PrivateIpAddress"]))
        done = self.ssh(instance, command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, instance: dict[str, Any], path: str, *headers: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of what its metadata service answers."""
        words = " ".join(f"'{word}'" for word in (method, path, *headers))
        head, _, body = self.inside(instance, f"{ASK} ask {words}").replace("\r", "").partition("\n\n")
        return int(head.split()[1]), body

    def token(self, instance: dict[str, Any]) -> str:
        status, token = self.ask(instance, "/latest/api/token", f"{TTL}: 600", method="PUT")
        assert status == 200, token
        return f"{TOKEN}: {token}"

    def console(self, instance: dict[str, Any]) -> str:
        text: str = self.ec2.get_console_output(InstanceId=instance["InstanceId"])["Output"]
        return text


@dataclass
class Inhabited(Place):
    """The same, with an instance whose metadata wants tokens, and one whose does not."""

    strict: dict[str, Any] = field(init=False)
    lax: dict[str, Any] = field(init=False)
    open: str = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.open = self.group("open", IpRanges=[{"CidrIp": "0.0.0.0/0"}])
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web 1"}]}]
        self.strict = self.launch(self.open, UserData=TELL, MetadataOptions={"HttpTokens": "required"})
        options = {"HttpTokens": "optional", "InstanceMetadataTags": "enabled"}
        self.lax = self.launch(self.open, MetadataOptions=options, TagSpecifications=tags)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inhabited]:
    with LocalCloud() as cloud:
        yield Inhabited(cloud, tmp_path_factory.mktemp("key") / "key")


def test_a_token_opens_what_others_are_told_too(place: Inhabited) -> None:
    instance, token = place.strict, place.token(place.strict)
    for path, value in {
        "instance-id": instance["InstanceId"],
        "local-ipv4": instance["PrivateIpAddress"],
        "public-ipv4": instance["PublicIpAddress"],
        "security-groups": "open",
    }.items():
        assert place.ask(instance, f"/latest/meta-data/{path}", token) == (200, value)
    assert place.ask(instance, "/latest/user-data", token) == (200, TELL)
    _, document = place.ask(instance, "/latest/dynamic/instance-identity/document", token)
    assert json.loads(document)["instanceId"] == instance["InstanceId"]


def test_its_mac_address_is_the_interfaces(place: Inhabited) -> None:
    _, mac = place.ask(place.lax, "/latest/meta-data/mac")
    assert place.inside(place.lax, "cat /sys/class/net/ens5/address").strip() == mac
    assert place.lax["NetworkInterfaces"][0]["MacAddress"] == mac


def test_the_launch_key_stays_when_the_key_pair_goes(place: Inhabited) -> None:
    place.ec2.delete_key_pair(KeyName="key")
    try:
        _, key = place.ask(place.lax, "/latest/meta-data/public-keys/0/openssh-key")
        assert key == place.inside(place.lax, "cat ~/.ssh/authorized_keys")
    finally:
        place.ec2.import_key_pair(KeyName="key", PublicKeyMaterial=key.encode())


def test_without_a_token_only_where_none_is_required(place: Inhabited) -> None:
    assert place.ask(place.strict, "/latest/meta-data/instance-id")[0] == 401
    assert place.ask(place.lax, "/latest/meta-data/instance-id") == (200, place.lax["InstanceId"])


def test_a_token_of_one_instance_is_none_of_another(place: Inhabited) -> None:
    assert place.ask(place.lax, "/latest/meta-data/", place.token(place.strict))[0] == 401


def test_tags_are_there_where_that_was_asked_for(place: Inhabited) -> None:
    assert place.ask(place.lax, "/latest/meta-data/tags/instance/Name") == (200, "web 1")
    assert place.ask(place.strict, "/latest/meta-data/tags/instance/", place.token(place.strict))[0] == 404


def test_it_can_be_closed_and_opened(place: Inhabited) -> None:
    def switch(endpoint: str) -> None:
        place.ec2.modify_instance_metadata_options(InstanceId=place.lax["InstanceId"], HttpEndpoint=endpoint)

    switch("disabled")
    assert place.ask(place.lax, "/latest/meta-data/instance-id")[0] == 403
    assert place.ask(place.lax, "/latest/api/token", f"{TTL}: 600", method="PUT")[0] == 403
    switch("enabled")
    assert place.ask(place.lax, "/latest/meta-data/instance-id")[0] == 200


def test_user_data_asks_for_metadata_and_runs_once(place: Inhabited) -> None:
    place.inside(place.strict, "until sudo grep -qs ran /root/ran; do sleep 0.1; done")
    booted = place.inside(place.strict, "cat /proc/sys/kernel/random/boot_id")
    place.ec2.reboot_instances(InstanceIds=[place.strict["InstanceId"]])
    eventually(lambda: place.ssh(place.strict, "cat /proc/sys/kernel/random/boot_id").stdout not in {"", booted})
    assert place.inside(place.strict, "sudo cat /root/ran") == f"{place.strict['InstanceId']} ran\n"


def test_closed_at_the_launch_it_gives_neither_key_nor_user_data(place: Inhabited) -> None:
    instance = place.launch(place.open, UserData=TELL, MetadataOptions={"HttpEndpoint": "disabled"})
    eventually(lambda: banner(instance["PrivateIpAddress"]))
    assert "Permission denied" in place.ssh(instance, "true").stderr
    console = place.console(instance)
    assert "END SSH HOST KEY KEYS" in console
    assert " ran" not in console
    place.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_one_instance_is_the_way_into_another(place: Inhabited) -> None:
    pairs: Sequence[dict[str, str]] = [{"GroupId": place.open}]
    hidden = place.launch(place.group("hidden", UserIdGroupPairs=pairs))
    dial = f"timeout 1 bash -c '</dev/tcp/{hidden['PrivateIpAddress']}/22'"
    place.inside(place.lax, f"until {dial}; do sleep 0.1; done 2>/dev/null")
    assert not banner(hidden["PrivateIpAddress"])
    jump = f"ssh -i {place.key} -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -W %h:%p"
    through = f"ProxyCommand={jump} admin@{place.lax['PrivateIpAddress']}"
    assert place.ssh(hidden, "hostname -I", "-o", through).stdout.split() == [hidden["PrivateIpAddress"]]
