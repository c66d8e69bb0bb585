"""Whether the block devices of the options fit the source image, each other, and the account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amibake.builder import BlockDevice, Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.request import device_name, device_names
from amibake.ec2.source import SourceImage
from amibake.errors import InvalidOption

_OPTIONS = ("launch_block_device_mappings", "ami_block_device_mappings")
_OF_A_VOLUME = ("volume_size", "volume_type", "iops", "throughput", "encrypted", "snapshot_id", "virtual_name")
"""What CreateImage can't change of a volume that the builder has."""


def check_devices(builder: Builder, source: SourceImage) -> None:
    """Raises InvalidOption where the block devices do not fit the source image's."""
    if mistakes := list(_device_mistakes(builder, source)):
        raise InvalidOption(*mistakes)


def check_default_encryption(cloud: Cloud, builder: Builder, regions: Iterable[str]) -> None:
    """Raises InvalidOption where nothing encrypted is wanted and the account encrypts everything."""
    if builder.encrypt_boot is not False:
        return
    mistakes = [
        f"encrypt_boot: False, but this account encrypts every volume in {region} by default"
        for region in regions
        if cloud.elsewhere(region).ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    ]
    if mistakes:
        raise InvalidOption(*mistakes)


def check_snapshots(cloud: Cloud, builder: Builder) -> None:
    """Raises InvalidOption for snapshots that are not there, or that are not encrypted where the image is to be."""
    given = [(option, one) for option in _OPTIONS for one in getattr(builder, option) if one.snapshot_id]
    if not given:
        return
    wanted = sorted({one.snapshot_id for _, one in given})
    found = {
        one["SnapshotId"]: one
        for one in cloud.ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": wanted}])["Snapshots"]
    }
    mistakes = []
    for option, device in given:
        snapshot = found.get(device.snapshot_id or "")
        if snapshot is None:
            mistakes.append(f"{option}: {device.device_name}: there is no {device.snapshot_id} in {cloud.region}")
        elif builder.encrypt_boot and option == _OPTIONS[1] and not snapshot.get("Encrypted"):
            what = f"{option}: {device.device_name}: {device.snapshot_id} is not encrypted, but encrypt_boot is True"
            mistakes.append(f"{what}; in launch_block_device_mappings it would be")
    if mistakes:
        raise InvalidOption(*mistakes)


def _device_mistakes(builder: Builder, source: SourceImage) -> Iterator[str]:
    for option in _OPTIONS:
        names = [device_name(device, source) for device in getattr(builder, option)]
        if names.count(source.root_device) > 1:
            yield f"{option}: root is {source.root_device}, which is there as well"
    left_out = set[str]()
    for device in builder.launch_block_device_mappings:
        name = device_name(device, source)
        if device.no_device or device.virtual_name:
            left_out.add(name)
        for mistake in _mistakes_of_one(builder, device, name, source):
            yield f"launch_block_device_mappings: {name} {mistake}"
    attached = device_names(builder, source)
    for device in builder.ami_block_device_mappings:
        name = device_name(device, source)
        if wrong := _mistake_of_an_image(device, name, attached, source):
            yield f"ami_block_device_mappings: {name} {wrong}"
    encrypted = [name for name in source.encrypted_devices if name not in left_out]
    if builder.encrypt_boot is False and encrypted:
        yield f"encrypt_boot: False, but {', '.join(encrypted)} of {source.id} is encrypted, which can't be undone"


def _mistakes_of_one(builder: Builder, device: BlockDevice, name: str, source: SourceImage) -> Iterator[str]:
    if device.no_device or device.virtual_name:
        if name == source.root_device:
            yield f"is the root device of {source.id}, without which the builder does not boot"
        return
    if name not in source.ebs_devices and not (device.volume_size or device.snapshot_id):
        yield f"is not in {source.id}: it needs volume_size or snapshot_id"
    if device.encrypted is False and name in source.encrypted_devices and not device.snapshot_id:
        yield f"is encrypted in {source.id}, which can't be undone"
    if builder.encrypt_boot is False and device.kms_key_id:
        yield "has a kms_key_id, but encrypt_boot is False"


def _mistake_of_an_image(device: BlockDevice, name: str, attached: set[str], source: SourceImage) -> str | None:
    if device.no_device:
        return (
            f"is the root device of {source.id}, without which no instance boots"
            if name == source.root_device
            else None
        )
    given = [option for option in _OF_A_VOLUME if getattr(device, option) is not None]
    if name in attached:
        if given:
            what = f"is a volume of the builder, whose {given[0]} the image takes as it is"
            return f"{what}: see launch_block_device_mappings"
    elif not (device.volume_size or device.snapshot_id or device.virtual_name):
        return "is not on the builder: it needs volume_size or snapshot_id"
    return None
