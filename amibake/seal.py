"""What leaves the builder before it is imaged: the bake's key, and its temporary files."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

from amibake.errors import ScriptFailed
from amibake.host import Host
from amibake.ledger import Ledger

_OUR_OWN_MACHINE = 3
_NO_SUDO = 4


def seal(host: Host, public_key: str | None, ledger: Ledger) -> None:
    """Run the one script that seals, as root. Where it does not apply, the bake goes on and a warning says so: on the
    machine that we run on ourselves, and without passwordless sudo. `public_key` is the bake's own, if it has one.

    Raises:
        ScriptFailed: it could not do what it should.
    """
    script = resources.files("amibake").joinpath("seal.sh").read_bytes()
    words = ["sh", "-s", _boot_id(), _machine_identity(), public_key.split()[1] if public_key else ""]
    done = host.run(f"exec {shlex.join(words)}", input=script, capture=True, name="seal the builder")
    if done.status == _OUR_OWN_MACHINE:
        ledger.warn("not sealed: the builder is the machine that this runs on; the bake's key stays authorized")
    elif done.status == _NO_SUDO:
        ledger.warn("not sealed: no passwordless sudo on the builder; the bake's key stays in the image")
    elif done.status != 0:
        raise ScriptFailed("the builder could not be sealed", status=done.status, tail=done.tail)


def _boot_id() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id"))


def _machine_identity() -> str:
    try:
        found = Path("/etc/machine-id").stat()
    except OSError:
        return "-"
    return f"{found.st_dev}:{found.st_ino}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "-"
