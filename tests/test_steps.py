"""What all provisioners can be told, and what runs them by it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import amibake
from amibake import waiting
from amibake.errors import (
    AmibakeError,
    AuthenticationFailed,
    ConnectionLost,
    HostKeyChanged,
    InvalidOption,
    ScriptFailed,
    SSHTimeout,
    WaitTimeout,
)
from amibake.events import Event, StepFinished, StepSkipped, StepStarted, Waiting, Warned
from amibake.flow import checked
from amibake.host import Completed, Host
from amibake.interrupts import Interrupted
from amibake.ledger import Ledger
from amibake.provisioners import Reboot, ShellLocal, Step
from amibake.ssh import dial
from amibake.steps import called, perform, run_error_cleanup
from amibake.testing import Place
from amibake.testing.clock import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


class Machine:
    """A host on which nothing is run. `answers` are raised, one at each `run`; where there is none it ends well."""

    def __init__(
        self, clock: FakeClock, *, name: str = "web-eu", seconds: float = 3600, emit: Callable[[Event], None] = print
    ) -> None:
        self._clock = clock
        self._until = clock.now() + seconds
        self.data: Mapping[str, str] = {"BuildName": name} if name else {}
        self.answers: list[Exception | None] = []
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.on_reconnect: Exception | None = None
        self.reconnects: list[float | None] = []
        self.limit: float | None = None
        self.emit = emit

    def conceal(self, values: object) -> None: ...

    def run(self, command: str, **options: Any) -> Completed:
        self.ran.append((command, options))
        answer = self.answers.pop(0) if self.answers else None
        if answer:
            raise answer
        return Completed(0, "", "")

    def put(self, *_: Any, **__: Any) -> None: ...
    def get(self, *_: Any, **__: Any) -> None: ...

    def reconnect(self, *, timeout: float | None = None) -> None:
        self.reconnects.append(timeout)
        if self.on_reconnect:
            raise self.on_reconnect

    def remaining(self) -> float:
        return max(0.0, self._until - self._clock.now())

    def limited(self, seconds: float) -> Host:
        limited = Machine(self._clock, seconds=seconds, emit=self.emit)
        limited.limit = seconds
        return limited


@pytest.fixture
def machine(clock: FakeClock, ledger: Ledger) -> Machine:
    return Machine(clock, emit=ledger.emit)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def ledger(clock: FakeClock, events: list[Event]) -> Ledger:
    return Ledger(events.append)


def step(*outcomes: BaseException | None, **options: Any) -> Any:
    """A provisioner of the user's own, with these attributes; each try has the next outcome, or the last."""
    made = SimpleNamespace(tries=[], check=lambda: None, **options)

    def provision(host: Any) -> None:
        made.tries.append((waiting.clock.now(), getattr(host, "limit", None)))
        outcome = outcomes[min(len(made.tries), len(outcomes)) - 1] if outcomes else None
        if outcome:
            raise outcome

    made.provision = provision
    return made


def times(made: Any) -> list[float]:
    return [at for at, _ in made.tries]


@pytest.mark.parametrize(
    ("options", "name", "done"),
    [
        ({}, "web-eu", True),
        ({"only": ["web-*"]}, "web-eu", True),
        ({"only": ["db", "web-eu"]}, "web-eu", True),
        ({"only": ["web"]}, "web-eu", False),
        ({"only": ["WEB-*"]}, "web-eu", False),
        ({"only": ["web-*"]}, "", False),
        ({"except_": ["web-*"]}, "web-eu", False),
        ({"except_": ["db"]}, "web-eu", True),
        ({"except_": ["db"]}, "", True),
    ],
)
def test_a_step_is_done_in_the_bakes_that_it_names(
    clock: FakeClock, ledger: Ledger, events: list[Event], options: Any, name: str, done: bool
) -> None:
    made = step(name="install", **options)
    perform(made, Machine(clock, name=name, emit=ledger.emit), ledger)
    assert bool(made.tries) is done
    assert ("install" in ledger.timings) is done
    skipped = [event for event in events if isinstance(event, StepSkipped)]
    assert [event.step for event in skipped] == ([] if done else ["install"])
    assert done or name in str(skipped[0])


