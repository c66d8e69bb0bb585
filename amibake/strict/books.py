"""Going through moto's books, of which there are some for each account in each region."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import ec2_backends


def all_backends() -> list[Any]:
    """Those of all accounts and regions: a list, since a request to a region that is new makes more of them at any
    time, also while somebody goes through these."""
    return [backend for regions in [*ec2_backends.values()] for backend in [*regions.values()]]
