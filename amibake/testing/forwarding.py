"""Connections that lead on through a loopback machine: what makes it a bastion."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import paramiko

_CHUNK = 1 << 15
_GONE = (OSError, EOFError, paramiko.SSHException)

Connect = Callable[[str, int], socket.socket]
"""Connects to an address and a port as the machine would; raises OSError."""


def connect(address: str, port: int) -> socket.socket:
    """To just there."""
    return socket.create_connection((address, port), timeout=5)


class Forwarding:
    """One connection that leads on: bytes go both ways until either side has ended, in two threads."""

    def __init__(self, channel: paramiko.Channel, sock: socket.socket) -> None:
        self._channel = channel
        self._sock = sock
        sock.settimeout(None)
        self._threads = [
            threading.Thread(target=self._pump, args=(channel.recv, sock.sendall), name="sshd-forward", daemon=True),
            threading.Thread(target=self._pump, args=(sock.recv, channel.sendall), name="sshd-forward", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it has not ended yet."""
        return any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Cut it, and see the threads off."""
        self._cut()
        for thread in self._threads:
            thread.join()
        self._sock.close()

    def _pump(self, receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        with suppress(*_GONE):
            while data := receive(_CHUNK):
                send(data)
        self._cut()

    def _cut(self) -> None:
        with suppress(*_GONE):
            self._sock.shutdown(socket.SHUT_RDWR)
        with suppress(*_GONE):
            self._channel.close()
