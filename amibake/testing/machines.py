"""The machines of an in-process cloud: each is an SSH server on a loopback address of its own."""

from __future__ import annotations

import ipaddress
import itertools
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from amibake.ssh.dial import dial
from amibake.strict.machines import Ingress, Launch
from amibake.testing.accounts import Account
from amibake.testing.behaviour import Behaviour
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline

_FIRST = int(ipaddress.IPv4Address("127.77.0.1"))
_HOME = "127.0.0.1"


class LoopbackMachines:
    """What stands behind the instances of a strict EC2 in a test. Implements `amibake.strict.machines.Machines`.

    Attributes:
        behaviour: How all of them behave.
        all: The machine of each instance, by its id, also of those that are switched off or terminated: what was
            uploaded to it and run on it can be looked at until `close()`.
        launches: What each was launched with, by instance id.
        ingress: What each lets in, by instance id; one that was never told lets in everything.
        images: The directory that stands for an image's disk, by image id.
        bastions: The machines that are no instances: see `add_bastion`.
        accounts: Users that the images have already, for instances launched from now on.
        boots: Whether an instance is still booting: then nobody answers there.
    """

    def __init__(self, directory: Path, *, username: str = "admin", port: int = 0) -> None:
        """Keeps everything below `directory`, which is the caller's to remove. With a `port` all listen there, each at
        its own address, so that other processes find them."""
        self.behaviour = Behaviour()
        self.all: dict[str, LoopbackMachine] = {}
        self.launches: dict[str, Launch] = {}
        self.ingress: dict[str, tuple[Ingress, ...]] = {}
        self.images: dict[str, Path] = {}
        self.bastions: list[LoopbackMachine] = []
        self.accounts: list[Account] = []
        self.boots: Callable[[str], bool] = lambda _: False
        self.on_power_off: Callable[[str, bool], None] | None = None
        self._directory = directory
        self._username = username
        self._port = port
        self._addresses = (str(ipaddress.IPv4Address(number)) for number in itertools.count(_FIRST))
        self._lock = threading.Lock()

    def __getitem__(self, instance_id: str) -> LoopbackMachine:
        return self.all[instance_id]

    @property
    def newest(self) -> LoopbackMachine:
        """The one that was launched last."""
        return list(self.all.values())[-1]

    def run(self, launch: Launch) -> str:
        """A new machine, with what its image holds."""
        with self._lock:
            address = next(self._addresses)
        root = self._directory / launch.instance_id
        image = self.images.get(launch.image_id)
        if image:
            shutil.copytree(image, root, symlinks=True)
        keys = [launch.public_key] if launch.public_key else []
        machine = LoopbackMachine(
            address,
            root,
            keys,
            username=self._username,
            accounts=self.accounts,
            behaviour=self.behaviour,
            listen_at=self._port,
        )
        self.launches[launch.instance_id] = launch
        self.all[launch.instance_id] = machine
        return self.start(launch.instance_id)

    def start(self, instance_id: str) -> str:
        """Listen again, at the same address."""
        self.all[instance_id].start()
        return self.all[instance_id].address

    def stop(self, instance_id: str, *, force: bool) -> None:  # noqa: ARG002 - there is nothing to shut down cleanly
        """Drop every connection."""
        self.all[instance_id].stop()

    def reboot(self, instance_id: str) -> None:
        """Drop every connection, and listen again."""
        self.all[instance_id].stop()
        self.all[instance_id].start()

    def terminate(self, instance_id: str) -> None:
        """Switch off; what was recorded stays to be looked at."""
        self.all[instance_id].stop()

    def create_image(self, instance_id: str, image_id: str) -> int:
        """Keep what was uploaded."""
        self.images[image_id] = self._directory / image_id
        shutil.copytree(self.all[instance_id].root, self.images[image_id], symlinks=True)
        return sum(path.lstat().st_size for path in self.images[image_id].rglob("*"))

    def delete_image(self, image_id: str) -> None:
        """Forget it."""
        shutil.rmtree(self.images.pop(image_id))

    def console_output(self, instance_id: str) -> str:
        """What is said of a boot."""
        return f"{instance_id}: loopback machine at {self.all[instance_id].address}\n"

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        """Let in only this from now on: `dial` heeds it."""
        self.ingress[instance_id] = tuple(rules)

    def add_bastion(
        self,
        authorized_keys: Sequence[str] = (),
        *,
        username: str = "admin",
        password: str | None = None,
        accounts: Sequence[Account] = (),
    ) -> LoopbackMachine:
        """A machine that is no instance, switched on, through which the others are reached: at its address, port 22.

        To them connections through it come from its address, not from here: `set_ingress` can tell the two apart.
        Its behaviour is its own.
        """
        with self._lock:
            address = next(self._addresses)
        machine = LoopbackMachine(
            address,
            self._directory / f"bastion-{address}",
            authorized_keys,
            username=username,
            password=password,
            accounts=accounts,
            behaviour=Behaviour(methods=("publickey", "password")),
            connect=lambda there, port: self.dial(there, port, Deadline(5), source=address),
        )
        _stand_in_for_ip(machine)
        machine.start()
        self.bastions.append(machine)
        return machine

    def dial(self, address: str, port: int, deadline: Deadline, *, source: str = _HOME) -> socket.socket:
        """In place of `amibake.ssh.dial.dial`: port 22 of a machine is wherever it listens. `source` is who asks."""
        named = [*self.all.items(), *(("", machine) for machine in self.bastions)]
        found = [(name, machine) for name, machine in named if machine.address == address]
        if not found:
            return dial(address, port, deadline)
        name, machine = found[0]
        if not any(_admits(rule, port, source) for rule in self.ingress.get(name, (_EVERYTHING,))):
            raise TimeoutError("timed out: no security group lets this in")
        if not machine.port or self.boots(name):
            raise ConnectionRefusedError("connection refused")
        return dial(address, machine.port, deadline)

    def close(self) -> None:
        """Switch everything off. No thread or socket is left."""
        for machine in (*self.bastions, *self.all.values()):
            machine.stop()


_EVERYTHING = Ingress("-1", 0, 65535, ("0.0.0.0/0",))


def _admits(rule: Ingress, port: int, source: str) -> bool:
    """Whether it lets a connection from this address in."""
    home = ipaddress.ip_address(source)
    networks = (ipaddress.ip_network(cidr) for cidr in rule.cidrs)
    ports = rule.protocol == "-1" or (rule.protocol == "tcp" and rule.from_port <= port <= rule.to_port)
    return ports and any(home in network for network in networks)


def _stand_in_for_ip(machine: LoopbackMachine) -> None:
    """Of its routes a machine says that they start at its own address; the real `ip` knows only of this one's."""
    program = machine.root / "usr/local/bin/ip"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$4 dev lo src {machine.address}"\n')
    program.chmod(0o755)
