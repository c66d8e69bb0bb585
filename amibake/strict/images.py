"""Images that take their time, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, MalformedAMIIdError
from moto.ec2.models import EC2Backend
from moto.ec2.models import amis as hooked
from moto.ec2.models.instances import StateReason
from moto.ec2.utils import random_ami_id

from amibake.strict.devices import Device
from amibake.strict.lifecycle import DATE, Protection
from amibake.strict.work import Phase

INHERITED = (
    "architecture",
    "boot_mode",
    "ena_support",
    "hypervisor",
    "imds_support",
    "kernel_id",
    "platform",
    "root_device_name",
    "platform_details",
    "sriov",
    "tpm_support",
    "usage_operation",
    "virtualization_type",
)


class Ami(hooked.Ami):
    """moto's image, with the state taken from the current phase and the devices from what was captured."""

    __module__ = hooked.__name__  # moto's metaclass reads the service's name from it
    codes: list[str]
    """Product codes."""

    def __init__(self, ec2_backend: Any, *, source: Any = None, **kwargs: Any) -> None:
        self.world = ec2_backend.world
        self.state_reason: Any = None
        self.state_reason_then: Any = None
        """What is to be shown once it has failed."""
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
        self.tpm_support: str | None = None
        self.usage_operation = "RunInstances"
        self.platform_details = "Linux/UNIX"
        self.source_image_id: str | None = None
        self.source_image_region: str | None = None
        self.deprecate_at: datetime | None = None
        """In UTC."""
        self.protection = Protection()
        self.keeps_snapshots = False
        """Its snapshots stay, in error, when it fails."""
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
    def product_codes(self) -> list[dict[str, str]]:
        """As DescribeImages shows them."""
        return [{"ProductCodeId": code, "ProductCodeType": "marketplace"} for code in self.codes]

    @product_codes.setter
    def product_codes(self, codes: Any) -> None:
        self.codes = list(codes)

    @property
    def sriov_net_support(self) -> str | None:
        """The same as `sriov`, by the name that answers use."""
        sriov: str | None = self.sriov
        return sriov

    @property
    def deprecation_time(self) -> str | None:
        """As DescribeImages shows it."""
        return f"{self.deprecate_at:{DATE}}" if self.deprecate_at else None

    @property
    def deregistration_protection(self) -> str:
        """In EC2's words."""
        return self.protection.shown

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """No snapshot is named before the image is available."""
        ready = self.state not in {"pending", "failed"}
        return [device.mapping(with_snapshot=ready) for device in self.devices]

    @property
    def snapshots(self) -> list[Any]:
        """Those that back the devices."""
        return [device.snapshot for device in self.devices if device.snapshot]

    @property
    def made_snapshots(self) -> list[Any]:
        """Those that were made for it; others that back it are older."""
        return [snapshot for snapshot in self.snapshots if snapshot.from_ami == self.id]

    def enter(self, phase: Phase, wrong: str | None = None) -> None:
        """Begin to be made, and its snapshots with it. What is `wrong`, or the failure that a test has ordered, shows
        at the end."""
        fault = self.world.image_fault(self.ec2_backend.region_name)
        if reason := wrong or (fault and fault.reason):
            phase = replace(phase, after="failed")
            self.state_reason_then = StateReason(reason, "Server.InternalError" if fault else "Client.InvalidKmsKey")
            self.keeps_snapshots = bool(fault and fault.leave_snapshots)
        self.phase = phase
        for snapshot in self.made_snapshots:
            after = "error" if phase.after == "failed" else "completed"
            snapshot.phase = replace(phase, after=after, failed="error")

    def fail(self, why: str, *, drop: bool = True) -> None:
        """It will never be available; the disk is forgotten, and its snapshots vanish unless they are not to `drop`."""
        self.phase = Phase.settled("failed")
        self.state_reason = StateReason(why, "Client.InstanceTerminated")
        self.disk = None
        for snapshot in self.made_snapshots:
            snapshot.disk = None
            if drop:
                self.ec2_backend.drop_snapshot(snapshot)
        self.instance.discard(self)

    def settle(self) -> None:
        """Show what has become of the image: the snapshots of an available one, the reason of a failed one."""
        if self.state == "available":
            for snapshot in self.made_snapshots:
                self.ec2_backend.show_snapshot(snapshot)
        elif self.state == "failed" and not self.state_reason:
            self._show_failure()

    def _show_failure(self) -> None:
        error = f"Server.InternalError: {self.phase.error}"
        self.state_reason = self.state_reason_then or StateReason(error, "Server.InternalError")
        self.disk = None
        for snapshot in self.made_snapshots:
            snapshot.disk = None
            if self.keeps_snapshots:
                self.ec2_backend.show_snapshot(snapshot)
            else:
                self.ec2_backend.drop_snapshot(snapshot)

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Adds the creation date, product codes and the block devices to what moto can filter by."""
        if filter_name == "product-code":
            return self.codes
        if filter_name == "creation-date":
            return f"{self.creation_date:%Y-%m-%dT%H:%M:%S}.000Z"
        if filter_name.startswith("block-device-mapping."):
            key = filter_name.removeprefix("block-device-mapping.").replace("-", "")
            facts = [{"DeviceName": m["DeviceName"], **m["Ebs"]} for m in self.block_device_mappings]
            found = [value for fact in facts for name, value in fact.items() if name.lower() == key]
            return [str(value).lower() if isinstance(value, bool) else str(value) for value in found]
        return super().get_filter_value(filter_name, method_name)


class Images(EC2Backend):
    """The images of one account in one region, once they are there."""

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

    def own_image(self, image_id: str) -> Any:
        """Refuses one that is not there, and one of somebody else."""
        image = self.describe_images(ami_ids=[image_id])[0]
        if image.owner_id != self.account_id:
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{image_id}")
        return image

    def deregister_image(self, ami_id: str, *, with_snapshots: bool = False) -> None:
        """Refuses an image of somebody else, and a protected one. A pending one is never heard of again, but for
        its snapshots: they stay, and may yet be seen only later. With the image go the snapshots that it lists
        and no other image has."""
        image = self.own_image(ami_id) if ami_id in self.amis else None
        if image:
            image.protection.check(ami_id, self.world.now())
        listed = image.snapshots if image and with_snapshots and image.state not in {"pending", "failed"} else ()
        if image and image.state == "pending" and image.source_instance_id:
            image.fail("deregistered", drop=False)
        super().deregister_image(ami_id)
        for snapshot in listed:
            if not self.images_of(snapshot.id):
                self.drop_snapshot(snapshot)
        self.release_disk(image.disk if image else None)

    def settle(self) -> None:
        """Bring the books up to what has happened since the last request."""
        for image in list(self.amis.values()):
            image.settle()
        self.show_snapshots()
