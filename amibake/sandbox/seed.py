"""What the first-boot service of a base reads: a directory that the machine has at /run/amibake/seed.

It holds what cloud-init would have asked the metadata service for, with the user data taken apart. With the service
switched off at the launch, cloud-init would have got neither key nor user data, and taken the instance for one of this
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from amibake.sandbox.userdata import meant_by
from amibake.strict.machines import Launch

_WITHOUT_METADATA = "iid-datasource-none"


def write_seed(directory: Path, launch: Launch) -> None:
    """Make the directory."""
    known = launch.http_endpoint
    key = launch.public_key.strip() if known and launch.public_key else ""
    user_data = launch.user_data or "" if known else ""
    meant = meant_by(user_data)
    directory.mkdir(parents=True)
    (directory / "instance-id").write_text(f"{launch.instance_id if known else _WITHOUT_METADATA}\n")
    (directory / "public-key").write_text(f"{key}\n" if key else "")
    (directory / "ignored").write_text("".join(f"ignored {what}\n" for what in meant.ignored))
    _write_all(directory, {"user-data": user_data})
    _write_all(directory / "boothooks", _numbered(meant.boothooks))
    _write_all(directory / "scripts", _numbered(meant.scripts))
    _write_all(directory / "host-keys", meant.host_keys)


def _numbered(scripts: list[str]) -> dict[str, str]:
    return {f"part-{number:03}": script for number, script in enumerate(scripts, 1)}


def _write_all(directory: Path, files: Mapping[str, str]) -> None:
    """Only root is to read it."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(content)
        (directory / name).chmod(0o600)
