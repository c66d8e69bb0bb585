"""File and Shell, on a loopback machine that really runs what it is told, and on one that only records it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amibake import waiting
from amibake.errors import ConnectionLost, InvalidOption, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Event, Output, Warned
from amibake.host import Completed, Provisioner
from amibake.provisioners import File, Shell
from amibake.secret import Secret
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import make_key_pair
from amibake.testing.behaviour import exits
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline


@pytest.fixture(params=[True])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LoopbackMachine]:
    key = make_key_pair()
    with LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public], execute=request.param) as machine:
        machine.key = key  # type: ignore[attr-defined]
        yield machine


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def host(machine: LoopbackMachine, events: list[Event]) -> Iterator[SSHHost]:
    with connect(
        machine.address,
        machine.port,
        username="admin",
        key=machine.key,  # type: ignore[attr-defined]
        deadline=Deadline(300),
        emit=events.append,
        data={"BuildID": "b-1"},
    ) as host:
        yield host


@pytest.fixture
def tube(tmp_path: Path) -> Path:
    tube = tmp_path / "deploy" / "mailtube"
    (tube / "sub").mkdir(parents=True)
    (tube / "package.json").write_text("{}")
    (tube / "sub" / "blob").write_bytes(os.urandom(200_000))
    return tube


def below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def done(host: SSHHost, provisioner: Provisioner) -> None:
    provisioner.check()
    provisioner.provision(host)


@pytest.mark.parametrize(
    ("slash", "there", "destination", "where"),
    [
        ("", False, "/tmp/mailtube", "/tmp/mailtube"),
        ("", False, "/tmp/other", "/tmp/other"),
        ("", False, "/tmp/other/", "/tmp/other/mailtube"),
        ("", True, "/tmp/other", "/tmp/other/mailtube"),
        ("", True, "/tmp/other/", "/tmp/other/mailtube"),
        ("/", False, "/tmp/other", "/tmp/other"),
        ("/", False, "/tmp/other/", "/tmp/other"),
        ("/", True, "/tmp/other", "/tmp/other"),
        ("", False, "/tmp/a/b/c", "/tmp/a/b/c"),
        ("", False, "~/tube", "/home/admin/tube"),
        ("", True, "~", "/home/admin/mailtube"),
        ("", True, "~/", "/home/admin/mailtube"),
        ("/", True, ".", "/home/admin"),
    ],
)
@pytest.mark.parametrize("cut_at", [None, 100_000])
def test_where_a_directory_goes(
    host: SSHHost,
    machine: LoopbackMachine,
    tube: Path,
    slash: str,
    there: bool,
    destination: str,
    where: str,
    cut_at: int | None,
) -> None:
    if there:
        machine.upload("/tmp/other").mkdir()
    machine.behaviour.drop_after = cut_at
    done(host, File(f"{tube}{slash}", destination))
    assert below(machine.upload(where)) == below(tube)
    assert set(below(machine.root)) == {f"{where[1:]}/{name}" for name in below(tube)}
    assert machine.logins == (1 if cut_at is None else 2)


def test_the_question_for_the_directory_is_asked_again_too(host: SSHHost, machine: LoopbackMachine, tube: Path) -> None:
    done(host, File(str(tube), "/tmp/mailtube"))
    machine.drop()
    done(host, File(str(tube), "/tmp/mailtube"))
    assert machine.logins == 2
    assert below(machine.upload("/tmp/mailtube/mailtube")) == below(tube)


def test_an_upload_is_tried_four_times(
    host: SSHHost, machine: LoopbackMachine, tube: Path, events: list[Event]
) -> None:
    machine.behaviour.drop_after, machine.behaviour.drop_times = 1000, 4
    with pytest.raises(ConnectionLost) as caught:
        done(host, File(tube, "/tmp/x"))
    assert "lost 4 times" in caught.value.hint
    assert machine.logins == 4
    told = [event.message for event in events if isinstance(event, Warned)]
    assert [re.sub(r".* (\(.*\))$", r"\1", message) for message in told] == ["(1 of 3)", "(2 of 3)", "(3 of 3)"]
    assert all(message.startswith(f"upload {tube} to /tmp/x: the SSH connection was lost") for message in told)
    machine.behaviour.drop_after, machine.behaviour.drop_times = 1000, 3
    done(host, File(tube, "/tmp/x"))
    assert below(machine.upload("/tmp/x")) == below(tube)


@pytest.mark.parametrize("cut_at", [None, 100_000])
def test_what_is_excluded_stays_here(host: SSHHost, machine: LoopbackMachine, tube: Path, cut_at: int | None) -> None:
    for name in ("deploy/env/staging.json", "deploy/env.json", "sub/x.js.map", "sub/node_modules/x/y"):
        (tube / name).parent.mkdir(parents=True, exist_ok=True)
        (tube / name).write_text("x")
    os.mkfifo(tube / "sub" / "node_modules" / "pipe")
    machine.behaviour.drop_after = cut_at
    done(host, File(tube, "/tmp/x", exclude=["deploy/env/*.json", "*.map", "node_modules"]))
    assert set(below(machine.upload("/tmp/x"))) == {"package.json", "sub/blob", "deploy/env.json"}
    assert not machine.upload("/tmp/x/sub/node_modules").exists()


def test_where_a_file_goes(host: SSHHost, machine: LoopbackMachine, tube: Path) -> None:
    package = tube / "package.json"
    done(host, File(package, "/tmp/new/p.json"))
    done(host, File(package, "/tmp/new/"))
    done(host, File(package, "~/"))
    done(host, File(destination="/tmp/new/text", content="é", mode=0o600))
    done(host, File(destination="/tmp/new/empty", content=b""))
    assert below(machine.root) == {
        "tmp/new/p.json": b"{}",
        "tmp/new/package.json": b"{}",
        "home/admin/package.json": b"{}",
        "tmp/new/text": "é".encode(),
        "tmp/new/empty": b"",
    }
    assert machine.upload("/tmp/new/text").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UploadFailed, match="it is a directory"):
        done(host, File(package, "/tmp/new"))


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({}, ["give exactly one of source, sources and content, not none", "destination: is missing"]),
        (
            {"source": "a", "content": "b", "destination": "c"},
            ["give exactly one of source, sources and content, not source and content"],
        ),
        ({"source": "/no/such", "destination": "c"}, ["source: '/no/such': No such file or directory"]),
        ({"source": "a\0b", "destination": "c\0"}, ["source: 'a\\x00b': embedded null byte", "destination: has a NUL"]),
        ({"source": "/etc/passwd/", "destination": "c"}, ["source: /etc/passwd/ is no directory"]),
        ({"content": "x", "destination": "/tmp/"}, ["destination: /tmp/ names no file for the content"]),
        ({"content": "x", "destination": "~bob/x"}, ["destination: ~bob/x is another user's home; give its path"]),
        ({"content": "x", "destination": "x", "mode": 0o10000}, ["mode: 4096 is no permission bits, such as 0o644"]),
        ({"content": "x", "destination": "x", "exclude": ["a"]}, ["exclude: is for directories only"]),
        ({"source": "/etc/passwd", "destination": "x", "exclude": ["a"]}, ["exclude: is for directories only"]),
        ({"source": "/etc", "destination": "x", "exclude": "a"}, ["exclude: must be a list of patterns"]),
        ({"source": "/etc", "destination": "x", "exclude": {"a"}}, ["exclude: must be a list of patterns"]),
        (
            {"source": "/etc", "destination": "x", "exclude": ["a", "", "/b", "c/", "./d", "../e", 5, "*/f"]},
            [
                f"exclude: {wrong!r} matches nothing: give a name, or a path within the directory as in 'a/*.json'"
                for wrong in ("", "/b", "c/", "./d", "../e", 5)
            ],
        ),
        (
            {"source": "/no/such", "destination": "x", "exclude": ["a"]},
            ["source: '/no/such': No such file or directory"],
        ),
    ],
)
def test_mistakes_of_file(given: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        File(**given).check()
    assert list(caught.value.mistakes) == [f"File: {mistake}" for mistake in mistakes]


def test_an_unreadable_source(tube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(InvalidOption, match="can't be read"):
        File(tube, "/tmp/x").check()


def test_inline_lines_share_one_shell_that_ends_at_the_first_failure(host: SSHHost, events: list[Event]) -> None:
    done(host, Shell(inline=["X=1", "cd /", 'echo "$X $PWD"'], remote_folder="s"))
    assert Output("stdout", "1 /") in events
    with pytest.raises(ScriptFailed, match="the inline script exited with status 1") as caught:
        done(host, Shell(inline=["echo before", "false", "echo after"], remote_folder="s"))
    assert caught.value.tail == ("before",)


def test_a_script_that_fails_is_named_with_its_last_lines_and_removed(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path
) -> None:
    script = tmp_path / "primal"
    script.write_text("#!/bin/sh\nseq 100\necho $0\nexit 3\n")
    with pytest.raises(ScriptFailed) as caught:
        done(host, Shell(script=script, remote_folder="scripts"))
    assert caught.value.message == f"{script} exited with status 3"
    assert caught.value.status == 3
    assert caught.value.tail[:19] == tuple(str(number) for number in range(82, 101))
    assert caught.value.tail[19].startswith("./scripts/amibake-")
    assert below(machine.root) == {}


def test_the_interpreter_is_the_one_that_the_first_line_names(
    host: SSHHost, tmp_path: Path, events: list[Event]
) -> None:
    (tmp_path / "one").write_text("#!/usr/bin/env python3\nprint('python')\n")
    (tmp_path / "two").write_bytes(b"#!/bin/bash\r\necho ${BASH_VERSION:+bash}\r\n")
    (tmp_path / "three").write_text("echo login shell\n")
    done(host, Shell(scripts=[tmp_path / "one", str(tmp_path / "two"), tmp_path / "three"], remote_folder="s"))
    done(host, Shell(inline=["#!/bin/bash", "echo again ${BASH_VERSION:+bash}"], remote_folder="s"))
    printed = [event.line for event in events if isinstance(event, Output)]
    assert printed == ["python", "bash", "login shell", "again bash"]
    with pytest.raises(ScriptFailed) as caught:
        done(host, Shell(script=tmp_path / "two", binary=True, remote_folder="s"))
    assert caught.value.status in {126, 127}
    assert caught.value.hint


def test_later_scripts_do_not_run_after_a_failure(host: SSHHost, tmp_path: Path, events: list[Event]) -> None:
    (tmp_path / "bad").write_text("exit 9")
    (tmp_path / "good").write_text("echo ran")
    with pytest.raises(ScriptFailed, match="bad exited with status 9"):
        done(host, Shell(scripts=[tmp_path / "bad", tmp_path / "good"], remote_folder="s"))
    assert Output("stdout", "ran") not in events
    done(host, Shell(scripts=[tmp_path / "bad", tmp_path / "good"], remote_folder="s", valid_exit_codes=[0, 9]))
    assert Output("stdout", "ran") in events


@pytest.mark.parametrize("given", [{"A": "it's\n", "B": "x=y"}, ["A=it's\n", "B=x=y"]])
def test_variables_reach_the_script_and_no_file(
    host: SSHHost, machine: LoopbackMachine, given: Any, events: list[Event]
) -> None:
    shell = Shell(
        inline=['echo "$A|$B|$AMIBAKE_BUILD"', 'tr "\\0" " " </proc/$PPID/cmdline'],
        environment_vars=given,
        execute_command="sh {{ .Vars }} {{ .Path }}",
        remote_folder="s",
    )
    done(host, shell)
    assert Output("stdout", "|x=y|b-1") in events
    assert not any(isinstance(event, Output) and "x=y" in event.line for event in events[3:])
    assert "x=y" not in repr(shell)
    assert below(machine.root) == {}


def test_a_script_that_takes_too_long(host: SSHHost, tmp_path: Path) -> None:
    script = tmp_path / "primal"
    script.write_text("sleep 1000")
    with pytest.raises(WaitTimeout) as caught:
        done(host, Shell(script=script, timeout=0.3, environment_vars={"A": "s3cr3t"}, remote_folder="s"))
    assert caught.value.message == f"{script}: not ended after 0.3 s; it was killed"


def test_a_script_is_not_left_there_when_its_time_is_up(host: SSHHost, machine: LoopbackMachine) -> None:
    with pytest.raises(WaitTimeout):
        done(host, Shell(inline=["sleep 1000"], timeout=0.3, remote_folder="s"))
    assert below(machine.root) == {}
    with pytest.raises(WaitTimeout):
        done(host, Shell(inline=["sleep 1000"], timeout=0.3, remote_folder="s", skip_clean=True))
    assert len(below(machine.root)) == 1


@pytest.fixture
def cut(host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost at the line "now"."""

    def emit(event: Event) -> None:
        if event == Output("stdout", "now"):
            machine.drop()

    monkeypatch.setattr(host, "_emits", emit)


