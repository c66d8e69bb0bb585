"""A channel's sending side, which measures the line while sending."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from amibake.ssh.lanes import Lane
from amibake.ssh.library import paramiko

_SLACK = 0.002
_WEIGHT = 0.8
"""How much an older measurement of the line counts."""
_KNOWN = 1 << 19
"""Bytes that have to be taken before it is known that nothing queues; OpenSSH tells of a fifth of them at a time."""
_DOUBT = 1.1
"""By how much faster the line is taken to be after each look without a measurement: it may be, if nothing queues."""


class Outlet:
    """Called with what is to be sent; returns once all of that is on its way, which may be never.

    Attributes:
        lane: Opens a channel beside this, which has this command.
        round_trip: Seconds from a question to its answer, as the command's start has shown.
        window: Bytes that may be under way.
    """

    def __init__(self, channel: paramiko.Channel, round_trip: float, lane: Callable[[str], Lane]) -> None:
        self.lane = lane
        self.round_trip = round_trip
        self.window = 0
        self._channel = channel
        self._sent = self._taken = 0
        self._taken_at = 0.0
        self._marks: deque[tuple[int, float]] = deque()
        self._line: tuple[float, float] | None = None
        self._is_measured = False

    def __call__(self, data: memoryview) -> None:
        """Raises as the channel's `sendall`."""
        while data:
            count = self._channel.send(data)  # type: ignore[arg-type] # the stubs know only bytes
            data = data[count:]
            if not self._sent:  # until then there may have been none
                self.window = self._channel.out_window_size + count
            self._sent += count
            self._marks.append((self._sent, time.monotonic()))

    def seconds_for_a_byte(self) -> float | None:
        """What the line takes for one; 0 where nothing has been seen to queue, None before that can be known."""
        if self._line is None:
            return 0.0 if self._taken >= _KNOWN else None
        if not self._is_measured:
            self._line = self._line[0], self._line[1] / _DOUBT
        self._is_measured = False
        count, seconds = self._line
        return seconds / count

    def taken(self, count: int) -> None:
        """The far side has taken so many bytes more. Called by the connection's thread."""
        if not self._sent:
            return  # it is what it takes at all
        now, before = time.monotonic(), self._taken_at
        self._taken += count
        self._taken_at = now
        sent_at = None
        while self._marks and self._marks[0][0] <= self._taken:
            sent_at = self._marks.popleft()[1]
        # What had been waiting already when the last was taken came as fast as the line goes.
        if before and sent_at is not None and sent_at + self.round_trip + _SLACK < before:
            counts, seconds = self._line or (0.0, 0.0)
            self._line = _WEIGHT * counts + count, _WEIGHT * seconds + now - before
            self._is_measured = True
