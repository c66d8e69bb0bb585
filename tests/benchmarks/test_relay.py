"""The line on loopback: nothing is lost on it, and it is as long and as narrow as it is said to be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.relay import Line, Relay

SENT = bytes(range(256)) * (1 << 16)
"""More than sockets hold."""
PATIENCE = 20.0
"""Seconds that nothing here takes."""


@pytest.fixture
def all_sent() -> threading.Event:
    """Once the client has sent all."""
    return threading.Event()


@pytest.fixture
def echo(all_sent: threading.Event) -> Iterator[int]:
    """The port of somebody who listens only once all is sent, and sends it back with a word of his own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                all_sent.wait(PATIENCE)
                connection.sendall(stream.read() + b"end")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


@contextmanager
def running(relay: Relay) -> Iterator[socket.socket]:
    """A client of a relay that runs as long as the block."""
    stop, stopped = socket.socketpair()
    thread = threading.Thread(target=relay.run, args=(stopped,), daemon=True)
    thread.start()
    with stop, stopped:
        with socket.create_connection(("127.0.0.1", relay.port), PATIENCE) as client:
            yield client
        stop.sendall(b"x")
        thread.join(PATIENCE)


@pytest.mark.parametrize("rate", [None, 1e10])
def test_all_bytes_and_the_ends_of_both_sides_go_through_it_and_are_counted(
    echo: int, all_sent: threading.Event, rate: float | None
) -> None:
    relay = Relay("127.0.0.1", echo, rtt=0.001, rate=rate)

    with running(relay) as client, client.makefile("rb") as answer:
        client.sendall(SENT)
        all_sent.set()
        client.shutdown(socket.SHUT_WR)
        assert answer.read() == SENT + b"end"

    assert (relay.up.bytes, relay.down.bytes) == (len(SENT), len(SENT) + 3)


def test_a_server_that_refuses_is_the_end_of_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with running(Relay("127.0.0.1", port)) as client:
        assert client.recv(1) == b""


def test_what_enters_a_line_arrives_half_a_round_trip_later() -> None:
    assert Line(rtt=0.05).enter(10**9, now=3.0) == pytest.approx(3.025)


def test_what_enters_a_narrow_line_waits_for_what_entered_before() -> None:
    line = Line(rtt=0.08, rate=8e6)

    assert line.enter(1_000_000, now=0.0) == pytest.approx(1.04)
    assert line.enter(500_000, now=0.2) == pytest.approx(1.54)
    assert line.enter(500_000, now=9.0) == pytest.approx(9.54)


def test_a_sender_is_hardly_ahead_of_a_narrow_line() -> None:
    line = Line(rate=8e6)
    line.enter(1_000_000, now=0.0)

    assert 0.8 < line.free_at() < 1.0
