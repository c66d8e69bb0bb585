"""Block devices: what the builder's disks are, and what the image says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Unpack

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from amibake.builder.base import Group, Part
from amibake.builder.values import KmsKey

if TYPE_CHECKING:
    from amibake.builder.keywords import BlockDeviceFields

ROOT = "root"

_IOPS = {"gp3": (3000, 80000), "io1": (100, 64000), "io2": (100, 256000)}
_GP3_IOPS_PER_GIB = 500
"""Where more than the 3000 are asked for that every gp3 volume has."""
_GP3_IOPS_PER_MIB = 4
"""At least, for each MiB/s of throughput."""
_SIZES = {
    "gp2": (1, 16384),
    "gp3": (1, 65536),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "sc1": (125, 16384),
    "st1": (125, 16384),
    "standard": (1, 1024),
}
"""GiB."""


class BlockDevice(Part):
    """One block device. `BlockDevice("root", volume_size=16, volume_type="gp3")`

    Limits: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html
    """

    device_name: str = Field(pattern=r"^(root|/dev/[a-z0-9/]+|xvd[a-z]{1,2}|sd[a-z][0-9]*)$")
    """"root" for the image's root device, whatever its name is, or a name such as "/dev/sdf"."""

    volume_size: int | None = Field(None, ge=1, le=65536)
    """Size in GiB [the snapshot's]."""

    volume_type: Literal["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"] | None = None
    """EBS volume type [the source image's]."""

    iops: int | None = Field(None, ge=100, le=256000)
    """I/O operations per second; for io1, io2 and gp3 only [EC2's]."""

    throughput: int | None = Field(None, ge=125, le=2000)
    """MiB per second; for gp3 only [EC2's 125]."""

    encrypted: bool | None = None
    """Whether the volume is encrypted [what the snapshot is, or `encrypt_boot`]."""

    kms_key_id: KmsKey | None = None
    """The KMS key to encrypt it with, its id, ARN or alias; on the builder only [`kms_key_id` of the bake, or
    the account's default]."""

    snapshot_id: str | None = Field(None, pattern=r"^snap-[0-9a-f]+$")
    """The snapshot that the volume is made of, such as "snap-0a1b2c3d" [the image's, or an empty volume]."""

    delete_on_termination: bool | None = None
    """Whether the volume goes with its instance. [true on the builder, where Packer's is false and a volume is left
    after each bake; in the image what the volume has]"""

    no_device: bool = False
    """Leave this device of the image out."""

    virtual_name: str | None = Field(None, pattern=r"^ephemeral[0-9]{1,2}$")
    """An instance store volume: "ephemeral0" and on."""

    def __init__(self, device_name: str | None = None, /, **fields: Unpack[BlockDeviceFields]) -> None:
        given: dict[str, Any] = dict(fields)
        super().__init__(**({} if device_name is None else {"device_name": device_name}), **given)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if mistakes := list(_mistakes(self)):
            raise ValueError("\n".join(mistakes))
        return self


def _mistakes(device: BlockDevice) -> Iterator[str]:
    ebs = ("volume_size", "volume_type", "iops", "throughput", "encrypted", "kms_key_id", "snapshot_id")
    given = [name for name in ebs if getattr(device, name) is not None]
    if device.no_device and (given or device.virtual_name):
        yield f"no_device: a device that is left out has no {(given or ['virtual_name'])[0]}"
    if device.virtual_name and given:
        yield f"virtual_name: an instance store volume has no {given[0]}"
    if device.no_device and device.device_name == ROOT:
        yield "no_device: a builder without its root device does not boot"
    if device.kms_key_id and device.encrypted is False:
        yield "kms_key_id: there is nothing to encrypt with encrypted=False"
    if device.volume_type and device.volume_size is not None:
        low, high = _SIZES[device.volume_type]
        if not low <= device.volume_size <= high:
            yield f"volume_size: {low} to {high} GiB for {device.volume_type}"
    yield from _speed_mistakes(device)


def _speed_mistakes(device: BlockDevice) -> Iterator[str]:
    kind = device.volume_type
    if device.iops is not None and kind is not None:
        low, high = _IOPS.get(kind, (0, -1))
        if kind not in _IOPS:
            yield f"iops: for the volume types {', '.join(_IOPS)} only, not for {kind}"
        elif not low <= device.iops <= high:
            yield f"iops: {low} to {high} for {kind}"
    if device.throughput is not None and kind not in (None, "gp3"):
        yield f"throughput: for gp3 only, not for {kind}"
    if kind == "gp3":
        yield from _gp3_mistakes(device)
    if kind in ("io1", "io2") and device.iops is None:
        yield f"iops: {kind} needs it"


def _gp3_mistakes(device: BlockDevice) -> Iterator[str]:
    iops, size = device.iops or _IOPS["gp3"][0], device.volume_size
    if size is not None and iops > (most := max(_IOPS["gp3"][0], size * _GP3_IOPS_PER_GIB)):
        yield f"iops: at most {_GP3_IOPS_PER_GIB} for each GiB of a gp3 volume, so {most} for {size} GiB"
    if device.throughput is not None and device.throughput > iops / _GP3_IOPS_PER_MIB:
        needed = device.throughput * _GP3_IOPS_PER_MIB
        yield f"throughput: at most 0.25 MiB/s for each of iops, so {device.throughput} needs iops={needed}"


def _without_keys(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
    if any(device.kms_key_id for device in devices):
        raise ValueError("kms_key_id is the builder's: give it in launch_block_device_mappings")
    return devices


class Devices(Group):
    """Block devices: the disks of the builder and of the image."""

    launch_block_device_mappings: tuple[Annotated[BlockDevice, BeforeValidator(BlockDevice.of)], ...] = ()
    """The builder's disks, where they differ from the source image's: a list of `BlockDevice` or their fields as
    dicts [none]."""

    ami_block_device_mappings: Annotated[
        tuple[Annotated[BlockDevice, BeforeValidator(BlockDevice.of)], ...], AfterValidator(_without_keys)
    ] = ()
    """The image's disks, where they differ from the builder's: volumes to add or to leave out [none]."""


def devices_mistakes(options: Devices) -> Iterator[str]:
    """What contradicts itself."""
    for name in ("launch_block_device_mappings", "ami_block_device_mappings"):
        names = [device.device_name for device in getattr(options, name)]
        for twice in sorted({one for one in names if names.count(one) > 1}):
            yield f"{name}: {twice} is there twice"
