"""Block devices: what an image has, what a request asks for, and what becomes of the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from moto.ec2.exceptions import EC2ClientError

GP3_IOPS = 3000
"""What every gp3 volume has."""
GP3_IOPS_PER_GIB = 500
GP3_THROUGHPUT_PER_IOPS = 0.25


@dataclass(frozen=True, kw_only=True)
class Device:
    """One EBS device of an image, or of an instance to be."""

    name: str
    size: int
    """GiB."""
    type: str = "gp2"
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool = False
    kms_key_id: str | None = None
    delete_on_termination: bool = True
    snapshot: Any = None
    """moto's Snapshot that fills it, or None for an empty one."""

    def mapping(self, *, with_snapshot: bool) -> dict[str, Any]:
        """As DescribeImages shows it."""
        ebs = {
            "DeleteOnTermination": self.delete_on_termination,
            "Encrypted": self.encrypted,
            "Iops": self.iops,
            "KmsKeyId": self.kms_key_id if self.encrypted else None,
            "SnapshotId": self.snapshot.id if with_snapshot and self.snapshot else None,
            "Throughput": self.throughput,
            "VolumeSize": self.size,
            "VolumeType": self.type,
        }
        return {"DeviceName": self.name, "Ebs": ebs}


def planned(
    devices: Iterable[Device], requested: Iterable[dict[str, Any]], get_snapshot: Callable[[str], Any]
) -> tuple[Device, ...]:
    """The devices after a request's BlockDeviceMappings are laid over them. Instance store volumes
    (VirtualName) are left out: nothing stands behind them."""
    requested = tuple(requested)
    names = [mapping["DeviceName"] for mapping in requested]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"The device '{twice[0]}' is used in more than one block-device mapping"
        raise EC2ClientError("InvalidBlockDeviceMapping", message)
    plan = {device.name: device for device in devices}
    for mapping in requested:
        name = mapping["DeviceName"]
        if "NoDevice" in mapping:
            plan.pop(name, None)
        elif "VirtualName" not in mapping:
            plan[name] = _merged(plan.get(name), name, mapping.get("Ebs") or {}, get_snapshot)
    return tuple(plan.values())


def _merged(known: Device | None, name: str, ebs: dict[str, Any], get_snapshot: Callable[[str], Any]) -> Device:
    if "SnapshotId" in ebs:
        snapshot = get_snapshot(ebs["SnapshotId"])
        known = replace(known, size=snapshot.volume_size) if known else None
    else:
        snapshot = known.snapshot if known else None
    size = ebs.get("VolumeSize") or (known.size if known else snapshot.volume_size if snapshot else None)
    if size is None:
        message = "The request must contain the parameter size or snapshotId"
        raise EC2ClientError("MissingParameter", message)
    if snapshot and size < snapshot.volume_size:
        message = (
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.volume_size}GB"
        )
        raise EC2ClientError("InvalidBlockDeviceMapping", message)
    device = known or Device(name=name, size=size)
    if ebs.get("VolumeType", device.type) != device.type:
        device = replace(device, type=ebs["VolumeType"], iops=None, throughput=None)
    device = replace(
        device,
        size=size,
        snapshot=snapshot,
        iops=ebs.get("Iops", device.iops),
        throughput=ebs.get("Throughput", device.throughput),
        encrypted=bool(ebs.get("Encrypted", device.encrypted) or (snapshot and snapshot.encrypted)),
        kms_key_id=ebs.get("KmsKeyId") or device.kms_key_id or (snapshot.kms_key_id if snapshot else None),
        delete_on_termination=ebs.get("DeleteOnTermination", device.delete_on_termination),
    )
    if device.type == "gp3":
        _check_gp3(device)
    return device


def _check_gp3(device: Device) -> None:
    """https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html#gp3-performance"""
    iops = device.iops or GP3_IOPS
    if iops > max(GP3_IOPS, device.size * GP3_IOPS_PER_GIB):
        message = f"Iops to volume size ratio of {iops / device.size:.1f} is too high; maximum is {GP3_IOPS_PER_GIB}"
        raise EC2ClientError("InvalidParameterValue", message)
    if (device.throughput or 0) > iops * GP3_THROUGHPUT_PER_IOPS:
        ratio = (
            f"{(device.throughput or 0) / iops:.6f} is too high; maximum is {GP3_THROUGHPUT_PER_IOPS} MiBps per iops"
        )
        raise EC2ClientError("InvalidParameterValue", f"Throughput (MiBps) to iops ratio of {ratio}")
