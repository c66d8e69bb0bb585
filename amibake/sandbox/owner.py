"""Starts a worker process, follows what it tells, and ends it: the near side of `worker`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, cast

import amibake
from amibake.errors import SandboxUnavailable

_CLEAN = "`python -m amibake.sandbox clean` removes what is left"
_log = logging.getLogger("amibake.sandbox")


class Worker:
    """A process that does one task, as root if it has to, and ends at the latest when this process does.

    Args:
        task: What `worker` is told to do.
        root: Whether it needs root.
        progress: Called with lines of text, from a thread of ours; they are logged without one.

    Raises:
        SandboxUnavailable: It needs root, and there is no sudo.
    """

    def __init__(self, task: Mapping[str, Any], *, root: bool, progress: Callable[[str], None] | None) -> None:
        prefix = _as_root(root)
        self._progress = progress or _log.info
        self._events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process writes to it
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "amibake.sandbox", "work", str(task.get("id", task["task"]))],
            cwd=Path(amibake.__file__).parent.parent,  # where -m finds this amibake, also in a checkout
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for the owner
        )
        self._input = cast("IO[str]", self._process.stdin)
        self._output = cast("IO[str]", self._process.stdout)
        self._follower = threading.Thread(target=self._follow, name="amibake-sandbox", daemon=True)
        self._follower.start()
        # By its input: on a command line the secrets in an environment would be everybody's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._tell(json.dumps({**task, "environment": environment}))

    def result(self) -> dict[str, Any]:
        """Wait until the task is done, or what it sets up can be used.

        Raises:
            SandboxUnavailable: It failed.
        """
        event = self._next()
        if event is None:
            raise self._died()
        if event["event"] == "error":
            raise SandboxUnavailable(event["message"], hint=event["hint"])
        values: dict[str, Any] = event["values"]
        return values

    def stop(self, timeout: float = 60.0) -> None:
        """Have it undo what it has done, and wait for its end, `timeout` seconds at most.

        Raises:
            SandboxUnavailable: It did not end in time, or not in order: something is left.
        """
        if not self._input.closed:
            self._tell("end")  # for an end of file it may have to wait: children of ours may have the pipe open, too
            with contextlib.suppress(BrokenPipeError):
                self._input.close()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise SandboxUnavailable(
                f"the local EC2's process {self._process.pid} has not ended within {timeout:g} s",
                hint=f"it may still do so; after it has, {_CLEAN}",
            ) from error
        self._follower.join()
        with self._log:
            if status:
                event = self._next()
                while event and event["event"] != "error":
                    event = self._next()
                raise SandboxUnavailable(event["message"], hint=_CLEAN) if event else self._died()

    def _next(self) -> dict[str, Any] | None:
        """The next event, None for ever once the process has ended."""
        event = self._events.get()
        if event is None:
            self._events.put(None)
        return event

    def _died(self) -> SandboxUnavailable:
        status = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        if said and said[-1].startswith("sudo:"):
            hint = "run this as root, or allow it to sudo without a password"
        else:
            hint = _CLEAN
        return SandboxUnavailable(
            "\n".join([f"the local EC2's process ended with status {status}", *said[-20:]]), hint=hint
        )

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which its status tells
            self._input.write(line + "\n")
            self._input.flush()

    def _follow(self) -> None:
        with self._output:
            for line in self._output:
                event = json.loads(line)
                if event["event"] == "progress":
                    self._say(event["text"])
                else:
                    self._events.put(event)
        self._events.put(None)

    def _say(self, text: str) -> None:
        try:
            self._progress(text)
        except Exception:  # noqa: BLE001 - the user's own; the process must not wait for us to read on
            _log.exception("the progress callback failed")


def _as_root(needed: bool) -> list[str]:
    return as_root() if needed else []


def as_root() -> list[str]:
    """What a command line has to begin with to run as root. Raises SandboxUnavailable when there is no sudo."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        raise SandboxUnavailable("the local EC2's containers need root, and there is no sudo", hint="run this as root")
    return ["sudo", "-n", "--"]
