"""Who may get at the builder: the temporary key pair, and the temporary security group with its one rule."""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.network import Network
from amibake.ec2.refusals import of_an_option
from amibake.ec2.resource import eventually, remove, resource
from amibake.errors import AmibakeError, InvalidOption
from amibake.interrupts import opened

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef

CHECKIP = "https://checkip.amazonaws.com"
"""What tells us our own public address; asked only when the builder has a public one. A seam for tests."""


def check_key_name(cloud: Cloud, builder: Builder) -> None:
    """Raises InvalidOption when the name that the temporary key pair is to have is taken."""
    name = builder.temporary_key_pair_name
    if not name or not builder.has_temporary_key:
        return
    if cloud.ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])["KeyPairs"]:
        raise InvalidOption(f"temporary_key_pair_name: there is a key pair {name} in {cloud.region} already")


def temporary_key_pair(cloud: Cloud, builder: Builder, public: str) -> AbstractContextManager[str]:
    """Import the public half of a key pair, under the name that the options give it or one of this build; yields the
    name."""
    name: str = key_request(cloud, builder, public)["KeyName"]

    def create() -> str:
        try:
            cloud.ec2.import_key_pair(**key_request(cloud, builder, public))
        except AmibakeError as error:
            if not builder.temporary_key_pair_name:
                raise
            raise of_an_option(error, {"InvalidKeyPair.Duplicate": "temporary_key_pair_name"}) from error
        return name

    def find() -> list[str]:
        return [pair["KeyName"] for pair in cloud.ec2.describe_key_pairs(Filters=cloud.of_this_build())["KeyPairs"]]

    def release(name: str) -> None:
        remove(cloud, "key pair", name, partial(cloud.ec2.delete_key_pair, KeyName=name))

    return resource(cloud, "key pair", create=create, find=find, release=release)


@contextmanager
def security_groups(cloud: Cloud, network: Network) -> Iterator[list[str]]:
    """The security groups for the builder: the user's, or a temporary one that admits nobody yet."""
    if network.group_ids:
        yield list(network.group_ids)
        return

    def create() -> str:
        try:
            return cloud.ec2.create_security_group(**group_request(cloud, network))["GroupId"]
        except AmibakeError as error:
            raise of_an_option(error, {"VPCIdNotSpecified": "vpc_id"}, _NO_DEFAULT_VPC) from error

    def find() -> list[str]:
        found = cloud.ec2.describe_security_groups(Filters=cloud.of_this_build())["SecurityGroups"]
        return [group["GroupId"] for group in found]

    def release(group_id: str) -> None:
        delete = partial(cloud.ec2.delete_security_group, GroupId=group_id)
        busy = ("DependencyViolation",)
        remove(cloud, "security group", group_id, delete, busy=busy, held_by=("instance",))

    with resource(cloud, "security group", create=create, find=find, release=release) as group_id:
        yield [group_id]


_NO_DEFAULT_VPC = "There is no default VPC here: name a vpc_id or a subnet_id."


def key_request(cloud: Cloud, builder: Builder, public: str) -> dict[str, Any]:
    """ImportKeyPair's, for the temporary key pair with this public half."""
    return {
        "KeyName": builder.temporary_key_pair_name or f"amibake_{cloud.build}",
        "PublicKeyMaterial": public.encode(),
        "TagSpecifications": cloud.specification("key-pair"),
    }


def group_request(cloud: Cloud, network: Network) -> dict[str, Any]:
    """CreateSecurityGroup's, for the temporary group."""
    return {
        "GroupName": f"amibake_{cloud.build}",
        "Description": "Temporary group of amibake",
        "TagSpecifications": cloud.specification("security-group"),
        **({"VpcId": network.vpc_id} if network.vpc_id else {}),
    }


def admit_ssh(
    cloud: Cloud, builder: Builder, group_ids: list[str], address: str, seen_from: str | None = None
) -> tuple[str, ...]:
    """Let us, and only us, in on the SSH port of the builder at `address`, where the group is a temporary one. Answers
    with the blocks that it admits.

    `seen_from` is the address that the builder sees us come from, where that is known: through a bastion, the
    bastion's. With a proxy command it is not known: then nobody is let in but whom the options name. The Session
    Manager needs nobody to be, since it comes from within the builder; an EC2 Instance Connect endpoint does, and its
    network is to be named in `temporary_security_group_source_cidrs`.

    Raises:
        InvalidOption: our address, as the builder would see it, cannot be found out.
    """
    cidrs = _sources(builder, address, seen_from) if builder.has_temporary_group else ()
    if not cidrs:
        return ()
    permission: IpPermissionTypeDef = {
        "IpProtocol": "tcp",
        "FromPort": builder.ssh_port,
        "ToPort": builder.ssh_port,
        "IpRanges": [{"CidrIp": cidr, "Description": "amibake"} for cidr in cidrs if ":" not in cidr],
        "Ipv6Ranges": [{"CidrIpv6": cidr, "Description": "amibake"} for cidr in cidrs if ":" in cidr],
    }
    authorize = partial(cloud.ec2.authorize_security_group_ingress, GroupId=group_ids[0], IpPermissions=[permission])
    try:
        eventually(cloud, authorize, "InvalidGroup.NotFound")
    except AmibakeError as error:
        if error.code != "InvalidPermission.Duplicate":  # from a try whose answer was lost, or a bake before
            raise
    return cidrs


def _sources(builder: Builder, address: str, seen_from: str | None) -> tuple[str, ...]:
    """Whom to let in."""
    if builder.temporary_security_group_source_cidrs:
        return builder.temporary_security_group_source_cidrs
    if builder.communicator == "none":
        return ()
    if builder.temporary_security_group_source_public_ip:
        return (_known(address, lambda: _one(_public_address())),)
    if builder.ssh_proxy_command:
        return ()
    if seen_from is not None:
        return (_known(address, lambda: _one(seen_from)),)
    return (our_address(address, builder.ssh_port),)


def our_address(builder_address: str, port: int) -> str:
    """Our own address as a machine at `builder_address` sees it, as a CIDR block of one address.

    Raises:
        InvalidOption: it cannot be found out.
    """
    return _known(builder_address, lambda: _seen_by(builder_address, port))


def _known(builder_address: str, find: Callable[[], str]) -> str:
    try:
        with opened():
            return find()
    except (OSError, HTTPException, ValueError) as error:
        raise InvalidOption(
            "temporary_security_group_source_cidrs: our own address, from which the builder at "
            f"{builder_address} is to be reached, cannot be found out: {error}",
            hint="Name the blocks that SSH may come from: temporary_security_group_source_cidrs=[…].",
        ) from error


def _seen_by(builder_address: str, port: int) -> str:
    family, _, _, _, target = socket.getaddrinfo(builder_address, port, type=socket.SOCK_DGRAM)[0]
    if ipaddress.ip_address(target[0]).is_global:
        return _one(_public_address())
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)  # picks the route, and with it our address; sends nothing
        return _one(probe.getsockname()[0])


def _public_address() -> str:
    # No proxy: SSH does not go through it either, so its address is not ours.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(CHECKIP, timeout=2) as answer:
        return str(answer.read(64).decode().strip())


def _one(text: str) -> str:
    address = ipaddress.ip_address(text)
    return f"{address}/{address.max_prefixlen}"
