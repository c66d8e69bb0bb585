"""What a launch names that moto does not have: capacity reservations and placement groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend


class Places(EC2Backend):
    """Those of one account in one region, which a test has put there."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.capacity_reservations: set[str] = set()
        self.placement_groups: set[str] = set()

    def check_named(self, params: Mapping[str, Any]) -> None:
        """Refuses a launch with a capacity reservation or a placement group that is not there. Of a resource group
        nothing is known here."""
        specification = params.get("CapacityReservationSpecification", {})
        reservation = specification.get("CapacityReservationTarget", {}).get("CapacityReservationId")
        if reservation and reservation not in self.capacity_reservations:
            message = f"The capacity reservation '{reservation}' does not exist"
            raise EC2ClientError("InvalidCapacityReservationId.NotFound", message)
        group = params.get("Placement", {}).get("GroupName")
        if group and group not in self.placement_groups:
            raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{group}' is unknown.")
