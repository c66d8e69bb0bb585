"""What stands behind the instances of a strict EC2: containers in the sandbox, an SSH server in process, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a machine gets to know of the RunInstances call that made it."""

    instance_id: str
    image_id: str
    instance_type: str
    key_name: str | None
    public_key: str | None
    """The launch key pair's public half, one OpenSSH line, or None without a key pair."""
    user_data: str | None
    root_volume_gib: int
    http_endpoint: bool = True
    """Whether its metadata can be asked for at the first boot; where not, it learns neither key nor user data."""
    mac_address: str = ""
    """Of its primary interface; empty for any."""


@dataclass(frozen=True)
class Ingress:
    """Traffic that is let in: what an instance's security groups admit, with peer groups resolved to addresses."""

    protocol: str
    """"tcp", "udp", "icmp", or "-1" for all."""
    from_port: int
    to_port: int
    cidrs: tuple[str, ...]


class Machines(Protocol):
    """The machines of one cloud. Methods may take their time and may be called from several threads at once
    (but for one instance, one after another); a failure is raised, and EC2 then shows it as EC2 would."""

    on_power_off: Callable[[str, bool], None] | None
    """Set by the strict EC2: called with (instance id, rebooting) when a machine went down by itself. With
    rebooting=True the machine is coming up again at the same address and stays `running`."""

    def run(self, launch: Launch) -> str:
        """Create the machine from its image and switch it on; answers with its IPv4 address."""

    def start(self, instance_id: str) -> str:
        """Switch a stopped machine on again, with its disk as it was; answers with its address."""

    def stop(self, instance_id: str, *, force: bool) -> None:
        """Shut down cleanly (or pull the plug with `force`); returns when the machine is off."""

    def reboot(self, instance_id: str) -> None:
        """Restart the machine at the same address."""

    def terminate(self, instance_id: str) -> None:
        """Switch off and remove the machine with its disk. Removing what is gone already is no error."""

    def create_image(self, instance_id: str, image_id: str) -> int:
        """Keep the disk of a stopped machine as the image's; answers with the bytes it takes."""

    def delete_image(self, image_id: str) -> None:
        """Forget an image's disk; machines that run from it go on."""

    def console_output(self, instance_id: str) -> str:
        """What the machine wrote to its console since it was first switched on."""

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        """From now on let in only this (and answers to what the machine itself asked for)."""
