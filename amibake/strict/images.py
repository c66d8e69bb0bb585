"""Images that take their time, have unique names, and snapshots of what was really captured."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, MalformedAMIIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models import amis as hooked
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.models.instances import StateReason
from moto.ec2.utils import convert_tag_spec, random_ami_id, random_snapshot_id

from amibake.strict.devices import Device, planned
from amibake.strict.tags import check_count
from amibake.strict.work import Phase

if TYPE_CHECKING:
    from amibake.strict.instances import Instance

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
NO_VOLUME = "vol-ffffffff"  # what EC2 shows where the volume is none of ours
IMAGED_STATES = ("running", "stopping", "stopped")
INHERITED = (
    "architecture",
    "boot_mode",
    "ena_support",
    "hypervisor",
    "imds_support",
    "kernel_id",
    "platform",
    "root_device_name",
    "sriov",
    "virtualization_type",
)


class Ami(hooked.Ami):
    """moto's image, with the state taken from the current phase and the devices from what was captured."""

    __module__ = hooked.__name__  # moto's metaclass reads the service's name from it

    def __init__(self, ec2_backend: Any, *, source: Any = None, **kwargs: Any) -> None:
        self.world = ec2_backend.world
        self.state_reason: Any = None
        self.captured = False
        self.devices: tuple[Device, ...] = ()
        kwargs = {"virtualization_type": "hvm", "hypervisor": "xen", "root_device_type": "ebs"} | kwargs
        super().__init__(ec2_backend, kwargs.pop("ami_id", None) or random_ami_id(), **kwargs)
        ec2_backend.snapshots.pop(self.ebs_snapshot.id)  # moto's own, of 15 GB; ours are in the devices
        self.disk: str | None = self.id
        """The id under which the machines know the disk: a copy has its original's."""
        self.image_location = f"{self.owner_id}/{self.name}"
        self.ena_support = True
        self.imds_support: str | None = None
        for attribute in INHERITED if source else ():
            setattr(self, attribute, getattr(source, attribute))
        ec2_backend.amis[self.id] = self

    @property
    def state(self) -> str:
        """pending, available, failed or disabled."""
        return self.phase.shown(self.world.clock())

    @state.setter
    def state(self, state: str) -> None:
        self.phase = Phase.settled(state)

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """No snapshot is named before the image is available."""
        ready = self.state not in {"pending", "failed"}
        return [device.mapping(with_snapshot=ready) for device in self.devices]

    @property
    def snapshots(self) -> list[Any]:
        """Those that back the devices."""
        return [device.snapshot for device in self.devices if device.snapshot]

    def fail(self, why: str) -> None:
        """It will never be available; the disk is forgotten."""
        self.phase = Phase.settled("failed")
        self.state_reason = StateReason(why, "Client.InstanceTerminated")
        self.disk = None
        self.instance.discard(self)

    def settle(self) -> None:
        """Show what has become of the image: the snapshots of an available one, the reason of a failed one."""
        if self.state == "available":
            for snapshot in self.snapshots:
                if snapshot.from_ami == self.id:
                    self.ec2_backend.snapshots.setdefault(snapshot.id, snapshot)
        elif self.state == "failed" and self.phase.error:
            self.state_reason = StateReason(f"Server.InternalError: {self.phase.error}", "Server.InternalError")
            self.disk = None

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Adds the creation date and the block devices to what moto can filter by."""
        if filter_name == "creation-date":
            return f"{self.creation_date:%Y-%m-%dT%H:%M:%S}.000Z"
        if filter_name.startswith("block-device-mapping."):
            key = filter_name.removeprefix("block-device-mapping.").replace("-", "")
            facts = [{"DeviceName": m["DeviceName"], **m["Ebs"]} for m in self.block_device_mappings]
            found = [value for fact in facts for name, value in fact.items() if name.lower() == key]
            return [str(value).lower() if isinstance(value, bool) else str(value) for value in found]
        return super().get_filter_value(filter_name, method_name)


class Images(EC2Backend):
    """The images of one account in one region."""

    def _load_amis(self) -> None:
        """Starts without moto's catalogue: there are the images that were added."""

    def describe_images(self, ami_ids: list[str] | None = None, **kwargs: Any) -> Any:
        """Refuses ids of which any does not exist, or no longer does."""
        for ami_id in ami_ids or ():
            if not ami_id.startswith("ami-"):
                raise MalformedAMIIdError([ami_id])
        if missing := [ami_id for ami_id in ami_ids or () if ami_id not in self.amis]:
            raise InvalidAMIIdError(missing)
        matching = super().describe_images(**kwargs)  # moto would drop filters and owners beside ids
        return [image for image in matching if not ami_ids or image.id in ami_ids]

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
        _check_overrides(attached, requested)
        devices = planned(attached, requested, self.get_snapshot)
        tags = _tags(request)
        image = Ami(self, instance=instance, source=instance.image, **_described(request))
        image.root_device_name, image.ena_support = instance.root_device_name, instance.ena_support
        image.sriov = instance.sriov_net_support
        note = f"Created by CreateImage({instance_id}) for {image.id}"
        image.devices = tuple(
            self.snapped(image, device, note, volumes[device.name]) if device.name in volumes else device
            for device in devices
        )
        instance.capture(image)
        _tag(image, tags)
        return image

    def copy_image_from(self, source: Any, request: dict[str, Any]) -> Ami:
        """CopyImage: snapshots of its own, encrypted where asked for, on the disk of the original."""
        self._check_name(request["Name"])
        if source.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{source.id}' is not available")
        tags = _tags(request)
        if request.get("CopyImageTags"):
            tags["image"] = {tag["key"]: tag["value"] for tag in source.get_tags()} | tags.get("image", {})
            check_count(tags["image"])
        image = Ami(self, source=source, **_described({"Description": source.description} | request))
        image.disk = source.disk
        encrypted, key = bool(request.get("Encrypted")), request.get("KmsKeyId")
        note = f"Copied for DestinationAmi {image.id} from SourceAmi {source.id}"
        for device in source.devices:
            copied = replace(device, encrypted=device.encrypted or encrypted, kms_key_id=key or device.kms_key_id)
            image.devices += (self.snapped(image, copied, note) if device.snapshot else copied,)
        due = self.world.clock() + self.world.delays.available
        image.phase = Phase(during="pending", after="available", due=due)
        _tag(image, tags)
        return image

    def register_image_of(self, request: dict[str, Any]) -> Ami:
        """RegisterImage, for a root device that has a snapshot."""
        self._check_name(request["Name"])
        root = request.get("RootDeviceName", "/dev/sda1")
        devices = planned((), request.get("BlockDeviceMappings", []), self.get_snapshot)
        snapshot = next((device.snapshot for device in devices if device.name == root), None)
        if not snapshot:
            message = f"The request must contain a snapshot for the root device {root}"
            raise EC2ClientError("MissingParameter", message)
        tags = _tags(request)
        details = {"architecture": request.get("Architecture", "i386"), "root_device_name": root}
        image = Ami(self, **details, **_described(request))
        image.virtualization_type = request.get("VirtualizationType", "paravirtual")
        image.ena_support = bool(request.get("EnaSupport"))
        image.disk, image.devices = snapshot.disk, devices
        _tag(image, tags)
        return image

    def deregister_image(self, ami_id: str, *, with_snapshots: bool = False) -> None:
        """Refuses an image of somebody else. A pending one is never heard of again."""
        image = self.amis.get(ami_id)
        if image and image.owner_id != self.account_id:
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{ami_id}")
        if image and image.state == "pending" and image.source_instance_id:
            image.fail("deregistered")
        super().deregister_image(ami_id)
        for snapshot in image.snapshots if image and with_snapshots else ():
            self.snapshots.pop(snapshot.id, None)
        self._release(image.disk)

    def delete_snapshot(self, snapshot_id: str) -> Any:
        """Refuses one that an image is made of, in moto's words."""
        for image in self.amis.values():
            if any(snapshot.id == snapshot_id for snapshot in image.snapshots):
                message = f"The snapshot {snapshot_id} is currently in use by {image.id}"
                raise EC2ClientError("InvalidSnapshot.InUse", message)
        snapshot = super().delete_snapshot(snapshot_id)
        self._release(getattr(snapshot, "disk", None))
        return snapshot

    def settle(self) -> None:
        """Bring the books up to what has happened since the last request."""
        for image in list(self.amis.values()):
            image.settle()

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

    def snapped(self, image: Ami, device: Device, note: str, volume_id: str = NO_VOLUME) -> Device:
        """The device with a snapshot for the image; clients see it once the image is available."""
        volume = SimpleNamespace(id=volume_id, size=device.size)
        facts = (device.encrypted, device.kms_key_id, image.owner_id, image.id)
        snapshot = Snapshot(self, random_snapshot_id(), volume, note, *facts)
        snapshot.disk = image.disk
        return replace(device, snapshot=snapshot)

    def _release(self, disk: str | None) -> None:
        """Have a disk forgotten once no image and no snapshot of any region needs it."""
        backends = [backend for _, _, backend in ec2_backends.iter_backends()]
        users = [user for backend in backends for user in (*backend.amis.values(), *backend.snapshots.values())]
        if disk and all(getattr(user, "disk", None) != disk for user in users):
            self.world.later(self.world.lane, lambda: self.world.machines.delete_image(disk))


def _described(request: dict[str, Any]) -> dict[str, Any]:
    return {"name": request["Name"], "description": request.get("Description", "")}


def _tags(request: dict[str, Any]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = convert_tag_spec(request.get("TagSpecifications", []))
    return tags


def _tag(image: Ami, tags: dict[str, dict[str, str]]) -> None:
    image.add_tags(tags.get("image", {}))
    for snapshot in image.snapshots:
        snapshot.add_tags(tags.get("snapshot", {}))


def _check_overrides(attached: Iterable[Device], requested: Iterable[dict[str, Any]]) -> None:
    """CreateImage can change neither the size nor the encryption of what the instance has (API_CreateImage)."""
    known = {device.name: device for device in attached}
    for mapping in requested:
        device, ebs = known.get(mapping["DeviceName"]), mapping.get("Ebs") or {}
        if not device:
            continue
        if (
            ebs.get("VolumeSize", device.size) != device.size
            or ebs.get("Encrypted", device.encrypted) != device.encrypted
        ):
            message = f"The size and the encryption of {device.name} are those of the instance's volume"
            raise EC2ClientError("InvalidBlockDeviceMapping", message)
