"""What is refused for good, at every call of every kind of bake: a missing permission, and credentials that expire.

Who bakes reads within seconds which permission is missing. What could not be removed is named, with the command that
removes it, once; an image that was made is theirs all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape

import pytest
from botocore.awsrequest import AWSResponse

import amibake
from amibake.errors import AmibakeError, NotAuthorized
from amibake.testing import Place
from tests.faults.injection import Call, Fault, Injector, Placement, injected, placements
from tests.faults.outcome import (
    check_published,
    commands,
    follow,
    images,
    is_published,
    left,
    mark,
    remove_images,
    remove_perhaps,
)
from tests.faults.running import record
from tests.faults.scenarios import ALL, Scenario, alike
from tests.faults.tally import COUNTS, slow

QUICK = 10.0
"""Seconds, on the place's clock, from the first refusal to the error, or that a bake takes longer for it."""

NO_MATTER = ("Delete", "Deregister", "Register", "Remove", "Terminate")
"""How calls begin without which there is an image all the same; the name of one that is there is another matter."""
ONLY_A_LOOK = {"DescribeSnapshots", "DescribeVolumes"}
"""Others of them: these find what may be left."""

NOT_MISSED = {"DescribeSecurityGroups"}
"""Without these a bake takes somewhat longer, and nothing else."""

OTHERWISE = {"RunInstances": "iam:PassRole", "CreateFleet": "ec2:RunInstances", "CopyImage": "ec2:CreateTags"}
"""What is missing is not always what the call is called."""


