"""What a machine is like once it has booted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.test_engine.conftest import eventually

if TYPE_CHECKING:
    from tests.sandbox.test_engine.conftest import Cloud

pytestmark = pytest.mark.sandbox
both = pytest.mark.parametrize("kind", ["systemd", "sysvinit"])


@both
def test_the_launch_key_lets_in_the_user_and_root(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    assert cloud.ssh(address, "id -un; sudo -n id -un; sudo -n cat /proc/1/comm") == (
        f"admin\nroot\n{'systemd' if kind == 'systemd' else 'init'}"
    )
    assert cloud.ssh(address, "id -un", user="root") == "root"
    for command in ("cat ~/.ssh/authorized_keys", "sudo cat /root/.ssh/authorized_keys"):
        assert cloud.ssh(address, command) == cloud.key.public.strip()


def test_systemd_finds_nothing_wrong(cloud: Cloud) -> None:
    address = cloud.run("systemd")
    assert cloud.ssh(address, "systemctl is-system-running --wait; systemctl --failed --quiet") == "running"


@both
def test_the_address_is_on_an_interface_and_the_names_resolve(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    interface = "ens5" if kind == "systemd" else "eth0"
    assert cloud.ssh(address, f"ip -br -4 address | grep {address}/32").startswith(f"{interface}@")
    assert cloud.ssh(address, "ip route get 192.0.2.1").startswith(
        f"192.0.2.1 via {cloud.engine.gateway} dev {interface}"
    )
    hostname = cloud.ssh(address, "hostname")
    assert hostname == f"ip-{address.replace('.', '-')}"
    assert cloud.ssh(address, f"getent hosts localhost {hostname} | wc -l") == "2"


@both
def test_the_machine_below_cannot_be_changed_through_proc(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind)
    names = [
        "kernel/core_pattern",
        "kernel/pid_max",
        "kernel/panic",
        "kernel/random/boot_id",
        "vm/swappiness",
        "fs/file-max",
    ]
    for name in names:
        refused = cloud.ssh(address, f"sudo sh -c 'exec >/proc/sys/{name}' && echo opened", check=False)
        assert "Read-only file system" in refused, name
        assert "opened" not in refused
    setting = "net.ipv4.tcp_slow_start_after_idle"
    assert cloud.ssh(address, f"sudo sysctl -qw {setting}=0 && cat /proc/sys/{setting.replace('.', '/')}") == "0"
    assert Path(f"/proc/sys/{setting.replace('.', '/')}").read_text().strip() == "1"


@both
def test_the_boot_id_is_the_machines_own(cloud: Cloud, kind: str) -> None:
    first, second = cloud.run(kind), cloud.run(kind)
    command = "cat /proc/sys/kernel/random/boot_id"
    ids = {cloud.ssh(first, command), cloud.ssh(second, command), Path("/proc/sys/kernel/random/boot_id").read_text()}
    assert len(ids) == 3
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", cloud.ssh(first, command))


@both
def test_each_machine_makes_host_keys_and_shows_them_on_its_console(cloud: Cloud, kind: str) -> None:
    keys = []
    for number, address in enumerate([cloud.run(kind), cloud.run(kind)], 1):
        keys.append(cloud.ssh(address, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"))
        console = cloud.engine.console_output(f"i-{number}")
        assert keys[-1] in console
        fingerprint = cloud.ssh(address, "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub")
        begin, end = "-----BEGIN SSH HOST KEY FINGERPRINTS-----", "-----END SSH HOST KEY FINGERPRINTS-----"
        assert fingerprint in console.split(begin)[1].split(end)[0]
    assert keys[0] != keys[1]


@both
def test_user_data_that_is_a_script_runs_once_as_root(cloud: Cloud, kind: str) -> None:
    address = cloud.run(kind, user_data="#!/bin/sh\nid -un >>/root/ran\necho said\necho failed >&2\nexit 3\n")
    cloud.ssh(address, "until grep -qs status /var/log/cloud-init-output.log; do sleep 0.1; done")
    said = ["said", "failed", "amibake-firstboot: user data exited with status 3"]
    assert cloud.ssh(address, "cat /var/log/cloud-init-output.log").splitlines() == said
    eventually(lambda: set(said) <= set(cloud.engine.console_output("i-1").splitlines()))
    cloud.engine.reboot("i-1")
    assert cloud.ssh(address, "sudo cat /root/ran") == "root"


@both
def test_an_image_brings_its_user_data_to_no_instance(cloud: Cloud, kind: str) -> None:
    first = cloud.run(kind, user_data="#!/bin/sh\necho first >>/root/ran\n")
    cloud.ssh(first, "until sudo test -s /root/ran; do sleep 0.1; done")
    cloud.engine.stop("i-1", force=False)
    cloud.engine.create_image("i-1", "ami-1")
    second = cloud.run("ami-1", user_data="#!/bin/sh\necho second >>/root/ran\n")
    assert cloud.ssh(second, "until sudo grep second /root/ran; do sleep 0.1; done; sudo cat /root/ran") == (
        "second\nfirst\nsecond"
    )
    assert cloud.ssh(cloud.run("ami-1"), "sudo cat /root/ran") == "first"


def test_user_data_for_cloud_init_alone_is_told_to_be_ignored(cloud: Cloud) -> None:
    address = cloud.run(user_data="#cloud-config\nruncmd: [touch /root/ran]\n")
    assert "No such file" in cloud.ssh(address, "sudo ls /root/ran", check=False)
    assert "#cloud-config is not interpreted here" in cloud.engine.console_output("i-1")


def test_without_a_key_pair_nobody_is_let_in(cloud: Cloud) -> None:
    launch = cloud.launch("i-keyless", "systemd")
    cloud.engine.set_ingress("i-keyless", cloud.ssh_rules)
    address = cloud.engine.run(type(launch)(**{**vars(launch), "public_key": None, "key_name": None}))
    assert "Permission denied" in cloud.ssh(address, "true", check=False)


@both
def test_the_certificates_of_this_machine_are_trusted(cloud: Cloud, kind: str) -> None:
    mine = sorted(Path("/usr/local/share/ca-certificates").rglob("*.crt"))
    address = cloud.run(kind)
    bundle = cloud.ssh(address, "cat /etc/ssl/certs/ca-certificates.crt")
    assert bundle.count("BEGIN CERTIFICATE") > 100
    for path in mine:
        assert path.read_text().strip() in bundle
    environment = cloud.ssh(address, "env; sudo env")
    assert environment.count("NODE_EXTRA_CA_CERTS=") == (2 if mine else 0)