def test_a_pause_and_a_timeout_both_work(
    clock: FakeClock, machine: Machine, ledger: Ledger, events: list[Event]
) -> None:
    made = step(ScriptFailed("no", status=1), None, name="install", pause_before="10s", timeout="1m", max_retries=1)
    perform(made, machine, ledger)
    assert made.tries == [(10.0, 60.0), (11.0, 60.0)]
    assert events[0] == StepStarted("install")
    assert events[1] == Waiting("the pause before install", "10 s to go", 0.0)
    assert events[-1] == StepFinished("install", 11.0)


def test_a_pause_ends_with_the_bakes_time(clock: FakeClock, ledger: Ledger) -> None:
    perform(step(pause_before=1000), Machine(clock, seconds=60), ledger)
    assert clock.now() == 60


def test_pauses_between_tries_double_up_to_thirty_seconds(machine: Machine, ledger: Ledger) -> None:
    made = step(ScriptFailed("exited with status 1", status=1), name="install", max_retries=7)
    with pytest.raises(ScriptFailed):
        perform(made, machine, ledger)
    assert times(made) == [0, 1, 3, 7, 15, 31, 61, 91]


def test_the_error_is_the_last_one_and_every_other_is_a_warning(machine: Machine, ledger: Ledger) -> None:
    made = step(ScriptFailed("first", status=1), WaitTimeout("second"), AmibakeError("third"), name="go", max_retries=2)
    with pytest.raises(AmibakeError) as caught:
        perform(made, machine, ledger)
    assert caught.value.message == "go: third (the last of 3 tries)"
    assert ledger.warnings == ["go: first (try 1 of 3; again in 1 s)", "go: second (try 2 of 3; again in 2 s)"]


def test_an_error_of_one_try_is_as_it_was_but_for_a_name_that_was_given(machine: Machine, ledger: Ledger) -> None:
    with pytest.raises(ScriptFailed, match=r"^no$"):
        perform(step(ScriptFailed("no", status=1)), machine, ledger)
    with pytest.raises(ScriptFailed, match=r"^install: no$"):
        perform(step(ScriptFailed("no", status=1), name="install"), machine, ledger)
    assert ledger.warnings == []


@pytest.mark.parametrize(
    "error", [InvalidOption("wrong"), HostKeyChanged("another"), KeyboardInterrupt(), ValueError("not ours")]
)
def test_what_a_further_try_cannot_mend_is_not_tried_again(
    machine: Machine, ledger: Ledger, error: BaseException
) -> None:
    made = step(error, max_retries=5)
    with pytest.raises(type(error)):
        perform(made, machine, ledger)
    assert len(made.tries) == 1


def test_no_further_try_is_made_after_the_bakes_time(clock: FakeClock, ledger: Ledger) -> None:
    made = step(AmibakeError("no"), max_retries=1000)
    with pytest.raises(AmibakeError, match="the last of 4 tries"):
        perform(made, Machine(clock, seconds=5), ledger)
    assert times(made) == [0, 1, 3, 5]


def test_a_lost_connection_is_made_anew_before_the_next_try(machine: Machine, ledger: Ledger) -> None:
    made = step(ConnectionLost("lost"), None, max_retries=1)
    perform(made, machine, ledger)
    assert machine.reconnects == [None]
    machine.on_reconnect = SSHTimeout("nobody there")
    with pytest.raises(SSHTimeout, match="nobody there"):
        perform(step(ConnectionLost("lost"), None, max_retries=1), machine, ledger)


