"""Machines that do not exist: what a strict EC2 runs when nobody needs more than the books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from amibake.strict.machines import Ingress, Launch


class ImaginaryMachines:
    """Addresses are made up, from the range that RFC 2544 sets aside for benchmarks; work takes no time."""

    on_power_off: Callable[[str, bool], None] | None = None

    def __init__(self) -> None:
        self._numbers = count(1)
        self._addresses: dict[str, str] = {}

    def run(self, launch: Launch) -> str:
        """Make up an address."""
        number = next(self._numbers)
        self._addresses[launch.instance_id] = f"198.18.{number // 250 % 250}.{number % 250 + 1}"
        return self._addresses[launch.instance_id]

    def start(self, instance_id: str) -> str:
        """The address that it had before."""
        return self._addresses[instance_id]

    def stop(self, instance_id: str, *, force: bool) -> None:
        """Nothing to stop."""

    def reboot(self, instance_id: str) -> None:
        """Nothing to restart."""

    def terminate(self, instance_id: str) -> None:
        """Nothing to remove."""

    def create_image(self, instance_id: str, image_id: str) -> int:  # noqa: ARG002 - the protocol's arguments
        """Nothing to keep, so 0 bytes."""
        return 0

    def delete_image(self, image_id: str) -> None:
        """Nothing to forget."""

    def console_output(self, instance_id: str) -> str:  # noqa: ARG002 - the protocol's argument
        """Nothing was written."""
        return ""

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        """Nobody to let in."""
