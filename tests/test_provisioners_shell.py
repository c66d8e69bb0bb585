"""What Shell does with its options, on a loopback machine that really runs what it is told or only records it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, SSHTimeout, WaitTimeout
from amibake.events import Event, Output
from amibake.provisioners import Shell
from amibake.secret import Secret
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import make_key_pair
from amibake.testing.behaviour import Answer, exits
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline


@pytest.fixture(params=[True])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LoopbackMachine]:
    key = make_key_pair()
    with LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public], execute=request.param) as machine:
        machine.key = key  # type: ignore[attr-defined]
        yield machine


records = pytest.mark.parametrize("machine", [False], indirect=True)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def host(machine: LoopbackMachine, events: list[Event]) -> Iterator[SSHHost]:
    key = machine.key  # type: ignore[attr-defined]
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=events.append
    ) as host:
        yield host


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


@pytest.fixture
def run(host: SSHHost, events: list[Event]) -> Callable[..., list[str]]:
    """Runs a Shell and answers with what it prints."""

    def run(**options: Any) -> list[str]:
        shell = Shell(**{"remote_folder": "s", **options})
        shell.check()
        shell.provision(host)
        return [event.line for event in events if isinstance(event, Output)]

    return run


Run = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("content", "printed"),
    [
        (b"#!/bin/sh\r\necho a\r\n", ["a"]),
        (b"\xef\xbb\xbf#!/usr/bin/env python3\r\nprint('b')\r\n", ["b"]),
        (b"#! \t/usr/bin/env \t sh  \necho c\n", ["c"]),
        (b"#!/bin/sh -e -u\necho d\n", ["/bin/sh: 0: Illegal option - "]),
        (b"#!\necho e\n", ["e"]),
        (b"echo f", ["f"]),
        (b"", []),
        (b"#!/bin/sh\ncat\necho g\n", ["g"]),
        (b"#!/bin/sh\n: " + b"x" * 100_000 + b"\necho h\n", ["h"]),
    ],
)
def test_scripts_as_people_write_them(run: Run, tmp_path: Path, content: bytes, printed: list[str]) -> None:
    (tmp_path / "-odd\n$(name)").write_bytes(content)
    assert run(script=tmp_path / "-odd\n$(name)", valid_exit_codes=[0, 2]) == printed


def test_no_script_needs_to_be_executable_but_a_program_does(
    run: Run, host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = host.put
    monkeypatch.setattr(host, "put", lambda *given, **more: put(*given, **{**more, "mode": 0o600}))
    assert run(inline=["echo ran"]) == ["ran"]
    monkeypatch.undo()
    assert run(script="/bin/true", binary=False) == ["ran"]


def test_the_interpreter_of_inline_lines(run: Run) -> None:
    assert run(inline=["false", "echo ${BASH_VERSION:+bash}"], inline_shebang="/bin/bash") == ["bash"]
    with pytest.raises(ScriptFailed):
        run(inline=["#!/bin/sh", "false", "exit 3"], inline_shebang="/bin/bash -e", valid_exit_codes=[3])


def test_where_it_is_put(run: Run, machine: LoopbackMachine) -> None:
    assert run(inline=["echo $0"], remote_file="it's a.sh") == ["./s/it's a.sh"]
    assert run(inline=["echo $0"], remote_folder="/tmp", remote_path="~/x/y")[1:] == ["./x/y"]
    run(inline=["true"], remote_path="kept", remote_folder="/tmp", skip_clean=True)
    assert [path.name for path in machine.root.rglob("*") if path.is_file()] == ["kept"]
    assert machine.upload("kept").stat().st_mode & 0o777 == 0o700


@records
def test_as_root(run: Run, machine: LoopbackMachine) -> None:
    run(inline=["as root"], sudo=True, env={"A": Secret("s3cr3t"), "B": "b"})
    run(inline=["as I am"], execute_command="sudo -E env {{.Vars}} sh {{ .Path }}", environment_vars=["A=1"])
    first, second = machine.ran
    assert (first.sudo, first.environment) == (True, {"A": "s3cr3t", "B": "b"})
    assert second.command.startswith("sudo -E env  sh ./s/amibake-")
    assert not second.sudo
    machine.behaviour.refuse_sudo = True


def test_without_root_it_says_so(run: Run, machine: LoopbackMachine) -> None:
    machine.behaviour.refuse_sudo = True
    with pytest.raises(
        ScriptFailed, match=r"^the inline script: can't become root on .*: sudo: a password is required"
    ):
        run(inline=["true"], sudo=True)


def test_a_secret_is_hidden_in_the_output_and_in_the_error(run: Run, events: list[Event]) -> None:
    shell: dict[str, Any] = {"inline": ["echo it is $T", "exit 3"], "environment_vars": {"T": Secret("s3cr3t")}}
    with pytest.raises(ScriptFailed) as caught:
        run(**shell)
    assert caught.value.tail == ("it is ***",)
    assert Output("stdout", "it is ***") in events
    assert "s3cr3t" not in repr(Shell(**shell))


@records
def test_it_waits_at_the_end(run: Run, clock: FakeClock) -> None:
    before = clock.now()
    run(inline=["true"], pause_after=77)
    assert clock.now() - before >= 77


@records
def test_its_time_is_for_all_of_it(run: Run, machine: LoopbackMachine, clock: FakeClock) -> None:
    machine.behaviour.on("slow", Answer(does=lambda: clock.sleep(40)))
    run(inline=["slow"], timeout=70)
    with pytest.raises(WaitTimeout):
        run(scripts=[_script(machine, "slow 1"), _script(machine, "slow 2")], timeout=70)


def _script(machine: LoopbackMachine, text: str) -> Path:
    path = machine.root.parent / text
    path.write_text(text)
    return path


@records
@pytest.mark.parametrize("lost", ["before it is sent", "while it is sent"])
def test_a_connection_lost_before_the_start_is_made_anew(
    run: Run, host: SSHHost, machine: LoopbackMachine, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = host.run, 2

    def dropping(*given: Any, **more: Any) -> Any:
        nonlocal left
        if more.get("name") == "the inline script" and left:
            left -= 1
            machine.drop()
        return real(*given, **more)

    if lost == "while it is sent":
        machine.behaviour.drop_after = 3
    else:
        monkeypatch.setattr(host, "run", dropping)
    run(inline=["once"])
    assert [ran.script for ran in machine.ran] == ["#!/bin/sh -e\nonce\n"]
    assert machine.logins == (2 if lost == "while it is sent" else 3)


@records
def test_it_is_not_tried_for_longer_than_it_may(
    run: Run, host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = host.run

    def dropping(*given: Any, **more: Any) -> Any:
        machine.drop()
        return real(*given, **more)

    monkeypatch.setattr(host, "run", dropping)
    with pytest.raises(ConnectionLost):
        run(inline=["never"], start_retry_timeout=0)
    assert machine.ran == []


@records
def test_a_connection_lost_once_it_has_started_is_an_error(run: Run, machine: LoopbackMachine) -> None:
    machine.behaviour.on("reboot", Answer(does=machine.drop))
    with pytest.raises(ConnectionLost) as caught:
        run(inline=["reboot"])
    assert caught.value.started
    assert len(machine.ran) == 1


@records
@pytest.mark.parametrize("again", [False, True])
def test_a_connection_that_may_end(run: Run, machine: LoopbackMachine, again: bool, events: list[Event]) -> None:
    machine.behaviour.on("reboot", Answer(does=machine.drop))
    machine.behaviour.drop_instead = "amibake-remove" if again else None  # it was still going down
    run(inline=["reboot"], expect_disconnect=True)
    assert machine.logins == (3 if again else 2)
    assert [path for path in machine.root.rglob("*") if path.is_file()] == []
    machine.behaviour.on("exit", exits(3))
    with pytest.raises(ScriptFailed, match="status 3"):
        run(inline=["exit"], expect_disconnect=True)


def test_a_signal_while_the_connection_stays_is_no_disconnect(run: Run, machine: LoopbackMachine) -> None:
    for signal in ("TERM", "KILL"):
        with pytest.raises(ScriptFailed, match="killed by a signal"):
            run(inline=[f"kill -{signal} $$"], expect_disconnect=True)
    assert machine.logins == 1


@records
def test_a_machine_that_does_not_come_back(run: Run, machine: LoopbackMachine, clock: FakeClock) -> None:
    def down() -> None:
        machine.behaviour.refuse_connections = 10_000
        machine.drop()

    machine.behaviour.on("reboot", Answer(does=down))
    with pytest.raises(SSHTimeout):
        run(inline=["reboot"], expect_disconnect=True, start_retry_timeout=100)


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({"env": ["A=1"]}, ["env: must be a mapping"]),
        ({"env": {"2": "x"}}, ["env: '2' is no name of a variable"]),
        ({"env": {"A": "1"}, "environment_vars": ["B=2"]}, ["env: give either this or environment_vars"]),
        ({"environment_vars": 5}, ['environment_vars: must be a mapping or a list of "NAME=value"']),
        ({"environment_vars": {"A": Secret("s3\0")}}, ["environment_vars: the value of A has a NUL"]),
        (
            {"environment_vars": [Secret("A=1")]},
            ["environment_vars: entry 1 is no text; a Secret goes into a mapping"],
        ),
        (
            {"use_env_var_file": True},
            ["use_env_var_file: values are never in a file here; the script has them without"],
        ),
        (
            {"env_var_format": "%s"},
            ["env_var_format: values are never on a command line here, so there is nothing to format"],
        ),
        (
            {"execute_command": "{{.Path}} {{.EnvVarFile}} {{ .X }}"},
            [
                "execute_command: {{.EnvVarFile}}: values are never in a file here, the script has them without",
                "execute_command: {{.X}} is unknown; there are {{.Path}} and {{.Vars}}",
            ],
        ),
        (
            {"execute_command": "sudo env {{.Vars}} {{.Path}}", "env": {"A": "1"}},
            ["execute_command: sudo drops the variables: give sudo=True in place of this, or call it as sudo -E"],
        ),
        ({"remote_file": "", "remote_folder": "a\0"}, ["remote_file: is empty", "remote_folder: has a NUL"]),
        ({"remote_file": "a/b"}, ["remote_file: 'a/b' is a path; give remote_path"]),
        (
            {"remote_file": "a", "remote_path": "b"},
            ["remote_path: give either this or remote_folder and remote_file"],
        ),
        ({"inline_shebang": "#!/bin/sh"}, ["inline_shebang: '#!/bin/sh' is no interpreter, such as '/bin/sh -e'"]),
        ({"inline": None, "script": os.devnull, "inline_shebang": "sh"}, ["inline_shebang: is for inline only"]),
        (
            {"start_retry_timeout": -1, "pause_after": -2.5},
            [
                "start_retry_timeout: -1 is no number of seconds to wait",
                "pause_after: -2.5 is no number of seconds to wait",
            ],
        ),
    ],
)
def test_mistakes(given: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        Shell(**{"inline": ["true"], **given}).check()
    assert list(caught.value.mistakes) == [f"Shell: {mistake}" for mistake in mistakes]


@pytest.mark.parametrize(
    "given",
    [
        {"execute_command": "sudo -nE {{.Path}}", "env": {"A": "1"}},
        {"execute_command": "sudo --preserve-env=A {{.Path}}", "env": {"A": "1"}},
        {"execute_command": "sudo {{.Path}}"},
        {"execute_command": "sudo -u x {{.Path}}", "env": {"A": "1"}, "sudo": True},
        {"execute_command": "{{ .Vars }} {{.Path}}", "environment_vars": {"A": Secret("x")}, "env": {}},
    ],
)
def test_what_is_no_mistake(given: dict[str, Any]) -> None:
    Shell(inline=["true"], **given).check()
