"""Machines to bake and to upload to: each has a root file system of its own, and is reached only once it runs."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from amibake.strict.machines import Ingress, Launch

PORT = 2022
"""At which their sshds listen: not at 22, which the host's own may hold for all addresses."""
_INIT = Path(__file__).with_name("machine.py")
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL")


class Machine:
    """One machine that is up, but can't be reached yet. Nothing of it outlives `close`, nor this process."""

    def __init__(self, lower: str, address: str, directory: Path) -> None:
        self.address = address
        self._directory = Path(tempfile.mkdtemp(prefix="machine-", dir=directory))
        init = (sys.executable, "-I", "-S", str(_INIT), lower, str(self._directory), "debian")
        self._process = subprocess.Popen(
            ["unshare", *_NAMESPACES, *init],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us
        )
        self._expect_ok()

    def authorize(self, public_key: str) -> None:
        """Let this key in as `admin`."""
        self._command(f"key {public_key.strip()}")

    def listen(self) -> None:
        """From now on sshd can be reached."""
        self._command(f"listen {self.address} {PORT}")

    @property
    def root(self) -> Path:
        """Its root file system, seen from here."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return Path(f"/proc/{children[0]}/root")

    def unplug(self) -> None:
        """It ends now, and all that runs on it; nothing waits for that."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """Remove it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.rmdir()

    def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._expect_ok()

    def _expect_ok(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ok\n":
            raise RuntimeError("a machine of the bench did not come up; what it says is above")


class Park:
    """Machines that are kept ready, so that none has to be made while something is measured."""

    def __init__(self, lower: str, directory: Path) -> None:
        self._lower = lower
        self._directory = directory
        self._numbers = itertools.count(4)
        self._ready: list[Machine] = []
        self._given: list[Machine] = []
        self._lock = threading.Lock()

    def prepare(self, count: int) -> None:
        """Have so many ready."""
        while len(self._ready) < count:
            high, low = divmod(next(self._numbers), 250)
            self._ready.append(Machine(self._lower, f"127.88.{high}.{low + 4}", self._directory))

    def take(self) -> Machine:
        """One of those that are ready."""
        with self._lock:
            machine = self._ready.pop(0)
            self._given.append(machine)
            return machine

    def clear(self) -> None:
        """Remove all that were taken."""
        with self._lock:
            given, self._given = self._given, []
        for machine in given:
            machine.close()

    def close(self) -> None:
        """Remove all."""
        self.clear()
        while self._ready:
            self._ready.pop().close()


class EC2Machines:
    """What stands behind the instances of the stand-in: machines of the park, each reached once EC2 says `running`."""

    def __init__(self, park: Park, delay: float) -> None:
        self.on_power_off: Callable[[str, bool], None] | None = None
        self._park = park
        self._delay = delay
        self._all: dict[str, Machine] = {}
        self._timers: dict[str, threading.Timer] = {}

    def run(self, launch: Launch) -> str:
        """At once; who may log in is known from the start."""
        machine = self._all[launch.instance_id] = self._park.take()
        machine.authorize(launch.public_key or "")
        if self._delay:
            timer = self._timers[launch.instance_id] = threading.Timer(self._delay, machine.listen)
            timer.daemon = True
            timer.start()
        else:
            machine.listen()
        return machine.address

    def start(self, instance_id: str) -> str:
        """No bake does so."""
        raise NotImplementedError(instance_id)

    def stop(self, instance_id: str, *, force: bool) -> None:
        """At once: how long it takes is the stand-in's business."""
        del force
        self.terminate(instance_id)

    def reboot(self, instance_id: str) -> None:
        """No bake here does so."""
        raise NotImplementedError(instance_id)

    def terminate(self, instance_id: str) -> None:
        """Likewise."""
        if timer := self._timers.pop(instance_id, None):
            timer.cancel()
        if machine := self._all.pop(instance_id, None):
            machine.unplug()  # the park removes it, when nothing is measured

    def create_image(self, instance_id: str, image_id: str) -> int:
        """Nobody launches what is baked here."""
        del instance_id, image_id
        return 0

    def delete_image(self, image_id: str) -> None:
        """There is nothing of it."""

    def console_output(self, instance_id: str) -> str:
        """They have none."""
        del instance_id
        return ""

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        """Nothing is in between."""
