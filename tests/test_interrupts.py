"""Signals: what they become, what they wait for, and that at no moment of a bake do they leave anything behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import amibake
from amibake import interrupts, ledger, waiting
from amibake.ec2 import resource as resources
from amibake.ec2.resource import resource
from amibake.interrupts import Interrupted, check, held, interruptible, opened
from amibake.ledger import Ledger
from amibake.ssh.wire import Wire
from amibake.testing import Answer, Place
from tests.account import temporary


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_sigint_becomes_pythons_own_exception_of_which_alone_a_program_dies_as_by_the_signal() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="SIGINT") as caught, interruptible(), opened():
        send(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_become_exceptions_and_the_handlers_come_back(number: signal.Signals, exit_code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name) as caught, interruptible(ends_process=False), opened():
        send(number)
    assert (caught.value.exit_code, caught.value.number) == (exit_code, number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_raised_where_something_could_be_lost(number: signal.Signals) -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(ends_process=False):
            send(number)
            done.append("between")
            check()
            done.append("after")

    with pytest.raises(KeyboardInterrupt, match=number.name):
        work()
    assert done == ["between"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_nothing_has_raised_is_so_at_the_end(number: signal.Signals) -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(ends_process=False):
            send(number)
            done.append("the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the end"]
    with interruptible(), opened():
        check()  # nothing is left of it


def test_an_error_after_a_signal_does_not_hide_it() -> None:
    def work() -> None:
        with interruptible():
            send(signal.SIGINT)
            raise ValueError("something else")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_what_is_held_is_done_before_the_signal_goes_on() -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(ends_process=False), opened(), held():
            send(signal.SIGTERM)
            with held():
                check()
                done.append("inner")
            done.append("outer")

    with pytest.raises(Interrupted) as caught:
        work()
    assert (done, caught.value.exit_code) == (["inner", "outer"], 143)


def test_a_second_signal_is_not_held_back_and_tells_what_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(ends_process=False, left=lambda: ["key pair k; remove it with: rm k"]), held():
            send(signal.SIGINT)
            done.append("first")
            send(signal.SIGTERM)
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["first"]
    assert capfd.readouterr().err == "amibake: stopped, left behind: key pair k; remove it with: rm k\n"
    with interruptible(), held():
        pass  # nothing is left of it


def test_after_a_second_signal_nothing_more_is_asked_of_anybody() -> None:
    asked: list[str] = []

    def release() -> None:
        try:
            with held():
                check()
                asked.append("removed")
        finally:
            asked.append("next")

    def work() -> None:
        with interruptible(ends_process=False), held():
            send(signal.SIGINT)
            try:
                send(signal.SIGINT)
            finally:
                release()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert asked == ["next"]


def test_signals_are_left_alone_where_that_is_asked_for_or_the_program_handles_them() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible(handle_signals=False):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    arrived: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    try:
        with interruptible(), opened():
            send(signal.SIGTERM)
            check()
        assert arrived == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before[1])


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


def test_an_event_interrupts_whatever_thread_waits() -> None:
    """Also a wait of minutes on the real clock, which the event ends."""
    cancel, raised, begun = threading.Event(), list[BaseException](), threading.Event()

    def work() -> None:
        try:
            with interruptible(cancel=cancel):
                begun.set()
                waiting.sleep(600)
        except Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    cancel.set()
    thread.join(30)
    (error,) = raised
    assert str(error) == "cancelled"


def test_what_is_held_is_not_cancelled_and_after_that_neither_are_releases() -> None:
    cancel, done = threading.Event(), list[str]()
    cancel.set()

    def work() -> None:
        with interruptible(cancel=cancel):
            try:
                with held():
                    check()
                    done.append("held")
            finally:
                waiting.sleep(0.001)
                check()
                done.append("released")

    with pytest.raises(Interrupted):
        work()
    assert done == ["held", "released"]


def test_one_within_another_is_ended_by_either() -> None:
    outer, inner = threading.Event(), threading.Event()
    with interruptible(cancel=outer):
        inner.set()
        with pytest.raises(Interrupted), interruptible(cancel=inner):
            check()
        check()  # that was the inner one's
        outer.set()
        with pytest.raises(Interrupted), interruptible():
            check()


class Account:
    """What is there, of what a test makes and removes by way of `resource`; a cloud, as far as that wants one."""

    resumed = False
    build = "b" * 16

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.ledger = Ledger(lambda _: None)
        self.made: dict[str, float] = {}

    def command(self, *words: str) -> str:
        return " ".join(words)

    def resource(self, kind: str, name: str) -> AbstractContextManager[str]:
        def create() -> str:
            self.there.add(name)
            return name

        def release(found: str) -> None:
            self.ledger.release(kind, found, partial(self.there.remove, found), "")

        cloud: Any = self
        return resource(cloud, kind, create=create, find=lambda: sorted(self.there), release=release)


def makes_and_removes(account: Account) -> None:
    """What a bake does, in small: things that are entered into a stack, a wait, and all of them removed."""
    with interruptible(left=account.ledger.unreleased), ExitStack() as stack:
        stack.enter_context(account.resource("key pair", "k"))
        with account.resource("instance", "i"):
            with opened():
                assert account.there == {"k", "i"}
            check()


def at_instruction(number: int, do: Callable[[], object], work: Callable[[], object]) -> bool:
    """Do something just before the so-manieth instruction of what `work` runs through of amibake's and contextlib's
    code; whether there were so many."""
    seen = 0
    homes = tuple(module.__file__ for module in (interrupts, ledger, resources, contextlib, sys.modules[__name__]))

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in homes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            seen += 1
            if seen == number:
                sys.settrace(None)
                do()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return seen >= number


def test_at_no_instruction_does_a_signal_leave_anything_or_get_lost() -> None:
    """From before the handlers are installed until after they are restored."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for number in itertools.count(1):
        account, sent = Account(), list[int]()

        def interrupt(sent: list[int] = sent) -> None:
            sent.append(signal.SIGINT)
            send(signal.SIGINT)

        caught = False
        try:
            at_instruction(number, interrupt, partial(makes_and_removes, account))
        except KeyboardInterrupt:
            caught = True
        assert account.there == set(), number
        assert caught == bool(sent), number
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before, number
        if not sent:
            break
    assert number > 1000


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


