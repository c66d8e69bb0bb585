"""Through a command of the user's, whose standard input and output are the connection: OpenSSH's ProxyCommand.

Not paramiko's class of that name: it waits in steps, has no timeouts, and leaves the command behind.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from amibake.errors import InvalidOption
from amibake.interrupts import held
from amibake.lines import Lines
from amibake.ssh.transport import Patience, reason
from amibake.ssh.wire import Wire

_NOT_RUN = (126, 127)
"""What a shell exits with when there is no such command, or it is no program."""

_GRACE = 1.0
"""Seconds that a command has to end: by itself, where it has closed its output first; else once it is told to, which
is as soon as its streams are closed. Then it is killed."""


@dataclass(frozen=True)
class ProxyCommand:
    """A `Route` through a command, which /bin/sh runs for each connection in a session of its own: Ctrl-C in a terminal
    does not reach it. It ends with the connection, and with it its process group: what it has started, but for what has
    left the group by itself (setsid, a daemon).

    Attributes:
        template: The command, in which %h is the machine's address, %p its port, %r the user who logs in, %% a "%".
            Raises ValueError for another token. Not shown in messages: it may hold a secret.
    """

    template: str = field(repr=False)
    via = ", through the proxy command"
    hint = "does the command of `ssh_proxy_command` lead to the builder, and does its image start sshd?"

    def __post_init__(self) -> None:
        unknown = sorted(set(re.findall("%[^hpr%]|%$", self.template.replace("%%", ""))))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} stands for nothing; there are %h, %p, %r, and %% for a %")
        if not self.template.strip():
            raise ValueError("it is empty")

    def command(self, address: str, port: int, username: str) -> str:
        """What the shell runs."""
        values = {"%h": shlex.quote(address), "%p": str(port), "%r": shlex.quote(username), "%%": "%"}
        return re.sub("%.", lambda found: values[found[0]], self.template)

    def open(self, address: str, port: int, username: str, _patience: Patience) -> Wire:
        """See `Route.open`."""
        wire: Wire | None = None
        try:
            with held():  # until it is known what there is to be ended
                wire = _CommandWire(self.command(address, port, username))
        except BaseException:
            if wire is not None:
                wire.close()
            raise
        return wire


class _CommandWire(Wire):
    """A running command. Its standard error is kept: the last lines are what it says of its end."""

    def __init__(self, command: str) -> None:
        # sockets, so that reading has timeouts and can be ended from another thread
        ours, theirs = socket.socketpair()
        said, says = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=says.fileno(),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            said.close()
            raise
        finally:
            theirs.close()  # else its end would never be seen
            says.close()
        super().__init__(ours)
        self._said = said
        self._lines: deque[str] = deque(maxlen=20)
        self._status: int | None = None
        self._saw_end = False
        self._closing = threading.Lock()
        self._listening = threading.Thread(target=self._listen, name="amibake-ssh-proxy", daemon=True)
        self._listening.start()

    def recv(self, size: int) -> bytes:
        with self._watching():
            data = super().recv(size)
        self._saw_end = self._saw_end or not data
        return data

    def send(self, data: bytes) -> int:
        with self._watching():
            return super().send(data)

    def close(self) -> None:
        with self._closing:
            if self._status is None:
                super().close()
                self._status = self._end()

    def explain(self) -> str:
        if not self._saw_end and self._status is None:
            return ""
        self.close()
        lines = [line.strip() for line in self._lines if line.strip()]
        if not self._saw_end:
            return f"the proxy command said: {lines[-1]}" if lines else ""
        how = f"ended with status {self._status}" if (self._status or 0) >= 0 else "was killed"
        return ": ".join([f"the proxy command {how}", *lines[-1:]])

    def judge(self, error: Exception) -> None:
        said = self.explain()
        if self._saw_end and self._status in _NOT_RUN:
            raise InvalidOption(f"ssh_proxy_command: {said}") from error
        if said:
            raise ConnectionError(said if self._saw_end else f"{reason(error)}; {said}") from error

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionResetError, BrokenPipeError):
            self._saw_end = True
            raise

    def _listen(self) -> None:
        lines = Lines()
        with suppress(OSError):
            while data := self._said.recv(4096):
                self._lines.extend(lines.feed(data))
        self._lines.extend(lines.feed(b"", final=True))

    def _end(self) -> int:
        """See the command off, and all of its process group; how it ended.

        Standard error is at its end when nobody is left who could write to it. Until then the command is not asked how
        it ended: its number could be another's afterwards, and the group's with it.
        """
        if self._saw_end:
            self._listening.join(_GRACE)
        self._kill(signal.SIGTERM)
        self._listening.join(_GRACE)
        self._kill(signal.SIGKILL)
        with suppress(OSError):
            self._said.shutdown(socket.SHUT_RDWR)  # one that has left the group may still hold it
        self._listening.join()
        self._said.close()
        try:
            return self._process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:  # it runs as somebody whom we may not kill
            return -signal.SIGKILL

    def _kill(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
