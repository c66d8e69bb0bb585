"""What the books of a strict EC2 say of an instance, as its metadata: read at every request, so never out of date."""

from __future__ import annotations

import hashlib
import json
from base64 import b32encode, b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.utilities.utils import get_partition

from amibake.sandbox.metadata.tree import Directory, Metadata, Node
from amibake.strict import Launch, StrictEC2
from amibake.strict.books import all_backends

_ROTATION = 3600
"""Seconds after which a role's credentials are others."""
_CREDENTIALS_LAST = timedelta(hours=6)


class Books:
    """Looks instances up in a strict EC2."""

    def __init__(self, strict: StrictEC2) -> None:
        self._strict = strict

    def __call__(self, launch: Launch, address: str) -> Metadata | None:
        """The metadata of an instance; None when it is not in the books, or on its way out of them.

        Args:
            launch: How it was launched: its key stays in the metadata when the key pair is deleted.
            address: Its machine's, which may be up before the books know its address.
        """
        with self._strict.changing():
            for backend in all_backends():
                instance = backend.get_instance_by_id(launch.instance_id)
                if instance and instance.nics:
                    return _metadata(instance, launch, address)
        return None


def _metadata(instance: Any, launch: Launch, address: str) -> Metadata:
    top: dict[str, Node] = {
        "dynamic": Directory({"instance-identity": Directory({"document": _identity(instance, address)})}),
        "meta-data": Directory(_meta_data(instance, launch, address)),
    }
    if instance.user_data:
        top["user-data"] = b64decode(instance.user_data.as_bytes())
    options = instance.metadata_options
    return Metadata(
        instance_id=instance.id,
        top=Directory(top),
        enabled=options.http_endpoint != "disabled",
        tokens_required=options.http_tokens == "required",
        hop_limit=options.http_put_response_hop_limit or 1,  # None after a modification that does not name it
    )


def _meta_data(instance: Any, launch: Launch, address: str) -> dict[str, Node]:
    name = _private_name(instance, address)
    entries: dict[str, Node] = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": _block_devices(instance),
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": instance.lifecycle or "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": name,
        "local-ipv4": address,
        "mac": instance.nics[0].mac_address,
        "network": Directory({"interfaces": Directory({"macs": _interfaces(instance, address)})}),
        "placement": _placement(instance),
        "profile": "default-hvm",
        "reservation-id": _reservation_id(instance),
        "security-groups": "\n".join(group.name for group in instance.security_groups),
        "services": _services(instance),
    }
    if profile := _profile(instance):
        entries["iam"] = _iam(instance, profile)
    if public := _public_address(instance, address):
        entries["public-ipv4"] = public
    if launch.public_key:
        key = Directory({"openssh-key": f"{launch.public_key.strip()}\n"})
        entries["public-keys"] = Directory({"0": key}, {"0": f"0={launch.key_name}"})
    if instance.metadata_options.instance_metadata_tags == "enabled":
        entries["tags"] = Directory({"instance": Directory(_tags(instance))})
    return dict(sorted(entries.items()))


def _private_name(instance: Any, address: str) -> str:
    region = instance.ec2_backend.region_name
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def _public_address(instance: Any, address: str) -> str:
    interface = instance.nics[0]
    return interface.public_ip or (address if interface.public_ip_auto_assign else "")


def _block_devices(instance: Any) -> Directory:
    root = instance.root_device_name
    others = [name for name, _ in instance.get_block_device_mapping if name != root]
    volumes = {f"ebs{number}": name.removeprefix("/dev/") for number, name in enumerate(others, 1)}
    return Directory({"ami": root.removeprefix("/dev/"), **volumes, "root": root})


def _interfaces(instance: Any, address: str) -> Directory:
    """The primary interface; the machine has no other."""
    interface = instance.nics[0]
    groups = instance.security_groups
    entries: dict[str, Node] = {
        "device-number": "0",
        "interface-id": interface.id,
        "local-hostname": _private_name(instance, address),
        "local-ipv4s": address,
        "mac": interface.mac_address,
        "owner-id": instance.owner_id,
        "security-group-ids": "\n".join(group.id for group in groups),
        "security-groups": "\n".join(group.name for group in groups),
        "subnet-id": interface.subnet.id,
        "subnet-ipv4-cidr-block": interface.subnet.cidr_block,
        "vpc-id": interface.subnet.vpc_id,
    }
    if public := _public_address(instance, address):
        entries["public-ipv4s"] = public
    return Directory({interface.mac_address: Directory(dict(sorted(entries.items())))})


def _placement(instance: Any) -> Directory:
    return Directory({"availability-zone": instance.availability_zone, "region": instance.ec2_backend.region_name})


def _reservation_id(instance: Any) -> str:
    for reservation in instance.ec2_backend.reservations.values():
        if instance in reservation.instances:
            return str(reservation.id)
    return ""


def _services(instance: Any) -> Directory:
    partition = get_partition(instance.ec2_backend.region_name)
    return Directory({"domain": "amazonaws.com", "partition": partition})


def _tags(instance: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in sorted(instance.get_tags(), key=lambda tag: tag["key"])}


def _profile(instance: Any) -> Any:
    association = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    return association and association.iam_instance_profile


def _iam(instance: Any, profile: Any) -> Directory:
    now = utcnow().replace(tzinfo=UTC)
    issued = now - timedelta(seconds=now.timestamp() % _ROTATION)
    info = {
        "Code": "Success",
        "LastUpdated": _time(issued),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    credentials = {role.name: _credentials(instance.id, role.name, issued) for role in profile.roles}
    return Directory({"info": _json(info), "security-credentials": Directory(credentials)})


def _credentials(instance_id: str, role: str, issued: datetime) -> str:
    """A role's credentials, of the right form but good for nothing."""
    digest = hashlib.sha512(f"{instance_id} {role} {int(issued.timestamp())}".encode()).digest()
    return _json(
        {
            "Code": "Success",
            "LastUpdated": _time(issued),
            "Type": "AWS-HMAC",
            "AccessKeyId": f"ASIA{b32encode(digest)[:16].decode()}",
            "SecretAccessKey": b64encode(digest)[:40].decode(),
            "Token": b64encode(digest * 8).decode(),
            "Expiration": _time(issued + _CREDENTIALS_LAST),
        }
    )


def _identity(instance: Any, address: str) -> str:
    return _json(
        {
            "accountId": instance.owner_id,
            "architecture": instance.architecture,
            "availabilityZone": instance.availability_zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "kernelId": None,
            "pendingTime": _time(instance.launch_time),
            "privateIp": address,
            "ramdiskId": None,
            "region": instance.ec2_backend.region_name,
            "version": "2017-09-30",
        }
    )


def _json(values: Mapping[str, str | None]) -> str:
    return json.dumps(values, indent=2)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
