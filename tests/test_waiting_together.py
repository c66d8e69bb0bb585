"""Bakes side by side ask EC2 once for all of them, and none of them pays for its neighbours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import amibake
from amibake.ec2 import watch
from amibake.strict import Delays
from amibake.strict.record import Request
from amibake.testing import Place, in_process
from tests.account import temporary
from tests.clocks import SharedClock

DELAYS = Delays(running=7, stopped=17, available=41, terminated=9)
SIDE_BY_SIDE = 20


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, no_thread_left: None) -> Iterator[Place]:
    """An EC2 that takes its time, on a clock for many."""
    monkeypatch.setattr("amibake.testing.place.FakeClock", SharedClock)
    with in_process(delays=DELAYS) as place:
        yield place
        assert temporary(place.session.client("ec2")) == set()
        assert watch._watches == {}  # nobody waits for anything any more


def clock(place: Place) -> SharedClock:
    assert isinstance(place.clock, SharedClock)
    return place.clock


def bake(place: Place, *, after: float = 0.0, **given: Any) -> float:
    """Begin after a while; how long the bake takes."""
    place.clock.sleep(after)
    began = place.clock.now()
    options: dict[str, Any] = {"ami_name": "shop {{uuid}}", "source_ami": place.source_ami, "instance_type": "t3.micro"}
    amibake.bake(amibake.Builder(**options, communicator="none"), **{"session": place.session, **given})
    return place.clock.now() - began


def looks(place: Place) -> list[Request]:
    """The questions about what is waited for."""
    asked = [one for one in place.ec2.requests if one.action in ("DescribeInstances", "DescribeImages")]
    known = {None, place.source_ami}
    alone = [one for one in asked if {one.params.get("InstanceId.1"), one.params.get("ImageId.1")} - known]
    return alone + [one for one in asked if one.params.get("Filter.1.Name") in ("instance-id", "image-id")]


@pytest.mark.parametrize("apart", [0.0, 0.13])
def test_twenty_bakes_take_as_long_as_one_and_ask_as_often(place: Place, apart: float) -> None:
    (one,) = clock(place).work([partial(bake, place)])
    alone = len(looks(place)) / one
    place.ec2.requests.clear()
    began = place.clock.now()
    took = clock(place).work([partial(bake, place, after=apart * number) for number in range(SIDE_BY_SIDE)])
    assert max(took) <= 1.2 * one
    assert len(looks(place)) / (place.clock.now() - began) <= 1.5 * alone


def test_so_they_do_with_sessions_of_their_own(place: Place) -> None:
    clock(place).work([partial(bake, place, session=None) for _ in range(5)])
    assert len(looks(place)) < 2 * 60


def test_what_one_is_refused_fails_no_other(place: Place) -> None:
    def begin() -> float:
        place.clock.sleep(30)  # all of them wait for their images
        place.ec2.refuse("DescribeImages", times=1)
        return 0.0

    came = clock(place).work([begin, *[partial(bake, place) for _ in range(5)]])
    failed = [one for one in came if isinstance(one, BaseException)]
    assert [type(one) for one in failed] == [amibake.NotAuthorized]
    assert max(one for one in came if isinstance(one, float)) < 67.5


def test_one_that_is_cancelled_in_the_middle_of_asking_stops_no_other(place: Place) -> None:
    cancel = threading.Event()

    def cancels(event: amibake.events.Event) -> None:
        if isinstance(event, amibake.events.Waiting) and "available" in event.what:
            cancel.set()

    cancelled = partial(bake, place, cancel=cancel, on_event=cancels)
    first, *others = clock(place).work([cancelled, *[partial(bake, place, after=0.5) for _ in range(4)]])
    assert isinstance(first, amibake.Interrupted)
    assert max(others) < 67.5


def test_one_that_is_throttled_makes_all_of_them_slower_and_fails_none(place: Place) -> None:
    clock(place).work([partial(bake, place) for _ in range(3)])
    usual = len(looks(place))
    place.ec2.requests.clear()
    refusal = place.ec2.refuse("DescribeImages", "RequestLimitExceeded", times=0)

    def throttle() -> float:
        place.clock.sleep(45)
        refusal.times = refusal.met + 6
        return 0.0

    came = clock(place).work([throttle, *[partial(bake, place) for _ in range(3)]])
    assert all(isinstance(one, float) for one in came)
    assert refusal.met == 6
    assert len(looks(place)) - refusal.met < usual
