"""Reboot, WaitForCloudInit and ShellLocal on machines that really have an init."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import amibake
from amibake.events import Event, Warned
from amibake.host import Host
from amibake.provisioners.reboot import BOOT_ID
from amibake.sandbox import LocalCloud
from tests.e2e.support import SYSVINIT, Box

CLOUD_INIT = """#!/bin/sh
case $* in
"status --help") echo "usage: cloud-init status [--long] [--wait]" ;;
"status --wait") sleep 1; touch /tmp/waited; echo 'status: done'; exit 2 ;;
"status --long") echo 'status: done'; echo 'detail: a mirror did not answer' ;;
esac
"""


class Look:
    """Notes what tells one boot of a machine from another."""

    def __init__(self) -> None:
        self.boots: list[str] = []
        self.inits: list[str] = []
        self.markers: list[bool] = []

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        def said(command: str) -> str:
            done = host.run(command, capture=True)
            assert done.status == 0, done
            return done.stdout.strip()

        self.boots.append(said(f"cat {BOOT_ID}"))
        # in clock ticks since the kernel's own boot: two processes that were PID 1 have two of them
        self.inits.append(said("cut -d' ' -f22 /proc/1/stat"))
        self.markers.append(said("test -e /run/amibake-marker && echo there || echo gone") == "there")
        said("sudo touch /run/amibake-marker; echo x >> kept")


@pytest.mark.parametrize("source", [amibake.DEBIAN_12, SYSVINIT], ids=["systemd", "sysvinit"])
def test_two_reboots_in_a_row_are_two_boots_and_the_bake_goes_on_to_an_image(
    cloud: LocalCloud, box: Callable[[amibake.Image], Box], tmp_path: Path, source: amibake.ImageFilter
) -> None:
    look, events = Look(), list[Event]()
    (tmp_path / "cloud-init").write_text(CLOUD_INIT)
    image = amibake.bake(
        amibake.Builder(ami_name="reboot {{timestamp}} {{uuid}}", source_ami=source, instance_type="t3.micro"),
        [
            amibake.File(tmp_path / "cloud-init", "/tmp/cloud-init", mode=0o755),
            amibake.Shell(inline=["sudo mv /tmp/cloud-init /usr/local/bin/cloud-init"]),
            amibake.WaitForCloudInit(),
            amibake.Shell(inline=["test -e /tmp/waited", "sudo rm /usr/local/bin/cloud-init"]),
            amibake.WaitForCloudInit(),
            look,
            amibake.Reboot(),
            look,
            amibake.Reboot(),
            look,
            amibake.ShellLocal(inline=[f"echo $AMIBAKE_ID $AMIBAKE_HOST > {tmp_path}/builder"]),
        ],
        session=cloud.session,
        on_event=events.append,
    )
    assert len(set(look.boots)) == len(set(look.inits)) == 3
    assert look.markers == [False, False, False]
    identity, address = (tmp_path / "builder").read_text().split()
    assert identity.startswith("i-")
    assert address.count(".") == 3
    assert [event.message for event in events if isinstance(event, Warned)] == list(image.warnings)
    (warning,) = image.warnings
    assert warning.endswith("status: done; detail: a mirror did not answer")
    assert box(image).sh("cat kept; ls -A /tmp | grep -c amibake || true") == "x\nx\nx\n0"


def test_a_reboot_that_never_happens_times_out_and_says_so(
    cloud: LocalCloud, box: Callable[[str], Box], debian: str
) -> None:
    host = box(debian).host
    with pytest.raises(amibake.WaitTimeout, match=r"runs on since before, with the boot id .*: exit status 0"):
        amibake.Reboot(command="true", timeout=3).provision(host)
    with pytest.raises(amibake.WaitTimeout, match=r"the command said: as root; exit status 0"):
        amibake.Reboot(command='[ "$(id -u)" = 0 ] && echo as root', timeout=2).provision(host)
    with pytest.raises(amibake.WaitTimeout, match=r"the command said: admin; exit status 0"):
        amibake.Reboot(command="id -un", sudo=False, timeout=2).provision(host)
    amibake.Reboot(command="shutdown -r now").provision(host)
    assert host.run("echo usable", capture=True).stdout == "usable\n"
    assert host.run("sudo rm /etc/sudoers.d/*", capture=True).status == 0
    with pytest.raises(amibake.ScriptFailed, match="the user may not use sudo without a password") as caught:
        amibake.Reboot().provision(host)
    assert "sudo: a password is required" in caught.value.tail
    assert host.run("echo usable", capture=True).stdout == "usable\n"
