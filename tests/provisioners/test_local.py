"""ShellLocal: programs that really run here."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import amibake
from amibake import local, waiting
from amibake.errors import AmibakeError, InvalidOption, ScriptFailed, WaitTimeout
from amibake.events import Event, Output, StepSkipped
from amibake.host import Host
from amibake.interrupts import interruptible, opened
from amibake.provisioners import ShellLocal


class Machine:
    """As much of a host as a local program needs."""

    data: ClassVar = {
        "ID": "i-1",
        "Host": "192.0.2.1",
        "BuildID": "b-1",
        "SourceAMIName": "x y",
        "SSHPrivateKeyFile": "/k",
    }

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.emit = self.events.append
        self.left = 60.0

    def remaining(self) -> float:
        return self.left

    def printed(self, stream: str = "stdout") -> list[str]:
        return [event.line for event in self.events if isinstance(event, Output) and event.stream == stream]


class Secret:
    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text


@pytest.fixture
def machine(no_thread_left: None) -> Iterator[Machine]:
    before = set(Path("/proc/self/fd").iterdir())
    yield Machine()
    assert set(Path("/proc/self/fd").iterdir()) <= before


def run(machine: Machine, *command: Any, **options: Any) -> list[str]:
    step = ShellLocal(*command, **options)
    step.check()
    host: Host = machine  # type: ignore[assignment]
    step.provision(host)
    return machine.printed()


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_a_command_is_run_without_a_shell(machine: Machine) -> None:
    assert run(machine, ["printf", r"%s\n", "a b", "$HOME", "*", "it's;"]) == ["a b", "$HOME", "*", "it's;"]


def test_it_knows_of_the_builder_and_of_our_own_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "ours")
    seen = dict(line.split("=", 1) for line in run(machine, ["env"], environment_vars=["MINE=a=b", "AMIBAKE_HOST=h"]))
    assert seen["AMIBAKE_ID"] == "i-1"
    assert seen["AMIBAKE_BUILD"] == seen["AMIBAKE_BUILD_ID"] == "b-1"
    assert seen["AMIBAKE_SOURCE_AMI_NAME"] == "x y"
    assert seen["AMIBAKE_SSH_PRIVATE_KEY_FILE"] == "/k"
    assert (seen["OURS"], seen["MINE"], seen["AMIBAKE_HOST"]) == ("ours", "a=b", "h")


def test_inline_lines_share_one_shell_that_ends_at_the_first_failure(machine: Machine, tmp_path: Path) -> None:
    assert run(machine, inline=["cd /", "X=1", 'echo "$X $PWD"']) == ["1 /"]
    with pytest.raises(ScriptFailed, match=r"^the inline script exited with status 3\n") as caught:
        run(machine, inline=["echo before >&2", "(exit 3)", "echo after"])
    assert (caught.value.status, caught.value.tail) == (3, ("before",))
    assert machine.printed("stderr") == ["before"]
    assert run(machine, inline=["#!/usr/bin/env python3", "print('py', __file__[-6:])"])[-1] == "py inline"


def test_scripts_need_not_be_executable_and_their_first_line_says_what_runs_them(
    machine: Machine, tmp_path: Path
) -> None:
    plain = script(tmp_path / "plain one", 'echo "sh $0"\n')
    python = script(tmp_path / "two", "#!/usr/bin/env python3\nprint('python')\n")
    optioned = script(tmp_path / "three", "#!/bin/sh -e\nfalse\n")
    assert run(machine, scripts=[plain, str(python)]) == [f"sh {plain}", "python"]
    with pytest.raises(ScriptFailed, match="three exited with status 1"):
        run(machine, scripts=[optioned, python])
    assert run(machine, script=Path(sys.executable), valid_exit_codes=[0]) == [f"sh {plain}", "python"]


def test_execute_command_is_what_runs_a_script(machine: Machine, tmp_path: Path) -> None:
    odd = script(tmp_path / "it's odd", 'echo "$0 $1"\n')
    assert run(machine, script=odd, execute_command=["sh", "-c", "{{.Vars}} sh {{ .Script }} x"]) == [f"{odd} x"]
    assert run(machine, script=odd, execute_command=["sh", "{{.Script}}", "y"])[1:] == [f"{odd} y"]
    assert run(machine, inline=["echo z"], execute_command=["sh", "-x", "{{.Script}}"])[2:] == ["z"]


def test_where_it_starts(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    program = script(tmp_path / "here" / "program", "#!/bin/sh\npwd\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert run(machine, ["./program"], working_directory="here") == [str(tmp_path / "here")]
    assert run(machine, script="here/program", working_directory="/")[1:] == ["/"]


def test_it_is_done_on_the_systems_that_it_names(machine: Machine) -> None:
    assert run(machine, ["echo", "x"], only_on=["plan9"]) == []
    (skipped,) = machine.events
    assert isinstance(skipped, StepSkipped)
    assert "plan9" in str(skipped)
    assert run(machine, ["echo", "x"], only_on=["plan9", sys.platform]) == ["x"]


def test_statuses_that_are_no_failure_and_signals(machine: Machine) -> None:
    run(machine, inline=["exit 7"], valid_exit_codes=(0, 7))
    with pytest.raises(ScriptFailed, match="was killed by signal 9") as caught:
        run(machine, ["sh", "-c", "kill -9 $$"])
    assert caught.value.status == -1


@pytest.mark.parametrize("way", ["command", "inline"])
def test_when_its_time_is_up_nothing_of_it_is_left(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    child = f"trap '' TERM; sleep 100 & echo $! $$ >{tmp_path}/pids; wait; sleep 100"
    stubborn = f"sh -c {shlex.quote(child)} & wait"
    monkeypatch.setattr(local, "_STOP_WITHIN", 0.3)
    what: dict[str, Any] = {"command": ["sh", "-c", stubborn]} if way == "command" else {"inline": [stubborn]}
    with pytest.raises(WaitTimeout, match=r"not ended after 0\.5 s"):
        run(machine, timeout=0.5, **what)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(lives, pids))


def test_the_bakes_own_time_bounds_it(machine: Machine) -> None:
    machine.left = 0.3
    with pytest.raises(WaitTimeout, match=r"^sleep 100: not ended after 0\.3 s"):
        run(machine, ["sleep", "100"], timeout=60)


def test_an_interrupt_ends_all_of_it(machine: Machine, tmp_path: Path) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(machine, inline=[f"sleep 100 & echo $! >{tmp_path}/pid; wait"])
    finally:
        timer.join()
    assert not lives(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("when", ["it is being started", "its time is up"])
def test_an_interrupt_at_whatever_moment_leaves_nothing_of_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    started: list[int] = []
    sent: list[str] = []

    def interrupt(now: str) -> None:
        if now == when and not sent:
            sent.append(now)
            os.kill(os.getpid(), signal.SIGINT)

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            started.append(self.pid)
            interrupt("it is being started")

        def wait(self, timeout: float | None = None) -> int:
            interrupt("its time is up")
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), interruptible(), opened():
        run(machine, inline=["trap '' TERM", "for _ in $(seq 100); do sleep 0.1; done"], timeout=0.3)
    assert not lives(*started)


def test_a_child_that_holds_the_output_open_does_not_hold_us(machine: Machine, tmp_path: Path) -> None:
    began = time.monotonic()
    assert run(machine, inline=[f"sleep 100 & echo $! >{tmp_path}/pid", "printf 'no newline'"]) == ["no newline"]
    assert time.monotonic() - began < 10
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)  # one that ends well may leave something running
    os.kill(pid, signal.SIGKILL)


def test_one_that_closes_its_output_is_waited_for(machine: Machine) -> None:
    with pytest.raises(ScriptFailed, match="status 4"):
        run(machine, inline=["exec >&- 2>&-", "sleep 0.3", "exit 4"])
    with pytest.raises(WaitTimeout):
        run(machine, inline=["exec >&- 2>&-", "sleep 100"], timeout=0.3)


def test_much_output_and_odd_bytes(machine: Machine) -> None:
    run(machine, ["sh", "-c", r"yes x | head -c 300000; printf '\377\n'; head -c 200000 /dev/zero | tr '\0' y"])
    lines = machine.printed()
    assert lines.count("x") == 150_000
    assert "�" in lines
    assert sum(len(line) for line in lines if set(line) == {"y"}) == 200_000


def test_secrets_reach_it_and_are_not_told(machine: Machine) -> None:
    step: dict[str, Any] = {"environment_vars": {"TOKEN": Secret("s3cr3t\nsecond"), "EMPTY": Secret(""), "PLAIN": "p"}}
    concealed: list[str] = []
    machine.conceal = concealed.extend  # type: ignore[attr-defined]
    with pytest.raises(ScriptFailed) as caught:
        run(machine, inline=['echo "<$TOKEN> $PLAIN"', "test ${#TOKEN} = 13", "exit 9"], **step)
    assert caught.value.status == 9
    assert concealed == ["s3cr3t\nsecond", ""]
    assert caught.value.tail == ("<***> p",)
    assert "s3cr3t" not in repr(machine.events) + repr(ShellLocal(["env"], **step))


def test_a_secret_is_hidden_where_a_long_line_is_cut_and_in_other_forms_of_it(machine: Machine) -> None:
    secret: dict[str, Any] = {"environment_vars": {"TOKEN": Secret("hunter2-hunter2")}}
    with pytest.raises(ScriptFailed) as caught:
        run(machine, inline=['printf "%065530d%s\\n" 0 "$TOKEN"', 'printf %s "$TOKEN" | base64', "exit 9"], **secret)
    assert machine.printed() == ["0" * 65530 + "***", "***"]
    assert caught.value.tail == tuple(machine.printed())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a process what it was started with")
def test_what_is_in_a_session_of_its_own_ends_too(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STOP_WITHIN", 0.3)
    far = f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 100; done"
    with pytest.raises(WaitTimeout):
        run(machine, inline=[f"setsid sh -c {shlex.quote(far)} & wait"], timeout=0.5)
    assert not lives(int((tmp_path / "pid").read_text()))


def test_what_can_not_be_started(machine: Machine, tmp_path: Path) -> None:
    program = script(tmp_path / "program", "#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(AmibakeError, match="can't be started: No such file"):
        run(machine, [str(program)])


def test_waiting_is_told_to_the_clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from amibake.testing import FakeClock

    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    run(machine, ["sleep", "0.4"])
    assert 0.1 <= clock.now() <= 1


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({}, ["give exactly one of command, inline, script, scripts, not none"]),
        (
            {"command": ["ls"], "inline": ["ls"]},
            ["give exactly one of command, inline, script, scripts, not command and inline"],
        ),
        ({"command": "ls -l"}, ["command: must be a list of texts, and not empty"]),
        ({"command": []}, ["command: must be a list of texts, and not empty"]),
        ({"inline": "ls"}, ["inline: must be a list of texts, and not empty"]),
        ({"scripts": "ls"}, ["scripts: must be a list, and not empty"]),
        ({"command": ["ls", 5]}, ["command: must be a list of texts, and not empty"]),
        ({"command": 5}, ["command: must be a list of texts, and not empty"]),
        ({"command": ["ls", "a\0b"]}, ["command: has a NUL"]),
        ({"inline": ["ls", 5]}, ["inline: must be a list of texts, and not empty"]),
        ({"script": 5}, ["script: has what is no path"]),
        ({"scripts": 5}, ["scripts: must be a list, and not empty"]),
        ({"scripts": ["/no/such", 5]}, ["scripts: has what is no path", "scripts: /no/such can't be read"]),
        (
            {
                "command": ["./ls"],
                "environment_vars": [amibake.Secret("s3cr3t")],
                "valid_exit_codes": 1,
                "working_directory": 5,
            },
            [
                "command: there is no program ./ls here",
                'environment_vars: must be a mapping or a list of "NAME=value"',
                "valid_exit_codes: must be a list of numbers from 0 to 255",
                "working_directory: must be a path",
            ],
        ),
        (
            {"command": ["ls"], "environment_vars": None, "valid_exit_codes": ["0"]},
            [
                'environment_vars: must be a mapping or a list of "NAME=value"',
                "valid_exit_codes: must be a list of numbers from 0 to 255",
            ],
        ),
        (
            {"command": ["ls"], "environment_vars": {5: "x"}},
            ['environment_vars: must be a mapping or a list of "NAME=value"'],
        ),
        ({"script": "/no/such"}, ["script: /no/such can't be read"]),
        ({"scripts": ["/etc"]}, ["scripts: /etc can't be read"]),
        ({"command": ["no-such-program"]}, ["command: there is no program no-such-program here"]),
        ({"command": ["./no-such"]}, ["command: there is no program ./no-such here"]),
        (
            {"command": ["ls"], "environment_vars": {"PATH": "/no"}},
            ["command: there is no program ls here"],
        ),
        (
            {"command": ["ls"], "execute_command": ["sh", "{{.Script}}"]},
            ["execute_command: is for scripts; command is run as it is"],
        ),
        ({"inline": ["ls"], "execute_command": "sh"}, ["execute_command: must be a list: a program and its arguments"]),
        (
            {"inline": ["ls"], "execute_command": ["sh"]},
            ["execute_command: has no {{.Script}}, so the script would not be run"],
        ),
        (
            {"inline": ["ls"], "execute_command": ["no-such", "{{.Script}}"]},
            ["execute_command: there is no program no-such here"],
        ),
        ({"inline": ["ls"], "execute_command": ["{{.Script}}"]}, []),
        (
            {
                "inline": ["ls"],
                "environment_vars": ["A", "1=2"],
                "valid_exit_codes": (),
                "working_directory": "/no/such",
                "only_on": "linux",
                "timeout": 0,
            },
            [
                "environment_vars: entry 1 has no =",
                "environment_vars: '1' is no name of a variable",
                "valid_exit_codes: is empty, so nothing could succeed",
                "working_directory: /no/such is no directory",
                "only_on: must be a list of systems",
                "timeout: 0 is no number of seconds to wait",
            ],
        ),
        (
            {"inline": ["ls"], "environment_vars": "A=1"},
            ['environment_vars: must be a mapping or a list of "NAME=value"'],
        ),
    ],
)
def test_mistakes_of_shell_local(given: dict[str, Any], mistakes: list[str]) -> None:
    if not mistakes:
        ShellLocal(**given).check()
        return
    with pytest.raises(InvalidOption) as caught:
        ShellLocal(**given).check()
    assert list(caught.value.mistakes) == [f"ShellLocal: {mistake}" for mistake in mistakes]


@pytest.mark.parametrize(
    ("step", "called"),
    [
        (ShellLocal(["pytest", "--token", "x"]), "run pytest here"),
        (ShellLocal(inline=["ls"]), "run an inline script here"),
        (ShellLocal(scripts=["a/b", Path("c")]), "run b, c here"),
    ],
)
def test_what_it_is_called(step: ShellLocal, called: str) -> None:
    assert str(step) == called
