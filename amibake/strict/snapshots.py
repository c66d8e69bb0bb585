"""The snapshots of images: pending beside their image, in the books before it and sometimes after it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models import elastic_block_store as hooked
from moto.ec2.utils import random_snapshot_id

from amibake.strict.books import all_backends
from amibake.strict.work import Phase

if TYPE_CHECKING:
    from amibake.strict.devices import Device
    from amibake.strict.images import Ami

NO_VOLUME = "vol-ffffffff"  # what EC2 shows where the volume is none of ours


class ImageSnapshot(hooked.Snapshot):
    """A snapshot that was made for an image."""

    __module__ = hooked.__name__  # moto's metaclass reads the service's name from it

    def __init__(self, image: Ami, device: Device, note: str, volume_id: str) -> None:
        self.world = image.world
        self.phase = Phase.settled("completed")
        volume = SimpleNamespace(id=volume_id, size=device.size)
        facts = (device.encrypted, device.kms_key_id, image.owner_id, image.id)
        super().__init__(image.ec2_backend, random_snapshot_id(), volume, note, *facts)
        self.disk: str | None = image.disk
        """The disk of the machines that it is made of."""
        self.shows_at = self.world.clock() + self.world.late_snapshots
        """When DescribeSnapshots begins to show it; if its image is available earlier, then already."""

    @property
    def status(self) -> str:
        """pending, completed or error."""
        return self.phase.shown(self.world.clock())

    @status.setter
    def status(self, _: str) -> None:
        """moto sets it in passing; the phase alone decides."""

    @property
    def progress(self) -> str:
        """All or nothing."""
        return "100%" if self.status == "completed" else "0%"


class Snapshots(EC2Backend):
    """The snapshots of one account in one region, and those that nobody is shown yet."""

    unseen: dict[str, ImageSnapshot]

    def snapped(self, image: Ami, device: Device, note: str, volume_id: str = NO_VOLUME) -> Device:
        """The device with a snapshot for the image."""
        snapshot = ImageSnapshot(image, device, note, volume_id)
        self.unseen[snapshot.id] = snapshot
        return replace(device, snapshot=snapshot)

    def show_snapshots(self) -> None:
        """Show those whose time has come, whatever has become of their image."""
        now = self.world.clock()
        for snapshot in list(self.unseen.values()):
            if snapshot.shows_at <= now:
                self.show_snapshot(snapshot)

    def show_snapshot(self, snapshot: Any) -> None:
        """From now on clients see it."""
        if self.unseen.pop(snapshot.id, None):
            self.snapshots[snapshot.id] = snapshot

    def drop_snapshot(self, snapshot: Any) -> None:
        """It is gone, seen or unseen."""
        self.unseen.pop(snapshot.id, None)
        self.snapshots.pop(snapshot.id, None)

    def delete_snapshot(self, snapshot_id: str) -> Any:
        """Refuses one that an image is made of, in moto's words."""
        if image := next(iter(self.images_of(snapshot_id)), None):
            message = f"The snapshot {snapshot_id} is currently in use by {image.id}"
            raise EC2ClientError("InvalidSnapshot.InUse", message)
        snapshot = super().delete_snapshot(snapshot_id)
        self.release_disk(getattr(snapshot, "disk", None))
        return snapshot

    def images_of(self, snapshot_id: str) -> list[Any]:
        """The images that are made of a snapshot."""
        images = self.amis.values()
        return [image for image in images if any(snapshot.id == snapshot_id for snapshot in image.snapshots)]

    def release_disk(self, disk: str | None) -> None:
        """Have a disk forgotten once no image and no snapshot of any region needs it."""
        users = [
            user
            for backend in all_backends()
            for user in (*backend.amis.values(), *backend.snapshots.values(), *backend.unseen.values())
        ]
        if disk and all(getattr(user, "disk", None) != disk for user in users):
            self.world.later(self.world.lane, lambda: self.world.machines.delete_image(disk))
