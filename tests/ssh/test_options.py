"""Keep-alive and algorithms."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from amibake.errors import ConnectionLost, SSHTimeout
from amibake.ssh import dial
from amibake.ssh.bastion import Bastion
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair
from amibake.ssh.options import Options, check_algorithms
from amibake.ssh.transport import ClientTransport
from amibake.ssh.wire import Wire
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline
from tests.relay import Relay


@pytest.fixture
def server(machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


class Server:
    """The questions that machines are asked, which they can be made not to answer, nor anything else.

    By which time silence is measured is up to the test: this process may be stopped for as long as it likes.

    Attributes:
        asked: Is released by each question.
        dead: Set it, and no more are answered. silent: Is set once one is not.
        woken: Set it, and they are.
        seconds: What time it is for who waits for an answer. step: By how much later it is with each look at it.
        looked: Is released by each.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Semaphore(0)
        self.dead = threading.Event()
        self.silent = threading.Event()
        self.woken = threading.Event()
        self.seconds = self.step = 0.0
        self.looked = threading.Semaphore(0)
        real = paramiko.Transport._parse_global_request  # type: ignore[attr-defined]

        def parse(transport: paramiko.Transport, message: paramiko.Message) -> None:
            self.asked.release()
            if self.dead.is_set():
                self.silent.set()
                self.woken.wait(60)
            real(transport, message)

        monkeypatch.setattr(paramiko.Transport, "_parse_global_request", parse)
        monkeypatch.setattr("amibake.ssh.wire.time", self)

    def monotonic(self) -> float:
        """In place of time's."""
        self.looked.release()
        self.seconds += self.step
        return self.seconds

    def be_silent_for(self, seconds: float) -> None:
        """Answer nothing from now on, until so much later; who waits for an answer has seen that it is."""
        self.dead.set()
        assert self.silent.wait(60)
        self.seconds += seconds
        while self.looked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.looked.acquire(timeout=60)

    def die(self) -> None:
        """Answer nothing from now on, while time flies."""
        self.dead.set()
        assert self.silent.wait(60)
        self.step = 1000


def into(machine: LoopbackMachine, key: KeyPair, **options: Any) -> SSHHost:
    given: dict[str, Any] = {"deadline": Deadline(99), "emit": lambda _: None, **options}
    return connect(machine.address, machine.port, username="admin", key=key, **given)


@pytest.fixture
def bastion(tmp_path: Path, key: KeyPair) -> Iterator[Bastion]:
    with (
        LoopbackMachine("127.78.1.1", tmp_path / "between", [key.public]) as machine,
        Bastion(machine.address, machine.port, Credentials("admin", key), options=Options(-1)) as bastion,
    ):
        yield bastion


@pytest.mark.parametrize("through_bastion", [False, True])
def test_a_peer_is_asked_and_one_that_answers_is_alive(
    through_bastion: bool, machine: LoopbackMachine, key: KeyPair, bastion: Bastion, server: Server
) -> None:
    route = bastion if through_bastion else None
    with into(machine, key, options=Options(0.02, answers_within=40), route=route) as host:
        for _ in range(50):
            assert server.asked.acquire(timeout=60)
            server.seconds += 1
        assert host.run("true").status == 0


@pytest.mark.parametrize("through_bastion", [False, True])
def test_a_peer_that_no_longer_answers_is_dead(
    through_bastion: bool, machine: LoopbackMachine, key: KeyPair, bastion: Bastion, server: Server
) -> None:
    route = bastion if through_bastion else None
    with into(machine, key, options=Options(0.05, answers_within=0.4), route=route) as host:
        threading.Thread(target=server.die).start()
        with pytest.raises(ConnectionLost, match=r"had ended: no answer for \d+ s"):
            host.run("exec sleep 600")
        server.woken.set()


@pytest.mark.parametrize("interval", [0.05, 1.0])
def test_silence_is_put_up_with_for_as_long_whatever_the_interval(
    interval: float, machine: LoopbackMachine, key: KeyPair, server: Server
) -> None:
    with into(machine, key, options=Options(interval, answers_within=1.5)) as host:
        server.be_silent_for(1.4)
        server.woken.set()
        assert host.run("true").status == 0


def test_by_default_a_death_is_noticed_within_half_a_minute() -> None:
    assert Options().keep_alive_interval + Options().answers_within < 30
    assert Options(60).answers_within == Options().answers_within


def test_a_dead_peer_does_not_hold_up_who_sends(machine: LoopbackMachine, key: KeyPair, server: Server) -> None:
    with into(machine, key, options=Options(0.05, answers_within=0.4)) as host:
        threading.Thread(target=server.die).start()
        with pytest.raises(ConnectionLost, match=r"the SSH connection .*was lost.*: no answer"):
            host.put(bytes(64 << 20), "big")
        server.woken.set()


