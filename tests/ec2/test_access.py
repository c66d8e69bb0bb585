"""The temporary key pair and security group: what they are, and that they go."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from amibake.ec2 import access
from amibake.ec2.access import admit_ssh, our_address, security_groups, temporary_key_pair
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import run_instance
from amibake.ec2.network import Network
from amibake.errors import AmibakeError, InvalidOption
from amibake.events import Created, Event, Leftover, Removed
from amibake.ssh.keys import make_key_pair
from tests.ec2.support import Refuse, builder

NOWHERE = Network()


def test_a_key_pair_is_tagged_from_its_first_moment_and_goes(cloud: Cloud, events: list[Event]) -> None:
    public = make_key_pair("ed25519", comment="test").public
    with temporary_key_pair(cloud, builder(), public) as name:
        (pair,) = cloud.ec2.describe_key_pairs(KeyNames=[name])["KeyPairs"]
        tags = {tag["Key"]: tag["Value"] for tag in pair["Tags"]}
        assert tags.keys() == {"Name", "amibake:build", "amibake:expires", "amibake:app"}
        assert tags["amibake:build"] == cloud.build
    assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []
    assert events == [Created("key pair", name), Removed("key pair", name)]


def test_a_key_pair_whose_import_was_refused_is_no_leftover(cloud: Cloud) -> None:
    with pytest.raises(AmibakeError, match="InvalidKey"), temporary_key_pair(cloud, builder(), "garbage"):
        raise AssertionError("not reached")
    assert cloud.ledger.leftovers == []


def test_what_cannot_be_removed_is_a_leftover_with_its_command(
    cloud: Cloud, refuse: Refuse, events: list[Event]
) -> None:
    refuse("delete_key_pair", "UnauthorizedOperation")
    with temporary_key_pair(cloud, builder(), make_key_pair("ed25519", comment="test").public) as name:
        pass
    (leftover,) = cloud.ledger.leftovers
    command = f"aws ec2 delete-key-pair --key-name {name} --region us-east-1"
    assert leftover.startswith(f"key pair {name} (")
    assert leftover.endswith(f"remove it with: {command}")
    assert [event.command for event in events if isinstance(event, Leftover)] == [command]


def test_the_group_admits_nobody_until_told_whom(cloud: Cloud) -> None:
    with security_groups(cloud, NOWHERE) as groups:
        assert _ingress(cloud, groups[0]) == []
        admit_ssh(cloud, builder(ssh_port=2222), groups, "127.0.0.1")
        assert _ingress(cloud, groups[0]) == [("tcp", 2222, 2222, ["127.0.0.1/32"])]
    assert _groups(cloud) == ["default"]


def test_the_group_admits_whom_the_user_names(cloud: Cloud) -> None:
    named = builder(temporary_security_group_source_cidrs=["203.0.113.0/24", "2001:db8::/32"])
    with security_groups(cloud, NOWHERE) as groups:
        admit_ssh(cloud, named, groups, "198.51.100.7")
        assert _ingress(cloud, groups[0]) == [("tcp", 22, 22, ["203.0.113.0/24", "2001:db8::/32"])]


def test_the_users_own_groups_are_left_alone(cloud: Cloud) -> None:
    own = builder(security_group_ids=["sg-12345678"])
    with security_groups(cloud, Network(group_ids=("sg-12345678",))) as groups:
        assert groups == ["sg-12345678"]
        admit_ssh(cloud, own, groups, "127.0.0.1")
    assert _groups(cloud) == ["default"]


def test_the_group_is_made_in_the_subnets_vpc(cloud: Cloud) -> None:
    vpc = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    with security_groups(cloud, Network(vpc, (subnet,))) as groups:
        (group,) = cloud.ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        assert group["VpcId"] == vpc


def test_a_group_is_removed_once_the_last_instance_in_it_is_gone(cloud: Cloud, debian: str) -> None:
    with security_groups(cloud, NOWHERE) as groups:
        request = {"ImageId": debian, "InstanceType": "t3.micro", "SecurityGroupIds": groups}
        machine = run_instance(cloud, request)
        cloud.ec2.terminate_instances(InstanceIds=[machine.id])
        assert machine.describe()["State"]["Name"] == "shutting-down"  # type: ignore[index]
    assert _groups(cloud) == ["default"]
    assert cloud.ledger.leftovers == []


def test_a_group_is_found_by_its_tag_when_the_answer_was_lost(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    create = cloud.ec2._client.create_security_group  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        create(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "create_security_group", lose)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), security_groups(cloud, NOWHERE):
        raise AssertionError("not reached")
    assert _groups(cloud) == ["default"]


def test_our_address_for_a_loopback_or_private_one_is_the_routes_local_end() -> None:
    assert our_address("127.0.0.1", 22) == "127.0.0.1/32"
    assert our_address("::1", 22) == "::1/128"


@pytest.fixture
def checkip(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What checkip says; empty is an answer that says nothing."""
    answers: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(access, "CHECKIP", f"http://127.0.0.1:{server.server_port}/")
        yield answers
        server.shutdown()
        thread.join()


