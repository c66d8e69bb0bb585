"""Bakes that die without a word, and the sweep that finds what they have left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import amibake
from amibake.host import Host
from amibake.testing import Place
from tests.account import temporary

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
DEAD = 5 * 3600.0
"""Seconds after which a bake that has begun is over: four hours, and half an hour."""
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "spot": {"spot_price": "auto"},
    "profile": {"temporary_iam_instance_profile_policy_document": POLICY},
    "regions": {"ami_regions": REGIONS[1:], "ami_users": ["210987654321"], "deregistration_protection": True},
    "elsewhere": {"ami_regions": REGIONS[1:], "skip_save_build_region": True},
}
LOOKING = ("Describe", "Get", "List")


class Killed(BaseException):
    """The end of the process: nothing that it still wants to say reaches EC2."""


class Step:
    """A provisioner that calls something."""

    def __init__(self, do: Any = lambda: None) -> None:
        self.do = do

    def check(self) -> None: ...

    def provision(self, _: Host) -> None:
        self.do()


def bake(place: Place, step: Step | None = None, **options: Any) -> amibake.Image:
    place.clock.sleep(1)  # so that no two have one name
    builder = amibake.Builder(
        **{"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    )
    return amibake.bake(builder, [step or Step()], session=place.session)


def killed_bake(place: Place, at: int, when: str = "before-call", **options: Any) -> bool:
    """A bake that dies at its so-many-th call that changes something, before EC2 hears it or before it hears the
    answer; answers whether it got so far."""
    count = 0

    def die(model: Any, **_: Any) -> None:
        nonlocal count
        if count >= at:
            raise Killed
        count += not model.name.startswith(LOOKING)
        if count >= at and when == "before-call":
            raise Killed

    def die_after(model: Any, **_: Any) -> None:
        if count >= at and not model.name.startswith(LOOKING):
            raise Killed

    events = place.session.events  # which a client has as they are when it is made
    events.register("before-call", die)
    events.register("after-call", die_after)
    try:
        bake(place, **options)
    except Killed:
        return True
    finally:
        events.unregister("before-call", die)
        events.unregister("after-call", die_after)
    return False


def clients(place: Place) -> dict[str, Any]:
    return {region: place.session.client("ec2", region_name=region) for region in REGIONS}


def left(place: Place) -> set[str]:
    """Everything temporary, in all regions and in IAM."""
    iam = place.session.client("iam")
    return {one for ec2 in clients(place).values() for one in temporary(ec2, iam)}


def images(place: Place) -> dict[str, dict[str, dict[str, str]]]:
    """{build: {region: the tags of its image}}."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for region, ec2 in clients(place).items():
        for image in ec2.describe_images(Owners=["self"])["Images"]:
            tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
            assert region not in found.setdefault(tags["amibake:build"], {})
            found[tags["amibake:build"]][region] = tags
    return found


def sweep(place: Place, **options: Any) -> amibake.Sweep:
    return amibake.sweep(**{"regions": REGIONS, "session": place.session, **options})


def changes(place: Place) -> list[str]:
    return [one.action for one in place.ec2.requests if not one.action.startswith(LOOKING)]


@pytest.fixture(autouse=True)
def _nothing_is_left_in_any_region(place: Place) -> Iterator[None]:
    yield
    assert left(place) == set()


@pytest.mark.parametrize("when", ["before-call", "after-call"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_whenever_a_bake_is_killed_nothing_stays_beyond_its_time(place: Place, variant: str, when: str) -> None:
    options = VARIANTS[variant]
    moments = 1
    while killed_bake(place, moments, when, **options):
        moments += 1
    assert moments > 9
    dead = left(place)
    assert len(dead) > moments

    early = sweep(place)
    assert (early.removed, early.finished, early.leftovers, early.warnings) == ((), (), (), ())
    assert {one.reason for one in early.spared} == {"its bake may still be going on"}
    assert left(place) == dead

    place.clock.sleep(DEAD)
    swept: list[amibake.Sweep] = []
    image = bake(place, Step(lambda: swept.append(sweep(place))), **options)  # it goes on meanwhile
    assert image.warnings == image.leftovers == ()
    (late,) = swept
    assert (late.leftovers, late.warnings) == ((), ())
    assert image.tags["amibake:build"] in {one.remnant.build for one in late.spared}
    assert image.tags["amibake:build"] not in {one.build for one in late.removed}
    assert left(place) == set()

    wanted = set(image.ids)
    for build, regions in images(place).items():
        assert set(regions) == wanted, build
        for tags in regions.values():
            assert tags["amibake:state"] == "published"
            assert not {"amibake:expires", "amibake:origin"} & set(tags)
    assert (len(images(place)) > 2) == bool(late.finished)

    again = sweep(place)
    assert (again.removed, again.finished, again.spared, again.leftovers, again.warnings) == ((), (), (), (), ())
