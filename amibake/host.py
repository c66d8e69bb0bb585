"""The builder as provisioners see it, and what a provisioner is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from amibake.events import Event


@dataclass(frozen=True)
class Completed:
    """A command that ran to its end on the builder.

    Attributes:
        status: Its exit status; -1 when a signal killed it.
        stdout: What it printed there: whole with `capture=True`, else the last lines.
        stderr: Likewise.
        tail: The last 20 lines of both, in the order in which they arrived.
    """

    status: int
    stdout: str
    stderr: str
    tail: tuple[str, ...] = ()


class Host(Protocol):
    """A machine that we have a shell on. All of it raises ConnectionLost when the connection ends early, and
    WaitTimeout when the bake's or the call's own time is up."""

    @property
    def data(self) -> Mapping[str, str]:
        """What Packer calls build data: "ID", "Host", "Port", "User", "SourceAMI", "BuildRegion", "BuildID" …"""

    def run(
        self,
        command: str,
        *,
        input: bytes = b"",  # noqa: A002 - subprocess.run's own word
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        capture: bool = False,
        name: str | None = None,
    ) -> Completed:
        """Run a command in the login shell. With `capture` its whole output comes back and no events are emitted;
        without, every line is an `Output` event as it comes. A status other than 0 is an answer, not an exception.

        `environment` goes over stdin ahead of `input`, so that no value shows in a process list. `name` is what errors
        call it; by default they show the command's beginning.
        """

    def put(
        self, source: Path | bytes, destination: str, *, mode: int | None = None, exclude: Sequence[str] = ()
    ) -> None:
        """Upload one file, or a directory's contents, to exactly this path. Raises UploadFailed.

        `exclude` has patterns of what in a directory is left out, as in `File`.
        """

    def get(self, source: str, destination: Path) -> None:
        """Download one file. Raises UploadFailed when it is not there or cannot be written."""

    def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect anew, to the same machine with the same host key: after a reboot, or when the line was lost. It is
        tried for `timeout` seconds, and for `ssh_timeout` at most. Raises SSHTimeout, AuthenticationFailed or
        HostKeyChanged."""

    def remaining(self) -> float:
        """Seconds that are left to the bake, or to whatever else bounds this host; 0 when its time is up."""

    def emit(self, event: Event) -> None:
        """Tell the user of the bake."""


@runtime_checkable
class Provisioner(Protocol):
    """Anything that can be checked beforehand and then done on a builder."""

    def check(self) -> None:
        """Look at everything that can be known before a builder is launched. Raises InvalidOption."""

    def provision(self, host: Host) -> None:
        """Do it."""
