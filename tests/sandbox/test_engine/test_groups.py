"""Security groups: who reaches a machine."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amibake.strict.machines import Ingress
from tests.sandbox.test_engine.conftest import open_cloud

if TYPE_CHECKING:
    from amibake.sandbox.base import Kind
    from tests.sandbox.test_engine.conftest import Cloud, Key

pytestmark = pytest.mark.sandbox
ANYBODY = ("0.0.0.0/0", "::/0")


def pings(address: str) -> bool:
    """Whether an ICMP echo request is answered within a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(1)
        raw.connect((address, 0))
        checksum = 0xFFFF - 0x0800 - 1  # type 8, code 0, id 0, sequence 1, no data
        try:
            raw.send(struct.pack("!BBHHH", 8, 0, checksum, 0, 1))
            return raw.recv(100)[20] == 0
        except (TimeoutError, PermissionError):  # the latter when it is dropped before it leaves this machine
            return False


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, bases: dict[Kind, Path], key: Key) -> Iterator[tuple[Cloud, str]]:
    """A machine whose sshd is known to answer."""
    with ExitStack() as undo:
        cloud = open_cloud(tmp_path_factory.mktemp("served"), bases, key, undo)
        address = cloud.run()
        assert cloud.ssh(address, "echo in") == "in"
        yield cloud, address


@pytest.fixture
def served(serving: tuple[Cloud, str]) -> tuple[Cloud, str]:
    """The same, and nobody is admitted."""
    serving[0].engine.set_ingress("i-1", [])
    return serving


def test_nobody_gets_in_until_a_group_admits_them(cloud: Cloud) -> None:
    address = cloud.run(rules=())
    with pytest.raises(TimeoutError):  # dropped, not refused
        socket.create_connection((address, 22), timeout=1)
    assert not pings(address)
    cloud.engine.set_ingress("i-1", [Ingress("tcp", 22, 22, (f"{cloud.engine.gateway}/32",))])
    assert cloud.ssh(address, "echo in") == "in"
    assert not pings(address)
    cloud.engine.set_ingress("i-1", [Ingress("tcp", 22, 22, ("203.0.113.0/24", "2001:db8::/32"))])
    assert not cloud.answers(address)


@pytest.mark.parametrize(
    "rule",
    [
        Ingress("-1", -1, -1, ANYBODY),
        Ingress("tcp", -1, -1, ANYBODY),
        Ingress("tcp", 0, 65535, ("198.18.0.0/16", "198.18.0.0/15", "198.19.0.0/16")),
        Ingress("6", -1, -1, ANYBODY),
    ],
)
def test_rules_that_admit_ssh(served: tuple[Cloud, str], rule: Ingress) -> None:
    cloud, address = served
    cloud.engine.set_ingress("i-1", [rule])
    assert cloud.ssh(address, "echo in") == "in"


@pytest.mark.parametrize(
    "rule",
    [
        Ingress("udp", 22, 22, ANYBODY),
        Ingress("tcp", 23, 65535, ANYBODY),
        Ingress("tcp", 22, 22, ("::/0",)),
        Ingress("tcp", 22, 22, ()),
        Ingress("icmp", -1, -1, ANYBODY),
    ],
)
def test_rules_that_do_not(served: tuple[Cloud, str], rule: Ingress) -> None:
    cloud, address = served
    cloud.engine.set_ingress("i-1", [rule, Ingress("icmp", 8, -1, ANYBODY)])
    assert not cloud.answers(address)
    assert pings(address)


def test_rules_hold_between_the_machines_of_a_cloud(cloud: Cloud) -> None:
    first, second = cloud.run(), cloud.run(rules=())
    dial = f"timeout 1 bash -c '</dev/tcp/{second}/22' 2>/dev/null && echo in || echo out"
    assert cloud.ssh(first, dial) == "out"
    cloud.engine.set_ingress("i-2", [Ingress("tcp", 22, 22, (f"{first}/32",))])
    cloud.ssh(first, f"until timeout 1 bash -c '</dev/tcp/{second}/22'; do sleep 0.1; done 2>/dev/null")
    assert not cloud.answers(second)


def test_whoever_is_root_inside_cannot_open_the_machine(cloud: Cloud) -> None:
    address = cloud.run()
    cloud.ssh(address, "printf 'Port 22\\nPort 8000\\n' | sudo tee /etc/ssh/sshd_config.d/ports.conf")
    cloud.ssh(address, "sudo systemctl restart ssh")
    assert cloud.ssh(address, "read line </dev/tcp/127.0.0.1/8000; echo $line").startswith("SSH-")
    assert not cloud.answers(address, 8000)


def test_a_machine_cannot_send_under_another_address(cloud: Cloud) -> None:
    address = cloud.run()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((cloud.engine.gateway, 0))
        listener.settimeout(30)
        send = f">/dev/udp/{cloud.engine.gateway}/{listener.getsockname()[1]}"
        route = f"sudo ip route replace {cloud.engine.gateway} dev ens5 scope link src"
        cloud.ssh(address, "sudo ip address add 198.51.100.1/32 dev lo")
        cloud.ssh(address, f"{route} 198.51.100.1; echo forged {send}; {route} {address}; echo own {send}")
        assert listener.recvfrom(100)[0] == b"own\n"


def test_this_machines_own_metadata_is_out_of_reach(cloud: Cloud) -> None:
    address = cloud.run()
    for place in ("169.254.169.254/80", "169.254.169.254/8080", "169.254.170.2/80"):
        refused = cloud.ssh(address, f"timeout 5 bash -c '</dev/tcp/{place}'", check=False)
        assert "Connection refused" in refused


def test_link_local_addresses_of_this_machine_are_out_of_reach_but_name_servers(cloud: Cloud) -> None:
    address, own = cloud.run(), "169.254.83.7"
    subprocess.run(["ip", "address", "add", f"{own}/32", "dev", "lo"], check=True)
    try:
        with socket.create_server((own, 0)) as web, socket.create_server((own, 53)):
            ask = "timeout 5 bash -c '</dev/tcp/{}/{}' && echo open"
            assert "refused" in cloud.ssh(address, ask.format(own, web.getsockname()[1]), check=False)
            assert cloud.ssh(address, ask.format(own, 53)) == "open"
    finally:
        subprocess.run(["ip", "address", "del", f"{own}/32", "dev", "lo"], check=True)


def test_the_rules_outlive_a_stop(cloud: Cloud) -> None:
    address = cloud.run()
    cloud.engine.stop("i-1", force=True)
    cloud.engine.set_ingress("i-1", [Ingress("icmp", -1, -1, ANYBODY)])
    cloud.engine.start("i-1")
    assert pings(address)
    assert not cloud.answers(address)


def test_five_at_once(cloud: Cloud) -> None:
    with ThreadPoolExecutor(5) as pool:
        addresses = list(pool.map(lambda _: cloud.run(), range(5)))
        assert len(set(addresses)) == 5
        hostnames = list(pool.map(lambda address: cloud.ssh(address, "hostname"), addresses))
    assert [name.removeprefix("ip-").replace("-", ".") for name in hostnames] == addresses
