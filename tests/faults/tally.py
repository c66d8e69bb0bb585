"""What the suite has counted, for the last lines of the run. It travels with the tests' own reports, so that it does
not matter how many processes they ran in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

COUNTS: Counter[str] = Counter()
SLOWEST: dict[str, float] = {}
COUNTED = "counted"
"""The name of a test's property that has what it has counted."""


def slow(kind: str, seconds: float) -> None:
    """Note how long one took, on the clock of its place."""
    SLOWEST[kind] = max(SLOWEST.get(kind, 0.0), seconds)


def taken() -> dict[str, Any]:
    """What has been counted since the last time."""
    counted = {"counts": dict(COUNTS), "slowest": dict(SLOWEST)}
    COUNTS.clear()
    SLOWEST.clear()
    return counted


def lines(counted: Iterable[Mapping[str, Any]]) -> list[str]:
    """What these tests have counted, in words."""
    counts, slowest, found = Counter[str](), dict[str, float](), list[str]()
    for one in counted:
        counts.update(one["counts"])
        for kind, seconds in one["slowest"].items():
            slowest[kind] = max(slowest.get(kind, 0.0), seconds)
    for kind, said in {"single": "transient faults", "pairs": "pairs of transient faults"}.items():
        if asked := counts[kind]:
            found.append(f"{said}: {counts[kind + ' survived']} of {asked} survived")
    found += [
        f"{kind}: {counts[kind]}, of which {counts[kind + ' said']} a clear error and {counts[kind + ' baked']} an "
        f"image all the same, the slowest error after {slowest.get(kind, 0.0):.1f} s"
        for kind in ("refusals", "expired credentials")
        if counts[kind]
    ]
    if counts["leftovers"]:
        found.append(f"leftovers: {counts['leftovers']}, all named, each with the command that removed it")
    return found
