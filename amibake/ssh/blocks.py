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
LANES_FROM = 8 << 20
"""Bytes still to come for which more channels pay."""
_NEAR = 0.01
"""Seconds of a round trip below which one channel is as good as several."""
_AS_IT_IS_AFTER = 8
"""So many blocks of which none has queued: the line takes all that we have."""


class Blocks:
    """Takes the stream by `write`, up to `close`.

    On the command's own channel there is a line for each block: `block`, the descriptor from which the far side reads
    it, in how many units of how many bytes, and `gzip` where it is compressed. After `rest` all is one block; `lanes`
    says that others than the command's own channel come into use.
    """

    def __init__(self, outlet: Outlet, total: int, lane: Callable[[int], str]) -> None:
        """`total` is about how many bytes will come. `lane` is the command of one, by its number from 1."""
        self._outlet = outlet
        self._left = total
        self._lane = lane
        self._pace = Pace()
        self._held = bytearray()
        self._size = _SMALL
        self._lanes: list[Lane] = []
        self._lanes_in_use = False
        self._turn = 0
        self._quick = 0
        self._as_it_is = False
        if total < _SMALL:
            self._leave_as_it_is()

    def write(self, data: memoryview) -> None:
        """Send this some time, or now; raises as the channels do."""
        if self._as_it_is:
            self._outlet(data)
            return
        self._held += data
        while len(self._held) >= self._size and not self._as_it_is:
            block, self._held = self._held[: self._size], self._held[self._size :]
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
        self._left -= len(block)
        packed = self._pace.pack(block, self._seconds_for_a_byte())
        self._widen(packed is not None)
        lane = self._next_lane()
        source = 0 if lane is None else self._lanes.index(lane) + 3
        data: bytes | bytearray = block if packed is None else packed
        unit = len(data) if packed is not None or len(block) % _UNIT else _UNIT
        line = f"block {source} {unit} {len(data) // unit} {'' if packed is None else 'gzip'}\n"
        self._outlet(memoryview(line.encode()))
        if lane is None:
            self._outlet(memoryview(data))
        else:
            lane.send(data)
        self._hurry(packed is not None)

    def _seconds_for_a_byte(self) -> float | None:
        """Of the first block nothing is known, so it goes as it is; while its answer is awaited there is time."""
        return self._outlet.seconds_for_a_byte() if self._size == _BLOCK else 0.0

    def _hurry(self, packed: bool) -> None:
        self._quick = 0 if packed else self._quick + 1
        if self._quick >= _AS_IT_IS_AFTER and self._outlet.round_trip < _NEAR:
            self._leave_as_it_is()

    def _leave_as_it_is(self) -> None:
        self._as_it_is = True
        self._outlet(memoryview(b"rest\n"))
        held, self._held = self._held, bytearray()
        self._outlet(memoryview(held))

    def _widen(self, packed: bool) -> None:
        """Open lanes where the window is what holds us up: the line is not, when nothing queues."""
        outlet = self._outlet
        if self._lanes or packed or not outlet.has_waited or outlet.round_trip < _NEAR or self._left < LANES_FROM:
            return
        if outlet.round_trip < outlet.window / 2 * (outlet.seconds_for_a_byte() or 0.0):
            return
        self._lanes = [outlet.lane(self._lane(number)) for number in range(1, LANES + 1)]

    def _next_lane(self) -> Lane | None:
        """Whose turn it is; None is the command's own channel's."""
        for lane in self._lanes:
            lane.check()
        ready = [lane for lane in self._lanes if lane.is_ready.is_set()]
        if ready and not self._lanes_in_use:
            self._outlet(memoryview(b"lanes\n"))
            self._lanes_in_use = True
        self._turn = (self._turn + 1) % (len(ready) + 1)
        return ready[self._turn - 1] if self._turn else None
