"""The rows that upload: whole commands, from exec to exit, each with a connection of its own."""

from __future__ import annotations

import json
import os
import shlex
import socket
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import Tree
from benchmarks.machines import PORT, Machine
from benchmarks.measure import Failed
from benchmarks.place import Place, line
from benchmarks.rows import OURS, Results, Row, Sample

TARGET = "/home/admin/uploaded"
_ROUND_TRIPS = 3
"""One each for TCP's handshake, for the keys, and for the rest: nothing over SSH takes fewer."""
_SSH = (
    "ssh",
    "-F",
    "none",
    "-o",
    "BatchMode=yes",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
)


@dataclass(frozen=True, kw_only=True)
class Upload(Row):
    """One of them; `tree` is the name of what is sent, `rtt` seconds, `rate` bits per second or None. `most` is the
    goal in seconds, or None for the best of the others."""

    contenders: tuple[str, ...] = (OURS, "Packer", "tar | ssh", "rsync")
    tree: str
    rtt: float = 0.0
    rate: float | None = None
    most: float | None = None

    def measure(self, place: Place, contender: str) -> Sample:
        """To a fresh machine, on which the target is there already, since Packer needs it."""
        tree: Tree = getattr(place.data, self.tree)
        with place.machine() as machine, line(machine, PORT, self.rtt, self.rate) as (address, port):
            target = machine.root / TARGET.lstrip("/")
            target.mkdir()
            os.chown(target, 1000, 1000)
            if contender == OURS:
                took = place.run_script("upload", address, str(port), str(place.key), str(tree.directory))
            else:
                took = place.run(_command(place, contender, address, port, tree.directory))
            _verify(machine, tree)
        return Sample(took.wall, took.cpu)

    def floor(self, place: Place) -> float:
        """What the bare line takes for it: for the data made as small as xz makes it where there is a bandwidth, and
        without one for the data as it is, over TCP."""
        tree: Tree = getattr(place.data, self.tree)
        trips = _ROUND_TRIPS * self.rtt
        if self.rate:
            return trips + tree.dense * 8 / self.rate
        return trips + min(_copy(tree.bytes) for _ in range(3))

    def goal(self, results: Results) -> float | None:
        """As given, or what the best of the others takes."""
        if self.most is not None or self.name not in results:
            return self.most
        return min((wall for who, wall in results[self.name].walls().items() if who != OURS), default=None)


def _command(place: Place, contender: str, address: str, port: int, source: Path) -> list[str]:
    ssh = shlex.join([*_SSH, "-i", str(place.key), "-p", str(port)])
    there = f"{ssh} admin@{address}"
    tar = f"tar -C {shlex.quote(str(source))} -cf - ."
    match contender:
        case "Packer":
            return ["env", "CHECKPOINT_DISABLE=1", "packer", "build", str(_template(place, address, port, source))]
        case "tar | ssh":
            return _piped(f"{tar} | {there} 'tar -C {TARGET} -xf -'")
        case "tar | gzip | ssh":
            return _piped(f"{tar} | gzip | {there} 'tar -C {TARGET} -xzf -'")
        case "rsync" | "rsync -z":
            options = "-az" if contender.endswith("-z") else "-a"
            return ["rsync", options, "-e", ssh, f"{source}/", f"admin@{address}:{TARGET}/"]
        case _:
            raise Failed(f"there is no contender {contender}")


def _piped(line_: str) -> list[str]:
    return ["bash", "-c", f"set -o pipefail; {line_}"]


def _template(place: Place, address: str, port: int, source: Path) -> Path:
    builder = {
        "type": "null",
        "ssh_host": address,
        "ssh_port": port,
        "ssh_username": "admin",
        "ssh_private_key_file": str(place.key),
    }
    file = {"type": "file", "source": f"{source}/", "destination": TARGET}
    return place.file("upload.json", json.dumps({"builders": [builder], "provisioners": [file]}))


def _verify(machine: Machine, tree: Tree) -> None:
    arrived = Tree(machine.root / TARGET.lstrip("/"))
    if (arrived.files, arrived.bytes) != (tree.files, tree.bytes):
        raise Failed(f"{arrived.files} files and {arrived.bytes} bytes have arrived, not {tree.files} and {tree.bytes}")


def _copy(count: int) -> float:
    """Seconds that so many bytes take over loopback, without SSH and without a disk."""
    block = bytes(1 << 18)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = threading.Thread(target=_swallow, args=(listener,), daemon=True)
        sink.start()
        started = time.perf_counter()
        with closing(socket.create_connection(listener.getsockname())) as sock:
            left = count
            while left > 0:
                sock.sendall(block[:left])
                left -= len(block)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
        sink.join()
        return time.perf_counter() - started


def _swallow(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        into = bytearray(1 << 20)
        while connection.recv_into(into):
            pass


UPLOADS = (
    Upload(name="upload-small", title="upload 2,000 files, 13 MB, round trip 50 ms", most=0.87, tree="small", rtt=0.05),
    Upload(name="upload-large", title="upload 256 MB, round trip 50 ms", most=3.8, tree="large", rtt=0.05),
    Upload(name="upload-large-near", title="upload 256 MB, no delay", most=1.8, tree="large"),
    Upload(
        name="upload-javascript",
        title="upload 60 MB of JavaScript, 20 Mbit/s, round trip 80 ms",
        tree="javascript",
        contenders=(OURS, "rsync -z", "tar | gzip | ssh", "tar | ssh"),
        rtt=0.08,
        rate=20e6,
        rounds=2,
    ),
)
