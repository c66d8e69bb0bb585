"""Deadlines and polling, on a clock that needs no time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

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


def test_pauses_grow_up_to_the_most_and_a_change_is_told(clock: FakeClock) -> None:
    seen = iter(["pending"] * 8 + ["booting"] * 2)
    asked: list[float] = []
    told: list[Event] = []

    def probe() -> bool | waiting.Pending:
        asked.append(clock.now())
        state = next(seen, None)
        return waiting.Pending(state) if state else True

    assert waiting.wait_for("it", probe, deadline=waiting.Deadline(600), emit=told.append, first=1, most=4) is True
    pauses = [round(after - before, 2) for before, after in pairwise(asked)]
    assert pauses[:5] == [1, 1.5, 2.25, 3.38, 4]
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
