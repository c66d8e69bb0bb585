"""WaitForCloudInit, on a machine that runs what it is told, with a program in place of cloud-init."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibake.errors import InvalidOption, ScriptFailed, WaitTimeout
from amibake.events import Event, Warned
from amibake.provisioners import WaitForCloudInit, cloudinit
from amibake.ssh.host import SSHHost
from amibake.testing.behaviour import exits
from amibake.testing.sshd import LoopbackMachine

runs = pytest.mark.parametrize("machine", [True], indirect=True)

STUB = """#!/bin/sh
case $* in
"status --help") echo "usage: cloud-init status [--long] [--wait]" ;;
"status --wait") printf '....'; echo 'status: {word}'; exit {status} ;;
"status --long") echo 'status: {word}'; echo 'detail: {detail}'; exit {status} ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the log and for the mark of a finished boot."""
    monkeypatch.setattr(cloudinit, "_LOG", str(tmp_path / "output.log"))
    monkeypatch.setattr(cloudinit, "_FINISHED", str(tmp_path / "boot-finished"))
    (tmp_path / "output.log").write_text("".join(f"line {number}\n" for number in range(30)))
    return tmp_path / "output.log"


def stub(machine: LoopbackMachine, text: str) -> None:
    program = machine.root / "usr/local/bin/cloud-init"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(text)
    program.chmod(0o755)


def done(host: SSHHost, step: WaitForCloudInit) -> None:
    step.check()
    step.provision(host)


@runs
@pytest.mark.parametrize("word", ["done", "disabled", "not run"])
def test_what_ends_well(host: SSHHost, machine: LoopbackMachine, events: list[Event], log: Path, word: str) -> None:
    stub(machine, STUB.format(word=word, status=0, detail=""))
    done(host, WaitForCloudInit())
    assert not [event for event in events if isinstance(event, Warned)]


@runs
def test_recoverable_errors_are_a_warning(
    host: SSHHost, machine: LoopbackMachine, events: list[Event], log: Path
) -> None:
    stub(machine, STUB.format(word="done", status=2, detail="a mirror did not answer"))
    done(host, WaitForCloudInit())
    (warning,) = [event.message for event in events if isinstance(event, Warned)]
    assert warning.endswith("not without errors: status: done; detail: a mirror did not answer")


@runs
@pytest.mark.parametrize("status", [0, 1])
def test_an_error_is_shown(host: SSHHost, machine: LoopbackMachine, log: Path, status: int) -> None:
    stub(machine, STUB.format(word="error", status=status, detail="no datasource"))
    with pytest.raises(ScriptFailed, match="cloud-init has failed") as caught:
        done(host, WaitForCloudInit())
    assert caught.value.status == 1
    assert caught.value.tail[:3] == ("status: error", "detail: no datasource", "line 10")
    assert caught.value.tail[-1] == "line 29"


@runs
def test_an_old_one_is_waited_for_by_its_mark(host: SSHHost, machine: LoopbackMachine, log: Path) -> None:
    stub(machine, f"#!/bin/sh\n(sleep 0.1; : >{log.parent}/boot-finished) & exit 2\n")
    done(host, WaitForCloudInit())
    assert (log.parent / "boot-finished").exists()


@runs
def test_it_is_not_waited_for_longer_than_told(host: SSHHost, machine: LoopbackMachine, log: Path) -> None:
    stub(machine, "#!/bin/sh\nexit 2\n")
    with pytest.raises(WaitTimeout, match=r"^cloud-init: not ended after 2 s"):
        done(host, WaitForCloudInit(timeout="2s"))


@runs
def test_without_it_there_is_nothing_to_wait_for(host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done(host, WaitForCloudInit())


def test_a_machine_of_a_test_records_it(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.behaviour.on("cloud-init", exits(1))
    with pytest.raises(ScriptFailed):
        done(host, WaitForCloudInit())
    machine.behaviour.answers.clear()
    done(host, WaitForCloudInit())
    assert len(machine.ran) == 2


def test_mistakes_of_waiting_for_cloud_init() -> None:
    with pytest.raises(InvalidOption, match=r"^WaitForCloudInit: timeout: -1 is no number"):
        WaitForCloudInit(timeout=-1).check()
    assert str(WaitForCloudInit()) == "wait for cloud-init"
