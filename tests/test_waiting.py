"""Deadlines and polling, on a clock that needs no time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from amibake import waiting
from amibake.errors import WaitTimeout
from amibake.events import Event, Waiting
from amibake.testing.clock import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(7, 7), ("90s", 90), ("1h30m", 5400), ("0.5s", 0.5), (timedelta(minutes=5), 300)],
)
def test_a_duration_as_people_give_it(given: float | str | timedelta, seconds: float) -> None:
    assert waiting.seconds(given) == seconds


@pytest.mark.parametrize("given", ["", "5", "5 m", "soon"])
def test_what_is_no_duration(given: str) -> None:
    with pytest.raises(ValueError, match="has to be seconds"):
        waiting.seconds(given)


def test_what_the_probe_answers_is_returned_at_once(clock: FakeClock) -> None:
    before = clock.now()
    assert waiting.wait_for("it", lambda: "there", deadline=waiting.Deadline(10), emit=lambda _: None) == "there"
    assert clock.now() == before


def looks(clock: FakeClock, seconds: float, answer: waiting.Pending | None = None, **how: Any) -> list[float]:
    """When it is looked at what is not there before so many seconds, and then."""
    asked: list[float] = []

    def probe() -> bool | waiting.Pending:
        asked.append(clock.now())
        return (answer or waiting.Pending("no")) if clock.now() < seconds else True

    waiting.wait_for("it", probe, deadline=waiting.Deadline(20_000), emit=lambda _: None, **how)
    return asked


def pauses(asked: list[float]) -> list[float]:
    return [round(after - before, 2) for before, after in pairwise(asked)]


@pytest.mark.parametrize("seconds", [0.3, 2, 7, 19, 61, 300, 2400, 7200])
def test_what_is_there_is_seen_soon_for_the_time_that_it_took(clock: FakeClock, seconds: float) -> None:
    """Within a second and a half, or a fortieth of the time, but by no more than 15 seconds."""
    asked = looks(clock, seconds)
    assert asked[-1] - seconds <= min(max(1.5, seconds / 40), 15)
    assert asked[1] == 0.25


def test_an_hour_is_waited_for_with_few_looks(clock: FakeClock) -> None:
    asked = looks(clock, 3600)
    assert len(asked) < 350
    assert pauses(asked)[-3:-1] == [15, 15]


def test_what_hardly_ever_comes_early_is_not_looked_at_often_before(clock: FakeClock) -> None:
    assert pauses(looks(clock, 30, early=20, steady=1))[:13] == [
        0.25, 0.38, 0.56, 0.84, 1.27, 1.9, 2.85, 4, 4, 3.96, 1, 1, 1
    ]  # fmt: skip


def test_an_answer_that_is_old_counts_from_when_it_was_given(clock: FakeClock) -> None:
    assert pauses(looks(clock, 10, waiting.Pending("no", age=0.5)))[-2:] == [1, 1]


def test_an_answer_may_ask_for_fewer_looks_but_not_for_hours(clock: FakeClock) -> None:
    assert pauses(looks(clock, 50, waiting.Pending("no", slower=4)))[-2:] == [6, 6]
    assert max(pauses(looks(clock, 5000, waiting.Pending("no", slower=16)))) == 60


def test_several_answers_are_as_good_as_the_worst_of_them() -> None:
    both = waiting.together([waiting.Pending("a", pause=1, age=3), waiting.Pending("b", age=2, slower=2)])
    assert both == waiting.Pending("a, b", pause=1, age=2, slower=2)


def test_pauses_grow_up_to_the_most_and_a_change_is_told(clock: FakeClock) -> None:
    seen = iter(["pending"] * 8 + ["booting"] * 2)
    asked: list[float] = []
    told: list[Event] = []

    def probe() -> bool | waiting.Pending:
        asked.append(clock.now())
        state = next(seen, None)
        return waiting.Pending(state) if state else True

    assert waiting.wait_for("it", probe, deadline=waiting.Deadline(600), emit=told.append, first=1, steady=4) is True
    assert pauses(asked)[:5] == [1, 1.5, 2.25, 3.38, 4]
    assert [event.seen for event in told if isinstance(event, Waiting)] == ["pending", "pending", "booting"]


def test_a_deadline_that_passes_says_what_was_seen_last(clock: FakeClock) -> None:
    started = clock.now()
    with pytest.raises(WaitTimeout, match="the moon: not after 30 s; last seen: clouds") as caught:
        waiting.wait_for(
            "the moon",
            lambda: waiting.Pending("clouds"),
            deadline=waiting.Deadline(30),
            emit=lambda _: None,
            hint="look up",
        )
    assert caught.value.hint == "look up"
    assert clock.now() - started == pytest.approx(30, abs=0.1)


def test_an_answer_may_ask_for_a_longer_pause(clock: FakeClock) -> None:
    asked: list[float] = []

    def probe() -> waiting.Pending:
        asked.append(clock.now())
        return waiting.Pending("refused", pause=4)

    with pytest.raises(WaitTimeout):
        waiting.wait_for("it", probe, deadline=waiting.Deadline(10), emit=lambda _: None, most=1)
    assert asked == [0, 4, 8, 10]


def test_hours_of_waiting(clock: FakeClock) -> None:
    with pytest.raises(WaitTimeout, match="it: not after 4 h; last seen: nothing new"):
        waiting.wait_for(
            "it", lambda: waiting.Pending("nothing new"), deadline=waiting.Deadline(14400), emit=lambda _: None, most=1
        )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.05, "0.05 s"),
        (1.5, "1.5 s"),
        (59.7, "60 s"),
        (600, "600 s"),
        (1800, "30 min"),
        (3599.8, "1 h"),
        (13800, "3 h 50 min"),
        (14400, "4 h"),
    ],
)
def test_times_are_readable(seconds: float, said: str) -> None:
    assert waiting.duration(seconds) == said


def test_what_the_probe_raises_goes_through(clock: FakeClock) -> None:
    def probe() -> bool:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        waiting.wait_for("it", probe, deadline=waiting.Deadline(30), emit=lambda _: None)


def test_a_deadline_lies_within_another(clock: FakeClock) -> None:
    outer = waiting.Deadline(10)
    clock.sleep(4)
    assert waiting.Deadline(100, within=outer).remaining() == pytest.approx(6)
    assert waiting.Deadline(2, within=outer).remaining() == pytest.approx(2)
    clock.sleep(100)
    assert outer.remaining() == 0


def test_the_systems_clock_counts_seconds() -> None:
    clock = waiting.SystemClock()
    before, date = clock.now(), clock.epoch()
    clock.sleep(0)
    clock.waited(0)
    assert clock.now() >= before
    assert clock.epoch() >= date > 1_700_000_000


def test_a_clock_that_has_gone_for_long_does_not_stand_still_when_it_is_no_longer_early(clock: FakeClock) -> None:
    clock.sleep(54.801567473128365)  # a moment from which on twenty seconds are not quite over after twenty seconds
    assert len(looks(clock, clock.now() + 30, early=20, steady=1)) < 40
