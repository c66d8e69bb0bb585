"""The builder as provisioners see it, and what a provisioner is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from amibake.events import Event
from amibake.secret import Secret

WhenLost = Literal["start", "repeat", "raise"]
"""What is done when the connection is lost, apart from raising ConnectionLost: see `Host.run`."""


@dataclass(frozen=True)
class Completed:
    """A command that ran to its end on the builder.

    Attributes:
        status: Its exit status; -1 when a signal killed it.
        stdout: What it printed there: whole with `capture=True`, else the last lines.
        stderr: Likewise.
        tail: The last 20 lines of both, in the order in which they arrived.
        signal: The name of the signal that killed it ("KILL"), or None.
    """

    status: int
    stdout: str
    stderr: str
    tail: tuple[str, ...] = ()
    signal: str | None = None


class Host(Protocol):
    """A machine that we have a shell on. All of it raises ConnectionLost when the connection ends early, and
    WaitTimeout when the bake's or the call's own time is up.

    Where it is safe, a connection that was lost is made anew, and what was under way is done again from its beginning:
    uploads, downloads, and commands that had not begun. That is done up to three times for each call, and a `Warned`
    tells of it. When there is no getting in again, SSHTimeout, AuthenticationFailed or HostKeyChanged is raised."""

    @property
    def data(self) -> Mapping[str, str]:
        """What Packer calls build data: "ID", "Host", "Port", "User", "SourceAMI", "BuildRegion", "BuildID" …"""

    def run(
        self,
        command: str,
        *,
        input: bytes = b"",  # noqa: A002 - subprocess.run's own word
        environment: Mapping[str, str | Secret] | None = None,
        timeout: float | None = None,
        capture: bool = False,
        name: str | None = None,
        sudo: bool = False,
        when_lost: WhenLost = "start",
    ) -> Completed:
        """Run a command in the login shell. With `capture` its whole output comes back and no events are emitted;
        without, every line is an `Output` event as it comes. A status other than 0 is an answer, not an exception.

        `environment` goes over stdin ahead of `input`, so that no value shows in a process list; secrets among its
        values are hidden from then on, as by `conceal`. `name` is what errors call it; by default they show the
        command's beginning. With `sudo` it runs as root, in root's login shell and with the same environment; raises
        ScriptFailed where the user can't become root without a password.

        It ends when the command does: what children in the background print afterwards is not waited for. When its
        time is up, all that it has started is killed before WaitTimeout is raised.

        When the connection is lost, a command that had certainly not begun is begun over a new one. One that may have
        begun is repeated only with when_lost="repeat": for questions, and what else does no harm when it is done
        twice. With "raise" no connection is made anew.
        """

    def put(
        self,
        source: Path | bytes,
        destination: str,
        *,
        mode: int | None = None,
        exclude: Sequence[str] = (),
        owner: str | int | None = None,
        group: str | int | None = None,
        sudo: bool = False,
    ) -> None:
        """Upload one file, or a directory's contents, to exactly this path. Raises UploadFailed.

        Missing parents are made. A file appears under its name only when it is complete, verified, and has its owner
        and mode. A directory is created with the mode of the local one, or merged into the one that is there; what is
        replaced is files, and a directory that is there keeps its mode, its owner and whatever else it holds. Symlinks
        and modes survive; hard links arrive as files of their own. The SHA-256 of every file is compared with that of
        what is on the disk there.

        Args:
            source: A file, a directory, or a file's content.
            destination: Absolute, or from the directory where a login starts; a leading `~/` says the same.
            mode: The permission bits of the file or directory itself; None is the local one's, and 0644 for bytes.
            exclude: Patterns of what in a directory is neither sent nor looked at, as in `amibake.File`.
            owner, group: Whose everything is to be that this creates, parents included: a name or a number. With an
                owner alone the group is the owner's own. By default the user's who logs in, or root's with `sudo`.
            sudo: Write as root; an owner or a group implies it.
        """

    def get(self, source: str, destination: str | Path, *, sudo: bool = False) -> None:
        """Download a file, a directory, or whatever a pattern (`*`, `?`, `[…]`) matches. Raises UploadFailed.

        A file goes to exactly the destination, or to destination/basename where that ends in `/`. A directory becomes
        destination/basename if the destination ends in `/` or is a directory already, else the destination itself; a
        source ending in `/` puts its contents into the destination. What a pattern matches goes into the destination,
        each under its own name; no match is an error, and a file whose name is the pattern itself comes first.

        Missing parents are made. Modes, times and symlinks survive; set-id bits don't; hard links arrive as files of
        their own; sockets, pipes and devices are left out with a warning. What is replaced is replaced when everything
        is complete and its SHA-256 verified. A file may grow meanwhile: then it is as it was at some moment.

        Args:
            source: Absolute, or from the directory where a login starts; a leading `~/` says the same.
            destination: A local path. A `Path` has no trailing slash: give a str where it matters.
            sudo: Read as root.
        """

    def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect anew, to the same machine with the same host key: after a reboot, or when the line was lost. It is
        tried for `timeout` seconds, and for `ssh_timeout` at most. Raises SSHTimeout, AuthenticationFailed or
        HostKeyChanged."""

    def remaining(self) -> float:
        """Seconds that are left to the bake, or to whatever else bounds this host; 0 when its time is up."""

    def limited(self, seconds: float) -> Host:
        """The same machine and connection, with all that is done through this bounded by so many seconds from now."""

    def conceal(self, values: Iterable[str | Secret]) -> None:
        """From now on these, each of their lines, and what quoting and base64 make of them are "***" in everything
        that comes back from the machine, in events and in errors."""

    def emit(self, event: Event) -> None:
        """Tell the user of the bake."""


@runtime_checkable
class Provisioner(Protocol):
    """Anything that can be checked beforehand and then done on a builder."""

    def check(self) -> None:
        """Look at everything that can be known before a builder is launched. Raises InvalidOption."""

    def provision(self, host: Host) -> None:
        """Do it."""
