"""Commands: what comes back, and that nothing a command does can hang us."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paramiko
import pytest

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Event, Output, Warned
from amibake.remote import program
from amibake.secret import Secret
from amibake.ssh import command, dial, killing
from amibake.ssh.command import Chunk
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.invocation import Beginning
from amibake.ssh.keys import KeyPair
from amibake.ssh.killing import KILL
from amibake.ssh.line import Line
from amibake.ssh.transport import ClientTransport
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
            host.run("true", when_lost="raise")
        host.reconnect()
        assert host.run("true").status == 0


def test_what_may_have_begun_is_not_run_again_but_where_that_does_no_harm(
    machine: LoopbackMachine, key: KeyPair
) -> None:
    drops: list[None] = []

    def listen(event: Event) -> None:
        if isinstance(event, Output) and drops:
            drops.pop()
            machine.drop()

    command = 'echo x >>ran; echo up; [ "$(wc -l <ran)" = 2 ] || exec sleep 1000'
    with connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=listen) as host:
        drops.append(None)
        with pytest.raises(ConnectionLost) as caught:
            host.run(command)
        assert "max_retries" in caught.value.hint
        assert (machine.home / "ran").read_text() == "x\n"
        (machine.home / "ran").unlink()
        drops.append(None)
        assert host.run(command, when_lost="repeat").status == 0
        assert (machine.home / "ran").read_text() == "x\n" * 2


def test_an_interrupt_does_not_wait_for_the_killing(
    machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = threading.Event()

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    def kill_command(*_: object) -> str:
        woken.wait(30)
        return "true"

    monkeypatch.setattr(Line, "_kill_command", kill_command)
    begun = time.monotonic()
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=interrupt
    ) as host:
        with pytest.raises(KeyboardInterrupt):
            host.run("echo up; exec sleep 918276 >/dev/null")
        assert time.monotonic() - begun < 15
        woken.set()


def test_the_threads_of_a_connection_end_with_it(machine: LoopbackMachine, key: KeyPair) -> None:
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=lambda _: None
    ) as host:
        host.run("true")
        assert [thread for thread in threading.enumerate() if isinstance(thread, ClientTransport)]
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("amibake-ssh")]
    assert left == []
    assert [thread for thread in threading.enumerate() if isinstance(thread, ClientTransport)] == []


@pytest.mark.parametrize("capture", [True, False])
def test_a_loss_after_the_status_is_one_to_whom_wants_all_of_the_output(
    host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, *, capture: bool
) -> None:
    """sshd tells the status as soon as the command has ended, what is left of the output after that."""
    plain = paramiko.Channel.send_exit_status

    def send_and_drop(channel: paramiko.Channel, status: int) -> None:
        plain(channel, status)
        machine.drop()

    monkeypatch.setattr(paramiko.Channel, "send_exit_status", send_and_drop)
    command = "echo the first half; sleep 1000 & exit 0"
    if capture:
        with pytest.raises(ConnectionLost) as caught:
            host.run(command, capture=True)
        assert caught.value.started
    else:
        assert host.run(command).status == 0


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


def test_a_value_longer_than_linux_takes_is_refused(host: SSHHost) -> None:
    assert host.run("echo ${#A}", environment={"A": "x" * 131069}, capture=True).stdout == "131069\n"
    with pytest.raises(InvalidOption, match=r"^environment: A has 131073 bytes, and Linux takes 131072 at most \(MAX_"):
        host.run("true", environment={"A": "x" * 131070})


def test_an_error_says_when_there_was_nothing_to_kill(
    machine: LoopbackMachine, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)

    def listen(event: Event) -> None:
        if isinstance(event, Output):
            os.kill(int(event.line), signal.SIGKILL)
            clock.sleep(3600)

    with (
        connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(3600), emit=listen) as host,
        pytest.raises(WaitTimeout, match="; nothing of it was found that could be killed"),
    ):
        host.run("echo $$; exec sleep 1000")


def test_a_lost_run_is_ended_when_connected_anew(machine: LoopbackMachine, key: KeyPair, events: list[Event]) -> None:
    pids: list[str] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Output):
            pids.append(event.line)
            machine.drop()

    with connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=listen) as host:
        with pytest.raises(ConnectionLost):
            host.run("setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & wait")
        stat = Path(f"/proc/{pids[0]}/stat")
        assert stat.exists()
        host.reconnect()
        assert not stat.exists() or ") Z " in stat.read_text()
    assert [event for event in events if isinstance(event, Warned)] == []


@pytest.mark.parametrize(("start", "boot"), [("", "another-boot"), ("1", "")])
def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(host: SSHHost, start: str, boot: str) -> None:
    with subprocess.Popen(["sleep", "1000"]) as innocent:
        try:
            run = f"{'0' * 32} {innocent.pid}:{start}:{innocent.pid}::{boot}\n"
            assert host.run(KILL, input=run.encode(), capture=True).stdout == "nothing\n"
            assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.parametrize("arrived", ["", "\n", " 1:2:3:4:5\n", "0" * 8 + " \n", "0" * 32 + " 1", "0" * 32])
def test_nothing_is_killed_by_a_line_that_has_not_arrived_whole(arrived: str, tmp_path: Path) -> None:
    """Which empty or cut tokens of all processes would carry; none of them is asked here, nor killed."""
    told = tmp_path / "told"
    harmless = f'kill() {{ echo "$*" >>{told}; }}; grep() {{ echo ./1/environ; echo grep >>{told}; }}; '
    program = shlex.split(killing.kill_after(0))
    program[3] = harmless + program[3].replace("/proc", str(tmp_path))
    done = subprocess.run(program[1:], input=arrived, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "what to kill did not arrive\n")
    assert not told.exists()


def test_time_passes_while_a_command_says_nothing(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    for silent in ("sleep 1000", "exec >&- 2>&-; sleep 1000"):
        with pytest.raises(WaitTimeout):
            host.run(silent, timeout=0.3)
    assert clock.now() >= 0.6


def alive(number: int) -> list[str]:
    """The processes that sleep for so many seconds, of which there are none but the test's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            found += [str(path)] if str(number).encode() in words else []
    return found


