"""What all of our provisioners can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """Options of every provisioner.

    Attributes:
        timeout: Seconds that it may take; by default as long as the bake may.
    """

    timeout: float | None = None

    def common_mistakes(self) -> Iterator[str]:
        """What is wrong with these."""
        if self.timeout is not None and self.timeout <= 0:
            yield f"timeout: {self.timeout} is no number of seconds to wait"
