"""One cloud's network: a /24 of its own, an address and a network namespace for each instance, security groups.

There is no bridge between the instances: each hangs on a veth pair of its own and the host routes, so that all
traffic passes the host's netfilter, where the rules are out of reach of whoever is root in an instance. The addresses
come from 198.18.0.0/15, which RFC 2544 sets aside for benchmarks: no home or office network uses them.

What is made here carries the cloud's id in its name, and `remove` finds it by that.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

from amibake.errors import SandboxUnavailable
from amibake.sandbox import firewall
from amibake.sandbox.commands import CommandFailed, run
from amibake.strict.machines import Ingress

POOL = IPv4Network("198.18.0.0/15")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FIRST_INSTANCE = 4  # as in a VPC, where the first addresses of a subnet are reserved


class Network:
    """May be used from several threads at once."""

    def __init__(self, cloud_id: str, subnet: IPv4Network | None = None) -> None:
        self._id = cloud_id
        self._wanted = subnet
        self._lock = threading.Lock()
        self._claim: socket.socket | None = None
        self._taken: set[int] = set()
        self._last = _FIRST_INSTANCE - 1
        self.subnet = IPv4Network("0.0.0.0/32")
        self.gateway = ""

    def open(self) -> None:
        """Choose the subnet, give the host its address in it, and install the packet filter.

        Raises:
            SandboxUnavailable: The subnet asked for is in use, or none is free.
        """
        self.subnet = self._choose()
        self.gateway = str(self.subnet[1])
        device = f"ab{self._id}-gw"
        # a bridge without ports: the one kind of link that every kernel has and that can just hold an address
        _ip(f"link add {device} type bridge", f"addr add {self.gateway}/32 dev {device}", f"link set {device} up")
        if _FORWARDING.read_text().strip() == "0":
            _FORWARDING.write_text("1")
        firewall.create(self._id, self.subnet)

    def reserve(self) -> str:
        """An address for a new instance, closed to all traffic at first."""
        size = self.subnet.num_addresses
        with self._lock:
            after = [*range(self._last + 1, size - 1), *range(_FIRST_INSTANCE, self._last + 1)]
            host = next((n for n in after if n not in self._taken), None)
            if host is None:
                raise SandboxUnavailable(f"all addresses of {self.subnet} are taken", hint="Terminate instances.")
            self._taken.add(host)
            self._last = host
        address = self.subnet[host]
        firewall.add_instance(self._id, self._link(address), address)
        return str(address)

    def release(self, address: str) -> None:
        """Give an address back."""
        firewall.remove_instance(self._id, self._link(IPv4Address(address)), IPv4Address(address))
        with self._lock:
            self._taken.discard(int(IPv4Address(address)) - int(self.subnet.network_address))

    def set_ingress(self, address: str, rules: Sequence[Ingress]) -> None:
        """Let in what the rules admit, and nothing else, from the next packet on."""
        firewall.set_ingress(self._id, IPv4Address(address), rules)

    def redirect_metadata(self, port: int) -> None:
        """Let what serves at this port of the gateway's address answer instances that ask for their metadata."""
        firewall.redirect_metadata(self._id, self.gateway, port)

    def attach(self, address: str, namespace: Path, interface: str, mac_address: str = "") -> None:
        """Make a fresh network namespace at `namespace` that has `address` on an interface of this name, and with this
        MAC address unless that is empty."""
        namespace.parent.parent.mkdir(mode=0o700, exist_ok=True)
        namespace.parent.mkdir(exist_ok=True)
        namespace.touch()
        link = self._link(IPv4Address(address))
        mac = f"address {mac_address}" if mac_address else ""
        inside = (
            "link set lo up",
            f"link add {interface} {mac} type veth peer name {link} netns {os.getpid()}",
            f"addr add {address}/32 dev {interface}",
            f"link set {interface} up",
            f"route add {self.gateway} dev {interface} scope link",
            f"route add default via {self.gateway} dev {interface}",
        )
        try:
            run("unshare", f"--net={namespace}", "ip", "-batch", "-", stdin="\n".join(inside))
            _ip(f"link set {link} up", f"route add {address}/32 dev {link} src {self.gateway}")
        except BaseException:
            self.detach(address, namespace)
            raise

    def detach(self, address: str, namespace: Path) -> None:
        """Remove the namespace with all that is in it. What is gone already is no error."""
        with contextlib.suppress(CommandFailed):
            _ip(f"link del {self._link(IPv4Address(address))}")
        with contextlib.suppress(CommandFailed):
            run("umount", "--lazy", namespace)
        namespace.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the subnet back; what was made in it is removed by `remove`."""
        if self._claim:
            self._claim.close()

    def _link(self, address: IPv4Address) -> str:
        return f"ab{self._id}-{int(address) - int(self.subnet.network_address)}"

    def _choose(self) -> IPv4Network:
        if self._wanted:
            candidates = [self._wanted]
        else:
            subnets = list(POOL.subnets(new_prefix=24))
            start = int(self._id, 16) % len(subnets)  # clouds that follow each other get different addresses
            candidates = subnets[start:] + subnets[:start]
        for candidate in candidates:
            self._claim = _claim(candidate)
            if self._claim and not any(candidate.overlaps(used) for used in _used_networks()):
                return candidate
            if self._claim:
                self._claim.close()
        raise SandboxUnavailable(
            f"the addresses {self._wanted or POOL} are in use on this machine",
            hint="`python -m amibake.sandbox clean` removes what killed sandboxes have left.",
        )


def remove(cloud_id: str) -> None:
    """Remove the links and the packet filter of a cloud, whoever has made them. What is gone already is no error."""
    links = [link["ifname"] for link in json.loads(run("ip", "-json", "link", "show"))]
    ours = [name for name in links if name.startswith(f"ab{cloud_id}-")]
    for name in ours:
        with contextlib.suppress(CommandFailed):  # a namespace that ends takes its link along
            _ip(f"link del {name}")
    firewall.remove(cloud_id)


def _claim(subnet: IPv4Network) -> socket.socket | None:
    """Take a subnet for this process: an abstract socket belongs to this network namespace and ends with its owner."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0amibake-subnet-{subnet}")
    except OSError:
        claim.close()
        return None
    return claim


def _used_networks() -> list[IPv4Network]:
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "table", "all"))
    networks = [ip_network(route["dst"]) for route in routes if route["dst"] != "default"]
    return [network for network in networks if isinstance(network, IPv4Network)]


def _ip(*commands: str) -> None:
    run("ip", "-batch", "-", stdin="\n".join(commands))
