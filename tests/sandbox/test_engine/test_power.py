"""Machines that are switched off and on, by us and by themselves."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amibake.errors import AmibakeError
from amibake.sandbox import commands, containers, podman
from tests.sandbox.test_engine.conftest import eventually

if TYPE_CHECKING:
    from tests.sandbox.test_engine.conftest import Cloud

pytestmark = pytest.mark.sandbox
both = pytest.mark.parametrize("kind", ["systemd", "sysvinit"])

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
SERVICE = """cat <<'EOS' | sudo tee /etc/init.d/probe >/dev/null
#!/bin/sh
### BEGIN INIT INFO
# Provides: probe
# Required-Start: $local_fs
# Required-Stop: $local_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: probe
### END INIT INFO
{body}
EOS
sudo chmod 755 /etc/init.d/probe && sudo update-rc.d probe defaults && sudo service probe start
"""


@both
def test_a_stop_lets_the_services_stop_and_a_start_finds_disk_and_address_as_they_were(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    cloud.ssh(address, SERVICE.format(body="[ $1 != stop ] || { ls /run >/stopped; sync; }"))
    cloud.ssh(address, "sudo ip address add 203.0.113.1/32 dev lo; sudo touch /run/gone")
    before = cloud.ssh(address, BOOT_ID)
    cloud.engine.stop("i-1", force=False)
    assert not cloud.answers(address)
    cloud.engine.stop("i-1", force=False)
    assert cloud.engine.start("i-1") == address
    assert cloud.engine.start("i-1") == address
    assert "gone" in cloud.ssh(address, "cat /stopped")
    assert cloud.ssh(address, "ls /run/gone; ip -br address; true").count("203.0.113.1") == 0
    assert cloud.ssh(address, BOOT_ID) != before
    assert not cloud.power_offs


@both
def test_with_force_nothing_gets_to_shut_down(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    cloud.ssh(address, SERVICE.format(body="[ $1 != stop ] || touch /stopped"))
    cloud.engine.stop("i-1", force=True)
    cloud.engine.start("i-1")
    assert cloud.ssh(address, "test -e /stopped || echo missing") == "missing"


def test_a_machine_that_does_not_shut_down_is_switched_off(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "_STOP_SECONDS", 1)
    address = cloud.run("sysvinit")
    cloud.ssh(address, SERVICE.format(body="[ $1 != stop ] || sleep 1000"))
    cloud.engine.stop("i-1", force=False)
    assert not cloud.answers(address)
    assert not cloud.power_offs


def test_one_that_outlives_even_that_is_an_error_and_can_be_terminated(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.run()
    with monkeypatch.context() as patched:
        patched.setattr(podman, "has_ended", lambda *_, **__: False)
        with pytest.raises(AmibakeError, match="i-1 was switched off, but has not ended in 10 s"):
            cloud.engine.stop("i-1", force=True)
    cloud.engine.terminate("i-1")
    assert not list((cloud.root / "machines").iterdir())


@both
def test_a_machine_that_reboots_comes_up_at_its_address(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    before = cloud.ssh(address, f"touch kept; {BOOT_ID}")
    console = cloud.engine.console_output("i-1")
    cloud.ssh(address, "sudo reboot", check=False)
    assert cloud.wait_for_power_off() == ("i-1", True)
    assert cloud.ssh(address, f"ls kept; {BOOT_ID}") not in {f"kept\n{before}", before}
    assert cloud.engine.console_output("i-1").startswith(console.rstrip())
    cloud.engine.reboot("i-1")
    assert cloud.ssh(address, "ls kept") == "kept"
    assert not cloud.power_offs


@both
def test_a_machine_that_powers_off_stays_off(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    cloud.ssh(address, "sudo poweroff", check=False)
    assert cloud.wait_for_power_off() == ("i-1", False)
    assert not cloud.answers(address)
    cloud.engine.start("i-1")
    assert cloud.ssh(address, "echo up") == "up"


def test_a_machine_whose_init_dies_is_off(cloud: Cloud) -> None:
    address = cloud.run("sysvinit")
    cloud.ssh(address, "sudo halt -f", check=False)
    assert cloud.wait_for_power_off() == ("i-1", False)


def test_a_reboot_that_cannot_come_up_is_a_power_off(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    address = cloud.run()
    cloud.ssh(address, "sudo rm /usr/sbin/init; sudo systemctl reboot --force --force", check=False)
    assert cloud.wait_for_power_off() == ("i-1", False)
    assert "i-1 went down and could not be brought up again" in caplog.text


def test_a_terminated_machine_is_gone_but_for_its_console(cloud: Cloud) -> None:
    address = cloud.run()
    cloud.ssh(address, "true")
    cloud.engine.terminate("i-1")
    cloud.engine.terminate("i-1")
    assert not cloud.answers(address)
    assert "BEGIN SSH HOST KEY" in cloud.engine.console_output("i-1")
    assert cloud.engine.console_output("i-2") == ""
    with pytest.raises(AmibakeError, match="no machine i-1"):
        cloud.engine.start("i-1")
    assert not cloud.power_offs


def test_nothing_waits_for_podman_but_switching_on(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call takes a good part of what a boot takes."""
    began: list[str] = []
    ended: list[str] = []
    nobody_waits = threading.Event()
    run = commands.run

    def record(*command: str | Path, **options: Any) -> str:
        verb = next((str(word) for word in command if word in {"run", "wait", "rm"}), "")
        began.append(verb)
        assert verb != "rm" or nobody_waits.wait(60)
        output = run(*command, **options)
        ended.append(verb)
        return output

    monkeypatch.setattr(containers, "run", record)
    address = cloud.run()
    cloud.ssh(address, "true")
    cloud.engine.stop("i-1", force=False)
    cloud.engine.create_image("i-1", "ami-1")
    cloud.engine.start("i-1")
    cloud.engine.stop("i-1", force=True)
    assert began == ["run", "run"]
    cloud.engine.terminate("i-1")
    cloud.ssh(cloud.run("ami-1"), "true")
    nobody_waits.set()
    eventually(lambda: sorted(ended) == ["rm", "run", "run", "run"])


def test_a_terminated_machines_container_goes_before_the_cloud_does(cloud: Cloud) -> None:
    def kept() -> list[str]:
        return [path.name for path in (cloud.root / "containers/podman/vfs-containers").glob("?" * 64)]

    cloud.run()
    cloud.run()
    assert len(kept()) == 2
    cloud.engine.terminate("i-1")
    eventually(lambda: len(kept()) == 1)


def test_a_launch_whose_link_cannot_be_made_leaves_nothing(cloud: Cloud) -> None:
    subprocess.run(["ip", "link", "add", f"ab{cloud.id}-4", "type", "bridge"], check=True)
    with pytest.raises(AmibakeError, match="ip"):
        cloud.run()
    assert not list((cloud.root / "machines").iterdir())
    assert cloud.ssh(cloud.run(), "echo up") == "up"


def test_a_launch_that_fails_leaves_nothing(cloud: Cloud) -> None:
    with pytest.raises(AmibakeError, match="no disk for the image ami-none"):
        cloud.run("ami-none")
    with pytest.raises(AmibakeError, match="no machine i-1"):
        cloud.engine.stop("i-1", force=True)
    assert cloud.ssh(cloud.run(), "echo up") == "up"
