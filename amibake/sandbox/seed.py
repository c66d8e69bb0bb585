"""What the first-boot service of a base reads: a directory that the machine has at /run/amibake/seed.

It holds what cloud-init would have asked the metadata service for. With the service switched off at the launch,
cloud-init would have got neither key nor user data, and taken the instance for one of this name.
"""

from __future__ import annotations

from pathlib import Path

from amibake.strict.machines import Launch

_WITHOUT_METADATA = "iid-datasource-none"


def write_seed(directory: Path, launch: Launch) -> None:
    """Make the directory."""
    known = launch.http_endpoint
    key = launch.public_key.strip() if known and launch.public_key else ""
    directory.mkdir(parents=True)
    (directory / "instance-id").write_text(f"{launch.instance_id if known else _WITHOUT_METADATA}\n")
    (directory / "public-key").write_text(f"{key}\n" if key else "")
    (directory / "user-data").write_text(launch.user_data or "" if known else "")