def test_a_step_may_fail_where_the_bake_goes_on(machine: Machine, ledger: Ledger, events: list[Event]) -> None:
    perform(step(ScriptFailed("no", status=1), name="lint", continue_on_error=True), machine, ledger)
    assert ledger.warnings == ["lint: no; the bake goes on without it"]
    assert StepFinished("lint", 0.0, failed=True) in events
    assert machine.reconnects == []
    perform(step(ConnectionLost("lost"), continue_on_error=True), machine, ledger)
    assert machine.reconnects == [None]


@pytest.mark.parametrize(
    "error", [InvalidOption("wrong"), HostKeyChanged("another"), SSHTimeout("gone"), AuthenticationFailed("no")]
)
def test_no_bake_goes_on_that_is_wrong_or_locked_out(machine: Machine, ledger: Ledger, error: AmibakeError) -> None:
    with pytest.raises(type(error)):
        perform(step(error, continue_on_error=True), machine, ledger)
    assert ledger.warnings == []


def test_warnings_hide_what_the_builders_host_hides(place: Place) -> None:
    class Download:
        max_retries = 1
        tries = 0

        def check(self) -> None: ...

        def provision(self, host: Host) -> None:
            host.conceal([amibake.Secret("s3cr3t-word")])
            self.tries += 1
            if self.tries == 1:
                raise ScriptFailed("no s3cr3t-word", status=1)

    builder = amibake.Builder(ami_name="web", source_ami=place.source_ami, instance_type="t3.micro")
    image = amibake.bake(builder, [Download()], session=place.session)
    assert image.warnings == ("Download: no *** (try 1 of 2; again in 1 s)",)


def test_a_duration_that_is_none_is_said_of_foreign_steps_too(machine: Machine, ledger: Ledger) -> None:
    with pytest.raises(InvalidOption, match=r"^pause: timeout: has to be seconds"):
        perform(step(name="pause", timeout="soon"), machine, ledger)


def test_a_step_is_called_by_its_name_or_by_what_it_does() -> None:
    assert called(Reboot()) == "reboot"
    assert called(Reboot(name="restart")) == "restart"
    assert called(step()) != ""

    class Own:
        password = "s3cr3t"

        def check(self) -> None: ...
        def provision(self, host: Host) -> None: ...

    assert called(Own()) == "Own"


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        ({"timeout": "5m", "pause_before": "1h30m", "max_retries": 3, "only": ["web-*"], "name": "x"}, []),
        (
            {
                "name": " ",
                "pause_before": -1,
                "timeout": "soon",
                "max_retries": True,
                "only": "web",
                "except_": [""],
                "continue_on_error": "yes",
            },
            [
                "name: has to be a text, and not empty",
                "pause_before: -1 is no number of seconds to wait",
                'timeout: \'soon\' has to be seconds, or text such as "90s", "5m" or "1h30m"',
                "max_retries: True is no number of further tries",
                "only: must be a list of names or patterns",
                "except_: must be a list of names or patterns",
                "give only or except_, not both",
                "continue_on_error: 'yes' is neither True nor False",
            ],
        ),
        ({"timeout": 0}, ["timeout: 0 is no number of seconds to wait"]),
        ({"timeout": float("nan")}, ["timeout: nan is no number of seconds to wait"]),
        ({"max_retries": -1}, ["max_retries: -1 is no number of further tries"]),
    ],
)
def test_mistakes_of_what_all_have(given: dict[str, Any], mistakes: list[str]) -> None:
    assert list(Step(**given).common_mistakes()) == mistakes
    if mistakes:
        with pytest.raises(InvalidOption) as caught:
            Reboot(**given).check()
        assert list(caught.value.mistakes) == [f"Reboot: {mistake}" for mistake in mistakes]


