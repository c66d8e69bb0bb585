"""Signals: what they become, what they wait for, and that at no moment of a bake do they leave anything behind."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import amibake
from amibake.interrupts import Interrupted, held, interruptible
from amibake.testing import Place
from tests.account import temporary


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_becomes_an_exception_and_the_handlers_come_back(number: signal.Signals, exit_code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name) as caught, interruptible():
        send(number)
    assert caught.value.exit_code == exit_code
    assert signal.getsignal(number) == before


def test_what_is_held_is_done_before_the_signal_goes_on() -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(), held():
            send(signal.SIGTERM)
            with held():
                done.append("inner")
            done.append("outer")

    with pytest.raises(Interrupted) as caught:
        work()
    assert (done, caught.value.exit_code) == (["inner", "outer"], 143)


def test_a_second_signal_is_not_held_back() -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(), held():
            send(signal.SIGINT)
            done.append("first")
            send(signal.SIGTERM)
            done.append("second")

    with pytest.raises(Interrupted, match="SIGTERM"):
        work()
    assert done == ["first"]
    with interruptible(), held():
        pass  # nothing is left of it


def test_other_threads_change_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with interruptible(), held():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def bake(place: Place, **options: Any) -> amibake.Image:
    builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
    return amibake.bake(builder, [amibake.Shell(inline=["true"])], session=place.session, **options)


def outcome(place: Place, interrupted_at: int) -> None:
    """What is there after an interrupt: published images, which are removed here, and nothing temporary."""
    ec2 = place.session.client("ec2")
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        assert {"Key": "amibake:state", "Value": "published"} in image["Tags"], interrupted_at
        ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    assert temporary(ec2) == set(), interrupted_at
    place.clock.sleep(1)


@pytest.mark.parametrize("when", ["before-call", "after-call"])
def test_an_interrupt_at_whatever_call_leaves_nothing(place: Place, when: str) -> None:
    """At each call to EC2 that a bake makes, just before it and just after it."""
    calls = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == interrupted_at:
            send(signal.SIGINT)

    for interrupted_at in range(1, 100):
        calls = 0
        place.session.events.register(f"{when}.ec2", count)
        try:
            bake(place)
            break  # it does not make so many
        except KeyboardInterrupt:
            pass
        finally:
            place.session.events.unregister(f"{when}.ec2", count)
        outcome(place, interrupted_at)
    assert interrupted_at > 20


def test_an_interrupt_at_whatever_event_leaves_nothing(place: Place) -> None:
    count = 0

    def listen(_: object) -> None:
        nonlocal count
        count += 1
        if count == interrupted_at:
            send(signal.SIGINT)

    for interrupted_at in range(1, 100):
        count = 0
        try:
            bake(place, on_event=listen)
            break
        except KeyboardInterrupt:
            outcome(place, interrupted_at)
    assert interrupted_at > 20


def test_a_second_interrupt_during_a_release_is_a_leftover_with_its_command(place: Place) -> None:
    def twice(**_: Any) -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    place.session.events.register("before-call.ec2.DeleteKeyPair", twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        bake(place)
    place.session.events.unregister("before-call.ec2.DeleteKeyPair", twice)
    (leftover,) = [note for note in caught.value.__notes__ if note.startswith("left behind: ")]
    assert "aws ec2 delete-key-pair --key-name amibake_" in leftover
    ec2 = place.session.client("ec2")
    (pair,) = ec2.describe_key_pairs()["KeyPairs"]
    ec2.delete_key_pair(KeyName=pair["KeyName"])
    outcome(place, 0)
