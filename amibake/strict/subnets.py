"""Subnets: which are there, and how many addresses are free in them."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models import EC2Backend


class Subnets(EC2Backend):
    """The subnets of one account in one region."""

    def describe_subnets(self, subnet_ids: list[str] | None = None, filters: Any = None) -> Any:
        """Refuses an id that is not there, by its name; ids and filters apply both."""
        known = {subnet.id for subnet in super().describe_subnets()}
        for subnet_id in subnet_ids or ():
            if subnet_id not in known:
                raise InvalidSubnetIdError(subnet_id)
        return super().describe_subnets(subnet_ids, filters)

    def set_free_addresses(self, subnet_id: str, count: int) -> bool:
        """Whether the subnet is one of these; if so it has so many free addresses now."""
        for subnet in super().describe_subnets():
            if subnet.id == subnet_id:
                taken = subnet._available_ip_addresses - subnet.available_ip_address_count  # noqa: SLF001 - no setter
                subnet._available_ip_addresses = count + taken  # noqa: SLF001
                return True
        return False
