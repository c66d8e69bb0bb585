"""How images come to be: CreateImage, CopyImage, RegisterImage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.utils import convert_tag_spec

from amibake.strict.devices import Device, planned
from amibake.strict.images import Ami
from amibake.strict.keys import check_dependency, default_key, is_elsewhere
from amibake.strict.tags import check_count
from amibake.strict.work import Phase

if TYPE_CHECKING:
    from amibake.strict.instances import Instance

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
IMAGED_STATES = ("running", "stopping", "stopped")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html: minutes
COPY_DURATIONS = range(15, 48 * 60 + 1, 15)


class Imaging(EC2Backend):
    """What makes images in one account and region."""

    def capture_image(self, instance_id: str, request: dict[str, Any]) -> Ami:
        """CreateImage, with the request's parameters."""
        instance = self.get_instance(instance_id)
        if instance.state not in IMAGED_STATES:
            message = (
                f"Invalid value '{instance_id}' for instanceId. "
                "Instance is not in state 'running' or 'stopping' or 'stopped'"
            )
            raise EC2ClientError("InvalidParameterValue", message)
        self._check_name(request["Name"])
        requested = request.get("BlockDeviceMappings", [])
        volumes = {name: block.volume_id for name, block in instance.get_block_device_mapping}
        attached = self._attached(instance)
        _check_overrides(attached, requested, instance.root_device_name)
        devices = planned(attached, requested, self.get_snapshot)
        tags = _tags(request)
        image = Ami(
            self, creation_date=self.world.now(), instance=instance, source=instance.image, **_described(request)
        )
        image.root_device_name, image.ena_support = instance.root_device_name, instance.ena_support
        image.sriov = instance.sriov_net_support
        image.source_image_id, image.source_image_region = instance.image_id, self.region_name
        note = f"Created by CreateImage({instance_id}) for {image.id}"
        image.devices = tuple(
            self.snapped(image, device, note, volumes[device.name]) if device.name in volumes else device
            for device in devices
        )
        instance.capture(image)
        _tag(image, tags)
        return image

    def copy_image_from(self, source: Any, request: dict[str, Any]) -> Ami:
        """CopyImage: snapshots of its own, encrypted where asked for and where the source is, on the disk of the
        original. With a key of another region the copy fails, later."""
        self._check_name(request["Name"])
        _check_copy(source, request)
        tags = _tags(request)
        if request.get("CopyImageTags"):
            tags["image"] = {tag["key"]: tag["value"] for tag in source.get_tags()} | tags.get("image", {})
            check_count(tags["image"])
        image = Ami(
            self,
            creation_date=self.world.now(),
            source=source,
            **_described({"Description": source.description} | request),
        )
        image.disk = source.disk
        image.source_image_id, image.source_image_region = source.id, source.ec2_backend.region_name
        note = f"Copied for DestinationAmi {image.id} from SourceAmi {source.id} for {self.region_name}"
        for device in source.devices:
            copied = self._recrypted(device, request)
            image.devices += (self.snapped(image, copied, note) if device.snapshot else copied,)
        due = self.world.clock() + self.world.delays.available
        key = request.get("KmsKeyId")
        wrong = f"The KMS key {key} is not in {self.region_name}" if is_elsewhere(self, key) else None
        image.enter(Phase(during="pending", after="available", due=due), wrong)
        _tag(image, tags)
        return image

    def register_image_of(self, request: dict[str, Any]) -> Ami:
        """RegisterImage, for a root device that has a snapshot."""
        self._check_name(request["Name"])
        root = request.get("RootDeviceName", "/dev/sda1")
        requested = request.get("BlockDeviceMappings", [])
        _check_registered(requested)
        devices = planned((), requested, self.get_snapshot)
        snapshot = next((device.snapshot for device in devices if device.name == root), None)
        if not snapshot:
            message = f"The request must contain a snapshot for the root device {root}"
            raise EC2ClientError("MissingParameter", message)
        for backing in (device.snapshot for device in devices if device.snapshot):
            if backing.status != "completed":
                raise EC2ClientError("IncorrectState", f"The snapshot {backing.id} is {backing.status}")
        tags = _tags(request)
        details = {"architecture": request.get("Architecture", "i386"), "root_device_name": root}
        image = Ami(self, creation_date=self.world.now(), **details, **_described(request))
        image.virtualization_type = request.get("VirtualizationType", "paravirtual")
        image.ena_support = bool(request.get("EnaSupport"))
        image.sriov, image.boot_mode = request.get("SriovNetSupport"), request.get("BootMode")
        image.imds_support, image.tpm_support = request.get("ImdsSupport"), request.get("TpmSupport")
        image.disk, image.devices = getattr(snapshot, "disk", None), devices
        _tag(image, tags)
        return image

    def _recrypted(self, device: Device, request: dict[str, Any]) -> Device:
        """With the key of the request, or the default key of the region, which may encrypt everything: a copy never has
        that of its source."""
        if not (device.encrypted or request.get("Encrypted") or self.ebs_encryption_by_default):
            return device
        return replace(device, encrypted=True, kms_key_id=request.get("KmsKeyId") or default_key(self))

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            message = (
                "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
                "'(', ')', '.', '-', '/', '_', ' ', '[', ']', '\\'' and '@'"
            )
            raise EC2ClientError("InvalidAMIName.Malformed", message)
        for image in self.amis.values():
            if image.name == name and image.owner_id == self.account_id:
                message = f"AMI name {name} is already in use by AMI {image.id}"
                raise EC2ClientError("InvalidAMIName.Duplicate", message)

    def _attached(self, instance: Instance) -> tuple[Device, ...]:
        blocks = [(name, block, self.get_volume(block.volume_id)) for name, block in instance.get_block_device_mapping]
        return tuple(
            Device(
                name=name,
                size=volume.size,
                type=volume.volume_type,
                iops=volume.iops,
                throughput=volume.throughput,
                encrypted=volume.encrypted,
                kms_key_id=volume.kms_key_id,
                delete_on_termination=block.delete_on_termination,
            )
            for name, block, volume in blocks
        )


