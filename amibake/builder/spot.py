"""A builder on EC2's spare capacity."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from amibake.builder.base import Group, OneOrMore, Tags
from amibake.builder.instance import InstanceType

AUTO = "auto"
_LEAST = Decimal("0.001")
"""Dollars; EC2 takes more than that only."""
_MOST = 10_000
"""Dollars; nothing that EC2 has costs as much, and who gives cents means something else."""


def _price(value: Any) -> Any:
    if value is None or value == AUTO:
        return value
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal(0)
    if isinstance(value, bool) or not price.is_finite() or not _LEAST < price < _MOST:
        raise ValueError(
            'has to be dollars per hour, more than 0.001, such as "0.02", or "auto" for the price on demand at most'
        )
    return f"{price:f}"


class Spot(Group):
    """Spot: a builder on spare capacity."""

    spot_price: Annotated[str | None, BeforeValidator(_price)] = None
    """What an hour may cost, in dollars, or "auto" for at most the price on demand: makes the builder a spot instance,
    which is imaged while it runs, since it cannot be stopped [none: on demand]."""

    spot_instance_types: Annotated[tuple[InstanceType, ...], OneOrMore] = ()
    """Types of which EC2 chooses one, by `spot_allocation_strategy` [`instance_type`]."""

    spot_allocation_strategy: (
        Literal[
            "price-capacity-optimized",
            "capacity-optimized",
            "capacity-optimized-prioritized",
            "lowest-price",
            "diversified",
        ]
        | None
    ) = None
    """How EC2 chooses among types and subnets ["price-capacity-optimized"; Packer leaves it to EC2, whose own default
    is "lowest-price"]."""

    spot_tags: Tags = Field(default_factory=dict)
    """More tags for the temporary launch template; values may hold template expressions."""

    fleet_tags: Tags = Field(default_factory=dict)
    """More tags for the fleet request; values may hold template expressions."""


def spot_mistakes(options: Spot) -> Iterator[str]:
    """What contradicts itself."""
    if options.spot_price is None:
        others = ("spot_instance_types", "spot_allocation_strategy", "spot_tags", "fleet_tags")
        for name in others:
            if getattr(options, name):
                yield f"{name}: only for a spot builder, which spot_price makes it"
    if options.spot_instance_types and "instance_type" in options.model_fields_set:
        yield "spot_instance_types: give either this or instance_type"
