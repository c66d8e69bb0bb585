"""What leaves the builder before it is imaged: what an image must not have, and what its instances must not share."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

from amibake.errors import ScriptFailed
from amibake.host import Host
from amibake.ledger import Ledger

_OUR_OWN_MACHINE = 3
_NO_SUDO = 4

# Our own machine is that with our boot id, unless we know of both that their /etc/machine-id is not the same file: a
# container has the boot id of the machine below it. An empty file tells nobody from anybody.
#
# sudo is asked first without the standard input, which a password prompt or a pty of sudo's would eat. The key and the
# script are no arguments of its, since those are logged on the builder.
_GUARD = """
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=-
machine=-
if [ -s /etc/machine-id ]; then machine=$(stat -L -c %d:%i /etc/machine-id 2>/dev/null) || machine=-; fi
if [ "$boot" = "$1" ] && { [ "$machine" = "$2" ] || [ "$machine" = - ] || [ "$2" = - ]; }; then exit 3; fi
if [ "$(id -u)" = 0 ]; then exec sh -s; fi
if sudo -n true >/dev/null 2>&1 </dev/null; then exec sudo -n -- sh -s; fi
sync # a spot instance is imaged while it runs
exit 4
"""

_LEFT_OUT = (
    "the SSH host keys, the machine id, cloud-init's state of the instance, random seeds, DHCP leases, shell histories "
    "and temporary files of amibake's"
)


def seal(host: Host, public_key: str | None, ledger: Ledger) -> None:
    """Run the one script that seals, as root: `seal.sh` says what it does. What it could not do is a warning. Where it
    does not apply, nothing is changed, the bake goes on and a warning says what is left: on the machine that we run on
    ourselves, and without passwordless sudo. `public_key` is the bake's own, if it has one.

    Raises:
        ScriptFailed: the image would let the bake's key in.
    """
    key = public_key.split()[1] if public_key else ""
    script = f"key={key}\n".encode() + resources.files("amibake").joinpath("seal.sh").read_bytes()
    words = [
        "sh",
        "-c",
        _GUARD,
        "seal-by-amibake",
        _boot_id(),
        _machine_identity(),
    ]  # no test's machine runs it: no amibake-
    done = host.run(f"exec {shlex.join(words)}", input=script, capture=True, name="seal the builder")
    left_out = f"the bake's key in authorized_keys, {_LEFT_OUT}" if key else _LEFT_OUT
    if done.status == _OUR_OWN_MACHINE:
        why = "the builder is the machine that this runs on, or can't be told from it"
        ledger.warn(f"not sealed: {why}; left as they are: {left_out}")
    elif done.status == _NO_SUDO:
        ledger.warn(f"not sealed: no passwordless sudo on the builder; left in the image: {left_out}")
    elif done.status != 0:
        raise ScriptFailed("the builder could not be sealed", status=done.status, tail=done.tail)
    else:
        for line in done.stdout.splitlines():
            ledger.warn(f"sealing: {line}")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _machine_identity() -> str:
    """The file, not what it says, which is confidential as machine-id(5) has it."""
    try:
        found = Path("/etc/machine-id").stat()
    except OSError:
        return "-"
    return f"{found.st_dev}:{found.st_ino}" if found.st_size else "-"