def test_our_address_for_a_public_one_is_what_checkip_says(checkip: list[bytes]) -> None:
    checkip.append(b"203.0.113.7\n")
    assert our_address("8.8.8.8", 22) == "203.0.113.7/32"


def test_an_unknown_public_address_never_opens_the_group_to_all(checkip: list[bytes]) -> None:
    checkip.append(b"<html>")
    with pytest.raises(InvalidOption, match="temporary_security_group_source_cidrs: our own address"):
        our_address("8.8.8.8", 22)


def test_a_name_that_does_not_resolve_is_said_of_the_option() -> None:
    with pytest.raises(InvalidOption, match=r"the builder at nobody\.invalid is to be reached"):
        our_address("nobody.invalid", 22)


@pytest.mark.parametrize(
    ("options", "seen_from", "expected"),
    [
        ({}, "10.0.0.5", ["10.0.0.5/32"]),
        ({}, "2001:db8::5", ["2001:db8::5/128"]),
        ({"temporary_security_group_source_cidrs": "10.0.0.0/8"}, "192.0.2.5", ["10.0.0.0/8"]),
        ({"ssh_proxy_command": "nc %h %p"}, None, []),
        (
            {"ssh_proxy_command": "nc %h %p", "temporary_security_group_source_cidrs": "10.0.0.0/8"},
            None,
            ["10.0.0.0/8"],
        ),
        ({"communicator": "none"}, None, []),
    ],
)
def test_whom_the_group_admits_is_whom_the_builder_sees(
    cloud: Cloud, options: dict[str, Any], seen_from: str | None, expected: list[str]
) -> None:
    with security_groups(cloud, NOWHERE) as groups:
        admit_ssh(cloud, builder(**options), groups, "127.0.0.1", seen_from)
        assert [cidr for rule in _ingress(cloud, groups[0]) for cidr in rule[3]] == expected


def test_our_public_address_is_asked_for_when_the_option_says_so(cloud: Cloud, checkip: list[bytes]) -> None:
    checkip.append(b"203.0.113.7\n")
    public = builder(temporary_security_group_source_public_ip=True)
    with security_groups(cloud, NOWHERE) as groups:
        admit_ssh(cloud, public, groups, "10.0.0.9", "10.0.0.5")
        assert _ingress(cloud, groups[0]) == [("tcp", 22, 22, ["203.0.113.7/32"])]
        checkip[:] = [b"busy"]
        with pytest.raises(InvalidOption, match="temporary_security_group_source_cidrs: our own address"):
            admit_ssh(cloud, public, groups, "10.0.0.9")


def test_what_is_no_address_of_a_bastion_admits_nobody(cloud: Cloud) -> None:
    with security_groups(cloud, NOWHERE) as groups:
        with pytest.raises(InvalidOption, match=r"temporary_security_group_source_cidrs: .* 'jump' does not appear"):
            admit_ssh(cloud, builder(), groups, "10.0.0.9", "jump")
        assert _ingress(cloud, groups[0]) == []


def test_a_key_pair_may_have_a_name_of_the_users(cloud: Cloud) -> None:
    named = builder(temporary_key_pair_name="bake-1")
    with temporary_key_pair(cloud, named, make_key_pair("ed25519", comment="test").public) as name:
        assert name == "bake-1"
        assert [pair["KeyName"] for pair in cloud.ec2.describe_key_pairs()["KeyPairs"]] == ["bake-1"]
    assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []


def test_a_name_that_another_key_pair_has_is_the_options_mistake_and_that_one_stays(cloud: Cloud) -> None:
    cloud.ec2.create_key_pair(KeyName="bake-1")
    public = make_key_pair("ed25519", comment="test").public
    named = builder(temporary_key_pair_name="bake-1")
    with (
        pytest.raises(InvalidOption, match=r"temporary_key_pair_name: .*Duplicate"),
        temporary_key_pair(cloud, named, public),
    ):
        raise AssertionError("not reached")
    assert [pair["KeyName"] for pair in cloud.ec2.describe_key_pairs()["KeyPairs"]] == ["bake-1"]


def test_an_account_without_a_default_vpc_has_to_name_one(cloud: Cloud, refuse: Refuse) -> None:
    refuse("create_security_group", "VPCIdNotSpecified", "No default VPC for this user")
    with pytest.raises(InvalidOption, match=r"vpc_id: .*No default VPC") as caught, security_groups(cloud, NOWHERE):
        raise AssertionError("not reached")
    assert "subnet_id" in caught.value.hint
    assert cloud.ledger.leftovers == []


def _ingress(cloud: Cloud, group_id: str) -> list[tuple[str, int, int, list[str]]]:
    (group,) = cloud.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return [
        (
            rule["IpProtocol"],
            rule["FromPort"],
            rule["ToPort"],
            [*(one["CidrIp"] for one in rule["IpRanges"]), *(one["CidrIpv6"] for one in rule["Ipv6Ranges"])],
        )
        for rule in group["IpPermissions"]
    ]


def _groups(cloud: Cloud) -> list[str]:
    return [group["GroupName"] for group in cloud.ec2.describe_security_groups()["SecurityGroups"]]
