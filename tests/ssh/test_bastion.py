"""Through a bastion: a machine that leads on to another."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from amibake.errors import AuthenticationFailed, ConnectionLost, HostKeyChanged, InvalidOption, SSHTimeout
from amibake.events import Event, Waiting
from amibake.ssh import bastion as bastion_module
from amibake.ssh import dial
from amibake.ssh.bastion import Bastion
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.ssh.transport import Patience
from amibake.testing.behaviour import Behaviour
from amibake.testing.clock import FakeClock
from amibake.testing.door import Door
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline
from tests.ssh.conftest import Connect

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def between(tmp_path: Path) -> Iterator[LoopbackMachine]:
    """The bastion's machine."""
    with LoopbackMachine(
        "127.78.1.1",
        tmp_path / "between",
        [],
        username="jump",
        password="hunter2",
        behaviour=Behaviour(methods=("publickey", "password")),
    ) as machine:
        yield machine


@pytest.fixture
def bastion(between: LoopbackMachine) -> Iterator[Bastion]:
    with Bastion(between.address, between.port, Credentials("jump", password="hunter2")) as bastion:
        yield bastion


@pytest.fixture
def enter(enter: Connect, bastion: Bastion) -> Connect:
    return lambda **options: enter(**{"route": bastion, **options})


def seen(events: list[Event]) -> set[str]:
    return {event.seen for event in events if isinstance(event, Waiting)}


def test_all_goes_through_it(
    enter: Connect, between: LoopbackMachine, machine: LoopbackMachine, tmp_path: Path, events: list[Event]
) -> None:
    content = bytes(range(256)) * 4096
    with enter() as host:
        assert host.run("cat", input=b"hello", capture=True).stdout == "hello"
        host.put(content, "big")
        host.get("big", tmp_path / "big")
    assert seen(events) == set()
    assert (tmp_path / "big").read_bytes() == content
    assert between.forwarded == [(machine.address, machine.port)]
    assert (between.logins, machine.logins) == (1, 1)


def test_its_connection_is_kept_while_the_machines_is_made_anew(
    enter: Connect, between: LoopbackMachine, machine: LoopbackMachine
) -> None:
    with enter() as host:
        machine.stop()
        machine.start()
        with pytest.raises(ConnectionLost):
            host.run("true", when_lost="raise")
    with enter() as host:
        host.reconnect()
        assert host.run("true").status == 0
    assert (between.logins, machine.logins) == (1, 3)


def test_its_connection_is_made_anew_when_it_died(enter: Connect, between: LoopbackMachine, bastion: Bastion) -> None:
    with enter() as host:
        between.drop()
        with pytest.raises(ConnectionLost, match=f"the connection to the bastion 127.78.1.1:{between.port} was lost"):
            host.run("true", when_lost="raise")
        host.reconnect()
        assert host.run("true").status == 0
        bastion.close()
        assert host.run("true").status == 0
    assert between.logins == 3


def test_its_connection_dies_while_a_command_runs(enter: Connect, between: LoopbackMachine) -> None:
    with enter() as host:
        threading.Timer(0.2, between.drop).start()
        with pytest.raises(ConnectionLost, match=r"had ended: the connection to the bastion .* was lost"):
            host.run("exec sleep 60")


def test_every_connection_to_it_must_show_the_same_host_key(enter: Connect, between: LoopbackMachine) -> None:
    with enter() as host:
        between.drop()
        between.change_host_key()
        with pytest.raises(HostKeyChanged, match=r"the bastion 127\.78\.1\.1:\d+ shows"):
            host.reconnect()


def test_a_known_host_key_is_demanded(between: LoopbackMachine) -> None:
    who = Credentials("jump", password="hunter2")
    with Bastion(between.address, between.port, who, between.host_key) as bastion:
        bastion.reach(deadline=Deadline(9), emit=lambda _: None)
    with (
        Bastion(between.address, between.port, who, make_key_pair().public) as bastion,
        pytest.raises(HostKeyChanged),
    ):
        bastion.reach(deadline=Deadline(9), emit=lambda _: None)