def test_what_has_ended_a_connection_is_said_by_all_that_is_tried_over_it(
    machine: LoopbackMachine, key: KeyPair, server: Server
) -> None:
    with into(machine, key, options=Options(0.05, answers_within=0.4)) as host:
        threading.Thread(target=server.die).start()
        for _ in range(3):
            with pytest.raises(ConnectionLost, match=r"no answer for \d+ s"):
                host.run("exec sleep 600", when_lost="raise")
        server.woken.set()


@pytest.mark.parametrize("what", ["a command", "an upload", "a download"])
def test_silence_on_the_line_is_noticed(
    what: str, machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a peer whose kernel is there and acknowledges, so that ours sees nothing; also where it takes nothing more."""
    machine.upload("/tmp/big").write_bytes(bytes(16 << 20))
    with closing(Relay()) as relay:
        monkeypatch.setattr(dial, "dial", relay.dial)
        now = SimpleNamespace(monotonic=lambda: time.monotonic() if relay.cuts == relay.connections else 0.0)
        monkeypatch.setattr("amibake.ssh.wire.time", now)  # silence lasts for as long as the line is cut
        with into(machine, key, options=Options(0.05, answers_within=0.4)) as host:
            relay.cut("down" if what == "a download" else "up", relay.bytes["up"] + 5_000, "blackhole")
            if what == "a command":
                with pytest.raises(ConnectionLost, match="had ended: no answer"):
                    host.run("exec cat >/dev/null", input=bytes(1 << 20))
                host.reconnect()
            elif what == "an upload":
                host.put(bytes(16 << 20), "/tmp/copy")
                assert machine.upload("/tmp/copy").stat().st_size == 16 << 20
            else:
                host.get("/tmp/big", machine.root / "copy")
                assert (machine.root / "copy").stat().st_size == 16 << 20
        assert (relay.cuts, relay.connections, machine.logins) == (1, 2, 2)


def test_what_was_sent_over_a_connection_that_is_given_up_never_arrives() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(socket.create_connection(listener.getsockname()))
        theirs, _ = listener.accept()
        wire.settimeout(0.1)
        with theirs:
            with suppress(TimeoutError):
                while wire.send(bytes(1 << 20)):
                    pass
            wire.abort()
            wire.close()
            with pytest.raises(ConnectionResetError):
                list(iter(lambda: theirs.recv(1 << 20), b""))


def test_no_question_is_asked(machine: LoopbackMachine, key: KeyPair, server: Server) -> None:
    with into(machine, key, options=Options(keep_alive_interval=-1)) as host:
        assert host.run("true").status == 0
        assert "amibake-ssh-keepalive" not in {thread.name for thread in threading.enumerate()}
    assert not server.asked.acquire(blocking=False)


def test_algorithms(machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    agreed: list[str] = []
    real = ClientTransport.keep_alive

    def look(transport: ClientTransport, options: Options) -> None:
        agreed.append(vars(transport)["remote_cipher"])
        real(transport, options)

    monkeypatch.setattr(ClientTransport, "keep_alive", look)
    for cipher in ("aes256-ctr", "aes192-ctr"):
        into(machine, key, options=Options(ciphers=[cipher])).close()
    assert agreed == ["aes256-ctr", "aes192-ctr"]


@pytest.mark.parametrize(
    ("server", "wanted", "message"),
    [
        ("_preferred_ciphers", Options(ciphers=["aes192-ctr"]), "no acceptable ciphers"),
        ("_preferred_kex", Options(key_exchange_algorithms=["ecdh-sha2-nistp384"]), "no acceptable kex algorithm"),
    ],
)
def test_algorithms_that_the_server_does_not_have(
    server: str, wanted: Options, message: str, machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_server = {"_preferred_ciphers": ("aes128-ctr",), "_preferred_kex": ("ecdh-sha2-nistp521",)}[server]
    monkeypatch.setattr(paramiko.Transport, server, of_server)
    with pytest.raises(SSHTimeout, match=message):
        into(machine, key, options=wanted, timeout=0.01)


def test_algorithms_that_nobody_has() -> None:
    assert check_algorithms(["aes256-ctr"], ["curve25519-sha256@libssh.org"]) == []
    assert check_algorithms() == []
    ciphers, exchanges = check_algorithms(["aes256-ctr", "rot13", "none"], ["ecdh"])
    assert re.match("ssh_ciphers: rot13, none is not known; there are: .*aes256-ctr", ciphers)
    assert re.match("ssh_key_exchange_algorithms: ecdh is not known; there are: .*ecdh-sha2-nistp256", exchanges)
