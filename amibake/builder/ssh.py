"""How the builder is reached."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from amibake.builder.base import Options


class SSH(Options):
    """SSH."""

    ssh_username: str = Field("admin", pattern=r"^[a-z_][a-z0-9_-]*\$?$")
    """The user to log in as: "admin" on Debian's images, "ubuntu" on Ubuntu's, "ec2-user" on Amazon's."""

    ssh_host: str | None = Field(None, min_length=1)
    """The address to connect to [the one that EC2 gives]."""

    ssh_port: int = Field(22, ge=1, le=65535)
    """The port that the builder's SSH server listens on."""

    ssh_interface: Literal["public_ip", "private_ip"] | None = None
    """Which of the builder's addresses to connect to [the public one where there is one, else the private one]."""

    ssh_timeout: float = Field(300, gt=0)
    """Seconds from the moment the builder has an address until we are logged in."""

    temporary_key_pair_type: Literal["ed25519", "rsa"] = "ed25519"
    """The kind of the temporary key pair. SSH servers older than OpenSSH 6.5 (2014) know only "rsa"."""
