"""What the suite has counted, for the last lines of the run."""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()
SLOWEST: dict[str, float] = {}


def slow(kind: str, seconds: float) -> None:
    """Note how long one took, on the clock of its place."""
    SLOWEST[kind] = max(SLOWEST.get(kind, 0.0), seconds)


def lines() -> list[str]:
    """The counts in words."""
    found = []
    for kind, said in {"single": "transient faults", "pairs": "pairs of transient faults"}.items():
        if asked := COUNTS[kind]:
            found.append(f"{said}: {COUNTS[kind + ' survived']} of {asked} survived")
    found += [
        f"{kind}: {COUNTS[kind]}, of which {COUNTS[kind + ' said']} a clear error and {COUNTS[kind + ' baked']} an "
        f"image all the same, the slowest error after {SLOWEST.get(kind, 0.0):.1f} s"
        for kind in ("refusals", "expired credentials")
        if COUNTS[kind]
    ]
    if COUNTS["leftovers"]:
        found.append(f"leftovers: {COUNTS['leftovers']}, all named, each with the command that removed it")
    return found