STUBBORN = "(setsid sh -c 'trap \"\" TERM; sleep {0}; sleep {0}' >/dev/null 2>&1 &) ; trap '' TERM; sleep {0} & echo up"


def test_nothing_is_left_of_a_command_whose_time_is_up(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "KILL", killing.kill_after(3))
    monkeypatch.setattr(waiting, "clock", FakeClock())
    host.conceal([])
    host.run("sleep 918273 >/dev/null 2>&1 &")
    with pytest.raises(WaitTimeout, match=r"not ended after 0\.3 s; it was killed(\n  up)?$") as caught:
        host.run(f"{STUBBORN.format(918274)}; exec >&- 2>&-; exec sleep 918274", timeout=0.3)
    assert caught.value.tail in ((), ("up",))
    assert alive(918274) == []
    others = alive(918273)
    for other in others:
        os.kill(int(Path(other).parent.name), signal.SIGKILL)
    assert len(others) == 1


def test_a_command_that_an_error_of_ours_ends_is_killed_too(machine: LoopbackMachine, key: KeyPair) -> None:
    def listen(_: Event) -> None:
        raise KeyboardInterrupt

    with connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=listen) as host:
        with pytest.raises(KeyboardInterrupt):
            host.run("echo up; sleep 918275")
        wait = "while grep -q -s 91827[5] /proc/[0-9]*/cmdline; do sleep 0.05; done"
        assert host.run(wait, capture=True, timeout=60).status == 0


def test_what_can_not_be_killed_is_told(
    host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killing, "KILL", program("other", "echo 12 java; echo 34 sh"))
    with pytest.raises(WaitTimeout, match="; what it started could not all be killed: 12 java, 34 sh"):
        host.run("exec sleep 1000", timeout=0.05)
    monkeypatch.setattr(killing, "KILL", program("other", "echo no awk >&2; exit 2"))
    with pytest.raises(WaitTimeout, match="; it could not be killed: no awk"):
        host.run("exec sleep 1000", timeout=0.05)
    machine.behaviour.refuse_sudo = True
    host._line.root = ""
    machine.behaviour.drop_instead = "amibake-other"
    with pytest.raises(WaitTimeout, match="; it could not be killed: kill it: the SSH connection was lost"):
        host.run("exec sleep 1000", timeout=0.05)


def test_the_first_line_of_a_run_is_found_among_what_a_login_shell_says(host: SSHHost) -> None:
    said: list[bytes] = []
    beginning = Beginning("t0k3n", lambda chunk: said.append(chunk.data))
    for data in (b"welcome\nt0k", b"3n 12", b"3:1:2:3:4\nthe ", b"output"):
        beginning.add(Chunk("stdout", data))
    beginning.end()
    assert (beginning.main, b"".join(said)) == ("123:1:2:3:4", b"welcome\nthe output")
    beginning = Beginning("t0k3n", lambda chunk: said.append(chunk.data))
    beginning.add(Chunk("stdout", bytes(1 << 17)))
    assert (beginning.main, len(said[-1])) == ("", 1 << 17)


def test_as_root(host: SSHHost, machine: LoopbackMachine) -> None:
    done = host.run("echo $X; cat", input=b"in", environment={"X": "it's"}, sudo=True, capture=True)
    assert done.stdout == "it's\nin"
    machine.behaviour.refuse_sudo = True
    assert host.run("true", sudo=True).status == 0  # known from before
    host.reconnect()


def test_a_user_who_can_not_become_root(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.behaviour.refuse_sudo = True
    with pytest.raises(ScriptFailed) as caught:
        host.run("touch made", sudo=True, name="the script")
    assert caught.value.message == "the script: can't become root on 127.78.0.1: sudo: a password is required"
    assert caught.value.hint
    assert not (machine.home / "made").exists()


def test_a_limited_host_is_the_same_machine_with_less_time(host: SSHHost, machine: LoopbackMachine) -> None:
    limited = host.limited(0.2)
    with pytest.raises(WaitTimeout, match=r"not ended after 0\.\d+ s"):
        limited.run("exec sleep 1000")
    with pytest.raises(WaitTimeout):
        limited.put(bytes(BIG), "big")
    other = host.limited(60)
    machine.drop()
    other.reconnect()
    assert host.run("true").status == 0


def test_secrets_are_hidden_in_all_that_comes_back(host: SSHHost, events: list[Event]) -> None:
    secret = Secret("s3cr3t\nand more")
    script = """
        printf %s s3cr; sleep 0.05; printf '%s\\n' 3t
        head -c 65534 /dev/zero | tr '\\0' x; echo "$T"
        echo "$T" >&2
    """
    done = host.run(script, environment={"T": secret})
    captured = host.run('echo "$T"', environment={"T": secret}, capture=True)
    with pytest.raises(WaitTimeout) as caught:
        host.run("echo and more; exec sleep 1000 # s3cr3t", timeout=0.3)
    host.emit(Output("stdout", "s3cr3t"))
    with pytest.raises(UploadFailed) as failed, host:
        host.get("no/s3cr3t", Path("x"))
    told = [repr(done), repr(captured), repr(events), str(caught.value), str(failed.value), repr(failed.value)]
    assert not any("s3cr3t" in text or "and more" in text for text in told)
    assert lines(events)[0] == "***"
    assert captured.stdout == "***\n"


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
