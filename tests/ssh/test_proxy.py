"""Through a command of the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest

from amibake.errors import AuthenticationFailed, ConnectionLost, InvalidOption, SSHTimeout
from amibake.events import Event, Waiting
from amibake.interrupts import interruptible
from amibake.ssh import proxy
from amibake.ssh.proxy import ProxyCommand
from amibake.ssh.transport import Patience
from amibake.testing.clock import FakeClock
from amibake.testing.door import Door
from amibake.testing.sshd import LoopbackMachine
from tests.ssh.conftest import Connect

pytestmark = pytest.mark.usefixtures("clock")
RELAY = f"{sys.executable} {Path(__file__).with_name('relay.py')} %h %p"


@pytest.fixture
def enter(enter: Connect) -> Connect:
    return lambda template, **options: enter(route=ProxyCommand(template), **{"timeout": 5.0, **options})


def alive(pid: str) -> bool:
    """Whether a process runs; one that its new parent has not seen off yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def left(pids: list[str]) -> list[str]:
    """Those that run; a signal that was sent takes a moment until it has ended a process."""
    for _ in range(100):
        if not any(alive(pid) for pid in pids):
            break
        time.sleep(0.05)
    return [pid for pid in pids if alive(pid)]


def test_all_goes_through_it(
    enter: Connect, machine: LoopbackMachine, tmp_path: Path, clock: FakeClock, events: list[Event]
) -> None:
    content = bytes(range(256)) * 4096
    pids = tmp_path / "pids"
    with enter(f"{RELAY} --pid {pids} --child") as host:
        assert host.run("cat", input=b"hello", capture=True).stdout == "hello"
        host.put(content, "big")
        host.get("big", tmp_path / "big")
        relay, child = pids.read_text().split()
        assert alive(relay)
        assert alive(child)
        assert os.getsid(int(relay)) == int(relay)  # so that Ctrl-C in a terminal does not reach it
        host.reconnect()
        assert host.run("true").status == 0
    assert (tmp_path / "big").read_bytes() == content
    assert len(pids.read_text().split()) == 4
    assert left(pids.read_text().split()) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(int(relay), os.WNOHANG)
    assert clock.now() == 0
    assert machine.logins == 2
    assert not any(isinstance(event, Waiting) for event in events)


def test_tokens() -> None:
    route = ProxyCommand("aws --target %h --port=%p --user %r --at 100%%%h")
    assert route.command("i-1", 22, "admin") == "aws --target i-1 --port=22 --user admin --at 100%i-1"
    assert ProxyCommand("nc %h").command("a b;c", 22, "admin") == "nc 'a b;c'"
    for template, message in (("nc %n %q", "%n, %q stands for nothing"), ("nc %", "% stands"), (" ", "it is empty")):
        with pytest.raises(ValueError, match=message):
            ProxyCommand(template)
    assert "secret" not in repr(ProxyCommand("nc --password secret %h"))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "no-such-command %h",
            r"ssh_proxy_command: the proxy command ended with status 127: .*no-such-command: not found",
        ),
        ("/etc/passwd", "ssh_proxy_command: the proxy command ended with status 126: .*ermission denied"),
    ],
)
def test_a_command_that_can_not_be_run_is_final(enter: Connect, template: str, message: str, clock: FakeClock) -> None:
    with pytest.raises(InvalidOption, match=message):
        enter(template)
    assert clock.now() == 0


def test_a_command_that_fails_is_tried_again(enter: Connect, tmp_path: Path, events: list[Event]) -> None:
    said = "An error occurred (TargetNotConnected): i-1 is not connected."
    script = tmp_path / "proxy"
    script.write_text(
        f'#!/bin/sh\nif [ -e "$0.ready" ]; then exec {RELAY.replace("%h", "$1").replace("%p", "$2")}; fi\n'
        f'echo >&2; echo "{said}" >&2; echo >&2; [ -e "$0.tried" ] && : > "$0.ready"; : > "$0.tried"; exit 255\n'
    )
    script.chmod(0o755)
    enter(f"{script} %h %p").close()
    assert {event.seen for event in events if isinstance(event, Waiting)} == {
        f"the proxy command ended with status 255: {said}"
    }


def test_a_command_that_always_fails(enter: Connect, clock: FakeClock) -> None:
    with pytest.raises(
        SSHTimeout, match=r"as admin, through the proxy command: not after 5 s; .* status 1: no such host"
    ) as caught:
        enter("sh -c 'echo no such host >&2; exit 1'")
    assert "ssh_proxy_command" in caught.value.hint
    assert clock.now() == pytest.approx(5, abs=1.1)


