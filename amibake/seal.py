"""What leaves the builder before it is imaged: what an image must not have, and what its instances must not share."""

from __future__ import annotations

from importlib import resources

from amibake.errors import ScriptFailed
from amibake.host import Host
from amibake.ledger import Ledger
from amibake.own_machine import NO_SUDO, OUR_OWN_MACHINE, guarded

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
    # no test's machine runs it: no amibake-
    command = guarded("seal-by-amibake", without_sudo="sync # a spot instance is imaged while it runs")
    done = host.run(command, input=script, capture=True, name="seal the builder")
    left_out = f"the bake's key in authorized_keys, {_LEFT_OUT}" if key else _LEFT_OUT
    if done.status == OUR_OWN_MACHINE:
        why = "the builder is the machine that this runs on, or can't be told from it"
        ledger.warn(f"not sealed: {why}; left as they are: {left_out}")
    elif done.status == NO_SUDO:
        ledger.warn(f"not sealed: no passwordless sudo on the builder; left in the image: {left_out}")
    elif done.status != 0:
        raise ScriptFailed("the builder could not be sealed", status=done.status, tail=done.tail)
    else:
        for line in done.stdout.splitlines():
            ledger.warn(f"sealing: {line}")
