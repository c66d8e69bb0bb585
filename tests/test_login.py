"""How a bake gets into its builder, for each option that says so."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import paramiko
import pytest

import amibake
from amibake.events import Event, Waiting
from amibake.ssh import dial
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.testing import Place
from amibake.testing.accounts import Account
from amibake.waiting import Deadline


def bake(place: Place, **options: Any) -> amibake.Image:
    builder = amibake.Builder(
        **{
            "ami_name": "shop {{timestamp}}",
            "source_ami": place.source_ami,
            "instance_type": "t3.micro",
            "ssh_timeout": 60,
            **options,
        }
    )
    image: amibake.Image = amibake.bake(builder, [amibake.Shell(inline=["true"])], session=place.session)
    return image


def actions(place: Place) -> list[str]:
    return [request.action for request in place.ec2.requests]


def written(path: Path, pair: KeyPair) -> Path:
    path.write_bytes(pair.private)
    path.chmod(0o600)
    return path


pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture
def pair() -> KeyPair:
    return make_key_pair(comment="ours")


def test_a_key_that_the_image_knows_needs_no_key_pair(place: Place, tmp_path: Path, pair: KeyPair) -> None:
    place.machines.accounts.append(Account("deploy", [pair.public]))
    bake(place, ssh_username="deploy", ssh_private_key_file=written(tmp_path / "key", pair))
    assert place.machines.newest.logins == 1
    assert "ImportKeyPair" not in actions(place)
    assert place.machines.launches.popitem()[1].public_key is None


def test_a_key_pair_of_the_users_in_ec2(place: Place, tmp_path: Path, pair: KeyPair) -> None:
    ec2 = place.session.client("ec2")
    ec2.import_key_pair(KeyName="team", PublicKeyMaterial=pair.public.encode())
    bake(place, ssh_keypair_name="team", ssh_private_key_file=written(tmp_path / "key", pair))
    assert place.machines.newest.logins == 1
    assert [one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"]] == ["team"]
    ec2.delete_key_pair(KeyName="team")


def test_a_password(place: Place) -> None:
    place.machines.accounts.append(Account("deploy", password="hunter2"))
    place.machines.behaviour.methods = ("password",)
    bake(place, ssh_username="deploy", ssh_password="hunter2")
    assert "ImportKeyPair" not in actions(place)


def test_a_password_is_in_no_error(place: Place) -> None:
    place.machines.behaviour.methods = ("password",)
    with pytest.raises(amibake.AuthenticationFailed) as caught:
        bake(place, ssh_username="deploy", ssh_password="hunter2")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_the_temporary_key_pair_is_of_the_kind_size_and_name_that_was_asked_for(place: Place) -> None:
    bake(place, temporary_key_pair_type="rsa", temporary_key_pair_bits=3072, temporary_key_pair_name="of the bake")
    (launch,) = place.machines.launches.values()
    assert launch.key_name == "of the bake"
    assert launch.public_key is not None
    assert launch.public_key.startswith("ssh-rsa ")
    assert len(launch.public_key.split()[1]) == 544  # 3072 bits in base64; 2048 are 372 characters, 4096 are 716


def test_another_port_is_admitted_and_used(place: Place) -> None:
    with pytest.raises(amibake.SSHTimeout, match=":2222 as admin"):
        bake(place, ssh_port=2222, ssh_timeout=5, ssh_host="127.0.0.1")
    authorized = [request for request in place.ec2.requests if request.action == "AuthorizeSecurityGroupIngress"]
    assert authorized[0].params["IpPermissions.1.FromPort"] == "2222"
    assert authorized[0].params["IpPermissions.1.ToPort"] == "2222"


@pytest.mark.parametrize("option", ["ssh_ciphers", "ssh_key_exchange_algorithms"])
def test_algorithms_are_those_that_were_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    wanted = {"ssh_ciphers": "aes256-ctr", "ssh_key_exchange_algorithms": "ecdh-sha2-nistp384"}[option]
    agreed: list[str] = []
    begin = paramiko.Transport._activate_outbound  # type: ignore[attr-defined]

    def note(transport: Any) -> None:
        if not transport.server_mode:
            agreed.extend([transport.local_cipher, transport.kex_engine.name])
        begin(transport)

    monkeypatch.setattr(paramiko.Transport, "_activate_outbound", note)
    bake(place, **{option: wanted})
    assert wanted in agreed


class TestABastion:
    def test_the_builder_admits_the_bastion_and_nobody_else(self, place: Place, tmp_path: Path, pair: KeyPair) -> None:
        bastion = place.machines.add_bastion([pair.public], username="jump")
        bake(
            place,
            ssh_bastion_host=bastion.address,
            ssh_bastion_username="jump",
            ssh_bastion_private_key_file=written(tmp_path / "key", pair),
        )
        (rules,) = place.machines.ingress.values()
        assert [rule.cidrs for rule in rules] == [(f"{bastion.address}/32",)]
        assert bastion.forwarded == [(place.machines.newest.address, 22)]
        assert bastion.logins == 1

    def test_the_key_of_the_builder_is_tried_where_there_is_no_other(
        self, place: Place, tmp_path: Path, pair: KeyPair
    ) -> None:
        place.machines.accounts.append(Account("deploy", [pair.public]))
        bastion = place.machines.add_bastion([pair.public], username="deploy")
        key = written(tmp_path / "key", pair)
        bake(place, ssh_username="deploy", ssh_private_key_file=key, ssh_bastion_host=bastion.address)
        assert bastion.logins == 1

    def test_a_password(self, place: Place) -> None:
        bastion = place.machines.add_bastion(password="hunter2")
        bake(place, ssh_bastion_host=bastion.address, ssh_bastion_password="hunter2")
        assert bastion.logins == 1

    def test_another_port_is_where_it_is_looked_for(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        bastion = place.machines.add_bastion(password="hunter2")
        dialled: list[tuple[str, int]] = []

        def note(address: str, port: int, deadline: Deadline) -> socket.socket:
            dialled.append((address, port))
            return place.machines.dial(address, port, deadline)

        monkeypatch.setattr(dial, "dial", note)
        bake(place, ssh_bastion_host=bastion.address, ssh_bastion_port=2200, ssh_bastion_password="hunter2")
        assert dialled == [(bastion.address, 2200)]

    def test_one_that_does_not_let_us_in_is_said_at_once(self, place: Place) -> None:
        bastion = place.machines.add_bastion(password="hunter2")
        with pytest.raises(amibake.AuthenticationFailed, match="bastion"):
            bake(place, ssh_bastion_host=bastion.address, ssh_bastion_password="wrong")


def test_a_proxy_command_needs_no_ingress_rule_of_ours(place: Place) -> None:
    """Whence such a connection comes is not for us to know: the Session Manager's comes from the builder itself."""
    with pytest.raises(amibake.SSHTimeout, match="through the proxy command"):
        bake(place, ssh_proxy_command="false", ssh_timeout=5)
    assert "AuthorizeSecurityGroupIngress" not in actions(place)