def test_a_command_that_says_nothing(enter: Connect) -> None:
    with pytest.raises(SSHTimeout, match=r"last seen: the proxy command ended with status 0\n"):
        enter("true", timeout=0.01)
    with pytest.raises(SSHTimeout, match=r"last seen: the proxy command was killed\n"):
        enter("sh -c 'kill -9 $$'", timeout=0.01)


def test_a_command_that_hangs(enter: Connect, tmp_path: Path) -> None:
    patience = Patience(banner=0.2)
    with pytest.raises(SSHTimeout, match=r"banner; the proxy command said: resolving\n"):
        enter(f"sh -c 'echo $$ > {tmp_path}/pid; echo resolving >&2; exec sleep 600'", timeout=0.01, patience=patience)
    assert not alive((tmp_path / "pid").read_text().strip())
    with pytest.raises(SSHTimeout, match=r"no SSH banner came\n"):
        enter("sleep 600", timeout=0.01, patience=patience)


def test_a_command_that_does_not_want_to_end(enter: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_GRACE", 0.05)
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done"
    with pytest.raises(SSHTimeout):
        enter(f'sh -c "{script.replace("$", chr(92) + "$")}"', timeout=0.01, patience=Patience(banner=0.3))
    assert not alive((tmp_path / "pid").read_text().strip())


@pytest.mark.parametrize("when", ["it is being started", "the handshake begins"])
def test_a_command_ends_with_an_interrupt_at_whatever_moment(
    enter: Connect, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    started: list[str] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            started.append(str(self.pid))
            if when == "it is being started":
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    monkeypatch.setattr("amibake.ssh.connect.handshake", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), interruptible():
        enter("sleep 100")
    assert len(started) == 1
    assert left(started) == []


def test_a_command_whose_child_left_the_group(enter: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_GRACE", 0.05)
    program = "import os; os.setsid(); print(os.getpid(), flush=True); os.execlp('sleep', 'sleep', '600')"
    script = tmp_path / "proxy"
    script.write_text(f'#!/bin/sh\n{sys.executable} -c "{program}" > {tmp_path}/pid &\nsleep 600\n')
    script.chmod(0o755)
    with pytest.raises(SSHTimeout):
        enter(str(script), timeout=0.01, patience=Patience(banner=1))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_may_not_be_killed(enter: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_GRACE", 0.05)
    real, started = subprocess.Popen, list[subprocess.Popen[bytes]]()

    def start(*given: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*given, **options))
        return started[-1]

    def forbidden(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", forbidden)
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(SSHTimeout, match="banner"):
        enter("sleep 600", timeout=0.01, patience=Patience(banner=0.2))
    for process in started:
        process.kill()
        process.wait()


def test_a_command_that_dies_under_way(enter: Connect, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with enter(f"{RELAY} --pid {pids} --say 'session terminated'") as host:
        threading.Timer(0.2, os.kill, [int(pids.read_text()), signal.SIGKILL]).start()
        with pytest.raises(ConnectionLost, match="had ended: the proxy command was killed: session terminated"):
            host.run("exec sleep 60")
        with pytest.raises(ConnectionLost, match=r"^true: .* was lost: the proxy command was killed"):
            host.run("true", when_lost="raise")
        host.reconnect()
        assert host.run("true").status == 0


def test_a_connection_that_ends_is_not_always_the_commands_fault(enter: Connect, machine: LoopbackMachine) -> None:
    machine.behaviour.refuse_commands = True
    with enter(RELAY) as host, pytest.raises(ConnectionLost, match="before this had ended") as caught:
        host.run("true")
    assert "proxy command" not in caught.value.message


def test_a_refused_login_is_the_machines(enter: Connect, machine: LoopbackMachine) -> None:
    machine.accounts.clear()
    with pytest.raises(AuthenticationFailed, match="refuses the key"):
        enter(RELAY, timeout=60)


def test_a_command_that_dies_during_the_login_is_named(
    enter: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"

    def kills(*_: object) -> int:
        os.kill(int(pids.read_text().split()[-1]), signal.SIGKILL)
        time.sleep(0.2)
        return paramiko.common.AUTH_FAILED

    monkeypatch.setattr(Door, "check_auth_publickey", kills)
    with pytest.raises(SSHTimeout, match="last seen: the proxy command was killed: session terminated"):
        enter(f"{RELAY} --pid {pids} --say 'session terminated'", timeout=2.0)


def test_no_shell(enter: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("amibake.ssh.proxy.subprocess.Popen", no_more)
    with pytest.raises(SSHTimeout, match="last seen: Resource temporarily unavailable"):
        enter(RELAY, timeout=0.01)
