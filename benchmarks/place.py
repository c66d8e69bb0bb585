"""Where it all happens: a directory in which the machines, the data and the keys of one run are, gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import amibake
from amibake.ssh.keys import make_key_pair
from benchmarks.base import layers
from benchmarks.data import Data
from benchmarks.machines import Machine, Park
from benchmarks.measure import Took, run

_SCRIPTS = Path(__file__).with_name("scripts")
_OUR_SOURCE = str(Path(amibake.__file__).parents[1])


class Place:
    """What all rows share; each thing is made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "data").mkdir()
        self.data = Data(directory / "data")
        self._log = directory / "log"

    @cached_property
    def park(self) -> Park:
        """The machines."""
        return Park(layers(self.directory), self.directory)

    @cached_property
    def key(self) -> Path:
        """The private key that uploads log in with; `key.pub` is beside it."""
        pair, path = make_key_pair(), self.directory / "key"
        path.write_bytes(pair.private)
        path.chmod(0o600)
        path.with_suffix(".pub").write_text(f"{pair.public}\n")
        return path

    def file(self, name: str, text: str) -> Path:
        """A file with this content."""
        path = self.directory / name
        path.write_text(text)
        return path

    def run(self, command: list[str], environment: Mapping[str, str] | None = None, limit: float = 120) -> Took:
        """Measure a program."""
        return run(command, environment=environment or {}, log=self._log, limit=limit)

    def run_script(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None, limit: float = 120
    ) -> Took:
        """Measure one of the scripts that import amibake: the one that these benchmarks use themselves."""
        command = [sys.executable, str(_SCRIPTS / f"{name}.py"), *arguments]
        return self.run(command, {"PYTHONPATH": _OUR_SOURCE, **(environment or {})}, limit)

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """A fresh one that can be reached, and lets `key` in."""
        self.park.prepare(1)
        machine = self.park.take()
        try:
            machine.authorize(self.key.with_suffix(".pub").read_text())
            machine.listen()
            yield machine
        finally:
            self.park.clear()


@contextmanager
def place() -> Iterator[Place]:
    """One for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="amibake-bench-") as directory:
        found = Place(Path(directory))
        try:
            yield found
        finally:
            if "park" in vars(found):
                found.park.close()


@contextmanager
def line(machine: Machine, port: int, rtt: float, rate: float | None) -> Iterator[tuple[str, int]]:
    """The address of the machine's sshd at the end of such a line; without delay and limit it is its own."""
    if not (rtt or rate):
        yield machine.address, port
        return
    shape = [f"--rtt={rtt}", *([f"--rate={rate}"] if rate else [])]
    relay = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.relay", machine.address, str(port), *shape],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_SCRIPTS.parents[1]), _OUR_SOURCE])},
    )
    with relay:
        assert relay.stdout is not None
        try:
            yield "127.0.0.1", int(relay.stdout.readline())
        finally:
            relay.kill()
