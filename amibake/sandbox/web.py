"""The HTTP server that the sandbox's own services share; the API's is moto's.

Instances ask it, whose software is whoever's who uses the sandbox: none can take more of it than its share.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

_MOST_CONNECTIONS = 64
"""From one address at a time."""

_REQUEST_WITHIN = 60.0
"""Seconds in which a whole request has to be there, after the connection was made or the last one was answered."""

_ENDS_WITHIN = 5.0
"""Seconds that `close()` waits for answers under way, whose connections have ended."""


class WebServer(ThreadingHTTPServer):
    """Serves each connection in a thread of its own, from `start()` to `close()`."""

    def __init__(self, address: tuple[str, int], handler: type[WebHandler]) -> None:
        self._connections: dict[socket.socket, tuple[str, threading.Thread]] = {}
        self._due: dict[socket.socket, float] = {}
        """When the requests have to be there that are awaited."""
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of our own name, which may have to wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def start(self, name: str) -> None:
        """Serve in a thread of this name."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name=name, daemon=True).start()

    def close(self) -> None:
        """Stop serving, end every connection, and give the port back."""
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._connections.items())
        for sock, _ in left:
            _end(sock)
        until = time.monotonic() + _ENDS_WITHIN
        for _, (_, thread) in left:
            thread.join(max(until - time.monotonic(), 0))

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread; not at all for an address that has too many connections already."""
        address = client_address[0]
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            full = Counter(known for known, _ in self._connections.values())[address] >= _MOST_CONNECTIONS
            if not full:
                self._connections[request] = (address, thread)
        if full:
            self.shutdown_request(request)
        else:
            thread.start()

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        with self._lock:
            self._connections.pop(request, None)
            self._due.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called several times a second: ends connections whose request does not come."""
        now = time.monotonic()
        with self._lock:
            late = [sock for sock, due in self._due.items() if due < now]
            for sock in late:
                _end(sock)  # within the lock: it is not closed yet, and its number is not another's

    def awaits(self, request: socket.socket, *, now: bool) -> None:
        """Whether the connection's next request is awaited now."""
        with self._lock:
            if now:
                self._due[request] = time.monotonic() + _REQUEST_WITHIN
            else:
                self._due.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That somebody went away is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class WebHandler(BaseHTTPRequestHandler):
    """What the handlers of a `WebServer` have in common."""

    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_WITHIN
    server: WebServer

    @property
    def asked_path(self) -> str | None:
        """The path that is asked for, without a query; None where there is none in what was sent."""
        try:
            return urlsplit(self.path).path
        except ValueError:
            return None

    def handle_one_request(self) -> None:
        """Within limits."""
        self.server.awaits(self.connection, now=True)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """All of it is there then but for a body, which nobody reads."""
        whole = super().parse_request()
        self.server.awaits(self.connection, now=False)
        return whole

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: what instances ask for is theirs."""


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
