"""Programs that bake, in processes of their own, and what became of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from tests.processes.moments import Moment
from tests.processes.served import REGIONS, Served

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent
LIMIT = 90.0
"""Seconds after which a child hangs, on a machine that is busy with something else."""

DEPLOY = """
import sys, amibake
source_ami, ssh_port, mailtube, max_build_time = sys.argv[1:]
image = amibake.build_primal(
    source_ami=source_ami, instance_type="t3.micro", ssh_port=int(ssh_port), mailtube=mailtube,
    ami_name="shop {{uuid}}", max_build_time=max_build_time,
    provisioners=[amibake.Shell(inline=["again and again"], max_retries=5)],
)
print(image.id)
"""

CommandLine = Callable[[Served, str, Path], list[str]]
"""The words of a program that bakes the primal image of a mailtube in a region, with no handler of its own."""


def plain_script(served: Served, region: str, mailtube: Path, max_build_time: str = "4h") -> list[str]:
    """A deploy script of a few lines, which knows nothing of signals."""
    return [sys.executable, "-c", DEPLOY, served.images[region], str(served.port), str(mailtube), max_build_time]


def command_line(served: Served, region: str, mailtube: Path) -> list[str]:
    """The same by amibake's own command."""
    options = {
        "source-ami": served.images[region],
        "ssh-port": str(served.port),
        "mailtube": str(mailtube),
        "instance-type": "t3.micro",
        "ami-name": "shop {{uuid}}",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "amibake", "build", "primal", *words]


@dataclass
class Child:
    """One of them.

    Attributes:
        sent: When each signal was sent.
        status, said: In the end, its exit status and its standard error.
    """

    region: str
    sent: list[float] = field(default_factory=list)
    status: int | None = None
    said: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def run(self, served: Served, words: Sequence[str]) -> None:
        """Run it to its end. One that hangs is killed, and its status -9."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {**served.environment(self.region), "PYTHONPATH": str(ROOT)}
        with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as directory:
            self._process = subprocess.Popen(
                words,
                cwd=directory,  # a command writes its log there
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            try:
                self.status = self._process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.status = self._process.wait()
            said.seek(0)
            self.said = said.read().decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        assert self._process is not None
        self.sent.append(time.monotonic())
        self._process.send_signal(number)


def in_regions(do: Callable[[str, Moment], T], moments: Sequence[Moment]) -> list[T]:
    """Do something for each of these moments, as many at once as there are regions; what comes of it, in their
    order."""
    free: SimpleQueue[str] = SimpleQueue()
    for region in REGIONS:
        free.put(region)

    def one(moment: Moment) -> T:
        region = free.get()
        try:
            return do(region, moment)
        finally:
            free.put(region)

    with ThreadPoolExecutor(len(REGIONS)) as pool:
        return list(pool.map(one, moments))