def test_a_step_of_the_users_own_is_checked_for_what_all_have_and_no_mistake_hides_another() -> None:
    def broken() -> None:
        raise ValueError("s3cr3t")

    steps = [
        step(pause_before="soon", max_retries="3", only="web-*", timeout=None, except_=None),
        SimpleNamespace(check=broken, provision=print, timeout=0),
        Reboot(sudo="no", timeout="soon"),  # type: ignore[arg-type]
        amibake.Breakpoint(disable="yes", timeout=10**400),  # type: ignore[arg-type]
    ]
    found, mistakes = checked(steps)
    assert found == steps
    duration = 'has to be seconds, or text such as "90s", "5m" or "1h30m"'
    assert mistakes[:7] == [
        f"SimpleNamespace: pause_before: 'soon' {duration}",
        "SimpleNamespace: max_retries: '3' is no number of further tries",
        "SimpleNamespace: only: must be a list of names or patterns",
        "SimpleNamespace: its check() raised ValueError",
        "SimpleNamespace: timeout: 0 is no number of seconds to wait",
        f"Reboot: timeout: 'soon' {duration}",
        "Reboot: sudo: 'no' is neither True nor False",
    ]
    assert "Breakpoint: disable: 'yes' is neither True nor False" in mistakes[7:]
    assert checked([step(name="x", timeout="5m", only=("web-*",), max_retries=None)])[1] == []


def test_the_limit_is_the_timeout_in_seconds() -> None:
    assert (Step().limit, Step(timeout="5m").limit, Step(timeout=7).limit) == (None, 300.0, 7.0)


@pytest.mark.parametrize("error", [AmibakeError("no"), RuntimeError("s3cr3t")])
def test_all_cleaners_run_whatever_the_others_do(machine: Machine, ledger: Ledger, error: Exception) -> None:
    first, second = step(error, name="save logs"), step(name="sign off", timeout=5)
    run_error_cleanup([first, second], machine, ledger)
    assert [limit for _, limit in first.tries + second.tries] == [60.0, 5.0]
    (warning,) = ledger.warnings
    assert warning.startswith("save logs: ")
    assert "s3cr3t" not in warning


def test_a_lost_connection_is_made_anew_for_cleaners(machine: Machine, ledger: Ledger) -> None:
    machine.answers = [ConnectionLost("lost")]
    made = step()
    run_error_cleanup([made], machine, ledger)
    assert len(made.tries) == 1
    assert machine.reconnects == [10.0]


def test_nothing_is_run_on_a_machine_that_is_out_of_reach(clock: FakeClock, machine: Machine, ledger: Ledger) -> None:
    machine.answers = [None, WaitTimeout("no answer")]
    machine.on_reconnect = SSHTimeout("nobody there")
    made = [step(name="one"), step(name="two"), step(name="three")]
    run_error_cleanup(made, machine, ledger)
    assert [len(one.tries) for one in made] == [1, 0, 0]
    assert ledger.warnings == ["the builder can't be reached: nobody there; not run: two, three"]
    late = Machine(clock, seconds=0, emit=ledger.emit)
    run_error_cleanup(made[1:], late, ledger)
    assert ledger.warnings[1:] == ["the bake's time is up; not run: two, three"]
    assert made[1].tries == []


def test_an_interrupt_ends_cleaning_up_and_goes_on(machine: Machine, ledger: Ledger) -> None:
    made, first = [step(Interrupted(2), name="one"), step(name="two")], ScriptFailed("no", status=1)

    def fail_and_clean_up() -> None:
        try:
            raise first
        except ScriptFailed:
            run_error_cleanup(made, machine, ledger)

    with pytest.raises(Interrupted) as caught:
        fail_and_clean_up()
    assert (caught.value.exit_code, caught.value.__cause__) == (130, first)
    assert made[1].tries == []
    assert ledger.warnings == ["interrupted while cleaning up on the builder; not run: two"]


def test_nothing_to_clean_up_asks_nothing(machine: Machine, ledger: Ledger) -> None:
    machine.answers = [ConnectionLost("lost")]
    run_error_cleanup([], machine, ledger)
    assert (ledger.warnings, machine.reconnects) == ([], [])