def test_a_second_interrupt_during_a_release_leaves_the_rest_and_tells_how_to_remove_it(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    def twice(**_: Any) -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    place.session.events.register("before-call.ec2.DeleteKeyPair", twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        bake(place)
    place.session.events.unregister("before-call.ec2.DeleteKeyPair", twice)
    ec2 = place.session.client("ec2")
    (pair,), (image,) = ec2.describe_key_pairs()["KeyPairs"], ec2.describe_images(Owners=["self"])["Images"]
    (instance,) = ec2.describe_instances()["Reservations"][0]["Instances"]  # its image is pending
    by_hand = [
        f"aws ec2 delete-key-pair --key-name {pair['KeyName']} --region us-east-1",
        f"aws ec2 terminate-instances --instance-ids {instance['InstanceId']} --region us-east-1",
        f"aws ec2 deregister-image --delete-associated-snapshots --image-id {image['ImageId']} --region us-east-1",
    ]
    told = capfd.readouterr().err.splitlines()
    assert [line.partition("remove it with: ")[2] for line in told] == by_hand
    noted = {note.partition("remove it with: ")[2] for note in caught.value.__notes__}
    assert noted >= set(by_hand)
    assert "DeregisterImage" not in {request.action for request in place.ec2.requests}
    place.clock.sleep(60)
    ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    ec2.delete_key_pair(KeyName=pair["KeyName"])
    outcome(place, 0)


def test_a_bake_is_cancelled_at_whatever_event_and_leaves_nothing(place: Place) -> None:
    """In a thread that is not the main one, on a clock on which waits take no time."""
    count = 0

    def listen(_: object) -> None:
        nonlocal count
        count += 1
        if count == cancelled_at:
            cancel.set()

    for cancelled_at in range(1, 100, 3):
        count, cancel, raised = 0, threading.Event(), list[BaseException]()
        thread = threading.Thread(target=caught, args=(raised, partial(bake, place, on_event=listen, cancel=cancel)))
        thread.start()
        thread.join()
        outcome(place, cancelled_at)
        if not raised:
            break
        assert [str(error) for error in raised] == ["cancelled"]
        assert isinstance(raised[0], Interrupted)
        assert raised[0].build is not None
    assert cancelled_at > 20


def caught(raised: list[BaseException], work: Callable[[], object]) -> None:
    try:
        work()
    except KeyboardInterrupt as error:
        raised.append(error)


def test_a_script_that_never_ends_is_cancelled(place: Place) -> None:
    cancel = threading.Event()
    place.machines.behaviour.on("true", Answer(does=cancel.set, stays=True))
    with pytest.raises(Interrupted, match="cancelled"):
        bake(place, cancel=cancel)


def test_a_cancelled_bake_is_not_kept(place: Place) -> None:
    cancel = threading.Event()
    place.machines.behaviour.on("true", Answer(does=cancel.set, stays=True))
    with pytest.raises(Interrupted):
        bake(place, cancel=cancel, on_error="keep")


def test_a_program_of_ones_own_ends_with_the_bake_also_where_it_ignores_sigterm(place: Place) -> None:
    cancel = threading.Event()
    builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
    stubborn = amibake.ShellLocal(inline=["trap '' TERM", "echo begun", "while :; do sleep 1; done"])

    def listen(event: object) -> None:
        if str(event) == "begun":
            cancel.set()

    with pytest.raises(Interrupted):
        amibake.bake(builder, [stubborn], session=place.session, cancel=cancel, on_event=listen)


def test_an_interrupt_that_a_step_swallows_ends_the_bake_all_the_same(place: Place) -> None:
    class Stubborn(amibake.Step):
        def check(self) -> None:
            pass

        def provision(self, _: amibake.Host) -> None:
            with contextlib.suppress(KeyboardInterrupt):
                send(signal.SIGINT)

    builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
    with pytest.raises(KeyboardInterrupt):
        amibake.bake(builder, [Stubborn()], session=place.session)


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_interrupt_of_which_a_step_makes_an_error_is_the_interrupt(place: Place, *, cancelled: bool) -> None:
    """So that nothing is cleaned up on the builder, tried again or kept, while somebody waits for the end."""
    cancel, tries = threading.Event(), list[int]()

    class Hiding(amibake.Step):
        def check(self) -> None:
            pass

        def provision(self, _: amibake.Host) -> None:
            tries.append(1)
            try:
                cancel.set() if cancelled else send(signal.SIGINT)
                waiting.sleep(0.001)
            except KeyboardInterrupt as error:
                raise amibake.AmibakeError("aborted") from error

    builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
    with pytest.raises(KeyboardInterrupt) as caught:
        amibake.bake(
            builder,
            [Hiding(max_retries=2, continue_on_error=True)],
            error_cleanup_provisioners=[amibake.Shell(inline=["the cleanup"])],
            on_error="keep",
            session=place.session,
            cancel=cancel,
        )
    assert isinstance(caught.value, Interrupted) == cancelled
    assert len(tries) == 1
    assert place.machines.newest.ran == []


def test_an_interrupt_that_on_event_swallows_ends_the_bake_at_once(place: Place) -> None:
    def listen(event: object) -> None:
        if str(event).startswith("created key pair"):
            with contextlib.suppress(KeyboardInterrupt):
                send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        bake(place, on_event=listen)
    assert "RunInstances" not in {request.action for request in place.ec2.requests}


def test_a_signal_after_the_image_was_published_says_that_it_was(place: Place) -> None:
    def publishing(params: dict[str, Any], **_: Any) -> None:
        if "published" in str(params):
            send(signal.SIGINT)

    place.session.events.register("before-call.ec2.CreateTags", publishing)
    with pytest.raises(KeyboardInterrupt) as caught:
        bake(place)
    (image,) = place.session.client("ec2").describe_images(Owners=["self"])["Images"]
    assert f"published nevertheless: {image['ImageId']}" in caught.value.__notes__


@pytest.mark.parametrize("make", [amibake.build_primal, amibake.build_carnivore])
def test_the_recipes_pass_it_on(place: Place, make: Callable[..., object], tmp_path: Path) -> None:
    for name in ("package.json", "cluster.js"):
        (tmp_path / name).write_text("{}")
    handlers: list[object] = []
    options: dict[str, Any] = {"appserver": tmp_path} if make is amibake.build_carnivore else {}
    cancel = threading.Event()

    def listen(_: object) -> None:
        handlers.append(signal.getsignal(signal.SIGINT))
        cancel.set()

    with pytest.raises(Interrupted):
        make(
            source_ami=place.source_ami,
            instance_type="t3.micro",
            session=place.session,
            cancel=cancel,
            handle_signals=False,
            on_event=listen,
            **options,
        )
    assert handlers[0] == signal.default_int_handler


def test_what_creates_is_not_tried_again_after_an_interrupt(place: Place) -> None:
    place.ec2.refuse("RunInstances", "RequestLimitExceeded", times=3)
    cancel = threading.Event()

    def count(**_: Any) -> None:
        cancel.set()

    place.session.events.register("before-call.ec2.RunInstances", count)
    with pytest.raises(Interrupted):
        bake(place, cancel=cancel)
    place.session.events.unregister("before-call.ec2.RunInstances", count)
    assert [request.action for request in place.ec2.requests].count("RunInstances") == 1


def test_what_creates_is_not_tried_again_after_an_interrupt_in_the_pause_before_that(place: Place) -> None:
    place.ec2.refuse("RunInstances", "RequestLimitExceeded", times=1)
    cancel = threading.Event()

    def listen(event: object) -> None:
        if "RunInstances to be answered" in str(event):
            cancel.set()

    with pytest.raises(Interrupted):
        bake(place, cancel=cancel, on_event=listen)
    assert [request.action for request in place.ec2.requests].count("RunInstances") == 1


def test_a_release_is_tried_again_all_the_same(place: Place) -> None:
    place.ec2.refuse("DeleteKeyPair", "RequestLimitExceeded", times=3)
    cancel = threading.Event()
    place.session.events.register("before-call.ec2.RunInstances", lambda **_: cancel.set())
    with pytest.raises(Interrupted) as caught:
        bake(place, cancel=cancel)
    assert caught.value.leftovers == ()


def test_a_connection_is_ended_with_the_thread_that_has_opened_it() -> None:
    """Whatever still reads or writes, in other threads, comes to its end: nothing waits for a peer that is silent."""
    cancel = threading.Event()
    ours, theirs = socket.socketpair()
    with ours, theirs, interruptible(cancel=cancel):
        wire = Wire(ours)
        wire.settimeout(0.01)
        with pytest.raises(TimeoutError):
            wire.recv(1)
        cancel.set()
        with pytest.raises(ConnectionAbortedError, match="interrupted"):
            wire.recv(1)
