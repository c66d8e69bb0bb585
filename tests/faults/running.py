"""Bakes with something in their way, one after the other in one account."""

from __future__ import annotations

from amibake.errors import AmibakeError
from amibake.testing import Place
from tests.faults.injection import TRANSIENT, Call, Fault, Faults, Injector, Placed, injected, not_known_yet
from tests.faults.outcome import check_published, left, remove_images
from tests.faults.scenarios import Scenario

BOUND = 12.0
"""Seconds, on the place's clock, that a bake may take longer for one fault of the moment."""

FAULTS: dict[str, Fault] = {**TRANSIENT, "not_known_yet": not_known_yet}
TIMES = {"not_known_yet": 3}
"""How often in a row it goes wrong, where that is not once."""


def record(place: Place, scenario: Scenario) -> tuple[list[Call], float]:
    """The calls of an undisturbed bake, and the seconds that it takes."""
    if scenario.replaces:
        scenario.bake(place)
        place.clock.sleep(1)
    started = place.clock.now()
    with injected(Injector()) as undisturbed:
        image = scenario.bake(place)
    assert (image.warnings, image.leftovers) == ((), ())
    took = place.clock.now() - started
    clear(place, scenario)
    return undisturbed.seen, took


def clear(place: Place, scenario: Scenario) -> None:
    """Make room for the next bake, which may be one that wants to find the image."""
    if not scenario.replaces:
        remove_images(place, scenario)
    place.clock.sleep(1)


def survived(place: Place, scenario: Scenario, took: float, *placed: Placed) -> str:
    """What is wrong with a bake that meets these faults of the moment, if anything is. One alone has to be met; of
    several, one may keep the bake from another's call."""
    started = place.clock.now()
    faults = Faults(*placed)
    try:
        with injected(faults):
            image = scenario.bake(place)
        seconds = place.clock.now() - started
        assert len(placed) > 1 or placed[0].met, "not met"
        check_published(place, image, scenario)
        assert not image.warnings + image.leftovers, f"told of {image.warnings + image.leftovers}"
        there = left(place, scenario)
        assert not there, f"left {there}"
        assert seconds <= took + BOUND * len(placed), f"took {seconds} s instead of {took} s"
    except (AmibakeError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        clear(place, scenario)
    return ""