@pytest.fixture
def real(place: Place) -> Callable[[amibake.Provisioner], list[Event]]:
    """Bakes with this one provisioner, by `perform`."""

    class Performed:
        def __init__(self, made: amibake.Provisioner, events: list[Event]) -> None:
            self._made, self._events = made, events

        def check(self) -> None:
            self._made.check()

        def provision(self, host: Host) -> None:
            perform(self._made, host, Ledger(self._events.append))

    def bake(made: amibake.Provisioner) -> list[Event]:
        events: list[Event] = []
        builder = amibake.Builder(ami_name="web", source_ami=place.source_ami, instance_type="t3.micro")
        amibake.bake(builder, [Performed(made, events)], session=place.session, on_event=events.append)
        return events

    return bake


def test_in_a_bake_a_script_is_repeated_until_it_works(
    real: Callable[[amibake.Provisioner], list[Event]], place: Place
) -> None:
    from amibake.testing import Answer

    def mended() -> None:
        place.machines.behaviour.answers.clear()

    place.machines.behaviour.on("flaky", Answer(1, does=mended))
    events = real(amibake.Shell(inline=["flaky"], max_retries=1))
    (warning,) = [event.message for event in events if isinstance(event, Warned)]
    assert warning.endswith("the inline script exited with status 1 (try 1 of 2; again in 1 s)")
    assert sum("flaky" in ran.script for ran in place.machines.newest.ran) == 2


def test_in_a_bake_a_local_program_knows_the_builder(
    real: Callable[[amibake.Provisioner], list[Event]], place: Place, tmp_path: Path
) -> None:
    real(ShellLocal(inline=[f"env | grep ^AMIBAKE_ > {tmp_path}/seen"]))
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert seen["AMIBAKE_ID"] == list(place.machines.all)[-1]
    assert seen["AMIBAKE_SOURCE_AMI"] == place.source_ami
    assert seen["AMIBAKE_SOURCE_AMI_NAME"] == "debian-12-amd64-20250316-2053"
    assert seen["AMIBAKE_BUILD"] == seen["AMIBAKE_BUILD_ID"]
    assert seen["AMIBAKE_BUILD_REGION"] == "us-east-1"


def test_in_a_bake_a_reboot_is_another_boot(real: Callable[[amibake.Provisioner], list[Event]], place: Place) -> None:
    events = real(Reboot())
    assert place.machines.newest.logins == 2
    assert not [event for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("options", [{"continue_on_error": True}, {"max_retries": 1}])
def test_a_step_with_a_short_time_of_its_own_is_not_the_end_of_a_builder_that_comes_back_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    there = [0.0]
    dialled = dial.dial

    def back_later(*given: Any) -> socket.socket:
        if place.clock.now() < there[0]:
            raise ConnectionRefusedError
        return dialled(*given)

    @dataclass(frozen=True, kw_only=True)
    class Losing(Step):
        def check(self) -> None:
            pass

        def provision(self, host: Host) -> None:
            if not there[0]:
                there[0] = place.clock.now() + 40
                place.machines.newest.drop()
            host.put(b"x", "/srv/x")

    monkeypatch.setattr(dial, "dial", back_later)
    builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
    image = amibake.bake(builder, [Losing(timeout=10, **options)], session=place.session)
    assert image.id
    assert place.clock.now() > there[0]


class Noting(amibake.Step):
    """A provisioner of a user's own, with the options that all have."""

    def provision(self, host: amibake.Host) -> None:
        host.run("noted")


def test_one_of_the_users_own(place: Place) -> None:
    steps = [Noting(name="note it"), amibake.Shell(inline=["true"])]
    builder = amibake.Builder(ami_name="noted", source_ami=place.source_ami, instance_type="t3.micro")
    image = amibake.bake(builder, steps, session=place.session)
    assert "noted" in [ran.command for ran in place.machines.newest.ran]
    assert "note it" in image.timings
    with pytest.raises(amibake.InvalidOption, match="Noting: max_retries: -1 is no number of further tries"):
        Noting(max_retries=-1).check()
    with pytest.raises(amibake.InvalidOption, match="Step: it has no provision"):
        amibake.Step().check()
