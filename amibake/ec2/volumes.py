"""Volumes that outlive the builder: those that the user wants to keep, and those that nobody does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine
from amibake.ec2.resource import eventually, remove
from amibake.errors import AmibakeError
from amibake.image import EXPIRES


def volumes_on(machine: Machine, devices: Collection[str]) -> dict[str, str] | None:
    """{volume id: device name} of these devices; None where EC2 does not say, or no longer."""
    try:
        found = machine.describe()
    except AmibakeError:
        return None
    attached = {
        one["Ebs"]["VolumeId"]: one["DeviceName"]
        for one in (found or {}).get("BlockDeviceMappings", ())
        if "Ebs" in one and one.get("DeviceName") in devices
    }
    return attached or None


def remove_volumes(cloud: Cloud, kept: Mapping[str, str] | None) -> None:
    """Delete the volumes of this build that are still there though their instance is gone, but those to be `kept`;
    with None all of them are. Never raises: what cannot be removed is a leftover."""
    try:
        there = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    except AmibakeError as error:
        command = cloud.command("describe-volumes", "--filters", f"Name=tag:amibake:build,Values={cloud.build}")
        cloud.ledger.left(f"perhaps volumes of build {cloud.build} ({error.message})", command)
        return
    for volume_id in [volume["VolumeId"] for volume in there if volume["State"] != "deleting"]:
        if kept is None or volume_id in kept:
            _keep(cloud, volume_id, (kept or {}).get(volume_id, ""))
        else:
            _remove(cloud, volume_id)


def _keep(cloud: Cloud, volume_id: str, device: str) -> None:
    named = f"{volume_id} ({device})" if device else volume_id
    text = f"volume {named} is kept: launch_block_device_mappings says delete_on_termination=False"
    try:
        untag = partial(cloud.ec2.delete_tags, Resources=[volume_id], Tags=[{"Key": EXPIRES}])
        eventually(cloud, untag, "InvalidVolume.NotFound", releasing=True)  # it is not temporary any more
    except AmibakeError as error:
        text += f"; its tag {EXPIRES} could not be removed ({error.message})"
    cloud.ledger.warn(text)


def _remove(cloud: Cloud, volume_id: str) -> None:
    delete = partial(cloud.ec2.delete_volume, VolumeId=volume_id)
    remove(cloud, "volume", volume_id, delete, busy=("VolumeInUse",), held_by=("instance",))