LEAVES = "setsid sh -c 'echo $$ >~/pid; echo now; exec sleep 1000 >/dev/null 2>&1' & wait"


def is_alive(machine: LoopbackMachine) -> bool:
    stat = Path("/proc") / (machine.home / "pid").read_text().strip() / "stat"
    return stat.exists() and ") Z " not in stat.read_text()


@pytest.mark.usefixtures("cut")
def test_nothing_of_a_script_is_left_once_a_lost_connection_is_made_anew(
    host: SSHHost, machine: LoopbackMachine
) -> None:
    with pytest.raises(ConnectionLost):
        done(host, Shell(inline=[LEAVES], remote_folder="s"))
    assert is_alive(machine)
    assert len(below(machine.home / "s")) == 1
    host.reconnect()
    assert not is_alive(machine)
    assert below(machine.home / "s") == {}


@pytest.mark.usefixtures("cut")
def test_what_goes_on_after_an_expected_disconnect_is_ended(host: SSHHost, machine: LoopbackMachine) -> None:
    done(host, Shell(inline=[LEAVES], remote_folder="s", expect_disconnect=True))
    assert not is_alive(machine)
    assert below(machine.home / "s") == {}


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_signal_is_no_disconnect(
    host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(waiting, "clock", FakeClock())
    end = Shell(inline=[f"kill -{name} $$"], remote_folder="s", expect_disconnect=True)
    with pytest.raises(ScriptFailed, match="was killed by a signal"):
        done(host, end)
    machine.behaviour.drop_instead = "amibake-alive"
    done(host, end)
    assert below(machine.root) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UploadFailed("no")])
