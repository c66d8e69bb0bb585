"""One question for all that is waited for: who asks it, whom it is about, and what one waiter owes the others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import boto3
import pytest

from amibake import waiting
from amibake.ec2 import watch
from amibake.ec2.cloud import Cloud, connect
from amibake.ec2.instance import Machine, run_instance
from amibake.ec2.watch import IMAGES, INSTANCES, Sight, watching
from amibake.errors import AmibakeError, NotAuthorized
from amibake.ledger import Ledger
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock


@pytest.fixture
def machines(cloud: Cloud, debian: str) -> list[Machine]:
    """Three that are pending."""
    request = {"ImageId": debian, "InstanceType": "t3.micro"}
    return [run_instance(cloud, request, token=f"token-{number}") for number in range(3)]


@pytest.fixture
def stack() -> Any:
    with ExitStack() as stack:
        yield stack
    assert watch._watches == {}


def sights(stack: ExitStack, machines: list[Machine], *clouds: Cloud) -> list[Sight[Any]]:
    """How each machine is seen, by its own cloud or by these."""
    return [
        stack.enter_context(watching(cloud, INSTANCES, machine.id, replace(machine, cloud=cloud).describe))
        for machine, cloud in zip(machines, clouds or [one.cloud for one in machines], strict=True)
    ]


def asked(strict: StrictEC2) -> list[list[str]]:
    """The ids that were asked about, a list for each call; a call for one names it itself."""
    found = []
    for one in strict.requests:
        if one.action == "DescribeInstances":
            names = ("Filter.1.Value.", "InstanceId.")
            found.append([value for key, value in one.params.items() if key.startswith(names)])
    return found


def test_who_is_alone_names_what_it_waits_for(strict: StrictEC2, machines: list[Machine], stack: ExitStack) -> None:
    (sight,) = sights(stack, machines[:1])
    found = sight.look()
    assert found is not None
    assert found["InstanceId"] == machines[0].id
    assert strict.requests[-1].params == {"InstanceId.1": machines[0].id}


def test_one_asks_for_all_and_each_answer_is_looked_at_once(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    ids = sorted(one.id for one in machines)
    all_ = sights(stack, machines)
    for _ in range(2):
        before = len(asked(strict))
        assert [(one.look() or {})["InstanceId"] for one in all_] == [one.id for one in machines]
        assert [sorted(one) for one in asked(strict)[before:]] == [ids]


def test_what_ec2_does_not_know_yet_fails_nobody_else(machines: list[Machine], stack: ExitStack) -> None:
    unknown = replace(machines[0], id="i-0123456789abcdef0")
    seen = [one.look() for one in sights(stack, [*machines, unknown])]
    assert [found is not None for found in seen] == [True, True, True, False]


def test_who_comes_later_does_not_take_an_answer_for_its_own_that_was_not_about_it(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    (first,) = sights(stack, machines[:1])
    first.look()
    (second,) = sights(stack, machines[1:2])
    assert second.look() is not None
    assert len(asked(strict)[-1]) == 2
    calls = len(asked(strict))
    assert first.look() is not None  # what was seen meanwhile
    assert len(asked(strict)) == calls


def test_an_answer_is_as_old_as_it_is(machines: list[Machine], stack: ExitStack, clock: FakeClock) -> None:
    one, other, _ = sights(stack, machines)
    one.look()
    assert one.pending("pending").age == 0
    clock.sleep(0.7)
    other.look()
    assert other.pending("pending").age == pytest.approx(0.7)


def test_many_who_begin_to_wait_one_after_the_other_do_not_all_ask(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack, clock: FakeClock
) -> None:
    before, calls = clock.now(), len(asked(strict))
    for _ in range(10):
        for sight in sights(stack, machines):
            sight.look()
    spent = clock.now() - before
    assert len(asked(strict)) - calls <= spent / 0.5 + 2  # with three of them, two a second


def test_a_refusal_is_of_who_has_asked_and_the_next_one_asks(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    one, other, _ = sights(stack, machines)
    strict.refuse("DescribeInstances", times=1)
    with pytest.raises(NotAuthorized):
        one.look()
    assert other.look() is not None


def test_an_interrupt_of_one_keeps_nobody_waiting(machines: list[Machine], stack: ExitStack, cloud: Cloud) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    sight = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, interrupt))
    with pytest.raises(KeyboardInterrupt):
        sight.look()
    (again,) = sights(stack, machines[:1])
    assert again.look() is not None


def test_who_comes_while_another_asks_waits_for_that_answer_but_not_for_long(
    machines: list[Machine], stack: ExitStack, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        asking.set()
        go_on.wait(30)
        return {"InstanceId": machines[0].id, "seen by": "the slow one"}

    slow = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, slowly))
    thread = threading.Thread(target=slow.look)
    thread.start()
    assert asking.wait(30)
    monkeypatch.setattr(watch, "_PATIENCE", 0.0)
    quick = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, machines[0].describe))
    assert "seen by" not in (quick.look() or {})
    monkeypatch.setattr(watch, "_PATIENCE", 30.0)
    patient = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, machines[0].describe))
    threading.Timer(0.1, go_on.set).start()
    assert patient.look() is not None
    thread.join()


def test_the_same_credentials_are_the_same_account(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    own = [connect(None, build=f"{number:016x}", ledger=Ledger(lambda _: None)) for number in range(2)]
    one, other = sights(stack, machines[:2], *own)
    one.look()
    calls = len(asked(strict))
    assert other.look() is not None
    assert len(asked(strict)) == calls


def _sessions(cloud: Cloud) -> list[Cloud]:
    """Two that the user has given."""
    made = [boto3.Session(region_name="us-east-1") for _ in range(2)]
    return [connect(one, build=cloud.build, ledger=cloud.ledger) for one in made]


def _credentials(cloud: Cloud) -> list[Cloud]:
    found = []
    for key in ("one", "another"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AWS_ACCESS_KEY_ID", key)
            found.append(connect(None, build=cloud.build, ledger=cloud.ledger))
    return found


def _endpoints(cloud: Cloud) -> list[Cloud]:
    found = []
    for url in ("https://ec2.us-east-1.amazonaws.com", "https://ec2.us-east-1.api.aws"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AWS_ENDPOINT_URL_EC2", url)
            found.append(connect(cloud.given, build=cloud.build, ledger=cloud.ledger))
    return found


def _regions(cloud: Cloud) -> list[Cloud]:
    return [cloud, cloud.elsewhere("eu-west-1")]


@pytest.mark.parametrize("of", [_sessions, _credentials, _endpoints, _regions])
def test_others_are_not_asked_for(
    machines: list[Machine], stack: ExitStack, cloud: Cloud, of: Callable[[Cloud], list[Cloud]]
) -> None:
    about: list[str] = []
    for machine, one in zip(machines, of(cloud), strict=False):
        alone = lambda name=machine.id: about.append(name)  # noqa: E731
        stack.enter_context(watching(one, INSTANCES, machine.id, alone)).look()
    assert about == [one.id for one in machines[:2]]  # each alone


def test_instances_and_images_are_asked_about_apart(machines: list[Machine], stack: ExitStack, cloud: Cloud) -> None:
    (instance,) = sights(stack, machines[:1])
    image = stack.enter_context(watching(cloud, IMAGES, "ami-1", lambda: None))
    assert instance.look() is not None
    assert image.look() is None


def test_throttling_is_obeyed_by_all_and_forgotten_slowly(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    one, other, _ = sights(stack, machines)
    strict.refuse("DescribeInstances", "RequestLimitExceeded", times=1)
    one.look()
    assert other.pending("pending").slower == 2
    for _ in range(3):
        one.look()
    assert 1 < other.pending("pending").slower < 1.5
    for _ in range(9):
        one.look()
    assert other.pending("pending").slower == 1


def test_throttling_that_does_not_end_is_noticed_as_well(
    strict: StrictEC2, machines: list[Machine], stack: ExitStack
) -> None:
    (one,) = sights(stack, machines[:1])
    strict.refuse("DescribeInstances", "RequestLimitExceeded")
    for _ in range(9):
        with pytest.raises(AmibakeError, match="RequestLimitExceeded"):
            one.look()
    assert one.pending("pending").slower == 16


def test_a_great_many_are_asked_about_in_parts(strict: StrictEC2, machines: list[Machine], stack: ExitStack) -> None:
    more = [replace(machines[0], id=f"i-{number:017x}") for number in range(250)]
    seen = [one.look() is not None for one in sights(stack, [*machines, *more])]
    assert seen == [True] * 3 + [False] * 250
    assert [len(one) for one in asked(strict)[-2:]] == [200, 53]


def test_what_was_asked_before_somebody_began_to_wait_is_no_answer_for_that_one(
    machines: list[Machine], stack: ExitStack, cloud: Cloud
) -> None:
    """It may be older than what that one has just done."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        begun.set()
        assert go_on.wait(30)
        return {"InstanceId": machines[0].id, "seen": "before"}

    slow = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, slowly))
    thread = threading.Thread(target=slow.look)
    thread.start()
    assert begun.wait(30)
    (later,) = sights(stack, machines[:1])
    threading.Timer(0.1, go_on.set).start()
    assert "seen" not in (later.look() or {})
    thread.join()


