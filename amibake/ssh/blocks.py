"""A stream in blocks, which may take several channels and be compressed; `put.sh` makes one stream of them again."""

from __future__ import annotations

from collections.abc import Callable

from amibake.ssh.lanes import LANES, Lane
from amibake.ssh.outlet import Outlet
from amibake.ssh.pace import Pace

_SMALL = 1 << 18
"""Bytes of a stream that is not worth it, and of the first block."""
_BLOCK = 1 << 20
_UNIT = 1 << 16
LANES_FROM = 4 << 20
"""Bytes for which more channels pay."""
NEAR = 0.003
"""Seconds of a round trip as short as only lines have that are faster than all that could be done about it."""


class Blocks:
    """Takes the stream by `write`, up to `close`.

    On the command's own channel there is a line for each block: `block`, the descriptor from which the far side reads
    it, in how many units of how many bytes, and `gzip` where it is compressed. `lanes` says that others than the
    command's own channel come into use. Where `rest` comes first all else is the stream.
    """

    def __init__(self, outlet: Outlet, total: int, lane: Callable[[int], str]) -> None:
        """`total` is about how many bytes will come. `lane` is the command of one, by its number from 1."""
        self._outlet = outlet
        self._pace = Pace()
        self._held = bytearray()
        self._size = _SMALL
        self._lanes = list[Lane]()
        self._lanes_in_use = False
        self._turn = 0
        self._as_it_is = total < _SMALL or outlet.round_trip < NEAR
        if self._as_it_is:
            outlet(memoryview(b"rest\n"))
        elif total >= LANES_FROM:
            self._lanes = [outlet.lane(lane(number)) for number in range(1, LANES + 1)]

    def write(self, data: memoryview) -> None:
        """Send this some time, or now; raises as the channels do."""
        if self._as_it_is:
            self._outlet(data)
            return
        while data:  # of any length: a file's whole content
            room = self._size - len(self._held)
            self._held += data[:room]
            data = data[room:]
            if len(self._held) == self._size:
                block, self._held = self._held, bytearray()
                self._send(block)
                self._size = _BLOCK

    def close(self) -> None:
        """That was all."""
        if self._held:
            self._send(self._held)
        for lane in self._lanes:
            if lane.is_ready.is_set():
                lane.send(None)

    def _send(self, block: bytearray) -> None:
        packed = self._pace.pack(block, self._outlet.seconds_for_a_byte())
        lane = self._next_lane(packed is not None)
        source = 0 if lane is None else self._lanes.index(lane) + 3
        data: bytes | bytearray = block if packed is None else packed
        unit = len(data) if packed is not None or len(block) % _UNIT else _UNIT
        line = f"block {source} {unit} {len(data) // unit} {'' if packed is None else 'gzip'}\n"
        self._outlet(memoryview(line.encode()))
        if lane is None:
            self._outlet(memoryview(data))
        else:
            lane.send(data)

    def _next_lane(self, packed: bool) -> Lane | None:
        """Whose turn it is; None is the command's own channel's."""
        for lane in self._lanes:
            lane.check()
        ready = [lane for lane in self._lanes if lane.is_ready.is_set()]
        if not self._lanes_in_use:
            if not ready or packed or not self._is_held_up():
                return None
            self._outlet(memoryview(b"lanes\n"))
            self._lanes_in_use = True
        self._turn = (self._turn + 1) % (len(ready) + 1)
        return ready[self._turn - 1] if self._turn else None

    def _is_held_up(self) -> bool:
        """Whether it is the window that holds us up, and not the line, on which then something queues."""
        seconds = self._outlet.seconds_for_a_byte()
        return seconds is not None and seconds * self._outlet.window / 2 < self._outlet.round_trip
