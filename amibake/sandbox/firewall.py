"""Security groups on the host's netfilter: one nftables table for a cloud, one chain for each instance.

Every change is one transaction of `nft`, so there is no moment in which half of the rules hold. Removing the table
removes everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, ip_network

from amibake.sandbox.commands import CommandFailed, run
from amibake.strict.machines import Ingress

METADATA = "169.254.169.254"
"""Where EC2's instances find their metadata."""
# Link-local addresses are this machine's own surroundings: its metadata, and roles; those of its containers; its time.
# What asks for them and is not redirected goes nowhere, but to name servers, which several clouds have there.
_TABLE = """
table inet amibake_{id} {{
    map instances {{ type ifname : verdict; }}
    set sources {{ type ifname . ipv4_addr; }}
    chain spoofed {{
        type filter hook prerouting priority -200;
        iifname "ab{id}-*" iifname . ip saddr @sources accept
        iifname "ab{id}-*" drop
    }}
    chain metadata {{
        type nat hook prerouting priority -101;
    }}
    chain link_local {{
        meta l4proto {{ tcp, udp }} th dport 53 return
        meta l4proto tcp reject with tcp reset
        reject
    }}
    chain forwarded {{
        type filter hook forward priority 0;
        iifname "ab{id}-*" ip daddr 169.254.0.0/16 jump link_local
        oifname vmap @instances
    }}
    chain to_host {{
        type filter hook input priority 0;
        iifname "ab{id}-*" ip daddr 169.254.0.0/16 jump link_local
    }}
    chain from_host {{
        type filter hook output priority 0;
        oifname vmap @instances
    }}
    chain leaving {{
        type nat hook postrouting priority 100;
        ip saddr {subnet} ip daddr != {subnet} masquerade
    }}
}}
"""


def create(cloud_id: str, subnet: IPv4Network) -> None:
    """Install a cloud's table: what its instances send leaves under this machine's address."""
    _nft(_TABLE.format(id=cloud_id, subnet=subnet))


def redirect_metadata(cloud_id: str, gateway: str, port: int) -> None:
    """Let what serves at a port of the gateway's address answer instances that ask for their metadata."""
    asking = f'iifname "ab{cloud_id}-*" ip daddr {METADATA} tcp dport 80'
    _nft(f"add rule inet amibake_{cloud_id} metadata {asking} dnat ip to {gateway}:{port}")


def remove(cloud_id: str) -> None:
    """Remove a cloud's table. Its absence is no error."""
    with contextlib.suppress(CommandFailed):
        _nft(f"delete table inet amibake_{cloud_id}")


def add_instance(cloud_id: str, link: str, address: IPv4Address) -> None:
    """A chain for the instance behind a link, which admits nothing yet."""
    table, chain = f"inet amibake_{cloud_id}", _chain(address)
    _nft(
        f"add chain {table} {chain}",
        *_rules(table, chain, ()),
        f'add element {table} instances {{ "{link}" : goto {chain} }}',
        f'add element {table} sources {{ "{link}" . {address} }}',
    )


def remove_instance(cloud_id: str, link: str, address: IPv4Address) -> None:
    """Remove what `add_instance` has added."""
    table, chain = f"inet amibake_{cloud_id}", _chain(address)
    _nft(
        f'delete element {table} instances {{ "{link}" }}',
        f'delete element {table} sources {{ "{link}" . {address} }}',
        f"delete chain {table} {chain}",
    )


def set_ingress(cloud_id: str, address: IPv4Address, rules: Sequence[Ingress]) -> None:
    """Let in to an instance what `rules` admit, answers to what it has asked itself, and nothing else."""
    table, chain = f"inet amibake_{cloud_id}", _chain(address)
    _nft(f"flush chain {table} {chain}", *_rules(table, chain, rules))


def _rules(table: str, chain: str, rules: Iterable[Ingress]) -> list[str]:
    admitted = [match for rule in rules if (match := _match(rule)) is not None]
    lines = ["ct state established,related accept", *(f"{match} accept" for match in admitted), "drop"]
    return [f"add rule {table} {chain} {line}" for line in lines]


def _match(rule: Ingress) -> str | None:
    """One rule as nft matches it; None where it admits nobody that could be here, such as IPv6 only."""
    networks = [network for cidr in rule.cidrs if isinstance(network := ip_network(cidr, strict=False), IPv4Network)]
    if not networks:
        return None
    merged = list(collapse_addresses(networks))
    # of a rule for everyone, only the family is left
    match = "meta nfproto ipv4" if merged[0].prefixlen == 0 else f"ip saddr {{ {', '.join(map(str, merged))} }}"
    match rule.protocol:
        case "-1":
            return match
        case "tcp" | "udp":
            ports = "0-65535" if rule.from_port == -1 else f"{rule.from_port}-{rule.to_port}"
            return f"{match} {rule.protocol} dport {ports}"
        case "icmp":
            kind = "" if rule.from_port == -1 else f" icmp type {rule.from_port}"
            code = "" if rule.from_port == -1 or rule.to_port == -1 else f" icmp code {rule.to_port}"
            return f"{match} meta l4proto icmp{kind}{code}"
        case number:
            return f"{match} meta l4proto {number}"


def _chain(address: IPv4Address) -> str:
    return f"to_{str(address).replace('.', '_')}"


def _nft(*commands: str) -> None:
    run("nft", "--file", "-", stdin="\n".join(commands))
