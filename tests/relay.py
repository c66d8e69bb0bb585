"""Connections led through this process, where they can be cut after any byte."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from amibake.ssh.dial import dial as real_dial
from amibake.waiting import Deadline

Direction = Literal["up", "down"]
"""To the machine, or from it."""
How = Literal["FIN", "RST", "blackhole"]
"""What a cut looks like from here: the other side closes, resets, or says nothing any more and takes nothing."""

Dial = Callable[[str, int, Deadline], socket.socket]

_CHUNK = 1 << 15


class Relay:
    """Give its `dial` in place of `amibake.ssh.dial.dial`.

    Attributes:
        bytes: How many were led on in each direction, over all connections.
        cuts: How many cuts were made.
        connections: How many connections were made.
    """

    def __init__(self, dial: Dial = real_dial, *, narrow: bool = False) -> None:
        """With `narrow` hardly anything is under way, so that who sends soon waits."""
        self.bytes: dict[Direction, int] = {"up": 0, "down": 0}
        self.cuts = 0
        self.connections = 0
        self._dial = dial
        self._narrow = narrow
        self._planned: tuple[Direction, int, How] | None = None
        self._led: list[_Led] = []

    def cut(self, direction: Direction, after: int, how: How) -> None:
        """Cut the connection over which this byte of all those in that direction goes, just before it; once."""
        self._planned = (direction, after, how)

    def dial(self, address: str, port: int, deadline: Deadline) -> socket.socket:
        """Connect, through here."""
        far = self._dial(address, port, deadline)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            if self._narrow:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            ours = real_dial("127.0.0.1", listener.getsockname()[1], deadline)
            near, _ = listener.accept()
        if self._narrow:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.connections += 1
        self._led.append(_Led(self, near, far))
        return ours

    def close(self) -> None:
        """Cut everything. No thread or socket is left."""
        for led in self._led:
            led.end()
        self._led.clear()

    def admit(self, direction: Direction, count: int) -> tuple[int, How | None]:
        """How many of so many bytes may pass, and how the connection is cut after them, if it is."""
        before = self.bytes[direction]
        self.bytes[direction] += count
        if self._planned is None or self._planned[0] != direction or before + count <= self._planned[1]:
            return count, None
        _, after, how = self._planned
        self._planned = None
        self.cuts += 1
        return max(0, after - before), how


class _Led:
    """One connection: a thread that leads its bytes on, both ways."""

    def __init__(self, relay: Relay, near: socket.socket, far: socket.socket) -> None:
        self._relay = relay
        self._near, self._far = near, far
        self._wake, self._woken = socket.socketpair()
        for sock in (near, far):
            sock.settimeout(30)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        with self._near, self._far, self._woken, selectors.DefaultSelector() as ready, suppress(OSError):
            for one in (self._near, self._far, self._woken):
                ready.register(one, selectors.EVENT_READ, one)
            left = {self._near, self._far}
            drained = False
            while left:
                for key, _ in ready.select():
                    sock: socket.socket = key.data
                    if sock is self._woken:
                        return
                    data = sock.recv(_CHUNK)
                    if not data:
                        ready.unregister(sock)
                        left.discard(sock)
                    if not drained and not self._lead(sock, data):
                        drained = True

    def _lead(self, source: socket.socket, data: bytes) -> bool:
        """Whether the connection goes on."""
        target, direction = (self._far, "up") if source is self._near else (self._near, "down")
        if not data:
            target.shutdown(socket.SHUT_WR)
            return True
        admitted, how = self._relay.admit(direction, len(data))  # type: ignore[arg-type] # one of the two
        target.sendall(data[:admitted])
        if how == "FIN":
            for sock in (self._near, self._far):
                sock.shutdown(socket.SHUT_WR)
        elif how == "RST":
            for sock in (self._near, self._far):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionResetError
        elif how == "blackhole":
            self._woken.recv(1)
            raise ConnectionAbortedError
        return how is None
