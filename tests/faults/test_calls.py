"""One fault of the moment at a time, at every call of every kind of bake: nobody notices.

Who bakes sees an image, and perhaps a few seconds more; in the log it says what was waited for. Nothing is made twice,
and nothing stays.
"""

from __future__ import annotations

import pytest

from amibake.testing import Place
from tests.faults.injection import Placed, placements
from tests.faults.outcome import remove_images
from tests.faults.running import FAULTS, TIMES, record, survived
from tests.faults.scenarios import ALL, Scenario, alike
from tests.faults.tally import COUNTS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_a_fault_of_the_moment_at_any_call_is_survived(place: Place, scenario: Scenario, fault: str) -> None:
    calls, took = record(place, scenario)
    wrong = {}
    for placement in placements(calls, own=fault == "not_known_yet"):
        if placement.action in alike(scenario):
            continue
        COUNTS["single"] += 1
        if said := survived(place, scenario, took, Placed(placement, FAULTS[fault], TIMES.get(fault, 1))):
            wrong[str(placement)] = said
        else:
            COUNTS["single survived"] += 1
    remove_images(place)
    assert wrong == {}
