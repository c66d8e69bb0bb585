"""The root file system of the bench's machines: the sandbox's Debian, with rsync on top."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from amibake.sandbox.base import ensure_base
from amibake.sandbox.cache import cache_directory
from amibake.sandbox.commands import run

_INSTALL = """
set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" machine "$2/root"
mount -t proc proc "$2/root/proc"
for name in null zero urandom; do touch "$2/root/dev/$name"; mount --bind "/dev/$name" "$2/root/dev/$name"; done
cp /etc/resolv.conf "$2/root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
chroot "$2/root" apt-get update -q
chroot "$2/root" apt-get install -y -q --no-install-recommends rsync
chroot "$2/root" apt-get clean
rm -rf "$2"/root/var/lib/apt/lists/*
"""


def layers(directory: Path) -> str:
    """What overlayfs takes for `lowerdir`; what is not cached is made in `directory`, which stays below it."""
    base = ensure_base("systemd", cache_directory() / "bases", progress=print)
    layer = directory / "rsync"
    for name in ("upper", "work", "root"):
        (layer / name).mkdir(parents=True)
    # in namespaces of its own nothing of it stays, however it ends
    run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _INSTALL, "sh", base, layer, timeout=300)
    return f"{layer / 'upper'}:{base}"


def require_root() -> None:
    """Say at once what is missing."""
    missing = [name for name in ("packer", "rsync", "ssh", "unshare") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        wanted = f"these programs: {', '.join(missing)}" if missing else "root, for machines in namespaces of their own"
        raise SystemExit(f"the benchmarks need {wanted}; `make bench` sees to it")
