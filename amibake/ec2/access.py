"""Who may get at the builder: the temporary key pair, and the temporary security group with its one rule."""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from amibake.builder import Builder
from amibake.ec2.cloud import RELEASE, Cloud, missing
from amibake.errors import AmibakeError, InvalidOption
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef

CHECKIP = "https://checkip.amazonaws.com"
"""What tells us our own public address; asked only when the builder has a public one. A seam for tests."""


@contextmanager
def temporary_key_pair(cloud: Cloud, public: str) -> Iterator[str]:
    """Import the public half of a key pair under a name of this build; yields the name."""
    name = f"amibake_{cloud.build}"

    def remove() -> None:
        cloud.ec2.delete_key_pair(KeyName=name)  # no error when it is not there

    try:
        cloud.ec2.import_key_pair(
            KeyName=name, PublicKeyMaterial=public.encode(), TagSpecifications=cloud.specification("key-pair")
        )
        cloud.ledger.created("key pair", name)
        yield name
    finally:
        cloud.ledger.release("key pair", name, remove, cloud.command("delete-key-pair", "--key-name", name))


@contextmanager
def security_groups(cloud: Cloud, builder: Builder) -> Iterator[list[str]]:
    """The security groups for the builder: the user's, or a temporary one that admits nobody yet."""
    if builder.security_group_ids:
        yield list(builder.security_group_ids)
        return
    name = f"amibake_{cloud.build}"
    group_ids: list[str] = []

    def remove() -> None:
        for group_id in group_ids or _groups_of_this_build(cloud):
            wait_for(
                f"security group {group_id} to be free",
                partial(_delete_group, cloud, group_id),
                deadline=Deadline(RELEASE),
                emit=cloud.ledger.emit,
            )

    try:
        group = cloud.ec2.create_security_group(
            GroupName=name,
            Description="Temporary group of amibake",
            TagSpecifications=cloud.specification("security-group"),
            **_vpc(cloud, builder),
        )
        group_ids.append(group["GroupId"])
        cloud.ledger.created("security group", group["GroupId"])
        yield group_ids
    finally:
        which = ("--group-id", group_ids[0]) if group_ids else ("--group-name", name)
        cloud.ledger.release("security group", which[1], remove, cloud.command("delete-security-group", *which))


def _groups_of_this_build(cloud: Cloud) -> list[str]:
    found = cloud.ec2.describe_security_groups(Filters=cloud.of_this_build())["SecurityGroups"]
    return [group["GroupId"] for group in found]


def _delete_group(cloud: Cloud, group_id: str) -> Pending | None:
    try:
        cloud.ec2.delete_security_group(GroupId=group_id)
    except AmibakeError as error:
        if error.code == "DependencyViolation":
            return Pending("in use")
        if not missing(error):
            raise
    return None


class _Vpc(TypedDict, total=False):
    VpcId: str


def _vpc(cloud: Cloud, builder: Builder) -> _Vpc:
    if builder.subnet_id is None:
        return {}
    subnet = cloud.ec2.describe_subnets(SubnetIds=[builder.subnet_id])["Subnets"][0]
    return {"VpcId": subnet["VpcId"]}


def admit_ssh(cloud: Cloud, builder: Builder, group_ids: list[str], address: str) -> None:
    """Let us, and only us, in on the SSH port of the builder at `address`, where the group is a temporary one.

    Raises:
        InvalidOption: our address, as the builder would see it, cannot be found out.
    """
    if builder.security_group_ids:
        return
    cidrs = builder.temporary_security_group_source_cidrs or (our_address(address, builder.ssh_port),)
    permission: IpPermissionTypeDef = {
        "IpProtocol": "tcp",
        "FromPort": builder.ssh_port,
        "ToPort": builder.ssh_port,
        "IpRanges": [{"CidrIp": cidr, "Description": "amibake"} for cidr in cidrs if ":" not in cidr],
        "Ipv6Ranges": [{"CidrIpv6": cidr, "Description": "amibake"} for cidr in cidrs if ":" in cidr],
    }
    cloud.ec2.authorize_security_group_ingress(GroupId=group_ids[0], IpPermissions=[permission])


def our_address(builder_address: str, port: int) -> str:
    """Our own address as a machine at `builder_address` sees it, as a CIDR block of one address."""
    family, _, _, _, target = socket.getaddrinfo(builder_address, port, type=socket.SOCK_DGRAM)[0]
    remote = ipaddress.ip_address(target[0])
    if remote.is_global:
        return _public_address(builder_address)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)  # picks the route, and with it our address; sends nothing
        local = ipaddress.ip_address(probe.getsockname()[0])
    return f"{local}/{local.max_prefixlen}"


def _public_address(builder_address: str) -> str:
    try:
        with urllib.request.urlopen(CHECKIP, timeout=2) as answer:
            address = ipaddress.ip_address(answer.read(64).decode().strip())
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"temporary_security_group_source_cidrs: our public address, from which {builder_address} is to be "
            f"reached, cannot be found out: {CHECKIP}: {error}",
            hint="Name the blocks that SSH may come from: temporary_security_group_source_cidrs=[…].",
        ) from error
    return f"{address}/{address.max_prefixlen}"
