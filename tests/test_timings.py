"""Where the time of a bake went, as its image has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import amibake
from amibake.ledger import Ledger
from amibake.strict import Delays
from amibake.testing import Place, exits, in_process
from amibake.timings import TimedStep, TimedWait, Timings


@pytest.fixture
def place() -> Iterator[Place]:
    with in_process(delays=Delays(running=7, stopped=17, available=41, terminated=9)) as place:
        yield place


def bake(place: Place, *steps: Any, **options: Any) -> Any:
    given = {"ami_name": "shop", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    return amibake.bake(amibake.Builder(**given), steps, session=place.session)


def test_each_step_says_when_it_began_and_what_of_it_was_waiting_for_ec2(place: Place) -> None:
    place.machines.behaviour.on("sleep", exits(0))
    timings = bake(place, amibake.Shell(inline=["sleep"])).timings
    steps = {step.name: step for step in timings.steps}
    assert list(steps) == list(timings)
    waits = [(step.name, wait.what, round(wait.seconds)) for step in timings.steps for wait in step.waits]
    assert waits == [
        ("connect to the builder", "instance answering", 7),
        ("stop the builder", "instance stopped", 17),
        ("make the image", "image available", 41),
    ]
    assert [wait.what for wait in timings.waits] == [what for _, what, _ in waits]
    for step in timings.steps:
        for wait in step.waits:
            assert step.start <= wait.start
            assert wait.start + wait.seconds <= step.start + step.seconds
    assert timings.total == pytest.approx(sum(timings.values()))
    assert timings.total >= 65


def test_waiting_for_the_end_of_the_builder_and_for_copies_is_waiting_too(place: Place) -> None:
    image = bake(place, ami_regions=["eu-west-1"], spot_price="auto")
    said = {(step.name, wait.what) for step in image.timings.steps for wait in step.waits}
    assert ("remove what is temporary", "instance terminated") in said
    assert ("copy the image", "image available") in said


def test_steps_of_one_name_add_up_in_the_order_in_which_they_began() -> None:
    waits = (TimedWait("image available", 4.0, 2.0),)
    last, first = TimedStep("again", 4.0, 3.0, waits), TimedStep("again", 0.5, 1.0)
    timings = Timings([last, TimedStep("between", 1.5, 2.0), first])
    assert timings == {"again": 4.0, "between": 2.0}
    assert list(timings) == ["again", "between"]
    assert (timings.total, timings.waits, len(timings)) == (7.0, waits, 2)
    assert repr(Timings([first])) == f"Timings([{first!r}])"


def test_an_image_that_was_looked_up_has_none(place: Place) -> None:
    bake(place, app="shop")
    found = amibake.find_image(app="shop", session=place.session)
    assert found is not None
    assert (len(found.timings), found.timings.total) == (0, 0.0)


def test_a_step_within_another_does_not_take_that_ones_waits(place: Place) -> None:
    ledger = Ledger(lambda _: None)
    with ledger.step("outer"):
        place.clock.sleep(1)
        with ledger.step("inner"):
            pass
        with ledger.waits("image available"):
            place.clock.sleep(5)
    assert [(step.name, [wait.what for wait in step.waits]) for step in ledger.timings.steps] == [
        ("outer", ["image available"]),
        ("inner", []),
    ]