def test_a_proxy_command_gets_the_instances_id(place: Place, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with pytest.raises(amibake.SSHTimeout):
        bake(
            place,
            ssh_interface="instance_id",
            ssh_proxy_command=f"echo %h %p %r > {note}; exit 1",
            ssh_timeout=5,
        )
    (instance_id,) = place.machines.all
    assert note.read_text() == f"{instance_id} 22 admin\n"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ssh_ciphers": ["rot13"]}, "ssh_ciphers"),
        ({"ssh_key_exchange_algorithms": ["none"]}, "ssh_key_exchange_algorithms"),
        ({"ssh_private_key_file": __file__}, "ssh_private_key_file"),
        ({"ssh_bastion_host": "b", "ssh_bastion_private_key_file": __file__}, "ssh_bastion_private_key_file"),
        ({"ssh_proxy_command": "nc %h %x"}, "ssh_proxy_command"),
        ({"ssh_agent_auth": True}, "ssh_agent_auth"),
        ({"ssh_bastion_host": "b", "ssh_bastion_agent_auth": True}, "ssh_bastion_agent_auth"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_launched(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], named: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(amibake.InvalidOption) as caught:
        bake(place, **options)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{named}: ")
    assert actions(place) == []


class TestWithoutSSH:
    def test_user_data_does_the_work_and_switches_the_builder_off(self, place: Place) -> None:
        def tell(event: Event) -> None:
            if isinstance(event, Waiting) and event.seen == "running":
                (instance_id,) = place.machines.all
                assert place.machines.on_power_off is not None
                place.machines.on_power_off(instance_id, False)

        builder = amibake.Builder(
            ami_name="shop",
            source_ami=place.source_ami,
            instance_type="t3.micro",
            communicator="none",
            disable_stop_instance=True,
            user_data="#!/bin/sh\npoweroff\n",
        )
        image = amibake.bake(builder, session=place.session, on_event=tell)
        assert image.name == "shop"
        assert "StopInstances" not in actions(place)
        assert "AuthorizeSecurityGroupIngress" not in actions(place)
        assert "ImportKeyPair" not in actions(place)
        assert place.machines.newest.logins == 0
        assert any("not sealed" in warning for warning in image.warnings)

    def test_provisioners_need_it(self, place: Place) -> None:
        builder = amibake.Builder(ami_name="shop", source_ami=place.source_ami, communicator="none")
        with pytest.raises(amibake.InvalidOption, match="provisioners: "):
            amibake.bake(builder, [amibake.Shell(inline=["true"])], session=place.session)
        assert actions(place) == []