def plain(call: Call) -> AWSResponse:
    if call.service == "ec2":
        return call.refusal(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
    said = f"User: arn:aws:iam::1:user/baker is not authorized to perform: iam:{call.action} on resource: role amibake"
    return call.refusal(403, "AccessDenied", said)


def encoded(call: Call) -> AWSResponse:
    said = f"You are not authorized to perform this operation. Encoded authorization failure message: {call.action}-x9"
    return call.refusal(403, "UnauthorizedOperation", said)


def decoded(call: Call) -> AWSResponse:
    """What STS makes of that."""
    action = call.params["EncodedMessage"].removesuffix("-x9")
    context = {"action": OTHERWISE.get(action, f"ec2:{action}"), "resource": "arn:aws:ec2:us-east-1:1:thing/x"}
    said = escape(json.dumps({"allowed": False, "explicitDeny": False, "context": context}))
    name = "DecodeAuthorizationMessage"
    result = f"<{name}Result><DecodedMessage>{said}</DecodedMessage></{name}Result>"
    return call.answer(200, f"<{name}Response>{result}</{name}Response>")


def expired(call: Call) -> AWSResponse:
    if call.service == "ec2":
        return call.refusal(400, "RequestExpired", "Request has expired.")
    return call.refusal(403, "ExpiredToken", "The security token included in the request is expired")


class Refused(Injector):
    """Refuses what `strikes` says, from then on."""

    def __init__(self, place: Place, fault: Fault, strikes: Callable[[Call], bool]) -> None:
        super().__init__()
        self.clock, self.fault, self.strikes = place.clock, fault, strikes
        self.first: float | None = None
        self.met: set[str] = set()

    def strike(self, call: Call, /) -> Fault | None:
        if call.action == "DecodeAuthorizationMessage":
            return decoded
        if not self.strikes(call):
            return None
        if self.first is None:
            self.first = self.clock.now()
        self.met.add(call.action)
        return self.fault

    @property
    def seconds(self) -> float:
        """Since the first refusal."""
        assert self.first is not None, "not met"
        return self.clock.now() - self.first


def outcome(
    place: Place, scenario: Scenario, took: float, kind: str, refused: Refused, *, said: str, baked: bool | None
) -> str:
    """What is wrong with a bake that meets it, if anything is: what is `said`, and whether it makes an image."""
    COUNTS[kind] += 1
    before, started = left(place, scenario), place.clock.now()  # that is of a case that has failed
    try:
        with injected(refused):
            image = scenario.bake(place)
    except NotAuthorized as error:
        COUNTS[f"{kind} said"] += 1
        slow(kind, refused.seconds)
        wrong, notes = wrong_error(place, scenario, refused, error, said, baked), error.leftovers
    except AmibakeError as error:
        return f"{type(error).__name__}: {error}"
    else:
        COUNTS[f"{kind} baked"] += 1
        wrong, notes = wrong_image(place, scenario, refused, image, baked), image.warnings + image.leftovers
        if (seconds := place.clock.now() - started) > took + QUICK:
            wrong = f"{wrong} {seconds} s instead of {took} s"
    return wrong or cleared(place, scenario, notes, before)


def wrong_error(
    place: Place, scenario: Scenario, refused: Refused, error: NotAuthorized, said: str, baked: bool | None
) -> str:
    published = [one for region in scenario.regions for one in images(place, region) if is_published(one)]
    facts = {
        f"no image: {error}": not baked,
        f"{said} is not in {error}": said in str(error),
        f"only after {refused.seconds} s: {error}": refused.seconds <= QUICK,
        f"an error, and {published}": scenario.replaces or not published,
    }
    return "; ".join(wrong for wrong, holds in facts.items() if not holds)


def wrong_image(place: Place, scenario: Scenario, refused: Refused, image: amibake.Image, baked: bool | None) -> str:
    try:
        assert baked is not False, f"an image, with {image.warnings} and {image.leftovers}"
        assert image.warnings + image.leftovers or refused.met <= NOT_MISSED, "nobody was told"
        mark(place, image.warnings)
        if scenario.replaces:  # there may be two, of two names
            assert all(is_published(one) for one in images(place)), "not published"
        else:
            check_published(place, image, scenario)
    except AssertionError as error:
        return str(error)
    return ""


def cleared(place: Place, scenario: Scenario, notes: tuple[str, ...], before: set[str]) -> str:
    """What is wrong with what was left, and with the commands that are to remove it."""
    told = commands(notes)
    remove_perhaps(place, notes)
    try:
        there = left(place, scenario) - before
        assert bool(told) or not there, f"left {there}, and said nothing but {notes}"
        if told:
            follow(place, told)
            there = left(place, scenario) - before
        assert not there, f"left {there} after {told}"
    except AssertionError as error:
        return f"{error} of {notes}"
    COUNTS["leftovers"] += len(told)
    return ""


def since(placement: Placement) -> Callable[[Call], bool]:
    """What says yes to that call and all after it."""
    reached = 0

    def strikes(call: Call) -> bool:
        nonlocal reached
        reached += placement.concerns(call)
        return reached >= placement.number

    return strikes


def again(place: Place, scenario: Scenario) -> None:
    """Make room for the next bake, or what it is to replace."""
    remove_images(place, scenario)
    if scenario.replaces:
        scenario.bake(place)
        place.clock.sleep(1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [plain, encoded])
@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_a_missing_permission_is_named_within_seconds(place: Place, scenario: Scenario, fault: Fault) -> None:
    calls, took = record(place, scenario)
    wrong: dict[str, str] = {}
    for service, action in dict.fromkeys((call.service, call.action) for call in calls):
        if action in alike(scenario) or (fault is encoded and service != "ec2"):
            continue
        again(place, scenario)
        refused = Refused(place, fault, lambda call, action=action: call.action == action)  # type: ignore[misc]
        permission = OTHERWISE.get(action, f"ec2:{action}") if fault is encoded else f"{service}:{action}"
        baked = action.startswith(NO_MATTER) or action in ONLY_A_LOOK | NOT_MISSED
        if found := outcome(place, scenario, took, "refusals", refused, said=permission, baked=baked):
            wrong[action] = found
    remove_images(place)
    assert wrong == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_credentials_that_expire_on_the_way_are_said_to_and_what_is_left_is_named(
    place: Place, scenario: Scenario
) -> None:
    calls, took = record(place, scenario)
    wrong: dict[str, str] = {}
    for placement in placements(calls):
        if placement.action in alike(scenario):
            continue
        again(place, scenario)
        refused = Refused(place, expired, since(placement))
        if found := outcome(place, scenario, took, "expired credentials", refused, said="expired", baked=None):
            wrong[str(placement)] = found
    remove_images(place)
    assert wrong == {}
