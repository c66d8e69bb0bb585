"""The machines of a local EC2: containers with a real init, over overlay layers, each with an address of its own.

What a cloud makes carries its id in its name or lies in its directory, so that `remove_cloud` finds it without
having made it: after a crash, what is there is all that is needed to remove it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from amibake.errors import AmibakeError, SandboxUnavailable
from amibake.sandbox.commands import CommandFailed
from amibake.sandbox.containers import Boot, Containers, Init, console_text, find_init, state_directory
from amibake.sandbox.layers import Layers
from amibake.sandbox.network import Network
from amibake.sandbox.removal import remove_cloud
from amibake.sandbox.requirements import check_requirements
from amibake.sandbox.seed import write_seed
from amibake.sandbox.watch import Watch, has_ended
from amibake.strict.machines import Ingress, Launch

__all__ = ["PodmanEngine", "remove_cloud"]

_log = logging.getLogger(__name__)
_REBOOTED = 129
_STOP_SECONDS = 20
_BUSY_SECONDS = 10.0
# what PID 1 takes for the power button: systemd's halt.target, and ctrlaltdel in the inittab of our base
_POWER_BUTTON: dict[Init, int] = {"systemd": signal.SIGRTMIN + 3, "sysvinit": signal.SIGINT}
_INTERFACE: dict[Init, str] = {"systemd": "ens5", "sysvinit": "eth0"}


@dataclass
class _Machine:
    launch: Launch
    address: str
    directory: Path
    lock: threading.RLock = field(default_factory=threading.RLock)
    boots: Iterator[int] = field(default_factory=itertools.count)
    boot: Boot | None = None
    """None while it is off."""
    pidfd: int = -1


class PodmanEngine:
    """Machines as podman containers; `Machines` says what the methods mean.

    Args:
        cloud_id: Eight hexadecimal digits that no other cloud on this machine has.
        root: This cloud's directory, for disks, logs and state. `open` makes it and `close` removes it.
        subnet: Where the addresses come from; a free /24 of 198.18.0.0/15 unless given.

    Attributes:
        gateway: This machine's address that all instances reach; known once the engine is open.
    """

    def __init__(self, cloud_id: str, root: Path, *, subnet: IPv4Network | None = None) -> None:
        self.on_power_off: Callable[[str, bool], None] | None = None
        self._id = cloud_id
        self._root = root.resolve()
        self._layers = Layers(self._root / "layers")
        self._network = Network(cloud_id, subnet)
        self._containers = Containers(cloud_id, self._root / "containers")
        self._watch: Watch | None = None
        self._machines: dict[str, _Machine] = {}
        self._ingress: dict[str, Sequence[Ingress]] = {}
        self._open = False

    @property
    def gateway(self) -> str:
        return self._network.gateway

    def open(self) -> None:
        """Check that this machine can do it, and make the network.

        Raises:
            SandboxUnavailable: Something is missing, or no subnet is free; the hint says what to do.
        """
        check_requirements()
        if self._root.exists():
            raise SandboxUnavailable(f"{self._root} exists already", hint="A sandbox removes its directory at its end.")
        steps: list[tuple[Callable[[], None], str]] = [
            (
                self._layers.open,
                f"{self._root} must be on a file system like ext4 or xfs; the kernel must have overlay.",
            ),
            (self._containers.open, ""),
            (self._network.open, "Are `ip link add type bridge` and `nft list ruleset` allowed here?"),
        ]
        try:
            for step, hint in steps:
                try:
                    step()
                except (CommandFailed, OSError) as error:
                    raise SandboxUnavailable(f"the sandbox cannot run here: {error}", hint=hint) from error
            self._watch = Watch()
        except BaseException:
            with contextlib.suppress(AmibakeError):  # the first error says more
                self.close()
            raise
        self._open = True

    def add_base(self, image_id: str, rootfs: Path) -> None:
        """Make a root file system, which is never written to, the disk of an image."""
        self._layers.add_base(image_id, rootfs)

    def run(self, launch: Launch) -> str:
        self._check_open()
        machine = _Machine(launch, self._network.reserve(), self._root / "machines" / launch.instance_id)
        with machine.lock:
            self._machines[launch.instance_id] = machine
            try:
                self._layers.create_disk(launch.instance_id, launch.image_id)
                write_seed(machine.directory / "seed", launch)
                if rules := self._ingress.get(launch.instance_id):
                    self._network.set_ingress(machine.address, rules)
                self._power_on(launch.instance_id, machine)
            except BaseException:
                self.terminate(launch.instance_id)
                raise
        return machine.address

    def start(self, instance_id: str) -> str:
        machine = self._machine(instance_id)
        with machine.lock:
            if machine.boot is None:
                self._power_on(instance_id, machine)
        return machine.address

    def stop(self, instance_id: str, *, force: bool) -> None:
        machine = self._machine(instance_id)
        with machine.lock:
            if machine.boot is None:
                return
            if not (force or self._shut_down(machine)):
                _log.warning("%s did not shut down within %d s and was switched off", instance_id, _STOP_SECONDS)
            self._power_off(instance_id, machine)

    def reboot(self, instance_id: str) -> None:
        machine = self._machine(instance_id)
        with machine.lock:
            self.stop(instance_id, force=False)
            self.start(instance_id)

    def terminate(self, instance_id: str) -> None:
        machine = self._machines.get(instance_id)
        if machine is None:
            return
        with machine.lock:
            self._machines.pop(instance_id, None)
            self._ingress.pop(instance_id, None)
            with contextlib.ExitStack() as stack:  # each of these, whatever becomes of the others
                stack.callback(self._network.release, machine.address)
                stack.callback(shutil.rmtree, machine.directory, ignore_errors=True)
                stack.callback(self._layers.delete_disk, instance_id)
                stack.callback(self._containers.forget, instance_id)
                stack.callback(self._power_off, instance_id, machine)

    def create_image(self, instance_id: str, image_id: str) -> int:
        machine = self._machine(instance_id)
        with machine.lock:
            if machine.boot:
                raise AmibakeError(f"{instance_id} is running", hint="Its disk is consistent once it is stopped.")
            return self._layers.create_image(instance_id, image_id)

    def delete_image(self, image_id: str) -> None:
        self._layers.delete_image(image_id)

    def console_output(self, instance_id: str) -> str:
        logs = sorted((self._root / "console" / instance_id).glob("*.log"))
        return "".join(console_text(log.read_text(errors="replace")) for log in logs)

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        self._ingress[instance_id] = tuple(rules)
        machine = self._machines.get(instance_id)
        if machine:
            self._network.set_ingress(machine.address, rules)

    def launch_at(self, address: str) -> Launch | None:
        """How the machine at an address was launched; None where there is none."""
        return next((machine.launch for machine in list(self._machines.values()) if machine.address == address), None)

    def close(self) -> None:
        """Remove everything of this cloud. May be called again, and while other threads still use the engine.

        Raises:
            AmibakeError: Something could not be removed; all the rest is.
        """
        self._open = False
        machines = list(self._machines.values())
        with contextlib.ExitStack() as stack:  # each of these, whatever becomes of the others
            stack.callback(self._network.close)
            stack.callback(remove_cloud, self._id, self._root)
            stack.callback(self._end_watch)
            stack.callback(self._machines.clear)
            stack.callback(self._containers.end_forgetting)
            for machine in machines:
                with contextlib.suppress(OSError):  # ends a clean stop that another thread waits for
                    signal.pidfd_send_signal(machine.pidfd, signal.SIGKILL)
            for machine in machines:
                self._forget(machine)

    def _forget(self, machine: _Machine) -> None:
        if machine.lock.acquire(timeout=_BUSY_SECONDS):
            try:
                self._forget_boot(machine)
            finally:
                machine.lock.release()

    def _forget_boot(self, machine: _Machine) -> None:
        if machine.boot:
            machine.boot = None
            if self._watch:
                self._watch.discard(machine.pidfd)
            os.close(machine.pidfd)
            machine.pidfd = -1

    def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            watch.close()

    def _power_on(self, instance_id: str, machine: _Machine) -> None:
        watch = self._check_open()
        rootfs, seed = machine.directory / "disk", machine.directory / "seed"
        namespace = state_directory(self._id) / "netns" / instance_id
        console = self._root / "console" / instance_id / f"{next(machine.boots):06}.log"
        console.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            self._layers.mount(instance_id, rootfs)
            undo.callback(self._layers.unmount, rootfs)
            init = find_init(rootfs)
            self._network.attach(machine.address, namespace, _INTERFACE[init], machine.launch.mac_address)
            undo.callback(self._network.detach, machine.address, namespace)
            (seed / "boot_id").write_text(f"{uuid.uuid4()}\n")
            hostname = f"ip-{machine.address.replace('.', '-')}"
            boot = Boot(instance_id, hostname, rootfs, namespace, seed, console, init)
            undo.callback(self._containers.remove, instance_id)
            machine.pidfd = self._containers.start(boot)
            machine.boot = boot
            watch.add(machine.pidfd, partial(self._went_down, instance_id, machine, boot))
            undo.pop_all()

    def _shut_down(self, machine: _Machine) -> bool:
        """Press the power button and wait; whether the machine is off."""
        button = _POWER_BUTTON[machine.boot.init] if machine.boot else signal.SIGKILL
        for _ in range(_STOP_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                # again and again, since an init that has just begun does not listen yet
                signal.pidfd_send_signal(machine.pidfd, button)
            if has_ended(machine.pidfd, within=1):
                return True
        return False

    def _power_off(self, instance_id: str, machine: _Machine) -> None:
        """Release what a boot consists of, killing what still runs of it. Its container stays, dead, until it is
        replaced or forgotten: podman takes longer to remove one than all of this takes."""
        boot = machine.boot
        if boot is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(self._layers.unmount, boot.rootfs)
            stack.callback(self._network.detach, machine.address, boot.namespace)
            stack.callback(self._forget_boot, machine)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(machine.pidfd, signal.SIGKILL)  # the kernel ends with init all that it began
            if not has_ended(machine.pidfd, within=_BUSY_SECONDS):
                raise AmibakeError(f"{instance_id} was switched off, but has not ended in {_BUSY_SECONDS:g} s")

    def _went_down(self, instance_id: str, machine: _Machine, boot: Boot) -> None:
        with machine.lock:
            if machine.boot is not boot or not self._open:
                return  # somebody has switched it off
            try:
                rebooting = self._containers.exit_status(instance_id) == _REBOOTED
                self._power_off(instance_id, machine)
                if rebooting:
                    self._power_on(instance_id, machine)
            except (AmibakeError, OSError, ValueError):
                _log.exception("%s went down and could not be brought up again", instance_id)
                rebooting = False
        if self.on_power_off:
            self.on_power_off(instance_id, rebooting)

    def _machine(self, instance_id: str) -> _Machine:
        self._check_open()
        try:
            return self._machines[instance_id]
        except KeyError:
            raise AmibakeError(f"the sandbox has no machine {instance_id}") from None

    def _check_open(self) -> Watch:
        if not (self._open and self._watch):
            raise SandboxUnavailable(f"the sandbox {self._id} is closed")
        return self._watch
