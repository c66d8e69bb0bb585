"""Shell examples, run by a real bash in which every program is known here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import NamedTuple

OF_THE_SYSTEM = ("cat", "env", "mkdir")
"""What examples use of the system itself."""

_STAND_IN = f"""#!{sys.executable} -IS
import os, sys
from multiprocessing.connection import Client
with Client(os.environ["EXAMPLES"], "AF_UNIX") as there:
    there.send((os.path.basename(sys.argv[0]), sys.argv[1:], dict(os.environ)))
    status, out, err = there.recv()
sys.stdout.write(out), sys.stderr.write(err)
sys.exit(status)
"""


class Done(NamedTuple):
    """How a program ended, and what it has printed."""

    status: int = 0
    out: str = ""
    err: str = ""


Program = Callable[[list[str], Mapping[str, str]], Done]
"""Its arguments and its environment."""


class Bash:
    """Runs scripts in the current directory. Each program that they call is run by this process, in the thread that has
    called `run`; what nobody knows is an error.

    Attributes:
        path: The PATH on which these programs are.
    """

    def __init__(self, programs: Mapping[str, Program], directory: Path) -> None:
        self.path = f"{directory}/bin"
        self._programs = programs
        self._socket = f"{directory}/socket"
        (directory / "bin").mkdir()
        for name in programs:
            stand_in = directory / "bin" / name
            stand_in.write_text(_STAND_IN)
            stand_in.chmod(0o755)
        for name in OF_THE_SYSTEM:
            (directory / "bin" / name).symlink_to(shutil.which(name) or name)

    def run(self, script: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its first failure."""
        with Listener(self._socket, "AF_UNIX") as listener, ThreadPoolExecutor(1) as pool:
            ended = pool.submit(self._bash, script, environment or {})
            while True:
                with listener.accept() as asked:
                    if (call := asked.recv()) is None:
                        return ended.result()
                    name, arguments, variables = call
                    done = self._programs[name](arguments, variables)
                    with suppress(BrokenPipeError):  # who asked is gone; bash says how
                        asked.send(tuple(done))

    def _bash(self, script: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, **environment, "PATH": self.path, "EXAMPLES": self._socket}
        try:
            return subprocess.run(
                ["/bin/bash", "-euo", "pipefail"], input=script, env=variables, capture_output=True, text=True
            )
        finally:
            with Client(self._socket, "AF_UNIX") as there:
                there.send(None)


@contextmanager
def bash(programs: Mapping[str, Program]) -> Iterator[Bash]:
    """One with these programs, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="amibake-docs-") as directory:
        yield Bash(programs, Path(directory))
