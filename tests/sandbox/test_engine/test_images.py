"""Images made of machines, and machines made of those."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amibake.errors import AmibakeError
from amibake.sandbox.layers import Layers

if TYPE_CHECKING:
    from tests.sandbox.test_engine.conftest import Cloud

pytestmark = pytest.mark.sandbox


def test_an_image_of_600_mb_takes_less_than_a_second(cloud: Cloud) -> None:
    address = cloud.run()
    cloud.ssh(address, "head -c 600M /dev/zero | sudo tee /data >/dev/null; sudo touch /run/temporary")
    with pytest.raises(AmibakeError, match="i-1 is running"):
        cloud.engine.create_image("i-1", "ami-1")
    cloud.engine.stop("i-1", force=False)
    started = time.monotonic()
    size = cloud.engine.create_image("i-1", "ami-1")
    assert time.monotonic() - started < 1
    assert 600 << 20 <= size < 700 << 20
    copy = cloud.run("ami-1")
    assert cloud.ssh(copy, "stat -c %s /data; ls /run/temporary 2>/dev/null; true") == str(600 << 20)


@pytest.mark.parametrize("kind", ["systemd", "sysvinit"])
def test_three_generations(cloud: Cloud, kind: str) -> None:
    image = kind
    for generation in range(1, 4):
        address = cloud.run(image)
        cloud.ssh(
            address, f"touch generation-{generation}; rm -f generation-{generation - 2}; mv .ssh .moved; mv .moved .ssh"
        )
        cloud.engine.stop(f"i-{generation}", force=False)
        image = f"ami-{generation}"
        cloud.engine.create_image(f"i-{generation}", image)
    address = cloud.run(image)
    assert cloud.ssh(address, "echo generation-*; sudo rmdir /opt && ls -d /opt", check=False).splitlines()[0] == (
        "generation-2 generation-3"
    )


def test_a_machine_keeps_the_host_keys_of_its_image_and_adds_its_own_launch_key_once(cloud: Cloud) -> None:
    address = cloud.run()
    host_key = cloud.ssh(address, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    cloud.ssh(address, "sed -i s/engine-test/baked/ .ssh/authorized_keys; echo '# mine' >>.ssh/authorized_keys")
    cloud.engine.stop("i-1", force=False)
    cloud.engine.create_image("i-1", "ami-1")
    copy = cloud.run("ami-1")
    assert cloud.ssh(copy, "cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key
    public = cloud.key.public.strip()
    expected = [public.replace("engine-test", "baked"), "# mine", public]
    assert cloud.ssh(copy, "cat .ssh/authorized_keys").splitlines() == expected
    assert cloud.ssh(copy, "sudo cat /root/.ssh/authorized_keys") == public
    cloud.engine.reboot("i-2")
    assert cloud.ssh(copy, "cat .ssh/authorized_keys").splitlines() == expected


def test_the_machine_of_an_image_goes_on_and_neither_sees_what_the_other_writes(cloud: Cloud) -> None:
    address = cloud.run()
    cloud.ssh(address, "touch before")
    cloud.engine.stop("i-1", force=False)
    cloud.engine.create_image("i-1", "ami-1")
    cloud.engine.start("i-1")
    cloud.ssh(address, "touch after")
    copy = cloud.run("ami-1")
    cloud.ssh(copy, "touch copied")
    cloud.engine.delete_image("ami-1")
    assert cloud.ssh(copy, "ls") == "before\ncopied"
    assert cloud.ssh(address, "ls") == "after\nbefore"
    with pytest.raises(AmibakeError, match="no disk for the image ami-1"):
        cloud.run("ami-1")


def test_layers_go_away_with_the_last_that_needs_them(tmp_path: Path) -> None:
    base, disk = tmp_path / "base", tmp_path / "disk"
    base.mkdir()
    layers = Layers(tmp_path / "layers")
    layers.open()
    layers.add_base("ami-0", base)

    def write(disk_id: str, name: str) -> None:
        layers.mount(disk_id, disk)
        (disk / name).write_text("x" * 5000)
        layers.unmount(disk)

    def written() -> set[str]:
        return {path.name for path in (tmp_path / "layers").rglob("*") if path.is_file()}

    layers.create_disk("i-1", "ami-0")
    write("i-1", "one")
    assert layers.create_image("i-1", "ami-1") >= 5000
    write("i-1", "two")
    layers.create_image("i-1", "ami-2")
    layers.delete_image("ami-1")
    assert written() - {"dirty"} == {"one", "two"}
    layers.delete_disk("i-1")
    assert written() - {"dirty"} == {"one", "two"}
    layers.delete_image("ami-2")
    layers.delete_image("ami-2")
    assert written() == set()
    layers.delete_image("ami-0")
    assert base.is_dir()


def test_an_image_may_have_many_ancestors(tmp_path: Path) -> None:
    base, disk = tmp_path / "base", tmp_path / "disk"
    base.mkdir()
    layers = Layers(tmp_path / "layers")
    layers.open()
    layers.add_base("ami-0", base)
    for generation in range(1, 101):
        layers.create_disk(f"i-{generation}", f"ami-{generation - 1}")
        layers.mount(f"i-{generation}", disk)
        (disk / str(generation)).touch()
        layers.unmount(disk)
        layers.create_image(f"i-{generation}", f"ami-{generation}")
        layers.delete_disk(f"i-{generation}")
    layers.create_disk("last", "ami-100")
    layers.mount("last", disk)
    assert len(list(disk.iterdir())) == 100
    layers.unmount(disk)


def test_a_disk_in_use_is_unmounted_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/file").touch()
    layers = Layers(tmp_path / "layers")
    layers.open()
    layers.add_base("ami-0", tmp_path / "base")
    layers.create_disk("i-1", "ami-0")
    layers.mount("i-1", tmp_path / "disk")
    with (tmp_path / "disk/file").open():
        layers.unmount(tmp_path / "disk")
    assert not (tmp_path / "disk").is_mount()
