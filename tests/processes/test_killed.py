"""Bakes that are killed at many moments: a sweep removes what they leave, once it has expired, and nothing else."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import amibake
from amibake import waiting
from amibake.testing import Answer
from tests.processes.children import Child, in_regions, plain_script
from tests.processes.moments import LARGE, OF_EVERY_BAKE, PROGRAM, Moment, uploaded
from tests.processes.served import REGIONS, Served

pytestmark = pytest.mark.skipif(not hasattr(amibake, "sweep"), reason="there is no sweep yet")

LATER = 5 * 3600.0
"""A bake may take four hours, and it is half an hour more until what is left of it counts as dead."""

HERE = REGIONS[0]
"""Where the live bake is."""


class Later(waiting.SystemClock):
    """The real clock, but for the date."""

    @staticmethod
    def epoch() -> float:
        """That of EC2, later."""
        return time.time() + LATER


def killed(cloud: Served, mailtube: Path, region: str, moment: Moment) -> str:
    """Run a bake and kill it at this moment; answers with the moment, where it did not come."""
    child = Child(region)
    with moment.of(cloud, region, partial(child.send, signal.SIGKILL)):
        child.run(cloud, plain_script(cloud, region, mailtube))
    return "" if child.status == -signal.SIGKILL and child.sent else f"{moment.name}: {child.status}, {child.said}"


def remains(cloud: Served) -> set[str]:
    """What there is in all regions that bakes make only for a while."""
    return {f"{region} {one}" for region in REGIONS for one in cloud.temporary(region)}


@contextmanager
def live_bake(cloud: Served, mailtube: Path) -> Iterator[Child]:
    """One that goes on while the block lasts, is not to have expired by then, and ends after it."""
    child, runs, go_on = Child(HERE), threading.Event(), threading.Event()

    def stay() -> None:
        runs.set()
        go_on.wait()

    answer = (PROGRAM, Answer(does=stay))
    cloud.machines.behaviours[HERE].on(*answer)
    thread = threading.Thread(target=child.run, args=(cloud, plain_script(cloud, HERE, mailtube, "24h")))
    thread.start()
    try:
        assert runs.wait(90)
        yield child
    finally:
        go_on.set()
        thread.join()
        cloud.machines.behaviours[HERE].answers.remove(answer)


def sweep(cloud: Served, regions: Collection[str] = REGIONS) -> tuple[object, ...]:
    """Sweep these regions; what was removed."""
    swept = amibake.sweep(regions=regions, session=cloud.session(HERE))
    assert swept.leftovers == ()
    return tuple(swept.removed)


def test_what_killed_bakes_leave_is_swept_once_it_has_expired(
    cloud: Served, mailtube: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    survived = in_regions(partial(killed, cloud, mailtube), OF_EVERY_BAKE)
    assert [one for one in survived if one] == []
    left = remains(cloud)
    assert sweep(cloud) == ()
    assert remains(cloud) == left
    with live_bake(cloud, mailtube) as live:
        alive = remains(cloud) - left
        monkeypatch.setattr(waiting, "clock", Later())
        cloud.ec2.ahead = LATER
        removed = sweep(cloud)
        assert remains(cloud) == alive
        assert sweep(cloud) == ()
    assert (live.status, live.said) == (0, "")
    assert remains(cloud) == set()
    told = f"SIGKILL: {len(survived)} moments, {len(left)} things left, {len(removed)} swept, 0 left after that"
    record_property("told", told)
    assert len(left) > len(survived)


def test_what_is_still_read_of_a_killed_bake_is_no_moment_of_the_next_one(cloud: Served, mailtube: Path) -> None:
    assert killed(cloud, mailtube, HERE, uploaded(0.1)) == ""
    with uploaded(0.1).of(cloud, HERE, lambda: None) as come:
        cloud.machines.on_input[HERE](cloud.machines.newest_of[HERE], LARGE)
        assert not come.is_set()
