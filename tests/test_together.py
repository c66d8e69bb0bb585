"""Many bakes side by side: each makes its image whatever becomes of the others, and all end when they are to."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import amibake
from amibake.events import Event, OfBake, Output
from amibake.testing import Answer, Place, exits
from tests.account import temporary

Bake = Callable[..., Any]


def bake(place: Place, app: str, *lines: str, **options: Any) -> Bake:
    """A bake that is yet to be made."""
    ours = {"ami_name": f"{app} {{{{uuid}}}}", "source_ami": place.source_ami, "instance_type": "t3.micro", "app": app}
    builder = amibake.Builder(**{**ours, **options})
    return partial(amibake.bake, builder, [amibake.Shell(inline=list(lines or ("true",)))])


def test_images_come_in_the_order_of_their_bakes(place: Place) -> None:
    apps = ("shop", "forum", "wiki")
    images = amibake.bake_all([bake(place, app) for app in apps], session=place.session)
    assert [image.name.split()[0] for image in images] == list(apps)
    assert len({image.id for image in images}) == 3
    assert amibake.bake_all([]) == []


def test_one_that_fails_stops_no_other_and_the_error_says_what_was_made(place: Place) -> None:
    place.machines.behaviour.on("fail", exits(3, "on the way\n"))
    with pytest.raises(amibake.BakesFailed) as caught:
        amibake.bake_all(
            [bake(place, "shop"), bake(place, "forum", "fail"), bake(place, "wiki")], session=place.session
        )
    error = caught.value
    (failed,) = error.exceptions
    assert isinstance(failed, amibake.ScriptFailed)
    assert failed.build is not None
    assert list(error.images) == ["shop", "wiki"]
    first, *rest = str(error).splitlines()
    assert first == "1 of 3 bakes failed"
    assert rest[0].startswith("  forum: ")
    assert rest[1:] == [f"  made: {name}: {image.id} ({image.name})" for name, image in error.images.items()]
    assert error.exit_code == 1


def test_the_error_is_one_of_ours_and_a_group_that_can_be_taken_apart(place: Place) -> None:
    place.machines.behaviour.on("fail", exits(3))
    bakes = [bake(place, "shop", "fail"), bake(place, "forum", source_ami="ami-00000000")]
    caught: list[BaseException] = []
    try:
        amibake.bake_all(bakes, session=place.session)
    except* amibake.ScriptFailed as group:
        caught += [group, *group.exceptions]
    except* amibake.SourceImageNotFound as group:
        caught += [group, *group.exceptions]
    kinds = [amibake.BakesFailed, amibake.ScriptFailed, amibake.BakesFailed, amibake.SourceImageNotFound]
    assert [type(error) for error in caught] == kinds
    assert issubclass(amibake.BakesFailed, amibake.AmibakeError)


def test_an_error_that_is_not_ours_is_named_without_its_text(place: Place) -> None:
    def broken(**_: object) -> amibake.Image:
        raise ValueError("hunter2")

    with pytest.raises(amibake.BakesFailed) as caught:
        amibake.bake_all([broken], session=place.session)
    assert str(caught.value) == "1 of 1 bakes failed\n  bake 1: ValueError\n  no image was made"


def test_leftovers_of_all_are_in_the_error(place: Place) -> None:
    place.machines.behaviour.on("fail", exits(3))
    place.ec2.refuse("DeleteKeyPair", "UnauthorizedOperation", times=2)
    with pytest.raises(amibake.BakesFailed) as caught:
        amibake.bake_all([bake(place, app, "fail") for app in ("shop", "forum")], session=place.session)
    assert len(caught.value.leftovers) == 2
    assert all("aws ec2 delete-key-pair" in line for line in caught.value.leftovers)
    ec2 = place.session.client("ec2")
    for pair in ec2.describe_key_pairs()["KeyPairs"]:
        ec2.delete_key_pair(KeyName=pair["KeyName"])


def test_events_say_whose_they_are_and_come_one_at_a_time(place: Place) -> None:
    told: list[OfBake] = []
    inside = threading.Lock()

    def listen(event: Event) -> None:
        assert inside.acquire(blocking=False)
        assert isinstance(event, OfBake)
        told.append(event)
        inside.release()

    place.machines.behaviour.on("hello", exits(0, "hello\n"))
    bakes = [bake(place, "shop", "echo hello"), bake(place, "shop", "echo hello")]
    amibake.bake_all(bakes, session=place.session, on_event=listen)
    said = [str(one) for one in told if isinstance(one.event, Output)]
    assert sorted(said) == ["shop (2): hello", "shop: hello"]


def test_events_that_nobody_asked_for_are_logged_by_their_own_weight(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "amibake")
    amibake.bake_all([bake(place, "shop")], session=place.session)
    levels = {record.levelno for record in caplog.records if record.message.startswith("shop: waiting for ")}
    assert levels == {logging.DEBUG}


def test_what_is_no_call_is_a_mistake_before_anything_begins(place: Place) -> None:
    calls = len(place.ec2.requests)
    with pytest.raises(amibake.InvalidOption, match="bakes: number 2 is Builder") as caught:
        amibake.bake_all([bake(place, "shop"), bake(place, "forum").args[0]], session=place.session)  # type: ignore[attr-defined]
    assert "functools.partial" in caught.value.hint
    assert len(place.ec2.requests) == calls


def scripts_run(place: Place, count: int, then: Callable[[], object]) -> None:
    """Let scripts with this text go on for good, and do this as soon as so many run."""
    running, lock = [0], threading.Lock()

    def begun() -> None:
        with lock:
            running[0] += 1
            if running[0] == count:
                then()

    place.machines.behaviour.on("forever", Answer(does=begun, stays=True))


def test_an_interrupt_in_the_main_thread_ends_them_all(place: Place) -> None:
    scripts_run(place, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        amibake.bake_all([bake(place, app, "forever") for app in ("shop", "forum")], session=place.session)
    assert temporary(place.session.client("ec2")) == set()
    assert not [thread for thread in threading.enumerate() if thread.name in ("amibake shop", "amibake forum")]


def test_an_interrupt_says_what_was_made_nevertheless(place: Place) -> None:
    made = threading.Event()

    def first(**options: Any) -> Any:
        image = bake(place, "shop")(**options)
        made.set()
        return image

    def interrupt() -> None:
        made.wait()
        os.kill(os.getpid(), signal.SIGINT)

    scripts_run(place, 1, interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        amibake.bake_all([first, bake(place, "forum", "forever")], session=place.session)
    (image,) = place.session.client("ec2").describe_images(Owners=["self"])["Images"]
    assert caught.value.__notes__ == [f"made nevertheless: bake 1: {image['ImageId']} ({image['Name']})"]


def test_an_event_ends_them_all_from_another_thread(place: Place) -> None:
    cancel, raised = threading.Event(), list[BaseException]()
    scripts_run(place, 2, cancel.set)

    def work() -> None:
        bakes = [bake(place, app, "forever") for app in ("shop", "forum")]
        try:
            amibake.bake_all(bakes, session=place.session, cancel=cancel)
        except amibake.Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert str(raised[0]) == "cancelled"


def test_one_that_ends_the_program_is_not_called_a_failure(place: Place) -> None:
    def leaves(**_: object) -> amibake.Image:
        raise SystemExit(4)

    with pytest.raises(SystemExit) as caught:
        amibake.bake_all([leaves, bake(place, "shop")], session=place.session)
    assert caught.value.code == 4
    assert [note.partition(": ami-")[0] for note in caught.value.__notes__] == ["made nevertheless: shop"]
