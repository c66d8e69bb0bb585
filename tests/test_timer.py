"""The builder's own end: when it is armed and cancelled, what is sent of it, and what is said when it comes early."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake import own_machine, waiting
from amibake.errors import ConnectionLost, WaitTimeout
from amibake.events import Event, StepStarted
from amibake.host import Completed, Host
from amibake.ledger import Ledger
from amibake.testing import Place, exits
from amibake.timer import MARGIN, Timer

SCRIPT = Path(amibake.__file__).parent / "timer.sh"


class Does:
    """A provisioner that does whatever a test wants."""

    def __init__(self, do: Callable[[Host], object]) -> None:
        self._do = do

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        self._do(host)


def bake(place: Place, *steps: Any, options: dict[str, Any] | None = None, **how: Any) -> Any:
    builder = amibake.Builder(
        **{
            "ami_name": "shop {{timestamp}}",
            "source_ami": place.source_ami,
            "instance_type": "t3.micro",
            "max_build_time": 1000,
            **(options or {}),
        }
    )
    return amibake.bake(builder, steps, session=place.session, **how)


def goes_off(place: Place) -> float | None:
    """When the newest machine's timer goes off if it was armed now, by the place's clock."""
    seconds = place.machines.newest.timer
    return None if seconds is None else place.clock.now() + seconds


class TestABake:
    def test_has_it_armed_at_every_connection_for_a_moment_after_its_deadline_and_cancelled_before_the_stop(
        self, place: Place
    ) -> None:
        seen: list[float | None] = []
        ends = place.clock.now() + 1000 + MARGIN
        at: dict[str, float | None] = {}

        def tell(event: Event) -> None:
            if isinstance(event, StepStarted) and place.machines.all:
                at[event.step] = goes_off(place)

        def look(_: Host) -> None:
            seen.append(goes_off(place))

        def lose(host: Host) -> None:
            place.machines.newest.timer = None
            place.machines.newest.drop()
            host.reconnect()

        bake(place, Does(look), amibake.Reboot(), Does(look), Does(lose), Does(look), on_event=tell)
        assert seen == [pytest.approx(ends, abs=2)] * 3
        assert all(moment is not None and moment >= ends - 0.01 for moment in seen)
        assert (at["seal the builder"], at["stop the builder"]) == (None, None)

    def test_has_none_any_more_when_it_connects_anew_after_that(self, place: Place) -> None:
        hosts: list[Host] = []
        seen: list[int | None] = []

        def tell(event: Event) -> None:
            if isinstance(event, StepStarted) and event.step == "seal the builder":
                hosts[0].reconnect()
                seen.append(place.machines.newest.timer)

        bake(place, Does(hosts.append), on_event=tell)
        assert (seen, place.machines.newest.logins) == ([None], 2)

    def test_without_sudo_goes_on_and_says_once_what_that_means(self, place: Place) -> None:
        place.machines.behaviour.refuse_sudo = True
        image = bake(place, Does(lambda host: host.reconnect()))
        said = [warning for warning in image.warnings if "will not end itself" in warning]
        assert said == ["the builder will not end itself when this program is killed: no passwordless sudo on it"]

    def test_that_keeps_its_builder_keeps_it_until_it_expires_at_least(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        place.machines.behaviour.on("make it", exits(1))
        started = place.clock.now()
        with pytest.raises(amibake.ScriptFailed) as caught:
            bake(place, amibake.Shell(inline=["make it"]), on_error="keep")
        moment = goes_off(place)
        assert moment is not None
        assert moment >= started + 1000 + 30 * 60
        place.clock.sleep(2000)
        seen: list[float | None] = []
        again = place.clock.now()
        bake(place, Does(lambda _: seen.append(goes_off(place))), resume=caught.value.build)
        assert seen == [pytest.approx(again + 1000 + MARGIN, abs=2)]

    def test_whose_connection_is_lost_while_it_is_armed_arms_it_over_another(self, place: Place) -> None:
        seen: list[float | None] = []
        place.machines.behaviour.drop_instead = "amibake-set-timer"
        image = bake(place, Does(lambda _: seen.append(goes_off(place))))
        assert ["connecting anew" in warning for warning in image.warnings] == [True]
        assert seen[0] is not None
        assert place.machines.newest.logins == 2

    def test_whose_connection_is_lost_at_the_end_fails_of_that(self, place: Place) -> None:
        place.machines.behaviour.drop_instead = "seal-by-amibake"
        with pytest.raises(amibake.ConnectionLost) as caught:
            bake(place)
        assert "shut down" not in caught.value.hint

    def test_whose_builder_is_silent_says_nothing_of_a_shutdown_that_ec2_knows_nothing_of(self, place: Place) -> None:
        def hang(host: Host) -> None:
            place.machines.newest.stop()
            host.run("anything", when_lost="raise")

        began = place.clock.now()
        with pytest.raises(amibake.ConnectionLost) as caught:
            bake(place, Does(hang))
        assert "shut down" not in caught.value.hint
        assert place.clock.now() - began < 60


class TestTheShutdownBehaviour:
    @pytest.mark.parametrize(
        ("options", "sent"),
        [
            ({}, "terminate"),
            ({"shutdown_behavior": "terminate"}, "terminate"),
            ({"shutdown_behavior": "stop"}, "stop"),
        ],
    )
    def test_is_terminate_and_stop_again_before_the_image(
        self, place: Place, options: dict[str, Any], sent: str
    ) -> None:
        bake(place, options=options)
        requests = place.ec2.requests
        (launch,) = [one for one in requests if one.action == "RunInstances"]
        assert launch.params["InstanceInitiatedShutdownBehavior"] == sent
        value = "InstanceInitiatedShutdownBehavior.Value"
        set_back = [number for number, one in enumerate(requests) if value in one.params]
        assert [requests[one].params[value] for one in set_back] == (["stop"] if sent == "terminate" else [])
        actions = [one.action for one in requests]
        if set_back:
            assert actions.index("StopInstances") < set_back[0] < actions.index("CreateImage")

    def test_of_a_spot_builder_is_terminate_too(self, place: Place) -> None:
        bake(place, options={"spot_price": "auto"})
        (template,) = [one for one in place.ec2.requests if one.action == "CreateLaunchTemplate"]
        assert template.params["LaunchTemplateData.InstanceInitiatedShutdownBehavior"] == "terminate"

    def test_lets_a_builder_end_itself(self, place: Place) -> None:
        states: list[str] = []

        def power_off(_: Host) -> None:
            off(place)
            place.clock.sleep(60)
            found = place.session.client("ec2").describe_instances()["Reservations"]
            states.extend(one["State"]["Name"] for each in found for one in each["Instances"])

        with pytest.raises(amibake.AmibakeError):
            bake(place, Does(power_off))
        assert states == ["terminated"]

    def test_makes_the_error_of_a_builder_that_was_shut_down_from_within_say_so(self, place: Place) -> None:
        def power_off(host: Host) -> None:
            off(place)
            host.run("anything", when_lost="raise")

        with pytest.raises(amibake.AmibakeError, match=r"(?s)was lost.*Instance initiated shutdown") as caught:
            bake(place, Does(power_off))
        assert "It was shut down from within" in caught.value.hint

    def test_does_so_too_when_it_happens_just_before_the_stop(self, place: Place) -> None:
        def tell(event: Event) -> None:
            if isinstance(event, StepStarted) and event.step == "stop the builder":
                off(place)

        with pytest.raises(amibake.AmibakeError, match="Instance initiated shutdown") as caught:
            bake(place, on_event=tell)
        assert "It was shut down from within" in caught.value.hint

    def test_another_reason_for_not_stopping_is_said_as_it_is(self, place: Place) -> None:
        place.ec2.refuse("StopInstances", code="IncorrectInstanceState")
        with pytest.raises(amibake.AmibakeError, match="IncorrectInstanceState"):
            bake(place)

    @pytest.mark.parametrize("behaviour", ["stop", "terminate"])
    def test_of_a_launched_instance_is_always_said(self, place: Place, behaviour: Any) -> None:
        image = bake(place)
        place.ec2.requests.clear()
        with amibake.launch(image, instance_type="t3.micro", shutdown_behavior=behaviour, session=place.session):
            pass
        with amibake.launch(image, instance_type="t3.micro", session=place.session):
            pass
        sent = [one.params for one in place.ec2.requests if one.action == "RunInstances"]
        assert [params["InstanceInitiatedShutdownBehavior"] for params in sent] == [behaviour, "stop"]


def off(place: Place) -> None:
    """The newest machine goes down by itself."""
    assert place.machines.on_power_off is not None
    place.machines.on_power_off(list(place.machines.all)[-1], False)


class Answers:
    """A host that answers everything with this, or raises it."""

    def __init__(self, answer: Completed | Exception) -> None:
        self.answer = answer

    def run(self, *_: Any, **__: Any) -> Completed:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Completed(0, "", ""), []),
        (Completed(3, "", ""), ["it is the machine that this runs on"]),
        (Completed(4, "", ""), ["no passwordless sudo on it"]),
        (Completed(1, "", "", ("setsid: not found",)), ["exit status 1; setsid: not found"]),
        (WaitTimeout("no answer"), ["no answer"]),
        (ConnectionLost("gone"), []),
    ],
)
def test_what_goes_wrong_is_a_warning(answer: Completed | Exception, said: list[str]) -> None:
    host: Any = Answers(answer)
    ledger = Ledger(lambda _: None)
    timer = Timer(waiting.Deadline(60), ledger)
    timer.arm(host)
    timer.cancel(host)
    assert [warning.partition(": ")[2] for warning in ledger.warnings] == said
    ledger = Ledger(lambda _: None)
    Timer(waiting.Deadline(60), ledger).cancel(host)
    assert ledger.warnings == [f"the builder's timer could not be cancelled: {text}" for text in said]


class Sandbox:
    """timer.sh, run for real on this machine under a name of its own, with stand-ins for all that would do harm."""

    def __init__(self, root: Path) -> None:
        self.name = f"amibake-test-{secrets.token_hex(8)}"
        self.script = SCRIPT.read_text().replace("amibake-timer", self.name)
        self.root = root
        self.fake("systemd-run", "exit 1")
        self.fake("systemctl", "exit 1")
        self.fake("poweroff", f"echo off >>{root}/off")
        self.fake("shutdown", f"echo off >>{root}/off")
        self.fake("sudo", 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"')

    def fake(self, name: str, body: str) -> None:
        (self.root / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.root / name).chmod(0o755)

    def run(self, *words: str, given: str | None = None) -> int:
        environment = {**os.environ, "PATH": f"{self.root}:{os.environ['PATH']}"}
        script = self.script if given is None else given
        return subprocess.run(["sh", *words], input=script.encode(), env=environment, timeout=60).returncode

    def timers(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"={self.name}".encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def names(self) -> list[list[str]]:
        """The words of each process that is armed, but for those that only sleep."""
        words = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in self.timers()]
        return [line for line in words if self.name in line]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Sandbox]:
    machine = Sandbox(tmp_path)
    yield machine
    machine.run("-s", "cancel", "0")
    assert machine.timers() == []
    assert not (tmp_path / "off").exists()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class TestTheScript:
    def test_arms_one_timer_however_often_and_cancels_it(self, machine: Sandbox) -> None:
        def armed(seconds: str) -> bool:
            return [words[3:5] for words in machine.names()] == [[machine.name, seconds]]

        for seconds in ("5000", "6000"):
            assert machine.run("-s", "arm", seconds) == 0
            until(partial(armed, seconds))
        assert machine.run("-s", "keep", "7000") == 0
        assert armed("6000")
        assert machine.run("-s", "cancel", "0") == 0
        assert machine.timers() == []
        assert machine.run("-s", "cancel", "0") == 0
        assert machine.run("-s", "keep", "7000") == 0
        until(partial(armed, "7000"))

    def test_powers_off_when_its_time_has_come_and_not_when_its_sleep_was_killed(
        self, machine: Sandbox, tmp_path: Path
    ) -> None:
        assert machine.run("-s", "arm", "5000") == 0
        until(lambda: len(machine.timers()) == 2)
        (sleep,) = [pid for pid in machine.timers() if b"sleep\x005000" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(sleep, 15)
        until(lambda: machine.timers() == [])
        assert not (tmp_path / "off").exists()
        assert machine.run("-s", "arm", "0") == 0
        until((tmp_path / "off").exists)
        until(lambda: machine.timers() == [])
        (tmp_path / "off").unlink()

    def test_ends_what_begins_while_it_is_cancelled(self, machine: Sandbox, tmp_path: Path) -> None:
        assert machine.run("-s", "arm", "5000") == 0
        until(lambda: len(machine.timers()) == 2)
        blind = f"sleepers() {{ [ -e {tmp_path}/looked ] || {{ : >{tmp_path}/looked; return 0; }}; "  # the first time
        assert machine.run("-s", "cancel", "0", given=machine.script.replace("sleepers() { ", blind)) == 0
        assert machine.timers() == []

    def test_is_systemds_where_that_is_the_init_but_not_while_the_machine_is_booting(
        self, machine: Sandbox, tmp_path: Path
    ) -> None:
        machine.script = machine.script.replace("/run/systemd/system", str(tmp_path))
        for name, status in (("systemd-run", 0), ("systemctl", 3)):
            machine.fake(name, f'echo "${{0##*/}} $*" >>{tmp_path}/asked; exit {status}')
        assert machine.run("-s", "keep", "5000") == 0
        until(lambda: len(machine.names()) == 1)
        assert not (tmp_path / "asked").exists()
        assert machine.run("-s", "arm", "6000") == 0
        assert machine.timers() == []
        stop, look, run = (tmp_path / "asked").read_text().splitlines()
        assert (stop, look) == (
            f"systemctl stop {machine.name}.timer",
            f"systemctl --quiet is-active {machine.name}.timer",
        )
        assert f"--unit={machine.name} " in run
        assert "--on-active=6000 " in run
        assert run.endswith("/systemctl poweroff")

    def test_says_when_it_can_not(self, machine: Sandbox) -> None:
        assert machine.run("-s", "arm", "5000", given=machine.script.replace("setsid", "no-such-program")) != 0
        assert machine.timers() == []


class TestTheGuard:
    """In front of the script: what it lets through."""

    def run(self, machine: Sandbox, boot: str, identity: str) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(own_machine, "boot_id", lambda: boot)
            patch.setattr(own_machine, "machine_identity", lambda: identity)
            _, _, *words = shlex.split(own_machine.guarded("amibake-set-timer", "arm", "1"))
        return machine.run(*words, given='echo "$@" >>"${PATH%%:*}/ran"')

    def test_never_our_own_machine(self, machine: Sandbox, tmp_path: Path) -> None:
        assert self.run(machine, own_machine.boot_id(), own_machine.machine_identity()) == 3
        assert self.run(machine, own_machine.boot_id(), "-") == 3
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("uid", [0, 1000])
    def test_another_one_as_root_or_by_sudo(self, machine: Sandbox, tmp_path: Path, uid: int) -> None:
        machine.fake("id", f"echo {uid}")
        assert self.run(machine, "another", own_machine.machine_identity()) == 0
        assert (tmp_path / "ran").read_text() == "arm 1\n"

    def test_nobody_without_sudo(self, machine: Sandbox, tmp_path: Path) -> None:
        machine.fake("id", "echo 1000")
        machine.fake("sudo", "exit 1")
        assert self.run(machine, "another", "another") == 4
        assert not (tmp_path / "ran").exists()
