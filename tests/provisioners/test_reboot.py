"""Reboot, on a machine that restarts when it is told to, and on some that do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amibake.errors import ConnectionLost, HostKeyChanged, InvalidOption, ScriptFailed, WaitTimeout
from amibake.events import Event, Waiting
from amibake.provisioners import Reboot
from amibake.provisioners.reboot import BOOT_ID
from amibake.ssh.host import SSHHost
from amibake.testing.behaviour import Answer, exits
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine


def done(host: SSHHost, reboot: Reboot) -> None:
    reboot.check()
    reboot.provision(host)


def boot_id(machine: LoopbackMachine) -> str:
    return machine.upload(BOOT_ID).read_text().strip()


def log(machine: LoopbackMachine) -> Path:
    """What the command of the last reboot prints to."""
    (path,) = re.findall("/tmp/[.]amibake-reboot-[0-9a-f]+", machine.ran[-1].command)
    return machine.upload(path)


def test_it_is_over_at_the_new_boot_and_the_host_is_usable(host: SSHHost, machine: LoopbackMachine) -> None:
    seen = [boot_id(machine)]
    for _ in range(2):
        done(host, Reboot())
        seen.append(boot_id(machine))
        assert host.run("anything", capture=True).status == 0
    assert len(set(seen)) == 3
    assert machine.logins == 3


def test_a_machine_that_takes_its_time(host: SSHHost, machine: LoopbackMachine, clock: FakeClock) -> None:
    """It runs on for a while, goes down, and refuses some connections and logins while it comes up."""

    def refuse() -> None:
        machine.behaviour.refuse_connections, machine.behaviour.refuse_logins = 3, 12

    machine.behaviour.on("reboot-by-amibake", Answer(does=refuse))
    asked = 0
    real = host.run

    def run(command: str, **options: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 8:
            machine.reboot()
        return real(command, **options)  # type: ignore[arg-type]

    host.run = run  # type: ignore[method-assign,assignment]
    before = boot_id(machine)
    done(host, Reboot())
    assert boot_id(machine) != before
    assert machine.behaviour.refuse_logins == 0
    assert clock.now() > 30


def test_a_machine_that_never_goes_down(
    host: SSHHost, machine: LoopbackMachine, clock: FakeClock, events: list[Event]
) -> None:
    machine.behaviour.on("reboot-by-amibake", Answer(does=lambda: log(machine).write_text("not now\nexit status 0\n")))
    with pytest.raises(WaitTimeout) as caught:
        done(host, Reboot(timeout="1m"))
    assert caught.value.message == (
        "the reboot: not after 60 s; last seen: the machine runs on since before, with the boot id "
        f"{boot_id(machine)}; the command said: not now; exit status 0"
    )
    assert 60 <= clock.now() < 62
    assert host.run("anything", capture=True).status == 0
    assert any(isinstance(event, Waiting) and event.what == "the reboot" for event in events)


def test_a_machine_that_goes_down_and_does_not_come_back(host: SSHHost, machine: LoopbackMachine) -> None:
    def refuse() -> None:
        machine.behaviour.refuse_connections = 999

    machine.behaviour.on("reboot-by-amibake", Answer(does=refuse))
    real = host.run

    def run(command: str, **options: object) -> object:
        answer = real(command, **options)  # type: ignore[arg-type]
        if "reboot-by-amibake" in command:
            machine.reboot()
        return answer

    host.run = run  # type: ignore[method-assign,assignment]
    with pytest.raises(WaitTimeout, match=r"last seen: it went down and is not back: SSH at 127\.78\.0\.2.*not after"):
        done(host, Reboot(timeout=40))


def test_a_connection_that_is_lost_without_a_reboot_is_none(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.behaviour.on("reboot-by-amibake", Answer(does=machine.drop))
    with pytest.raises(WaitTimeout, match="the machine runs on since before"):
        done(host, Reboot(timeout=20))
    assert machine.logins == 2


def test_another_host_key_after_it_is_no_success(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.change_host_key()
    with pytest.raises(HostKeyChanged):
        done(host, Reboot())


def test_a_command_that_fails_is_not_waited_for_to_the_end(
    host: SSHHost, machine: LoopbackMachine, clock: FakeClock
) -> None:
    machine.behaviour.on("reboot-by-amibake", Answer(does=lambda: log(machine).write_text("denied\nexit status 3\n")))
    with pytest.raises(ScriptFailed, match="the command that reboots has failed") as caught:
        done(host, Reboot())
    assert (caught.value.status, caught.value.tail) == (3, ("denied",))
    assert 15 <= clock.now() < 20


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (4, "the user may not use sudo without a password\nsudo=False"),
        (5, "there is neither systemctl, reboot nor shutdown"),
        (1, "could not be started"),
    ],
)
def test_what_can_not_be_started_is_said(host: SSHHost, machine: LoopbackMachine, status: int, said: str) -> None:
    machine.behaviour.on("reboot-by-amibake", exits(status, stderr="sudo: a password is required\n"))
    with pytest.raises(ScriptFailed, match=said) as caught:
        done(host, Reboot())
    assert caught.value.status == status


def test_the_bakes_own_time_bounds_it(host: SSHHost, machine: LoopbackMachine, clock: FakeClock) -> None:
    machine.behaviour.on("reboot-by-amibake", exits(0))
    with pytest.raises(WaitTimeout):
        done(host, Reboot(timeout=None))
    assert 400 <= clock.now() < 405


def test_a_boot_id_that_can_not_be_read(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.upload(BOOT_ID).unlink()
    with pytest.raises(ScriptFailed, match="the builder's boot id can't be read"):
        done(host, Reboot())
    assert machine.ran == []


def test_a_line_that_is_down_beforehand_is_made_anew(host: SSHHost, machine: LoopbackMachine) -> None:
    machine.drop()
    done(host, Reboot())
    assert machine.logins == 3
    machine.behaviour.drop_instead, machine.behaviour.drop_times = "amibake-boot-id", 4
    with pytest.raises(ConnectionLost):
        done(host, Reboot())
    assert len(machine.ran) == 1


@pytest.mark.parametrize("machine", [True], indirect=True)
def test_no_machine_of_a_test_runs_it(host: SSHHost, machine: LoopbackMachine) -> None:
    done(host, Reboot(command="touch never"))
    assert list(machine.home.iterdir()) == []


def test_mistakes_of_reboot() -> None:
    with pytest.raises(InvalidOption) as caught:
        Reboot(command=" ", timeout=0).check()
    assert caught.value.mistakes == (
        "Reboot: timeout: 0 is no number of seconds to wait",
        "Reboot: command: has to be a shell command",
    )
