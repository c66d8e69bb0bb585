"""What the engine needs of this machine before anything is made."""

from __future__ import annotations

import os
import shutil

from amibake.errors import SandboxUnavailable

_PACKAGES = {
    "podman": "podman",
    "runc": "runc",  # podman may come with crun, which refuses machines whose cgroups are of both versions
    "conmon": "conmon",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
}


def check_requirements() -> None:
    """Raises SandboxUnavailable, saying what to install, where root or a program is missing."""
    if os.geteuid() != 0:
        raise SandboxUnavailable(
            "the sandbox mounts disks and makes network links, which needs root", hint="Run the same command with sudo."
        )
    missing = sorted({package for program, package in _PACKAGES.items() if not shutil.which(program)})
    if missing:
        raise SandboxUnavailable(
            f"the sandbox needs programs that are not installed: {', '.join(missing)}",
            hint=f"apt-get install {' '.join(missing)}",
        )