def test_the_machine_behind_is_still_booting(
    enter: Connect, machine: LoopbackMachine, between: LoopbackMachine, events: list[Event], clock: FakeClock
) -> None:
    real = between.connect

    def refuses_at_first(address: str, port: int) -> socket.socket:
        if clock.now() < 20:
            raise ConnectionRefusedError
        return real(address, port)

    between.connect = refuses_at_first
    enter().close()
    assert 20 <= clock.now() < 22
    assert seen(events) == {"from the bastion: Connect failed"}


def test_the_machine_behind_never_boots(enter: Connect, between: LoopbackMachine, machine: LoopbackMachine) -> None:
    port = machine.port
    machine.stop()
    with pytest.raises(
        SSHTimeout,
        match=rf"as admin, through the bastion 127\.78\.1\.1:{between.port}: not after 30 s; last seen: from the bast",
    ) as caught:
        enter(port=port)
    assert "let the bastion in" in caught.value.hint
    assert between.logins == 1


def test_the_machine_behind_refuses_the_login(
    enter: Connect, machine: LoopbackMachine, between: LoopbackMachine
) -> None:
    machine.accounts.clear()
    with pytest.raises(AuthenticationFailed, match=r"127\.78\.0\.1:\d+ refuses the key for the user admin"):
        enter()


