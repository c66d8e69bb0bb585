"""Commands: what comes back, and that nothing a command does can hang us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, WaitTimeout
from amibake.events import Event, Output
from amibake.ssh import command, dial
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair
from amibake.testing.clock import FakeClock
from amibake.testing.door import Door
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline

BIG = 5 << 20
"""More than two of SSH's windows."""


def lines(events: list[Event], stream: str = "stdout") -> list[str]:
    return [event.line for event in events if isinstance(event, Output) and event.stream == stream]


def test_status_output_and_tail(host: SSHHost, events: list[Event]) -> None:
    done = host.run("echo one; echo two; echo wrong >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, "one\ntwo\n", "wrong\n")
    assert sorted(done.tail) == ["one", "two", "wrong"]
    assert lines(events) == ["one", "two"]
    assert lines(events, "stderr") == ["wrong"]


def test_capture_returns_everything_and_tells_nothing(host: SSHHost, events: list[Event]) -> None:
    done = host.run("seq 1000; printf 'no newline'", capture=True)
    assert done.stdout.split()[:1000] == [str(number) for number in range(1, 1001)]
    assert done.tail[-1] == "no newline"
    assert events == []


def test_without_capture_only_the_last_lines_are_kept(host: SSHHost, events: list[Event]) -> None:
    done = host.run("seq 1000")
    assert done.stdout.split() == [str(number) for number in range(981, 1001)]
    assert len(lines(events)) == 1000


def test_a_last_line_without_newline_and_bytes_that_are_no_utf8(host: SSHHost, events: list[Event]) -> None:
    host.run(r"printf 'caf\303\251\r\n\377\nend'")
    assert lines(events) == ["café", "\ufffd", "end"]


def test_megabytes_without_a_newline_are_cut(host: SSHHost, events: list[Event]) -> None:
    host.run("head -c 3000000 /dev/zero | tr '\\0' x")
    assert [len(line) for line in lines(events)[:-1]] == [65536] * 45
    assert sum(map(len, lines(events))) == 3_000_000


def test_both_streams_full_at_once(host: SSHHost) -> None:
    done = host.run(f"head -c {BIG} /dev/zero >&2; head -c {BIG} /dev/zero; head -c {BIG} /dev/zero >&2", capture=True)
    assert (len(done.stdout), len(done.stderr)) == (BIG, 2 * BIG)


def test_input_arrives_whole(host: SSHHost) -> None:
    assert host.run("wc -c", input=bytes(BIG), capture=True).stdout.strip() == str(BIG)


def test_input_and_output_at_once(host: SSHHost) -> None:
    assert len(host.run("cat", input=bytes(BIG), capture=True).stdout) == BIG


def test_a_command_that_ends_without_reading_its_input(host: SSHHost) -> None:
    assert host.run("exit 7", input=bytes(BIG)).status == 7


def test_a_command_that_never_reads_its_input(host: SSHHost) -> None:
    with pytest.raises(WaitTimeout, match="sleep 1000"):
        host.run("sleep 1000", input=bytes(BIG), timeout=0.2)


def test_a_background_child_that_holds_the_streams(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GRACE", 0.05)
    done = host.run("sleep 1000 & echo started")
    assert (done.status, done.stdout) == (0, "started\n")


def test_a_command_that_closes_its_streams_early(host: SSHHost) -> None:
    assert host.run("exec >&- 2>&-; read line; exit 4").status == 4


def test_timeout_leaves_the_host_usable(host: SSHHost) -> None:
    with pytest.raises(WaitTimeout, match=r"^echo a; sleep 1000: not ended after 0\.05 s; it was killed(\n  a)?$"):
        host.run("echo a; sleep 1000", timeout=0.05)
    assert host.run("echo b", capture=True).stdout == "b\n"


def test_the_bakes_deadline_holds_for_every_command(
    machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    with connect(
        machine.address,
        machine.port,
        username="admin",
        key=key,
        deadline=Deadline(3600),
        emit=lambda _: clock.sleep(3600),
    ) as host:
        with pytest.raises(WaitTimeout, match=r"^echo a; sleep 1000: not ended after 1 h; it was killed\n  a$"):
            host.run("echo a; sleep 1000")
        with pytest.raises(WaitTimeout):
            host.run("true")


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_killed_by_a_signal(host: SSHHost, name: str) -> None:
    done = host.run(f"echo before; kill -{name} $$")
    assert done.status == -1
    assert done.tail == ("before", f"killed by signal {name}")


def test_killed_with_a_child_that_holds_the_streams(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GRACE", 0.05)
    assert host.run("sleep 1000 & kill -9 $$").status == -1


def test_a_lost_connection_is_never_a_success(machine: LoopbackMachine, key: KeyPair) -> None:
    with connect(
        machine.address,
        machine.port,
        username="admin",
        key=key,
        deadline=Deadline(300),
        emit=lambda _: machine.drop(),
    ) as host:
        with pytest.raises(ConnectionLost, match=r"^echo up; sleep 1000: the SSH connection was lost before this had"):
            host.run("echo up; sleep 1000")
        with pytest.raises(ConnectionLost, match=f"^true: the SSH connection to {machine.address} was lost: "):
            host.run("true")
        host.reconnect()
        assert host.run("true").status == 0


def test_a_connection_lost_while_input_is_sent(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.behaviour.drop_after = BIG // 2
    with pytest.raises(ConnectionLost):
        host.run("cat >/dev/null", input=bytes(BIG))


def test_a_server_that_refuses_to_run_anything(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "check_channel_exec_request", lambda *_: False)
    with pytest.raises(ConnectionLost, match="before this had ended"):
        host.run("true")


def test_what_a_listener_raises_goes_through_and_ends_the_command(machine: LoopbackMachine, key: KeyPair) -> None:
    def listen(_: Event) -> None:
        raise BrokenPipeError("nobody reads")

    with (
        connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=listen) as host,
        pytest.raises(BrokenPipeError),
    ):
        host.run(f"head -c {BIG} /dev/zero | tr '\\0' '\\n'")


VALUES = {
    "PLAIN": "x",
    "EMPTY": "",
    "QUOTES": 'it\'s "so"',
    "LINES": "a\n\nb\n",
    "SHELL_TEXT": "$HOME `id` \\n",
    "É": "é",
}


def test_environment_of_any_content(host: SSHHost) -> None:
    given = {name if name.isascii() else "ACCENT": value for name, value in VALUES.items()}
    seen = host.run("env -0; cat", environment=given, input=b"the input", capture=True).stdout.split("\0")
    assert {entry for name, value in given.items() for entry in [f"{name}={value}"]} <= set(seen)
    assert seen[-1] == "the input"


def test_no_value_of_the_environment_is_in_a_process_list(host: SSHHost) -> None:
    done = host.run("cat /proc/[0-9]*/cmdline 2>/dev/null; true", environment={"TOKEN": "s3cr3t-value"}, capture=True)
    assert "/proc/[0-9]*/cmdline" in done.stdout
    assert "s3cr3t-value" not in done.stdout


def test_a_wrong_environment_is_refused_without_its_values(host: SSHHost) -> None:
    with pytest.raises(InvalidOption) as caught:
        host.run("true", environment={"1X": "s3cr3t", "OK": "s3cr3t\0"})
    assert caught.value.mistakes == (
        "environment: '1X' is no name of a variable",
        "environment: the value of OK has a NUL",
    )


@pytest.mark.parametrize(
    ("command", "name", "shown"),
    [
        ("sleep 1000", None, "sleep 1000"),
        ("sleep 1000; echo\n" + "x" * 100, None, "sleep 1000; echo " + "x" * 62 + "…"),
        ("sleep 1000; echo caf\udce9", None, "sleep 1000; echo caf\ufffd"),
        ("sleep 1000", "deploy/primal", "deploy/primal"),
    ],
)
def test_errors_show_what_the_caller_knows(host: SSHHost, command: str, name: str | None, shown: str) -> None:
    with pytest.raises(WaitTimeout) as caught:
        host.run(command, name=name, environment={"A": "s3cr3t"}, timeout=0.05)
    assert caught.value.message == f"{shown}: not ended after 0.05 s; it was killed"


def test_time_passes_while_a_command_says_nothing(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    for silent in ("sleep 1000", "exec >&- 2>&-; sleep 1000"):
        with pytest.raises(WaitTimeout):
            host.run(silent, timeout=0.3)
    assert clock.now() >= 0.6


def test_data_and_emit(host: SSHHost, events: list[Event]) -> None:
    assert host.data == {}
    host.emit(Output("stdout", "x"))
    assert lines(events) == ["x"]


FROZEN = """
import socket, sys, threading
from pathlib import Path
from amibake.testing.sshd import LoopbackMachine
with LoopbackMachine("127.78.0.2", Path(sys.argv[1]), [sys.argv[2]], execute=True) as machine:
    machine._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    print(machine.port, flush=True)
    threading.Event().wait()
"""


def test_a_peer_that_freezes_is_noticed(tmp_path: Path, key: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "DEAD_AFTER", 1)
    arguments = [sys.executable, "-c", FROZEN, str(tmp_path / "frozen"), key.public]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            with (
                connect(
                    "127.78.0.2",
                    port,
                    username="admin",
                    key=key,
                    deadline=Deadline(300),
                    emit=lambda _: os.kill(server.pid, signal.SIGSTOP),
                ) as host,
                pytest.raises(ConnectionLost),
            ):
                host.run("echo; cat >/dev/null", input=bytes(64 << 20))
        finally:
            server.kill()


def test_the_socket_notices_a_dead_peer_and_does_not_dally(machine: LoopbackMachine) -> None:
    with dial.dial(machine.address, machine.port, Deadline(5)) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
