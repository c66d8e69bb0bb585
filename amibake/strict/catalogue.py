"""What is there before anybody makes it: images, capacity reservations, placement groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from moto.ec2.models import ec2_backends

from amibake.strict.devices import Device
from amibake.strict.images import Ami


class Catalogue:
    """What a StrictEC2 is stocked with."""

    account_id: str

    if TYPE_CHECKING:  # the StrictEC2 itself has them

        def changing(self) -> AbstractContextManager[None]: ...

        def now(self) -> datetime: ...

    def add_image(
        self,
        *,
        name: str,
        owner_id: str,
        architecture: str = "x86_64",
        root_device_name: str = "/dev/xvda",
        root_device_type: str = "ebs",
        root_volume_gib: int = 8,
        creation_date: datetime | str | None = None,
        description: str = "",
        image_id: str | None = None,
        region: str = "us-east-1",
        ena_support: bool = True,
        sriov_net_support: str | None = "simple",
        virtualization_type: str = "hvm",
        boot_mode: str = "uefi",
        imds_support: str | None = None,
        encrypted: bool = False,
        kms_key_id: str | None = None,
        deprecated: bool = False,
        product_codes: Collection[str] = (),
        usage_operation: str = "RunInstances",
        platform_details: str = "Linux/UNIX",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Put an image that everybody can launch into the catalogue, and answer with its id.

        The machines know its disk by that id. `creation_date` is now by default; ISO 8601 as text,
        and without a zone UTC. A `deprecated` one is so since yesterday. The other keywords are what DescribeImages
        shows.
        """
        with self.changing():
            backend = ec2_backends[self.account_id][region]
            image = Ami(
                backend,
                ami_id=image_id,
                name=name,
                owner_id=owner_id,
                architecture=architecture,
                root_device_name=root_device_name,
                root_device_type=root_device_type,
                creation_date=_utc(creation_date),
                description=description,
                virtualization_type=virtualization_type,
                boot_mode=boot_mode,
                sriov=sriov_net_support,
                product_codes=product_codes,
                tags=dict(tags or {}),
                public=True,
            )
            image.ena_support, image.imds_support = ena_support, imds_support
            image.usage_operation, image.platform_details = usage_operation, platform_details
            image.deprecate_at = self.now() - timedelta(days=1) if deprecated else None
            root = Device(
                name=root_device_name,
                size=root_volume_gib,
                type="gp3",
                iops=3000,
                throughput=125,
                encrypted=encrypted,
                kms_key_id=kms_key_id,
            )
            image.devices = (backend.snapped(image, root, description),)
            image.settle()
            added: str = image.id
            return added

    def add_capacity_reservation(self, reservation_id: str, *, region: str = "us-east-1") -> None:
        """Let launches there name a capacity reservation, by its id such as "cr-0a1b2c3d"."""
        with self.changing():
            ec2_backends[self.account_id][region].capacity_reservations.add(reservation_id)

    def add_placement_group(self, name: str, *, region: str = "us-east-1") -> None:
        """Let launches there name a placement group."""
        with self.changing():
            ec2_backends[self.account_id][region].placement_groups.add(name)


def _utc(date: datetime | str | None) -> datetime | None:
    if isinstance(date, str):
        date = datetime.fromisoformat(date)
    return date.astimezone(UTC) if date and date.tzinfo else date
