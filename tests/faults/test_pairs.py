"""Two faults of the moment in one bake, at random, the same in every run."""

from __future__ import annotations

import random

import pytest

from amibake.testing import Place
from tests.faults.injection import Placed, placements
from tests.faults.outcome import remove_images
from tests.faults.running import FAULTS, TIMES, record, survived
from tests.faults.scenarios import ALL, Scenario
from tests.faults.tally import COUNTS

PAIRS = 100


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_two_faults_of_the_moment_are_survived_as_well(place: Place, scenario: Scenario) -> None:
    calls, took = record(place, scenario)
    wrong = {}
    for number in range(PAIRS // len(ALL)):
        seeded = random.Random(f"{scenario.name} {number}")
        placed = []
        for fault in seeded.choices(list(FAULTS), k=2):
            placement = seeded.choice(placements(calls, own=fault == "not_known_yet"))
            placed.append((fault, placement))
        COUNTS["pairs"] += 1
        faults = [Placed(placement, FAULTS[fault], TIMES.get(fault, 1)) for fault, placement in placed]
        if said := survived(place, scenario, took, *faults):
            wrong[", ".join(f"{fault} at {placement}" for fault, placement in placed)] = said
        else:
            COUNTS["pairs survived"] += 1
    remove_images(place)
    assert wrong == {}