def test_nothing_more_is_run_on_a_builder_after_an_error(
    host: SSHHost, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    commands: list[str] = []

    def run(command: str, **_: Any) -> Completed:
        commands.append(command)
        raise error

    monkeypatch.setattr(host, "run", run)
    with pytest.raises(type(error)):
        done(host, Shell(inline=["true"]))
    assert len(commands) == 1


def test_a_script_that_can_not_be_sent_is_named(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    script = tmp_path / "primal"
    script.write_text("true")
    (machine.home / "file").write_text("")
    with pytest.raises(UploadFailed, match=rf"^{script}: file/amibake-\w+ can't be made on the builder: mkdir: "):
        done(host, Shell(script=script, remote_folder="file"))


def test_a_script_killed_by_a_signal(host: SSHHost) -> None:
    with pytest.raises(ScriptFailed, match="was killed by a signal") as caught:
        done(host, Shell(inline=["echo x"], execute_command="kill -9 $$; {{.Path}}", remote_folder="s"))
    assert caught.value.status == -1


@pytest.mark.parametrize("machine", [False], indirect=True)
def test_what_a_recording_machine_sees(host: SSHHost, machine: LoopbackMachine, events: list[Event]) -> None:
    machine.behaviour.on("bad", exits(3, stdout="out\n", stderr="err\n"))
    with pytest.raises(ScriptFailed) as caught:
        done(host, Shell(inline=["bad"], environment_vars={"A": "b c"}))
    assert set(caught.value.tail) == {"out", "err"}
    done(host, Shell(inline=["good"]))
    assert [ran.script for ran in machine.ran] == ["#!/bin/sh -e\nbad\n", "#!/bin/sh -e\ngood\n"]
    assert machine.ran[0].environment == {"A": "b c", "AMIBAKE_BUILD": "b-1"}
    assert machine.ran[0].command.startswith("exec /bin/sh -e /tmp/amibake-")


@pytest.mark.parametrize("machine", [False], indirect=True)
def test_a_lost_connection_is_no_success_of_a_script(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    machine.behaviour.drop_instead = "reboot"
    (tmp_path / "primal").write_text("reboot")
    with pytest.raises(ConnectionLost, match=f"^{tmp_path}/primal: the SSH connection was lost before this had ended"):
        done(host, Shell(script=tmp_path / "primal", environment_vars={"A": "1"}))


def test_a_script_that_can_not_be_removed_is_a_warning(
    host: SSHHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    (tmp_path / "rm").write_text(
        "#!/bin/sh\ncase $* in *s/amibake-*/*) ;; *s/amibake-*) echo no way >&2; exit 1;; esac\n"
    )
    (tmp_path / "rm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done(host, Shell(inline=["true"], remote_folder="s"))
    [warning] = [event.message for event in events if isinstance(event, Warned)]
    assert re.fullmatch("s/amibake-[0-9a-f]{16} could not be removed: no way", warning)


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({}, ["give exactly one of inline, script and scripts, not none"]),
        (
            {"inline": ["x"], "script": "y"},
            ["give exactly one of inline, script and scripts, not inline and script"],
        ),
        ({"inline": []}, ["inline: must be a list, and not empty"]),
        ({"inline": "echo"}, ["inline: must be a list, and not empty"]),
        ({"scripts": Path("x")}, ["scripts: must be a list, and not empty"]),
        ({"script": "/no/such"}, ["script: /no/such can't be read: No such file or directory"]),
        ({"scripts": ["/no", "/etc/passwd"]}, ["scripts: /no can't be read: No such file or directory"]),
        ({"script": "a\0"}, ["script: a\0 can't be read: embedded null byte"]),
        (
            {"inline": ["x"], "environment_vars": ["A=1", "secret", "2=x", "C=\0"]},
            [
                "environment_vars: entry 2 has no =",
                "environment_vars: '2' is no name of a variable",
                "environment_vars: the value of C has a NUL",
            ],
        ),
        (
            {"inline": ["x"], "environment_vars": "A=1"},
            ['environment_vars: must be a mapping or a list of "NAME=value"'],
        ),
        ({"inline": ["x"], "environment_vars": {"A": 1}}, ["environment_vars: A must be a str or a Secret, not int"]),
        (
            {"inline": ["x"], "execute_command": "sudo", "remote_folder": "", "valid_exit_codes": (), "timeout": 0},
            [
                "remote_folder: is empty",
                "execute_command: has no {{.Path}}, so the script would not be run",
                "valid_exit_codes: is empty, so nothing could succeed",
                "timeout: 0 is no number of seconds to wait",
            ],
        ),
    ],
)
def test_mistakes_of_shell(given: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        Shell(**given).check()
    assert list(caught.value.mistakes) == [f"Shell: {mistake}" for mistake in mistakes]


LONG = "x" * (128 << 10)


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({"valid_exit_codes": 2}, ["valid_exit_codes: must be a list of exit statuses, not 2"]),
        ({"valid_exit_codes": ["0", True]}, [f"valid_exit_codes: {x} is no exit status" for x in ("'0'", "True")]),
        (
            {"inline": [1, Secret("x"), "a\0"]},
            [
                "inline: line 1 is no text but 1",
                "inline: line 2 is a Secret, which the builder gets by environment_vars only",
                "inline: line 3 has a NUL",
            ],
        ),
        ({"remote_file": ".."}, ["remote_file: '..' is a directory"]),
        ({"remote_file": "a/b"}, ["remote_file: 'a/b' is a path; give remote_path"]),
        ({"remote_path": "/tmp/"}, ["remote_path: '/tmp/' is a directory; the name of the script is to be in it"]),
        ({"remote_path": "~"}, ["remote_path: '~' is a directory; the name of the script is to be in it"]),
        ({"remote_folder": 5}, ["remote_folder: 5 is no text"]),
        ({"remote_folder": None}, ["remote_folder: None is no text"]),
        ({"execute_command": 5}, ["execute_command: 5 is no text"]),
        ({"inline_shebang": "sh\0"}, ["inline_shebang: has a NUL"]),
        ({"inline": None, "script": 5}, ["script: 5 is no path"]),
        ({"inline": None, "scripts": [5]}, ["scripts: 5 is no path"]),
        (
            {"environment_vars": {5: "x", "A": "\0"}},
            [
                "environment_vars: 5 is no name of a variable",
                "environment_vars: the value of A has a NUL",
            ],
        ),
        (
            {"env": {"A": LONG[2:], "B": LONG[3:]}},
            [
                "env: A is longer than Linux lets a variable be: 131073 bytes, 131072 at most (MAX_ARG_STRLEN)",
            ],
        ),
        ({"sudo": "no"}, ["sudo: 'no' is neither True nor False"]),
        ({"pause_after": "soon"}, ['pause_after: \'soon\' has to be seconds, or text such as "90s", "5m" or "1h30m"']),
        ({"pause_after": -1}, ["pause_after: -1 is no number of seconds to wait"]),
        ({"start_retry_timeout": "5m", "pause_after": "10s"}, []),
        (
            {"binary": 1, "remote_path": "", "sudo": LONG},
            [
                "remote_path: is empty",
                f"sudo: '{LONG[:78]}… is neither True nor False",
                "binary: 1 is neither True nor False",
            ],
        ),
    ],
)
def test_every_mistake_of_kind_is_found_before_anything_is_launched(given: dict[str, Any], mistakes: list[str]) -> None:
    shell = Shell(**{"inline": ["x"], **given})
    assert str(shell).startswith("run ")
    if not mistakes:
        shell.check()
        return
    with pytest.raises(InvalidOption) as caught:
        shell.check()
    assert list(caught.value.mistakes) == [f"Shell: {mistake}" for mistake in mistakes]


def test_the_pause_at_the_end_is_within_the_time_that_is_left(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(waiting.clock, "sleep", slept.append)
    done(host, Shell(inline=["true"], remote_folder="s", pause_after="10s"))
    done(host, Shell(inline=["true"], remote_folder="s", pause_after="1h", timeout=20))
    assert slept[0] == 10
    assert 0 < slept[1] <= 20


def test_what_they_call_themselves() -> None:
    assert str(File("deploy/mailtube", "/tmp/x")) == "upload deploy/mailtube to /tmp/x"
    assert str(File(content="s3cr3t", destination="x")) == "upload a text to x"
    assert str(Shell(script="deploy/templates/primal")) == "run primal"
    assert str(Shell(scripts=["a/b", Path("c")])) == "run b, c"
    assert str(Shell(inline=["x"])) == "run an inline script"
    assert "s3cr3t" not in repr(File(content="s3cr3t", destination="x"))
