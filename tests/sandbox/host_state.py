"""What this machine has that a local EC2 could leave behind, to be compared before and after."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

State = dict[str, list[str]]

_OTHER_CLOUD = re.compile(r"\b(ab|amibake[-_]|work )[0-9a-f]{8}\b|/clouds?[^/]*/")

_PODMANS_OWN = "/var/lib/containers/storage/overlay"
"""A mount that podman makes and removes as it sees fit."""


@contextmanager
def unchanged_host() -> Iterator[None]:
    """Asserts at the end that the machine is as it was at the beginning.

    Clouds that others have up at the same time do not count, so whoever knows the id of theirs asserts that `traces`
    of it are gone, too.
    """
    before = host_state()
    yield
    after = host_state()
    changes = {
        kind: {
            "gone": sorted(set(before[kind]) - set(after[kind])),
            "new": sorted(set(after[kind]) - set(before[kind])),
        }
        for kind in before
        if before[kind] != after[kind]
    }
    assert not changes, changes


def host_state() -> State:
    """Mounts, network links, addresses, routes, rules, namespaces, containers and processes, a line each."""
    return {kind: sorted(line for line in lines if not _OTHER_CLOUD.search(line)) for kind, lines in _all().items()}


def traces(cloud_id: str) -> list[str]:
    """Everything on this machine in whose name or command line that cloud's id is."""
    found = [f"{kind}: {line}" for kind, lines in _all().items() for line in lines if cloud_id in line]
    return found + [f"process: {line}" for line in _command_lines() if cloud_id in line]


def _all() -> State:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    links = json.loads(_output("ip", "-json", "address"))
    return {
        "mounts": [mount for mount in mounts if mount != _PODMANS_OWN],
        "links": [link["ifname"] for link in links],
        "addresses": [f"{link['ifname']} {address['local']}" for link in links for address in link["addr_info"]],
        "routes": _output("ip", "route").splitlines(),
        "network namespaces": _output("ip", "netns").splitlines(),
        "tables": _output("nft", "list", "tables").splitlines(),
        "iptables": re.sub(r"#.*|\[.*\]", "", _output("iptables-save")).splitlines(),
        "containers": _output("podman", "ps", "--all", "--format", "{{.ID}} {{.Names}}").splitlines(),
        "cgroups": [
            f"{top}/{name}" for top, names, _ in os.walk("/sys/fs/cgroup") for name in names if "amibake" in name
        ],
        "run": [path.name for path in Path("/run").iterdir()],
        "processes": [line for line in _command_lines() if re.search(r"conmon|amibake\.sandbox work", line)],
    }


def _command_lines() -> list[str]:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout or "[]" * ("-json" in command)
    except FileNotFoundError:
        return "[]" if "-json" in command else ""
