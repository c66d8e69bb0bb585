"""What an instance's programs may ask this machine's kernel for: what podman's own profile says, but for `sync`.

sync(2) knows no bounds: it would have this machine write out all of its file systems, its own work included, and wait.
The disks of instances do without: they need not survive a power cut, and take no fsync(2) either (see `layers`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROFILES = [Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json")]
"""Where podman looks for its default, in this order."""
_SYNC = {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [], "errnoRet": 0}


def write_profile(file: Path) -> list[str]:
    """Write the profile; answers with podman's option for it, or with none where podman has no profile of its own."""
    own = next((path for path in PROFILES if path.exists()), None)
    if own is None:
        return []
    file.write_text(json.dumps(_without_sync(json.loads(own.read_text()))))
    return [f"--security-opt=seccomp={file}"]


def _without_sync(profile: dict[str, Any]) -> dict[str, Any]:
    rules = [rule | {"names": [name for name in rule["names"] if name != "sync"]} for rule in profile["syscalls"]]
    return profile | {"syscalls": [*(rule for rule in rules if rule["names"]), _SYNC]}
