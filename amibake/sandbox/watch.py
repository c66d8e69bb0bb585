"""Notices, in one thread and with no process per machine, that machines went down by themselves."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


class Watch:
    """Calls back, each time in a thread of its own, when a watched process has ended."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._stop = os.eventfd(0)
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._poll.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="amibake-sandbox-watch", daemon=True)
        self._thread.start()

    def add(self, pidfd: int, ended: Callable[[], None]) -> None:
        """Watch a process by its pidfd, which stays the caller's."""
        with self._lock:
            self._callbacks[pidfd] = ended
            self._poll.register(pidfd, select.EPOLLIN)

    def discard(self, pidfd: int) -> None:
        """Stop watching it; to be called before the pidfd is closed."""
        with self._lock:
            if self._callbacks.pop(pidfd, None):
                self._poll.unregister(pidfd)

    def close(self) -> None:
        """End the thread; what it has called goes on."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._poll.close()
        os.close(self._stop)

    def _run(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._stop:
                    return
                with self._lock:
                    # the event may be older than a discard, and the number belong to another process by now
                    if fd not in self._callbacks or not has_ended(fd):
                        continue
                    ended = self._callbacks.pop(fd)
                    self._poll.unregister(fd)
                threading.Thread(target=ended, name="amibake-sandbox-power-off", daemon=True).start()


def has_ended(pidfd: int, *, within: float = 0.0) -> bool:
    """Whether a process has ended, or does within some seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within * 1000))