def test_a_machine_that_nothing_reaches(
    enter: Connect, between: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    """No answer to the request at all: the connection attempt of the bastion is under way."""
    free = threading.Event()
    real = Door.check_channel_direct_tcpip_request

    def waits(*given: Any) -> int:
        free.wait(10)
        return real(*given)

    monkeypatch.setattr(Door, "check_channel_direct_tcpip_request", waits)
    with pytest.raises(SSHTimeout, match=r"last seen: from the bastion: no connection within 0\.2 s"):
        enter(timeout=0.01, patience=Patience(tcp=0.2))
    monkeypatch.setattr(Door, "check_channel_direct_tcpip_request", real)
    free.set()
    # The one that comes too late is closed again.
    enter().close()
    assert len(between.forwarded) > 1
    until = threading.Event()
    while between.forwarding:
        until.wait(0.01)


def test_a_refusal_that_comes_late_is_no_end_of_its_connection(
    enter: Connect, between: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    answer, asked = threading.Event(), [0]
    real = Door.check_channel_direct_tcpip_request

    def refuses(door: Door, *given: Any) -> int:
        asked[0] += 1
        if asked[0] > 1:
            return real(door, *given)
        answer.wait(10)
        return paramiko.common.OPEN_FAILED_CONNECT_FAILED

    monkeypatch.setattr(Door, "check_channel_direct_tcpip_request", refuses)
    with pytest.raises(SSHTimeout, match="no connection within"):
        enter(timeout=0.01, patience=Patience(tcp=0.1))
    answer.set()
    with enter() as host:  # whose own request is answered after the late refusal
        host.reconnect()
        assert host.run("true").status == 0
    assert between.logins == 1


def test_a_bastion_that_is_lost_during_the_login_is_named(
    enter: Connect, between: LoopbackMachine, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drops(*_: object) -> int:
        between.drop()
        time.sleep(0.2)
        return paramiko.common.AUTH_FAILED

    monkeypatch.setattr(Door, "check_auth_publickey", drops)
    with pytest.raises(SSHTimeout, match=r"last seen: the connection to the bastion 127\.78\.1\.1:\d+ was lost"):
        enter(timeout=2.0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, "administratively prohibited"),
        (paramiko.common.OPEN_FAILED_UNKNOWN_CHANNEL_TYPE, "it knows no direct-tcpip"),
    ],
)
def test_it_leads_nobody_on(
    enter: Connect, between: LoopbackMachine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answer: int, why: str
) -> None:
    if answer == paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED:
        between.behaviour.refuse_forwarding = True
    else:
        monkeypatch.setattr(Door, "check_channel_direct_tcpip_request", lambda *_: answer)
    with pytest.raises(InvalidOption, match=f"ssh_bastion_host: the bastion .* lets jump in, but .*: {why}") as caught:
        enter()
    assert "AllowTcpForwarding" in caught.value.hint
    assert clock.now() == 0


def test_it_refuses_the_login(
    between: LoopbackMachine, key: KeyPair, clock: FakeClock, tmp_path: Path, events: list[Event]
) -> None:
    with (
        Bastion(between.address, between.port, Credentials("jump", key)) as bastion,
        pytest.raises(
            AuthenticationFailed,
            match=r"the bastion .* refuses the key for the user jump; it offers: publickey, password",
        ) as caught,
    ):
        connect("127.78.0.9", username="admin", key=key, deadline=Deadline(99), emit=events.append, route=bastion)
    assert "ssh_bastion_username" in caught.value.hint
    assert clock.now() == 0


def test_it_is_down_for_a_while(
    enter: Connect, clock: FakeClock, events: list[Event], between: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dial.dial

    def dialled(address: str, port: int, deadline: Deadline) -> socket.socket:
        if clock.now() < 20:
            raise ConnectionRefusedError(111, "Connection refused")
        return real(address, port, deadline)

    monkeypatch.setattr(dial, "dial", dialled)
    enter().close()
    assert 20 <= clock.now() < 22
    assert seen(events) == {f"at the bastion 127.78.1.1:{between.port}: Connection refused"}


def test_whether_it_can_be_reached_is_known_beforehand(
    bastion: Bastion, between: LoopbackMachine, clock: FakeClock, events: list[Event]
) -> None:
    bastion.reach(deadline=Deadline(99), emit=events.append)
    bastion.reach(deadline=Deadline(99), emit=events.append)
    assert between.logins == 1
    between.stop()
    bastion.close()
    with pytest.raises(SSHTimeout, match=r"SSH at the bastion .*: not after 10 s; .* Connection refused") as caught:
        bastion.reach(deadline=Deadline(99), emit=events.append, timeout=10)
    assert "ssh_bastion_host" in caught.value.hint
    with pytest.raises(SSHTimeout, match=r"at the bastion .*: Connection refused"):
        bastion.address_seen("10.0.0.5", deadline=Deadline(9))


def ip(between: LoopbackMachine, script: str, name: str = "ip") -> None:
    program = between.root / "usr/local/bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("toward", "script", "expected"),
    [
        ("10.0.0.5", 'echo "$* via 10.0.0.1 dev ens5 src 10.0.0.7 uid 1000"', "10.0.0.7"),
        ("fd00::5", '[ "$1" = -6 ] && echo "$4 dev ens5 src fd00::7 metric 1"', "fd00::7"),
        ("ip-10-0-0-5.ec2.internal", "exit 2", "10.0.0.8"),
        ("10.0.0.5", "exit 2", "10.0.0.8"),
        ("10.0.0.5", "echo This account is not available", None),
    ],
)
def test_the_address_that_the_machine_sees(
    toward: str, script: str, expected: str | None, bastion: Bastion, between: LoopbackMachine
) -> None:
    ip(between, script)
    ip(between, "echo '10.0.0.8 172.17.0.1 '", "hostname")
    assert bastion.address_seen(toward, deadline=Deadline(9)) == expected


def test_the_address_where_nothing_may_be_run(bastion: Bastion, between: LoopbackMachine) -> None:
    ip(between, ":")
    assert bastion.address_seen("10.0.0.5", deadline=Deadline(9)) is None
    between.behaviour.refuse_commands = True
    assert bastion.address_seen("10.0.0.5", deadline=Deadline(9)) is None


@pytest.mark.parametrize(("host", "expected"), [("52.0.0.1", "52.0.0.1"), ("10.0.0.1", None), ("no such.name", None)])
def test_the_address_that_a_public_machine_sees(host: str, expected: str | None) -> None:
    with Bastion(host, 22, Credentials("jump", password="hunter2")) as bastion:
        assert bastion.address_seen("54.1.2.3", deadline=Deadline(9)) == expected


def test_a_dead_bastion_is_told_from_a_dead_machine() -> None:
    wire = bastion_module._Forwarded(paramiko.Channel(1), lambda: "it was lost")
    with pytest.raises(ConnectionError, match="it was lost"):
        wire.judge(EOFError())
    bastion_module._Forwarded(paramiko.Channel(1), lambda: "").judge(EOFError())
