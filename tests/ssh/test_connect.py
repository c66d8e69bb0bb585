"""Getting in, past everything that a booting machine does, on a clock on which waiting takes no time."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import paramiko
import pytest

from amibake.errors import AuthenticationFailed, ConnectionLost, HostKeyChanged, NoCapacity, SSHTimeout
from amibake.events import Event, Waiting
from amibake.ssh import dial
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.ssh.transport import Patience
from amibake.testing.behaviour import exits
from amibake.testing.clock import FakeClock
from amibake.testing.door import Door
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline
from tests.ssh.conftest import Connect

pytestmark = pytest.mark.usefixtures("clock")
ADDRESS = "127.78.0.1"


@contextmanager
def server(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Something that listens and is no SSH server; connections are closed after `serve`."""
    listener = socket.create_server((ADDRESS, 0))

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                serve(sock)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def until_closed(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


def banner_only(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-x\r\n")
    until_closed(sock)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_in_at_the_first_attempt(enter: Connect, clock: FakeClock, events: list[Event]) -> None:
    with enter(data={"ID": "i-1"}) as host:
        assert clock.now() == 0
        assert host.run("echo hello", capture=True).stdout == "hello\n"
        assert host.data["ID"] == "i-1"
    assert events == []


def test_in_with_an_rsa_key(tmp_path: Path, enter: Connect) -> None:
    key = make_key_pair("rsa", "for the old")
    with LoopbackMachine("127.78.0.3", tmp_path / "m", [key.public]) as machine:
        connect(
            machine.address, machine.port, username="admin", key=key, deadline=Deadline(9), emit=lambda _: None
        ).close()
        assert machine.logins == 1


def test_nobody_listens(enter: Connect, machine: LoopbackMachine, clock: FakeClock, events: list[Event]) -> None:
    machine.stop()
    with pytest.raises(SSHTimeout, match=r"as admin: not after 30 s; last seen: Connection refused") as caught:
        enter()
    assert "nothing listens on port" in caught.value.hint
    assert clock.now() == pytest.approx(30, abs=1.1)
    assert isinstance(events[0], Waiting)


def refused(*_: object) -> socket.socket:
    raise ConnectionRefusedError(111, "Connection refused")


def test_the_machine_comes_up_meanwhile(
    enter: Connect, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    real = dial.dial

    def dialled(address: str, port: int, deadline: Deadline) -> socket.socket:
        return real(address, port, deadline) if clock.now() > 20 else refused()

    monkeypatch.setattr(dial, "dial", dialled)
    enter().close()
    assert 20 < clock.now() <= 21


def test_gives_up_as_soon_as_the_instance_has_died(
    enter: Connect, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    def alive() -> None:
        if clock.now() > 10:
            raise NoCapacity("the instance was reclaimed")

    monkeypatch.setattr(dial, "dial", refused)
    with pytest.raises(NoCapacity):
        enter(alive=alive)
    assert clock.now() < 14


@pytest.mark.parametrize(
    ("serve", "seen"),
    [
        (lambda _: None, "banner|reset"),
        (reset, "reset|banner|closed it"),
        (lambda sock: sock.sendall(b"Exceeded MaxStartups\r\n"), "banner|reset"),
        (lambda sock: sock.sendall(b"SSH-2.0-x\r\n"), "reset|Negotiation|closed it"),
        (until_closed, "banner"),
        (banner_only, "the SSH handshake came to no end in time"),
    ],
    ids=["close", "reset", "MaxStartups", "banner then close", "silence", "banner then silence"],
)
def test_what_listens_is_not_ready(enter: Connect, serve: Callable[[socket.socket], object], seen: str) -> None:
    with server(serve) as port, pytest.raises(SSHTimeout, match=seen):
        enter(port, timeout=1.0, patience=Patience(tcp=5, banner=0.1, handshake=0.2, auth=5))


def test_connections_that_are_closed_at_once_are_tried_again(enter: Connect, machine: LoopbackMachine) -> None:
    machine.behaviour.refuse_connections = 3
    enter().close()
    assert (machine.behaviour.refuse_connections, machine.logins) == (0, 1)


def test_the_key_is_installed_only_later(enter: Connect, machine: LoopbackMachine, events: list[Event]) -> None:
    machine.behaviour.refuse_logins = 4
    enter().close()
    assert {event.seen for event in events if isinstance(event, Waiting)} == {"the key is refused (offered: publickey)"}


def test_the_wrong_user(enter: Connect, machine: LoopbackMachine, clock: FakeClock) -> None:
    with pytest.raises(
        AuthenticationFailed, match="refuses the key for the user ubuntu; it offers: publickey"
    ) as caught:
        enter(username="ubuntu")
    assert "ec2-user" in caught.value.hint
    assert 20 <= clock.now() < 22


def test_a_server_that_does_not_answer_a_login_has_not_refused_it(
    enter: Connect, clock: FakeClock, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    machine.behaviour.refuse_logins = 1
    real, woken, asked = Door.check_auth_publickey, threading.Event(), [0]

    def stuck(door: Door, username: str, key: paramiko.PKey) -> int:
        asked[0] += 1
        if 1 < asked[0] < 4:
            woken.wait(10)
        return real(door, username, key)

    monkeypatch.setattr(Door, "check_auth_publickey", stuck)
    enter(grace=0.5, patience=Patience(auth=0.3)).close()
    woken.set()
    assert "Authentication timeout." in {event.seen for event in events if isinstance(event, Waiting)}
    assert machine.logins == 1


@pytest.mark.parametrize("before", [0, 1])
def test_a_connection_that_is_lost_during_a_login_is_no_refusal(
    enter: Connect, machine: LoopbackMachine, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.behaviour.refuse_logins = before
    real, asked = Door.check_auth_publickey, [0]

    def drops(door: Door, username: str, key: paramiko.PKey) -> int:
        asked[0] += 1
        if before < asked[0] < before + 3:
            machine.drop()
        return real(door, username, key)

    monkeypatch.setattr(Door, "check_auth_publickey", drops)
    enter(grace=0.5).close()
    monkeypatch.setattr(Door, "check_auth_publickey", lambda *_: machine.drop())
    with pytest.raises(SSHTimeout, match=r"last seen: .*(shut down|reset|closed)"):
        enter(grace=0.5, timeout=3.0)


@pytest.mark.parametrize("code", [2, 14])
def test_a_server_that_ends_the_connection_for_a_refusal_has_refused(
    enter: Connect, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshd with MaxAuthTries 1: no other answer than that."""

    def disconnects(door: Door, *_: object) -> int:
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_DISCONNECT)
        message.add_int(code)
        message.add_string("Too many authentication failures" if code == 2 else "")
        message.add_string("")
        transport = threading.current_thread()
        assert isinstance(transport, paramiko.Transport)
        transport._send_message(message)  # type: ignore[attr-defined]
        transport.close()
        return paramiko.common.AUTH_FAILED

    monkeypatch.setattr(Door, "check_auth_publickey", disconnects)
    with pytest.raises(AuthenticationFailed, match="refuses the key for the user admin; it offers: publickey"):
        enter(timeout=60.0)


class Penalties:
    """OpenSSH's PerSourcePenalties with its defaults: 5 s for each refused session; once that is more than 15 s, nobody
    is listened to until it is over. Counts on the clock of the test."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, already: float = 0.0) -> None:
        self.refused_at: list[float] = []
        self.dropped_at: list[float] = []
        self._clock = clock
        self._until = already
        self._deaf_until = 0.0
        self._dial = dial.dial
        monkeypatch.setattr(dial, "dial", self._dialled)
        monkeypatch.setattr(Door, "check_auth_publickey", self._refuse)

    def _refuse(self, *_: object) -> int:
        now = self._clock.now()
        self.refused_at.append(now)
        self._until = max(self._until, now) + 5
        if self._until - now > 15:
            self._deaf_until = self._until
        return paramiko.common.AUTH_FAILED

    def _dialled(self, address: str, port: int, deadline: Deadline) -> socket.socket:
        sock = self._dial(address, port, deadline)
        if self._clock.now() < self._deaf_until:
            self.dropped_at.append(self._clock.now())
            sock.shutdown(socket.SHUT_RDWR)
        return sock


def test_refusals_never_add_up_to_a_penalty(enter: Connect, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    penalties = Penalties(clock, monkeypatch)
    with pytest.raises(AuthenticationFailed):
        enter(grace=60, timeout=300)
    assert penalties.dropped_at == []
    assert len(penalties.refused_at) > 10
    assert min(after - before for before, after in pairwise(penalties.refused_at)) >= 3


def test_a_server_that_no_longer_listens_after_refusals_has_refused(
    enter: Connect, clock: FakeClock, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    penalties = Penalties(clock, monkeypatch, already=20)
    with pytest.raises(AuthenticationFailed, match="refuses the key for the user admin; it offers: publickey"):
        enter()
    assert len(penalties.refused_at) == 1
    assert len(penalties.dropped_at) >= 2
    assert 20 <= clock.now() < 25
    [told] = {event.seen for event in events if isinstance(event, Waiting)} - {
        "the key is refused (offered: publickey)"
    }
    assert told.endswith("after the key was refused (offered: publickey)")


def test_a_machine_that_reboots_after_a_refusal_is_waited_for(
    enter: Connect, machine: LoopbackMachine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.behaviour.refuse_logins = 1
    real = dial.dial

    def dialled(address: str, port: int, deadline: Deadline) -> socket.socket:
        return refused() if 0 < clock.now() < 60 else real(address, port, deadline)

    monkeypatch.setattr(dial, "dial", dialled)
    enter(timeout=300).close()
    assert 60 <= clock.now() < 63


def test_a_server_that_wants_no_key(enter: Connect, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.behaviour.refuse_logins = 1
    monkeypatch.setattr(Door, "check_auth_none", lambda *_: paramiko.common.AUTH_SUCCESSFUL)
    enter().close()


def test_a_server_that_takes_no_keys(enter: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "get_allowed_auths", lambda *_: "password,keyboard-interactive")
    with pytest.raises(AuthenticationFailed, match="it offers: password, keyboard-interactive"):
        enter(username="ubuntu")


def test_root_is_told_whose_account_to_use(tmp_path: Path, key: KeyPair) -> None:
    said = 'Please login as the user "admin" rather than the user "root".'
    with LoopbackMachine("127.78.0.3", tmp_path / "m", [key.public], username="root") as machine:

        def enter() -> SSHHost:
            return connect(
                machine.address, machine.port, username="root", key=key, deadline=Deadline(9), emit=lambda _: None
            )

        enter().close()
        machine.behaviour.on("true", exits(142, stdout=f"{said}\n\n"))
        with pytest.raises(AuthenticationFailed, match=said):
            enter()
        machine.behaviour.drop_instead = "true"
        with pytest.raises(AuthenticationFailed, match=said):
            enter()
        machine.behaviour.drop_instead, machine.behaviour.drop_times = "true", 4
        with pytest.raises(ConnectionLost):
            enter()


def test_a_known_host_key_is_demanded(enter: Connect, machine: LoopbackMachine) -> None:
    fingerprint = machine._host_key.fingerprint
    for known in (machine.host_key, f"{machine.host_key} root@builder", fingerprint):
        enter(known_host_key=known).close()
    other = make_key_pair().public
    shown = f"ssh-ed25519 {paramiko.Ed25519Key(data=base64.b64decode(other.split()[1])).fingerprint} is pinned"
    with pytest.raises(HostKeyChanged, match=re.escape(f"ssh-ed25519 {fingerprint}, where {shown}")):
        enter(known_host_key=other)


def test_a_known_rsa_host_key_is_asked_for(enter: Connect) -> None:
    with pytest.raises(HostKeyChanged):
        enter(known_host_key=make_key_pair("rsa").public)


def test_reconnecting_to_the_same_machine_only(enter: Connect, machine: LoopbackMachine) -> None:
    with enter() as host:
        machine.stop()
        machine.start()
        with pytest.raises(ConnectionLost):
            host.run("true", when_lost="raise")
    with enter() as host:
        host.reconnect()
        assert host.run("true").status == 0
        machine.change_host_key()
        with pytest.raises(HostKeyChanged):
            host.reconnect()


def test_what_else_is_raised_leaves_nothing_open(enter: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_transport(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amibake.ssh.transport.ClientTransport", no_transport)
    with pytest.raises(KeyboardInterrupt):
        enter()


def test_what_ends_a_connection_is_not_lost_to_who_asks_just_then(
    enter: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, cause = paramiko.Transport.get_exception, EOFError()

    def get_exception(self: paramiko.Transport) -> Exception | None:
        error = real(self)
        self.saved_exception = cause  # as the connection's own thread does
        return error

    with enter() as host, monkeypatch.context() as patched:
        transport = host._line._transport
        patched.setattr(paramiko.Transport, "get_exception", get_exception)
        assert transport.get_exception() is None
        assert transport.has_ended()
        assert transport.get_exception() is cause
