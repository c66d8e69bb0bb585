"""The web server of the sandbox's services, and clients that want too much of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from amibake.sandbox import web
from amibake.sandbox.web import WebHandler, WebServer

ONE, OTHER = "127.0.0.1", "127.0.0.2"
GET = b"GET / HTTP/1.1\r\n\r\n"


class Handler(WebHandler):
    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/stuck":
            raise ValueError("stuck")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


@pytest.fixture
def server(no_thread_left: None) -> Iterator[WebServer]:
    server = WebServer((ONE, 0), Handler)
    server.start("web")
    yield server
    server.close()


def connected(server: WebServer, address: str = ONE) -> socket.socket:
    sock = socket.create_connection((ONE, server.server_port), source_address=(address, 0), timeout=20)
    sock.sendall(GET)
    return sock


def answers(sock: socket.socket) -> bool:
    """Whether it is answered and left open, rather than ended."""
    try:
        return sock.recv(12) == b"HTTP/1.1 200"
    except ConnectionResetError:
        return False


def test_an_address_has_so_many_connections_and_no_more(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_MOST_CONNECTIONS", 3)
    with ExitStack() as open_ones:
        first, *others = [open_ones.enter_context(connected(server)) for _ in range(3)]
        assert all(answers(sock) for sock in (first, *others))
        with connected(server) as more, connected(server, OTHER) as of_another:
            assert not answers(more)
            assert answers(of_another)
        first.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while first.recv(4096):
            pass
        assert answers(open_ones.enter_context(connected(server)))


def test_a_request_that_comes_bit_by_bit_has_a_limit(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_REQUEST_WITHIN", 0.5)
    over = threading.Event()
    with socket.create_connection((ONE, server.server_port), timeout=20) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")

        def trickle() -> None:
            for number in range(200):
                if over.wait(0.05):
                    return
                slow.sendall(f"X-{number}: 1\r\n".encode())

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with connected(server) as other:
                assert answers(other)
            assert slow.recv(100) == b""
        except ConnectionResetError:
            pass  # of what was on its way
        finally:
            over.set()
            thread.join()
    assert threading.active_count() < 20


def test_closing_ends_every_connection_and_its_thread(server: WebServer) -> None:
    before = threading.active_count()
    with connected(server) as kept:
        assert answers(kept)
        assert threading.active_count() > before
        server.close()
        kept.settimeout(20)
        while data := kept.recv(4096):
            assert data.endswith(b"ok")
        assert threading.active_count() < before


def test_who_goes_away_is_no_error_and_a_mistake_of_ours_is_one(
    server: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        server.handle_error(None, (ONE, 1))
    assert capfd.readouterr().err == ""
    with socket.create_connection((ONE, server.server_port), timeout=20) as sock:
        sock.sendall(b"GET /stuck HTTP/1.1\r\n\r\n")
        assert sock.recv(100) == b""
    assert "ValueError: stuck" in capfd.readouterr().err
