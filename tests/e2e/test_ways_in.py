"""Ways to a builder, in the sandbox: through another instance, and through a command."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake.host import Host
from amibake.sandbox import LocalCloud
from tests.e2e.support import Box

Launch = Callable[[amibake.Image | str], Box]


class Look:
    """A provisioner that looks at how it got here."""

    def __init__(self, ec2: EC2Client) -> None:
        self._ec2 = ec2
        self.address = ""
        self.peer = ""
        self.admitted: list[str] = []
        self.direct = True

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        self.address = host.data["Host"]
        self.peer = host.run("echo $SSH_CONNECTION", capture=True).stdout.split()[0]
        (found,) = self._ec2.describe_instances(InstanceIds=[host.data["ID"]])["Reservations"]
        groups = [group["GroupId"] for group in found["Instances"][0]["SecurityGroups"]]
        for group in self._ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]:
            self.admitted += [one["CidrIp"] for rule in group["IpPermissions"] for one in rule["IpRanges"]]
        try:
            socket.create_connection((self.address, 22), timeout=2).close()
        except OSError:
            self.direct = False


def bake(cloud: LocalCloud, look: Look, **options: Any) -> amibake.Image:
    builder = amibake.Builder(
        **{
            "ami_name": "way in {{timestamp}} {{uuid}}",
            "source_ami": amibake.DEBIAN_12,
            "instance_type": "t3.micro",
            **options,
        }
    )
    image: amibake.Image = amibake.bake(
        builder,
        [look, amibake.File(Path(__file__), "/tmp/this.py"), amibake.Shell(inline=["test -s /tmp/this.py"])],
        session=cloud.session,
    )
    return image


def test_a_builder_that_only_another_instance_can_reach(
    cloud: LocalCloud, ec2: EC2Client, box: Launch, debian: str, tmp_path: Path
) -> None:
    bastion = box(debian)
    key = tmp_path / "key"
    key.write_bytes(bastion.key.private)
    look = Look(ec2)
    image = bake(
        cloud,
        look,
        ssh_bastion_host=bastion.instance.public_ip,
        ssh_bastion_private_key_file=key,
        associate_public_ip_address=False,
    )
    assert look.peer == bastion.instance.private_ip
    assert look.admitted == [f"{bastion.instance.private_ip}/32"]
    assert not look.direct
    assert (image.warnings, image.leftovers) == ((), ())


RELAY = """
import socket, sys, threading
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := there.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
threading.Thread(target=back, daemon=True).start()
while data := sys.stdin.buffer.read1(65536):
    there.sendall(data)
"""


def test_a_builder_that_a_command_reaches(cloud: LocalCloud, ec2: EC2Client, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    look = Look(ec2)
    image = bake(
        cloud,
        look,
        ssh_proxy_command=f"{sys.executable} {relay} %h %p",
        temporary_security_group_source_cidrs=["0.0.0.0/0"],
    )
    assert look.admitted == ["0.0.0.0/0"]
    assert (image.warnings, image.leftovers) == ((), ())


def test_a_proxy_command_that_is_not_there_ends_the_bake_at_once(cloud: LocalCloud, ec2: EC2Client) -> None:
    with pytest.raises(amibake.InvalidOption, match="ssh_proxy_command"):
        bake(cloud, Look(ec2), ssh_proxy_command="no-such-command %h %p")