def test_an_answer_that_comes_late_does_not_replace_one_that_was_asked_for_later(
    machines: list[Machine], stack: ExitStack, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PATIENCE", 0.0)
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        begun.set()
        assert go_on.wait(30)
        return {"InstanceId": machines[0].id, "seen": "before"}

    slow = stack.enter_context(watching(cloud, INSTANCES, machines[0].id, slowly))
    (other,) = sights(stack, machines[:1])
    thread = threading.Thread(target=slow.look)
    thread.start()
    assert begun.wait(30)
    assert "seen" not in (other.look() or {})
    go_on.set()
    thread.join()
    assert "seen" not in (other.look() or {})


def test_who_asks_instead_of_one_that_hangs_is_waited_for_as_well(
    machines: list[Machine], stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all who have lost patience with one would ask at the same moment."""
    (sight,) = sights(stack, machines[:1])
    others, spent = [threading.Event(), threading.Event()], [0.0, 0.0]
    sight._watch.asking = others[0]

    def block(event: threading.Event, seconds: float) -> float:
        spent[others.index(event)] += seconds
        if spent[0] >= watch._PATIENCE:
            sight._watch.asking = others[1]
        return seconds

    monkeypatch.setattr(waiting, "block", block)
    assert sight.look() is not None
    assert spent == [watch._PATIENCE, watch._PATIENCE]


def test_who_is_interrupted_before_it_has_begun_to_wait_is_not_waited_for(cloud: Cloud, stack: ExitStack) -> None:
    """By a KeyboardInterrupt of Python's own, which arrives at any line."""
    before, lines = sys.gettrace(), watching.__wrapped__.__code__.co_lines()  # type: ignore[attr-defined]
    for wanted in sorted({line for _, _, line in lines if line}):

        def interrupt(frame: Any, event: str, _: Any, wanted: int = wanted) -> Any:
            if frame.f_code is not watching.__wrapped__.__code__:  # type: ignore[attr-defined]
                return None
            if event == "line" and frame.f_lineno == wanted and not watch._lock.locked():
                sys.settrace(before)
                raise KeyboardInterrupt
            return interrupt

        sys.settrace(interrupt)
        try:
            with suppress(KeyboardInterrupt), watching(cloud, INSTANCES, "i-1", lambda: None):
                sys.settrace(before)
        finally:
            sys.settrace(before)
        assert watch._watches == {}, wanted
