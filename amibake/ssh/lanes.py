"""More channels beside a command's own, of the same connection, for its input.

What may be under way in one channel is 2 MiB with OpenSSH, whatever the line: with a long round trip that is the limit.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

from amibake.ssh.library import paramiko
from amibake.ssh.transport import FOREIGN, ClientTransport

LANES = 3
"""So many at most: as `put.sh` and OpenSSH's MaxSessions have room for."""

_OPEN = 5.0
_TICK = 0.1
_SAID = b"amibake-lane-open\n"
"""What a lane's command says; before that, a login shell's start-up files may say whatever they like."""
_MOST = 1 << 16
"""Bytes of which that has to be the end."""


class Lane:
    """One channel, whose command says that it is open when it is; it passes on its input. To be closed always.

    Attributes:
        is_ready: Set once it can be sent to.
        thread: Does all that may take long.
    """

    def __init__(self, transport: ClientTransport, command: str) -> None:
        self.is_ready = threading.Event()
        self._transport = transport
        self._command = command
        self._channel: paramiko.Channel | None = None
        self._blocks: queue.Queue[bytes | bytearray | None] = queue.Queue(maxsize=1)
        self._over = threading.Event()
        self._used = False
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="amibake-ssh-lane", daemon=True)
        self.thread.start()

    def send(self, block: bytes | bytearray | None) -> None:
        """Send this, or with None the end, after what came before. Raises OSError once the lane has ended."""
        self._used = True
        while not self._over.is_set():
            with suppress(queue.Full):
                self._blocks.put(block, timeout=_TICK)
                return
        self.check()

    def check(self) -> None:
        """Raises OSError when it has ended in spite of having been used: what it got may be lost."""
        if self._used and self._over.is_set():
            raise OSError("a channel of the upload was closed")

    def close(self) -> None:
        """End it, which leaves the thread to be joined."""
        with self._lock:
            self._over.set()
        if self._channel is not None:
            with suppress(*FOREIGN):
                self._channel.close()

    def _run(self) -> None:
        try:
            channel = self._transport.open_session(timeout=_OPEN)
            with self._lock:
                self._channel = channel
            if self._over.is_set():
                channel.close()
            channel.exec_command(self._command.encode("utf-8", "surrogateescape"))
            if self._says_so(channel):
                self.is_ready.set()
                self._pass_on(channel)
        except FOREIGN:
            pass  # who sends learns that it is over
        finally:
            self.is_ready.clear()
            self._over.set()

    def _says_so(self, channel: paramiko.Channel) -> bool:
        said = b""
        while len(said) < _MOST and (data := channel.recv(_MOST)):
            said += data
            if said.endswith(_SAID):
                return True
        return False

    def _pass_on(self, channel: paramiko.Channel) -> None:
        while not (self._over.is_set() or channel.exit_status_ready()):
            with suppress(queue.Empty):
                block = self._blocks.get(timeout=_TICK)
                if block is None:
                    channel.shutdown_write()
                    return
                channel.sendall(memoryview(block))  # type: ignore[arg-type] # the stubs know only bytes
