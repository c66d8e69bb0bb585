"""One remote command from start to end, in a way that nothing the far side does can hang.

paramiko blocks for good in half a dozen places: reading one stream while the other is full, waiting for a status
before reading, writing to a command that never reads, waiting for the end of a stream that a background child holds
open, waiting for the answer to a request. Here each of these happens in a thread of its own, and the caller's thread
only ever waits for a moment, then looks at the time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from amibake import interrupts, waiting
from amibake.errors import ConnectionLost, WaitTimeout
from amibake.events import Event
from amibake.ssh.lanes import Lane
from amibake.ssh.outlet import Outlet
from amibake.ssh.transport import FOREIGN, ClientTransport
from amibake.waiting import Deadline, duration

Stream = Literal["stdout", "stderr"]
Tell = Callable[[Event], None]
Feed = Callable[[Outlet, Tell], None]
"""Writes a command's whole input. Gets what sends it, and a function with which it can tell the caller something."""

GRACE = 1.0
"""Seconds for which output is still awaited once the command has ended, while a child of its holds the stream open."""

_TICK = 0.1
_CHUNK = 1 << 16
_OPEN = 30.0
_HURRY = 0.1
"""Seconds for closing a channel in a hurry."""


@dataclass(frozen=True)
class Chunk:
    """Bytes that arrived; none at all mean the end of this stream."""

    stream: Stream
    data: bytes


@dataclass(frozen=True)
class Ended:
    """How a command ended: its `status`, -1 when `signal` ("KILL" …) did it."""

    status: int
    signal: str | None = None


class Running:
    """A command under way. Iterate over it to the end, then ask `ended()`; leave by `close()` always.

    Attributes:
        sent: Set once its whole input is on its way, or can't be.
    """

    def __init__(
        self,
        transport: ClientTransport,
        command: str,
        feed: Feed,
        *,
        name: str,
        deadline: Deadline,
        patient: bool = False,
        whole: bool = True,
    ) -> None:
        """`name` is what errors call it. With `patient` the streams are read to their end, however long after the
        status that comes. Without `whole` it is as good when the connection was lost before their end, but after the
        status, which may come first."""
        self._transport = transport
        self._command = command
        self._name = name
        self._deadline = deadline
        self._patient = patient
        self._whole = whole
        self._items: queue.Queue[Chunk | Event] = queue.Queue(maxsize=64)
        self._closing = threading.Event()
        self.sent = threading.Event()
        self._failure: BaseException | None = None
        self._trouble: BaseException | None = None
        begun = time.monotonic()
        self._channel = transport.open_session(timeout=min(_OPEN, max(deadline.remaining(), _TICK)))
        self._round_trip = time.monotonic() - begun
        self._threads = [
            threading.Thread(target=self._send, args=(feed,), name="amibake-ssh-stdin", daemon=True),
            threading.Thread(target=self._read, args=("stdout",), name="amibake-ssh-stdout", daemon=True),
            threading.Thread(target=self._read, args=("stderr",), name="amibake-ssh-stderr", daemon=True),
        ]
        self._lanes: list[Lane] = []
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Chunk | Event]:
        """Chunks as they arrive, and what the feed tells. Raises WaitTimeout, and whatever the feed raised."""
        status = self._channel.status_event
        streams = 2
        while streams or not status.is_set():
            interrupts.check()
            if self._deadline.remaining() <= 0:
                raise WaitTimeout(f"{self._name}: not ended after {duration(self._deadline.seconds)}")
            if not streams:
                if not status.wait(_TICK):
                    waiting.clock.waited(_TICK)
                continue
            ended = status.is_set() and not self._patient
            patience = GRACE if ended else min(_TICK, self._deadline.remaining())
            try:
                item = self._items.get(timeout=patience)
            except queue.Empty:
                waiting.clock.waited(patience)
                if ended:
                    break
                continue
            if isinstance(item, Chunk) and not item.data:
                streams -= 1
            else:
                yield item
        if self._failure is not None:
            raise self._failure

    def ended(self) -> Ended:
        """Raises ConnectionLost when neither a status nor a signal has arrived: then it is not known how it ended; and
        when some of its output has not, unless that is as good."""
        signal = self._transport.signals.get(self._channel.get_id())
        cut = self._whole and not self._channel.eof_received and self._transport.has_ended()
        if cut or (self._channel.exit_status < 0 and signal is None):
            why = self._transport.why(self._trouble)
            raise ConnectionLost(
                f"{self._name}: the SSH connection was lost before this had ended{why and f': {why}'}"
            ) from self._trouble
        return Ended(self._channel.exit_status, signal)

    def close(self, *, hurry: bool = False) -> None:
        """Close the channel, which ends whatever still waits on it, and see the threads off.

        To close it is to send something, for which a peer that takes nothing any more has to be found dead first. In a
        `hurry` that is not waited for: the whole connection is ended.
        """
        self._closing.set()
        if hurry:
            closing = threading.Thread(target=self._close_channel, name="amibake-ssh-close", daemon=True)
            closing.start()
            self._threads.append(closing)
            until = time.monotonic() + _HURRY
            for thread in self._all_threads():
                thread.join(max(0.0, until - time.monotonic()))
            if any(thread.is_alive() for thread in self._all_threads()):
                self._transport.end(abort=True)
        else:
            self._close_channel()
        for thread in self._all_threads():
            thread.join()
        self._transport.takers.pop(self._channel.get_id(), None)

    def _all_threads(self) -> Iterator[threading.Thread]:
        """Those that open lanes come first: there are no more lanes once they have ended."""
        yield from self._threads
        for lane in self._lanes:
            yield lane.thread

    def _close_channel(self) -> None:
        with contextlib.suppress(*FOREIGN):
            self._channel.close()
        for lane in self._lanes:
            lane.close()

    def _lane(self, command: str) -> Lane:
        self._lanes.append(lane := Lane(self._transport, command))
        if self._closing.is_set():
            lane.close()
        return lane

    def _tell(self, item: Chunk | Event) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=_TICK)
                break

    def _read(self, stream: Stream) -> None:
        receive = self._channel.recv if stream == "stdout" else self._channel.recv_stderr
        with contextlib.suppress(*FOREIGN):  # what came is acknowledged, which a dead connection can't
            while data := receive(_CHUNK):
                self._tell(Chunk(stream, data))
        self._tell(Chunk(stream, b""))

    def _send(self, feed: Feed) -> None:
        try:
            begun = time.monotonic()
            # bytes, because a path in it may not be UTF-8
            self._channel.exec_command(self._command.encode("utf-8", "surrogateescape"))
            outlet = Outlet(self._channel, min(self._round_trip, time.monotonic() - begun), self._lane)
            self._transport.takers[self._channel.get_id()] = outlet.taken
            feed(outlet, self._tell)
            self._channel.shutdown_write()
        except FOREIGN as error:
            # The command may have ended without reading its input; whether it did, its status says.
            self._trouble = error
            with contextlib.suppress(*FOREIGN):  # where only a lane is lost it still waits for more
                self._channel.shutdown_write()
        except BaseException as error:  # noqa: BLE001 - raised where the caller waits
            self._failure = error
            self._channel.close()
        finally:
            self.sent.set()


def send_all(data: bytes) -> Feed:
    """The feed that sends just this; a memoryview because paramiko's sendall copies the rest at each step."""

    def feed(write: Outlet, _: Tell) -> None:
        if data:
            write(memoryview(data))

    return feed
