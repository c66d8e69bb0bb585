"""Making and removing, when EC2 is slow to know, repeats itself, or says nothing."""

from __future__ import annotations

import os
import signal

import pytest

from amibake.ec2.cloud import Cloud
from amibake.ec2.resource import eventually, resource
from amibake.errors import AmibakeError
from amibake.events import Created, Event
from amibake.interrupts import interruptible


def refusal(code: str = "") -> AmibakeError:
    error = AmibakeError("no")
    error.code, error.lost = code, not code
    return error


class Thing:
    """Something in EC2: what is there, and what was released."""

    def __init__(self, *failures: AmibakeError | BaseException, there: bool = False) -> None:
        self.failures = list(failures)
        self.there = there
        self.released: list[str] = []
        self.looks = 0

    def create(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "thing-1"

    def find(self) -> list[str]:
        self.looks += 1
        return ["thing-1"] if self.there and self.looks > 1 else []

    def make(self, cloud: Cloud) -> None:
        with resource(cloud, "thing", create=self.create, find=self.find, release=self.released.append):
            pass


def test_what_was_made_is_released(cloud: Cloud, events: list[Event]) -> None:
    thing = Thing()
    thing.make(cloud)
    assert thing.released == ["thing-1"]
    assert Created("thing", "thing-1") in events


def test_what_ec2_refused_is_not_looked_for(cloud: Cloud) -> None:
    thing = Thing(refusal("UnauthorizedOperation"))
    with pytest.raises(AmibakeError):
        thing.make(cloud)
    assert (thing.looks, thing.released) == (0, [])


@pytest.mark.parametrize("failure", [refusal(), KeyboardInterrupt()])
def test_what_may_have_been_made_is_looked_for_until_it_shows(cloud: Cloud, failure: BaseException) -> None:
    thing = Thing(failure, there=True)
    with pytest.raises(type(failure)):
        thing.make(cloud)
    assert (thing.looks, thing.released) == (2, ["thing-1"])


def test_what_never_shows_was_never_made(cloud: Cloud) -> None:
    thing = Thing(refusal())
    with pytest.raises(AmibakeError):
        thing.make(cloud)
    assert thing.looks > 3
    assert (thing.released, cloud.ledger.leftovers) == ([], [])


def test_what_cannot_be_looked_for_is_a_leftover(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing(refusal())

    def refuse() -> list[str]:
        raise refusal("UnauthorizedOperation")

    monkeypatch.setattr(thing, "find", refuse)
    with pytest.raises(AmibakeError):
        thing.make(cloud)
    (leftover,) = cloud.ledger.leftovers
    assert leftover.startswith(f"perhaps a thing of build {cloud.build}")
    assert "aws ec2 describe-tags" in leftover


def test_a_duplicate_that_is_ours_is_adopted_and_anothers_is_an_error(cloud: Cloud) -> None:
    ours = Thing(refusal("InvalidKeyPair.Duplicate"), there=True)
    ours.make(cloud)
    assert ours.released == ["thing-1"]
    other = Thing(refusal("InvalidKeyPair.Duplicate"))
    with pytest.raises(AmibakeError) as caught:
        other.make(cloud)
    assert caught.value.code == "InvalidKeyPair.Duplicate"
    assert other.released == []


def test_a_call_is_repeated_while_ec2_does_not_know_yet(cloud: Cloud) -> None:
    answers = iter([refusal("InvalidGroup.NotFound"), refusal("InvalidGroup.NotFound"), None])

    def call() -> str:
        error = next(answers)
        if error:
            raise error
        return "done"

    assert eventually(cloud, call, "InvalidGroup.NotFound") == "done"


def test_what_ec2_never_gets_to_know_is_its_own_error(cloud: Cloud) -> None:
    def call() -> str:
        raise refusal("InvalidGroup.NotFound")

    with pytest.raises(AmibakeError) as caught:
        eventually(cloud, call, "InvalidGroup.NotFound")
    assert caught.value.code == "InvalidGroup.NotFound"
    with pytest.raises(AmibakeError) as caught:
        eventually(cloud, call)
    assert caught.value.code == "InvalidGroup.NotFound"


def test_a_signal_during_the_create_waits_until_its_answer_is_kept(cloud: Cloud) -> None:
    thing = Thing()

    def create() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "thing-1"

    thing.create = create  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), interruptible():
        thing.make(cloud)
    assert (thing.looks, thing.released) == (0, ["thing-1"])


def test_a_signal_while_it_is_looked_for_waits_until_it_can_be_released(cloud: Cloud) -> None:
    thing = Thing(refusal())

    def find() -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return ["thing-1"]

    thing.find = find  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), interruptible():
        thing.make(cloud)
    assert thing.released == ["thing-1"]
