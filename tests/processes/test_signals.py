"""Signals at many moments of a bake, each in a process of its own: nothing is left, and the process ends as it should.

The counts, and how long TerminateInstances takes from the signal on, are told at the end of the run.
"""

from __future__ import annotations

import signal
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.processes.children import Child, CommandLine, command_line, in_regions, plain_script
from tests.processes.moments import OF_EVERY_BAKE, RECONNECTING, Moment
from tests.processes.served import Served

Tell = Callable[[str, object], None]
SOON = 5.0
"""Seconds within which TerminateInstances has to be there: it is within one, on a machine that does nothing else."""


@dataclass(frozen=True)
class Outcome:
    """What became of one bake. `terminated` is how many seconds after the signal TerminateInstances came, where there
    was a builder to be terminated."""

    moment: str
    came: bool
    status: int | None
    left: frozenset[str]
    terminated: float | None
    said: str


def interrupted(cloud: Served, words: list[str], region: str, number: signal.Signals, moment: Moment) -> Outcome:
    """Run a bake, and send the signal at that moment."""
    child, first, before = Child(region), len(cloud.ec2.times), cloud.temporary(region)
    with moment.of(cloud, region, partial(child.send, number)) as come:
        child.run(cloud, words)
    left = cloud.temporary(region) - before
    cloud.forget(region)
    calls = [(action, when) for where, action, when in cloud.ec2.times[first:] if where == region]
    return Outcome(moment.name, come.is_set(), child.status, frozenset(left), _terminated(child, calls), child.said)


def _terminated(child: Child, calls: Sequence[tuple[str, float]]) -> float | None:
    if not child.sent:
        return None
    before = {action for action, when in calls if when <= child.sent[0]}
    later = [when for action, when in calls if action == "TerminateInstances" and when > child.sent[0]]
    there = "RunInstances" in before and "TerminateInstances" not in before
    return later[0] - child.sent[0] if there and later else None


def all_of(
    cloud: Served, words: CommandLine, mailtube: Path, number: signal.Signals, moments: Sequence[Moment]
) -> list[Outcome]:
    """The outcomes at these moments."""

    def one(region: str, moment: Moment) -> Outcome:
        return interrupted(cloud, words(cloud, region, mailtube), region, number, moment)

    return in_regions(one, moments)


def check(outcomes: Sequence[Outcome], statuses: Callable[[int | None], bool], what: str, tell: Tell) -> None:
    """Tell the counts, and see to it that all is as it should be."""
    took = {one.terminated: one.moment for one in outcomes if one.terminated is not None}
    left = [one for one in outcomes if one.left]
    tell(
        "told",
        f"{what}: {len(outcomes)} moments, {len(left)} leaks; TerminateInstances {statistics.median(took):.2f} s "
        f"after the signal in the median of {len(took)}, {max(took):.2f} s at most ({took[max(took)]})",
    )
    assert [one.moment for one in outcomes if not one.came] == []
    assert {one.moment: (one.left, one.said) for one in left} == {}
    assert {one.moment: (one.status, one.said) for one in outcomes if not statuses(one.status)} == {}
    assert {one.moment: one.terminated for one in outcomes if (one.terminated or 0) > SOON} == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_whatever_moment_of_a_plain_script_leaves_nothing(
    cloud: Served, mailtube: Path, number: signal.Signals, record_property: Tell
) -> None:
    """The parent sees it die by that very signal."""
    moments = (*OF_EVERY_BAKE, RECONNECTING)
    outcomes = all_of(cloud, plain_script, mailtube, number, moments)
    check(outcomes, lambda status: status == -number, f"{number.name}, plain script", record_property)


def test_so_does_the_end_of_the_terminal(cloud: Served, mailtube: Path, record_property: Tell) -> None:
    outcomes = all_of(cloud, plain_script, mailtube, signal.SIGHUP, OF_EVERY_BAKE[6::5])
    check(outcomes, lambda status: status == -signal.SIGHUP, "SIGHUP, plain script", record_property)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_whatever_moment_of_the_command_leaves_nothing(
    cloud: Served, mailtube: Path, number: signal.Signals, record_property: Tell
) -> None:
    outcomes = all_of(cloud, command_line, mailtube, number, OF_EVERY_BAKE)
    check(outcomes, lambda status: status in (128 + number, -number), f"{number.name}, command", record_property)
