"""A line on loopback: leads TCP connections on, late by half the round trip and no faster than the bandwidth.

python -m benchmarks.relay ADDRESS PORT [--rtt SECONDS] [--rate BITS_PER_SECOND]

It prints the port of 127.0.0.1 that it listens on, and ends with its standard input. All connections share the line;
each direction has a bandwidth of its own. There is no loss and no slow start: TCP's window counts as large enough, so
that what is measured is the programs and not the kernel. A new connection takes the round trip that TCP's handshake
would.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 1 << 18
_CHUNK_SHAPED = 1 << 14
_MOST = 64 << 20
"""Bytes under way in one direction of a connection, if the bandwidth does not allow for fewer."""
_QUEUE = 0.1
"""Seconds for which a sender may be ahead of the bandwidth: the buffer of the narrowest router."""
_BUFFER = 1 << 16
"""A socket's receive buffer on a line with a bandwidth, so that senders notice it as they would."""
_SEGMENT = 1448
"""Likewise TCP's segment size, as on Ethernet: by it Linux chooses how much a sender may buffer."""


class Line:
    """One direction of the line: when what enters it now arrives."""

    def __init__(self, rtt: float = 0.0, rate: float | None = None) -> None:
        self.delay = rtt / 2
        self._rate = rate / 8 if rate else None
        self._free_at = 0.0
        self.bytes = 0

    def enter(self, count: int, now: float) -> float:
        """So many bytes enter; answers with the time at which the last of them has arrived."""
        self.bytes += count
        if self._rate is None:
            return now + self.delay
        self._free_at = max(self._free_at, now) + count / self._rate
        return self._free_at + self.delay

    def free_at(self) -> float:
        """From when on more may enter."""
        return self._free_at - _QUEUE


@dataclass(eq=False)
class Direction:
    """One direction of one connection, and what of it is under way; None is its end."""

    line: Line
    source: socket.socket
    target: socket.socket
    not_before: float
    queue: deque[tuple[float, memoryview | None]] = field(default_factory=deque)
    under_way: int = 0
    ended: bool = False
    """The source has nothing more to say."""
    done: bool = False
    """The target has been told so."""
    blocked: bool = False
    """The target takes no more at the moment."""

    def wants(self, now: float) -> bool:
        """Whether more may be read."""
        return not self.ended and self.under_way < _MOST and self.line.free_at() <= now

    def read(self, size: int, now: float) -> None:
        """Take what is there."""
        try:
            data = self.source.recv(size)
        except BlockingIOError:
            return
        due = max(self.line.enter(len(data), now), self.not_before)
        self.ended = not data
        self.under_way += len(data)
        self.queue.append((due, memoryview(data) if data else None))

    def write(self, now: float) -> None:
        """Hand over what has arrived."""
        while self.queue and self.queue[0][0] <= now and not self.blocked:
            due, data = self.queue[0]
            if data is None:
                self.target.shutdown(socket.SHUT_WR)
                self.done = True
                self.queue.popleft()
                continue
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                self.blocked = True
                return
            self.under_way -= sent
            if sent == len(data):
                self.queue.popleft()
            else:
                self.queue[0] = (due, data[sent:])

    def next_event(self, now: float) -> float | None:
        """When there is something to do without a socket's saying so."""
        times = []
        if self.queue and not self.blocked:
            times.append(self.queue[0][0])
        if not self.ended and self.line.free_at() > now:
            times.append(self.line.free_at())
        return min(times, default=None)


class Connection:
    """A client, and once TCP's handshake would be over, the server."""

    def __init__(self, client: socket.socket, server: socket.socket, relay: Relay, now: float) -> None:
        self.client, self.server = client, server
        opened = now + 3 * relay.up.delay
        self.opens_at: float | None = opened if relay.up.delay else now
        self.up = Direction(relay.up, client, server, opened)
        self.down = Direction(relay.down, server, client, opened)

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """Both."""
        return self.up, self.down

    def close(self) -> None:
        """Let go of both."""
        self.client.close()
        self.server.close()


class Relay:
    """Leads what connects to `port` on to an address, until `run` is told that there is no more input."""

    def __init__(self, address: str, port: int, *, rtt: float = 0.0, rate: float | None = None) -> None:
        self.up, self.down = Line(rtt, rate), Line(rtt, rate)
        self._target = (address, port)
        self._shaped = rate is not None
        self._chunk = _CHUNK_SHAPED if self._shaped else _CHUNK
        self._listener = socket.socket()
        self._narrow(self._listener)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[Connection] = set()
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listener, selectors.EVENT_READ)

    def run(self, stop: socket.socket | int) -> None:
        """Until `stop` can be read."""
        self._ready.register(stop, selectors.EVENT_READ)
        events: list[tuple[selectors.SelectorKey, int]] = []
        try:
            while not any(key.fileobj is stop or key.fd == stop for key, _ in events):
                self._work(events)
                events = self._ready.select(self._pause())
        finally:
            for connection in self._connections:
                connection.close()
            self._ready.close()
            self._listener.close()

    def _narrow(self, sock: socket.socket) -> None:
        if self._shaped:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)

    def _work(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        now = time.monotonic()
        masks = {key.fileobj: mask for key, mask in events}
        if self._listener in masks:
            self._accept(now)
        for connection in list(self._connections):
            try:
                self._advance(connection, masks, now)
            except OSError:
                self._drop(connection)

    def _accept(self, now: float) -> None:
        client, _ = self._listener.accept()
        server = socket.socket()
        self._narrow(server)
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(Connection(client, server, self, now))

    def _advance(self, connection: Connection, masks: Mapping[Any, int], now: float) -> None:
        if connection.opens_at is not None and connection.opens_at <= now:
            connection.opens_at = None
            connection.server.setblocking(True)  # on loopback it is a matter of microseconds
            connection.server.connect(self._target)
            connection.server.setblocking(False)
        for one in connection.directions:
            if masks.get(one.source, 0) & selectors.EVENT_READ and one.wants(now):
                one.read(self._chunk, now)
            if masks.get(one.target, 0) & selectors.EVENT_WRITE:
                one.blocked = False
            if connection.opens_at is None:
                one.write(now)
        if connection.up.done and connection.down.done:
            self._drop(connection)
            return
        self._watch(connection.client, connection.up, connection.down, now)
        if connection.opens_at is None:
            self._watch(connection.server, connection.down, connection.up, now)

    def _watch(self, sock: socket.socket, read: Direction, written: Direction, now: float) -> None:
        wanted = selectors.EVENT_READ * read.wants(now) | selectors.EVENT_WRITE * written.blocked
        known = self._ready.get_map().get(sock)
        if known is None and wanted:
            self._ready.register(sock, wanted)
        elif known is not None and not wanted:
            self._ready.unregister(sock)
        elif known is not None and known.events != wanted:
            self._ready.modify(sock, wanted)

    def _drop(self, connection: Connection) -> None:
        for sock in (connection.client, connection.server):
            if self._ready.get_map().get(sock) is not None:
                self._ready.unregister(sock)
        connection.close()
        self._connections.discard(connection)

    def _pause(self) -> float | None:
        now = time.monotonic()
        times = [one.next_event(now) for connection in self._connections for one in connection.directions]
        times += [connection.opens_at for connection in self._connections]
        known = [at for at in times if at is not None]
        return max(0.0, min(known) - now) if known else None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--rtt", type=float, default=0.0)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    relay = Relay(given.address, given.port, rtt=given.rtt, rate=given.rate)
    print(relay.port, flush=True)
    relay.run(sys.stdin.fileno())


if __name__ == "__main__":
    main()