def _described(request: dict[str, Any]) -> dict[str, Any]:
    return {"name": request["Name"], "description": request.get("Description", "")}


def _tags(request: dict[str, Any]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = convert_tag_spec(request.get("TagSpecifications", []))
    return tags


def _tag(image: Ami, tags: dict[str, dict[str, str]]) -> None:
    image.add_tags(tags.get("image", {}))
    for snapshot in image.snapshots:
        if snapshot.from_ami == image.id:  # of the others, only those that the call makes
            snapshot.add_tags(tags.get("snapshot", {}))


def _check_overrides(attached: Iterable[Device], requested: Iterable[dict[str, Any]], root: str) -> None:
    """Of what the instance has, CreateImage can change only whether it goes with the instance, and leave it out, but
    for the root device (API_CreateImage)."""
    known = {device.name: device for device in attached}
    for mapping in requested:
        name, ebs = mapping["DeviceName"], mapping.get("Ebs") or {}
        if name == root and "NoDevice" in mapping:
            raise EC2ClientError("InvalidBlockDeviceMapping", f"The root device {name} cannot be left out of an image")
        if "SnapshotId" in ebs and "Encrypted" in ebs:
            message = f"The encryption of {name} is that of its snapshot and cannot be specified"
            raise EC2ClientError("InvalidBlockDeviceMapping", message)
        if name in known and any(ebs[key] != value for key, value in _fixed(known[name]).items() if key in ebs):
            message = f"Of {name} only DeleteOnTermination can be specified: the rest is the instance's volume's"
            raise EC2ClientError("InvalidBlockDeviceMapping", message)


def _fixed(device: Device) -> dict[str, Any]:
    return {
        "Encrypted": device.encrypted,
        "Iops": device.iops,
        "KmsKeyId": device.kms_key_id,
        "SnapshotId": None,
        "Throughput": device.throughput,
        "VolumeSize": device.size,
        "VolumeType": device.type,
    }


def _check_copy(source: Any, request: dict[str, Any]) -> None:
    if source.state != "available":
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{source.id}' is not available")
    check_dependency(request)
    minutes = request.get("SnapshotCopyCompletionDurationMinutes")
    if minutes is not None and minutes not in COPY_DURATIONS:
        message = f"Value ({minutes}) for parameter snapshotCopyCompletionDurationMinutes is invalid."
        raise EC2ClientError("InvalidParameterValue", f"{message} It must be a multiple of 15, from 15 to 2880.")


def _check_registered(requested: Iterable[dict[str, Any]]) -> None:
    """A device has the encryption of its snapshot (API_RegisterImage)."""
    for mapping in requested:
        ebs = mapping.get("Ebs") or {}
        if "SnapshotId" in ebs and ("Encrypted" in ebs or "KmsKeyId" in ebs):
            message = f"The encryption of {mapping['DeviceName']} is that of its snapshot and cannot be specified"
            raise EC2ClientError("InvalidBlockDeviceMapping", message)
