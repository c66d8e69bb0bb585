"""Where the builder runs, and who may reach it."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from amibake.builder.base import Options


def _is_network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a CIDR block such as 203.0.113.7/32 ({error})") from error
    return value


Cidr = Annotated[str, AfterValidator(_is_network)]


class Network(Options):
    """Network."""

    subnet_id: str | None = Field(None, pattern=r"^subnet-[0-9a-f]+$")
    """The subnet to launch the builder into [EC2's choice in the default VPC]."""

    associate_public_ip_address: bool | None = None
    """Whether the builder gets a public address [what the subnet says]."""

    security_group_ids: tuple[Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")], ...] = ()
    """Existing security groups for the builder; with any, no temporary one is made [none]."""

    temporary_security_group_source_cidrs: tuple[Cidr, ...] = ()
    """Whom the temporary security group lets in on the SSH port. [our own address, as the builder sees it: for a
    private address the local end of the route to it, for a public one what checkip.amazonaws.com says. Never the
    whole Internet, which is Packer's default.]"""
