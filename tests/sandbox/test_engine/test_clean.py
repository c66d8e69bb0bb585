"""What is left of a cloud: nothing, however it ended."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amibake.errors import AmibakeError, SandboxUnavailable
from amibake.sandbox import network
from amibake.sandbox.layers import Layers
from amibake.sandbox.podman import PodmanEngine, remove_cloud
from tests.sandbox.host_state import traces, unchanged_host

if TYPE_CHECKING:
    from tests.sandbox.test_engine.conftest import Cloud

pytestmark = pytest.mark.sandbox

OWNER = """
import sys, time
from pathlib import Path
from amibake.sandbox.layers import Layers
from amibake.sandbox.podman import PodmanEngine
from amibake.strict.machines import Launch
engine = PodmanEngine(sys.argv[1], Path(sys.argv[2]))
engine.open()
engine.add_base("base", Path(sys.argv[3]))
for number in range(2):
    engine.run(Launch(instance_id=f"i-{number}", image_id="base", instance_type="t3.micro", key_name=None,
                      public_key=None, user_data=None, root_volume_gib=8))
print("up", flush=True)
time.sleep(1000)
"""


def test_a_closed_cloud_leaves_the_machine_as_it_was(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()  # the first makes what podman keeps for ever
    cloud.engine.close()
    with unchanged_host():
        cloud = make_cloud()
        cloud.ssh(cloud.run(), "true")
        cloud.run("sysvinit")
        cloud.run()
        cloud.engine.stop("i-3", force=True)
        cloud.engine.create_image("i-3", "ami-1")
        assert traces(cloud.id)
        cloud.engine.close()
        assert traces(cloud.id) == []
        assert not cloud.root.exists()
    cloud.engine.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        cloud.run()
    assert not cloud.power_offs


def test_two_clouds_do_not_touch_each_other(make_cloud: Callable[[], Cloud]) -> None:
    one, two = make_cloud(), make_cloud()
    gone, stays = one.run(), two.run()
    assert one.ssh(gone, "echo one") == "one"
    assert one.engine.gateway != two.engine.gateway
    one.engine.close()
    assert two.ssh(stays, "echo two") == "two"
    two.engine.reboot("i-1")
    assert two.ssh(stays, "echo two") == "two"


def test_what_a_killed_owner_leaves_is_removed_by_its_name(tmp_path: Path, bases: dict[str, Path]) -> None:
    cloud_id = secrets.token_hex(4)
    root = tmp_path / "cloud"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, cloud_id, str(root), str(bases["systemd"])], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    assert owner.stdout.readline() == "up\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert traces(cloud_id)
    remove_cloud(cloud_id, root)
    assert traces(cloud_id) == []
    assert not root.exists()
    remove_cloud(cloud_id, root)


def test_even_without_podmans_own_records(cloud: Cloud) -> None:
    cloud.run()
    (cloud.root / "containers/containers.conf").unlink()
    cloud.engine.close()
    assert traces(cloud.id) == []


def test_closing_ends_a_stop_that_waits(cloud: Cloud) -> None:
    address = cloud.run("sysvinit")
    hang = "printf '#!/bin/sh\\nsleep 1000\\n' | sudo tee /etc/init.d/halt /etc/init.d/sendsigs >/dev/null"
    cloud.ssh(address, hang)
    stopping = threading.Thread(target=cloud.engine.stop, args=("i-1",), kwargs={"force": False})
    stopping.start()
    cloud.engine.close()
    stopping.join(10)
    assert not stopping.is_alive()
    assert traces(cloud.id) == []


def test_an_interrupted_clean_up_is_finished_first(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.run()

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(network, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cloud.engine.close()
    assert not cloud.root.exists()
    cloud.engine.close()
    assert traces(cloud.id) == []


def test_what_cannot_be_removed_is_said_and_the_rest_is_removed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> None:
        raise AmibakeError("the link is glued")

    with monkeypatch.context() as patched:
        patched.setattr(network, "remove", refused)
        with pytest.raises(
            AmibakeError, match=f"not all of the sandbox {cloud.id} could be removed: the link is glued"
        ):
            cloud.engine.close()
    assert not cloud.root.exists()


def test_only_ids_of_clouds_are_removed(tmp_path: Path) -> None:
    with pytest.raises(AmibakeError, match="not the id of a cloud"):
        remove_cloud("", tmp_path)
    assert tmp_path.exists()


def test_a_subnet_that_is_taken_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    taken = IPv4Network(f"{cloud.engine.gateway}/24", strict=False)
    for subnet in (taken, IPv4Network("127.0.0.0/24")):
        engine = PodmanEngine(secrets.token_hex(4), tmp_path / "second", subnet=subnet)
        with pytest.raises(SandboxUnavailable, match=f"{subnet} are in use"):
            engine.open()
        assert not (tmp_path / "second").exists()


def test_a_subnet_can_be_chosen_and_filled(tmp_path: Path, bases: dict[str, Path], cloud: Cloud) -> None:
    subnet = IPv4Network("203.0.113.240/29")
    engine = PodmanEngine(secrets.token_hex(4), tmp_path / "small", subnet=subnet)
    engine.open()
    try:
        engine.add_base("systemd", bases["systemd"])
        addresses = [engine.run(cloud.launch(f"i-{number}", "systemd")) for number in range(3)]
        assert all(address in map(str, subnet) for address in addresses)
        with pytest.raises(SandboxUnavailable, match="all addresses"):
            engine.run(cloud.launch("i-3", "systemd"))
        engine.terminate("i-1")
        assert engine.run(cloud.launch("i-4", "systemd")) == addresses[1]
    finally:
        engine.close()


def test_without_root_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxUnavailable, match="needs root") as caught:
        PodmanEngine("0123abcd", tmp_path / "cloud").open()
    assert "sudo" in caught.value.hint


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="not installed: conmon, iproute2") as caught:
        PodmanEngine("0123abcd", tmp_path / "cloud").open()
    assert caught.value.hint.startswith("apt-get install conmon")
    assert "podman" in caught.value.hint
    assert "runc" in caught.value.hint


def test_a_file_system_that_cannot_hold_overlays_is_refused(tmp_path: Path) -> None:
    layers, disk = Layers(tmp_path / "layers"), tmp_path / "disk"
    layers.open()
    (tmp_path / "base").mkdir()
    layers.add_base("base", tmp_path / "base")
    layers.create_disk("i-1", "base")
    layers.mount("i-1", disk)
    try:
        for root in (disk / "cloud", Path("/proc/cloud")):
            with pytest.raises(SandboxUnavailable, match="cannot run here") as caught:
                PodmanEngine("0123abcd", root).open()
            assert "file system like ext4" in caught.value.hint
            assert not root.exists()
    finally:
        layers.unmount(disk)


def test_a_directory_that_exists_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SandboxUnavailable, match="exists already"):
        PodmanEngine("0123abcd", tmp_path).open()
    assert (tmp_path / "mine").exists()
