"""The bytes below one SSH connection, whatever carries them, and how it is noticed that nobody is at the other end."""

from __future__ import annotations

import errno
import math
import socket
import struct
import time
from contextlib import suppress

from amibake import interrupts
from amibake.ssh.library import paramiko

_AT_ONCE = struct.pack("ii", 1, 0)


class Wire:
    """What paramiko gets for a socket: a socket, or a channel of another SSH connection.

    Once questions are asked (`asking`), a peer from which nothing at all has come since the first unanswered one is
    taken for dead after a while: reading and writing raise then, and so they do once the thread that has opened this
    is interrupted. paramiko's thread reads all the time.
    """

    def __init__(self, carrier: socket.socket | paramiko.Channel) -> None:
        self._carrier = carrier
        self._asked_at: float | None = None
        self._limit = math.inf
        self._is_given_up = interrupts.watch()

    def asking(self, limit: float) -> None:
        """The peer is about to be asked whether it is there; it has `limit` seconds."""
        self._limit = limit
        if self._asked_at is None:
            self._asked_at = time.monotonic()

    def explain(self) -> str:
        """Why it has ended, when it has and what carries it knows better than the SSH above."""
        return ""

    def judge(self, error: Exception) -> None:
        """Called once it is closed after `error` in a handshake: raise what fits better, if anything does."""

    def recv(self, size: int) -> bytes:
        """As a socket's."""
        try:
            data = self._carrier.recv(size)
        except TimeoutError:
            self._look()
            raise
        self._asked_at = None
        return data

    def send(self, data: bytes) -> int:
        """As a socket's."""
        try:
            return self._carrier.send(data)
        except TimeoutError:
            self._look()
            raise

    def settimeout(self, seconds: float | None) -> None:
        """As a socket's."""
        self._carrier.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """As a socket's, and it never fails."""
        with suppress(OSError, EOFError, paramiko.SSHException):  # a channel's connection may have ended meanwhile
            self._carrier.shutdown(how)

    def close(self) -> None:
        """As a socket's; may be called more than once, from any thread, and never fails."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._carrier.close()

    def abort(self) -> None:
        """Drop, with the next `close`, what is still on its way to the peer; as far as what carries it can do that."""
        if isinstance(self._carrier, socket.socket) and self._carrier.family != socket.AF_UNIX:
            with suppress(OSError):
                self._carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    @property
    def _closed(self) -> bool:
        """What paramiko looks at while it ends."""
        return self._carrier._closed  # type: ignore[union-attr, no-any-return] # noqa: SLF001

    def _look(self) -> None:
        if self._is_given_up():
            raise ConnectionAbortedError(errno.ECONNABORTED, "interrupted")
        asked_at = self._asked_at
        if asked_at is not None and (silent := time.monotonic() - asked_at) > self._limit:
            # Not TimeoutError: paramiko takes that for a pause.
            raise ConnectionAbortedError(errno.ECONNABORTED, f"no answer for {silent:.0f} s")
