"""The far side of one command: a real process, or an answer that a test has prepared."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

_CHUNK = 1 << 15
_GONE = (OSError, EOFError, paramiko.SSHException)


class Execution:
    """One command on one channel, in a thread of its own: `handle` is called with this, and the channel closed after.

    `received` is told of the input as it arrives and may answer with how much of it still counts: then the rest
    is lost with the connection.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        handle: Callable[[Execution], None],
        received: Callable[[int], int | None],
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._received = received
        self._open_streams = 2
        self._total = 0
        self._cut = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._run, name="sshd-exec", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Kill what runs, and see the thread off."""
        self._close()
        for process in self._processes if self._thread.is_alive() else ():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._thread.join()

    def read(self) -> bytes:
        """Some input; nothing at its end."""
        if self._cut:
            return b""
        data = self._channel.recv(_CHUNK)
        self._total += len(data)
        counts = self._received(self._total)
        if counts is None:
            return data
        self._cut = True
        return data[: len(data) - (self._total - counts)]

    def read_all(self) -> bytes:
        """All of the input."""
        return b"".join(iter(self.read, b""))

    def answer(self, status: int, stdout: str = "", stderr: str = "") -> None:
        """Print this and exit so."""
        with suppress(*_GONE):
            self._channel.sendall(stdout.encode())
            self._channel.sendall_stderr(stderr.encode())
            self._channel.send_exit_status(status)

    def stay(self) -> None:
        """Do not end before the connection does."""
        self._channel.status_event.wait()

    def process(self, words: list[str], directory: Path, environment: dict[str, str]) -> int:
        """Run this, with the channel for its three streams, and report how it ended as OpenSSH does: the status at
        once, and the end of the output only when the last process that holds it has gone. Answers with the status."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            words,
            cwd=directory,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            start_new_session=True,
        ) as process:
            self._processes.append(process)
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            assert process.stderr is not None  # noqa: S101
            pumps = [
                threading.Thread(target=self._pump_in, args=(process.stdin,), daemon=True),
                threading.Thread(target=self._pump_out, args=(process.stdout, self._channel.sendall), daemon=True),
                threading.Thread(
                    target=self._pump_out, args=(process.stderr, self._channel.sendall_stderr), daemon=True
                ),
            ]
            for pump in pumps:
                pump.start()
            status = process.wait()
            with suppress(*_GONE):
                if status >= 0:
                    self._channel.send_exit_status(status)
                else:
                    self._send_signal(signal.Signals(-status).name.removeprefix("SIG"))
            for pump in pumps[1:]:
                pump.join()
            self._close()
            pumps[0].join()
        return status

    def _close(self) -> None:
        with suppress(*_GONE):
            self._channel.close()

    def _run(self) -> None:
        try:
            self._handle(self)
        finally:
            self._close()

    def _pump_in(self, stdin: IO[bytes]) -> None:
        with suppress(*_GONE), stdin:
            while rest := memoryview(self.read()):
                while rest:
                    rest = rest[stdin.write(rest) :]  # a signal, such as those of Ctrl-Z and fg, cuts a write short

    def _pump_out(self, stream: IO[bytes], send: Callable[[bytes], None]) -> None:
        with suppress(*_GONE), stream:
            while data := os.read(stream.fileno(), _CHUNK):
                send(data)
        self._open_streams -= 1
        if not self._open_streams:
            with suppress(*_GONE):
                self._channel.shutdown_write()

    def _send_signal(self, name: str) -> None:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self._channel.remote_chanid)
        message.add_string("exit-signal")
        message.add_boolean(False)
        message.add_string(name)
        message.add_boolean(False)
        message.add_string("")
        message.add_string("")
        self._channel.transport._send_user_message(message)  # type: ignore[union-attr]  # noqa: SLF001
