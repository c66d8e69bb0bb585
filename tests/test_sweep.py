"""Bakes that die without a word, and the sweep that finds what they have left."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.events import Event, Removed, StepStarted, Waiting
from amibake.host import Host
from amibake.testing import Place
from tests.account import temporary

REGIONS = ("us-east-1", "eu-west-1")
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


def killed_bake(place: Place, at: int, **options: Any) -> bool:
    """A bake that dies when it makes its so-many-th call that changes something, of which EC2 does not hear any more;
    answers whether it got so far."""
    count = 0

    def die(model: Any, **_: Any) -> None:
        nonlocal count
        count += not model.name.startswith(LOOKING)
        if count >= at:
            raise Killed  # and whatever it calls after that

    events = place.session.events  # which a client has as they are when it is made
    events.register("before-call", die)
    try:
        bake(place, **options)
    except Killed:
        return True
    finally:
        events.unregister("before-call", die)
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


@pytest.mark.parametrize(
    ("variant", "first"), [("plain", 1), ("spot", 1), ("profile", 1), ("regions", 7), ("elsewhere", 7)]
)
def test_whenever_a_bake_is_killed_nothing_stays_beyond_its_time(place: Place, variant: str, first: int) -> None:
    options = VARIANTS[variant]
    moment = first  # up to CreateImage copies make no difference
    while killed_bake(place, moment, **options):
        moment += 1
    assert moment > 9
    dead = left(place)
    assert len(dead) > moment

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

    place.clock.sleep(60)  # until the last builder, which is going down, is gone
    again = sweep(place)
    assert (again.removed, again.finished, again.spared, again.leftovers, again.warnings) == ((), (), (), (), ())


def dead(place: Place, variant: str, at: int) -> None:
    """A bake that was killed there, five hours ago."""
    assert killed_bake(place, at, **VARIANTS[variant])
    place.clock.sleep(DEAD)


FULL = {"spot": 7, "profile": 9, "regions": 16}
"""A moment at which there is most of everything."""


@pytest.mark.parametrize("variant", FULL)
def test_a_dry_run_tells_what_would_go_and_changes_nothing(place: Place, variant: str) -> None:
    dead(place, variant, FULL[variant])
    del place.ec2.requests[:]
    calls: list[str] = []
    place.session.events.register("before-call", lambda model, **_: calls.append(model.name))
    dry = sweep(place, dry_run=True)
    assert dry.dry_run
    assert [one for one in calls if not one.startswith(LOOKING)] == changes(place) == []
    assert {"ListRoles", "ListInstanceProfiles", "DescribeInstances"} <= set(calls)
    assert len(calls) < 60
    real = sweep(place)
    assert set(real.removed) == set(dry.removed)
    assert (real.spared, real.leftovers, real.warnings, real.dry_run) == (dry.spared, (), (), False)


COMMANDS = {
    "TerminateInstances": "terminate-instances --instance-ids i-",
    "DeleteFleets": "delete-fleets --terminate-instances --fleet-ids fleet-",
    "DeleteLaunchTemplate": "delete-launch-template --launch-template-id lt-",
    "DeleteKeyPair": "delete-key-pair --key-pair-id key-",
    "DeleteNetworkInterface": "delete-network-interface --network-interface-id eni-",
    "DeleteVolume": "delete-volume --volume-id vol-",
    "DeleteSecurityGroup": "delete-security-group --group-id sg-",
    "DeregisterImage": "deregister-image --delete-associated-snapshots --image-id ami-",
    "DeleteSnapshot": "delete-snapshot --snapshot-id snap-",
}


def test_what_may_not_be_removed_is_left_with_its_command(place: Place) -> None:
    dead(place, "spot", FULL["spot"])
    everything = sweep(place, dry_run=True).removed
    refusals = [place.ec2.refuse(action) for action in COMMANDS]
    swept = sweep(place)
    assert (swept.removed, len(swept.leftovers)) == ((), len(everything))
    for command in COMMANDS.values():
        (line,) = [one for one in swept.leftovers if f"remove it with: aws ec2 {command}" in one]
        assert line.endswith("--region us-east-1")
    for refusal in refusals:
        refusal.lift()
    assert set(sweep(place).removed) >= {one for one in everything if one.kind == "instance"}


@pytest.mark.parametrize(
    ("variant", "action", "kinds"),
    [
        ("spot", "DeleteFleets", {"fleet"}),
        ("regions", "DisableImageDeregistrationProtection", {"image", "snapshot"}),
        ("regions", "DeleteSnapshot", {"snapshot"}),
    ],
)
def test_what_may_not_be_removed_keeps_nothing_else_from_going(
    place: Place, variant: str, action: str, kinds: set[str]
) -> None:
    dead(place, variant, FULL[variant])
    everything = sweep(place, dry_run=True).removed
    refusal = place.ec2.refuse(action, region=REGIONS[0])
    first = sweep(place)
    assert len(first.leftovers) == len(kinds)
    assert {one for one in everything if one not in first.removed} == {
        one for one in everything if one.region == REGIONS[0] and one.kind in kinds
    }
    refusal.lift()
    assert sweep(place).leftovers == ()


IAM = {
    "ListRoles": None,
    "RemoveRoleFromInstanceProfile": "remove-role-from-instance-profile --instance-profile-name amibake_",
    "DeleteRolePolicy": "delete-role-policy --role-name amibake_",
    "DeleteRole": "delete-role --role-name amibake_",
}


@pytest.mark.parametrize("action", IAM)
def test_what_iam_refuses_stops_nothing_else(place: Place, action: str) -> None:
    dead(place, "profile", FULL["profile"])
    command = IAM[action]

    def refuse(model: Any, **_: Any) -> Any:
        said = {"Error": {"Code": "AccessDenied", "Message": "no"}}
        return (Answer(403), said) if model.name == action else None

    place.session.events.register("before-call.iam", refuse)
    first = sweep(place)
    place.session.events.unregister("before-call.iam", refuse)
    assert {"instance", "key pair", "security group"} <= {one.kind for one in first.removed}
    if command:
        assert any(f"remove it with: aws iam {command}" in one for one in first.leftovers)
    else:
        (warning,) = first.warnings
        assert warning.startswith("no instance profile of IAM's was looked at")
    second = sweep(place)
    assert (second.leftovers, second.warnings) == ((), ())


class Answer:
    """As botocore takes one that is made before anything is sent."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.headers: dict[str, str] = {}


def test_a_role_of_that_name_that_is_nobody_s_of_ours_stays(place: Place) -> None:
    iam = place.session.client("iam")
    iam.create_role(RoleName="amibake_deploy", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="amibake_deploy")
    assert (sweep(place).removed, sweep(place).spared) == ((), ())
    assert sweep(place, build="0123456789abcdef").spared == ()
    iam.delete_role(RoleName="amibake_deploy")
    iam.delete_instance_profile(InstanceProfileName="amibake_deploy")


@pytest.mark.parametrize("variant", FULL)
def test_two_sweeps_at_a_time_do_not_get_into_each_others_way(place: Place, variant: str) -> None:
    dead(place, variant, FULL[variant])
    other: list[amibake.Sweep] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.startswith("remove"):
            other.append(sweep(place))

    mine = sweep(place, on_event=listen)
    assert other[0].leftovers == other[0].warnings == mine.leftovers == mine.warnings == ()
    assert other[0].removed
    assert set(other[0].removed) == set(mine.removed)


@pytest.mark.parametrize("variant", FULL)
def test_everything_is_found_however_many_pages_there_are(place: Place, variant: str) -> None:
    for _ in range(3):
        assert killed_bake(place, FULL[variant], **VARIANTS[variant])
    place.clock.sleep(DEAD)
    whole = sweep(place, dry_run=True)
    with in_pages_of_one(place):
        paged = sweep(place, dry_run=True)
        assert set(paged.removed) == set(whole.removed)
        assert len(sweep(place).removed) == len(whole.removed)


@contextmanager
def in_pages_of_one(place: Place) -> Iterator[None]:
    """EC2 and IAM answer each listing with one thing at a time."""
    asked = threading.local()

    def ask(params: dict[str, Any], model: Any, **_: Any) -> None:
        asked.start = int(params.pop("NextToken", params.pop("Marker", 0)))

    def answer(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        listed = [key for key, value in parsed.items() if isinstance(value, list)]
        if not model.name.startswith(("Describe", "List")) or model.name == "DescribeKeyPairs" or not listed:
            return
        end = asked.start + 1
        more = end < len(parsed[listed[0]])
        parsed[listed[0]] = parsed[listed[0]][asked.start : end]
        if more:
            parsed |= {"NextToken": str(end), "Marker": str(end), "IsTruncated": True}

    place.session.events.register("provide-client-params", ask)
    place.session.events.register("after-call", answer)
    yield
    place.session.events.unregister("provide-client-params", ask)
    place.session.events.unregister("after-call", answer)


@pytest.mark.parametrize("variant", ["plain", "spot", "profile"])
def test_a_kept_builder_lives_until_its_time_and_longer_if_it_is_taken_up(
    place: Place, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise amibake.AmibakeError("no")

    builder = amibake.Builder(
        ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro", **VARIANTS[variant]
    )
    with pytest.raises(amibake.AmibakeError) as caught:
        amibake.bake(builder, [Step(fail)], session=place.session, on_error="keep")
    place.clock.sleep(4 * 3600)
    assert sweep(place).removed == ()
    swept: list[amibake.Sweep] = []

    def longer() -> None:
        place.clock.sleep(2 * 3600)
        swept.append(sweep(place))
        assert sweep(place, regions=REGIONS[1:]).removed == ()  # where nobody sees that the builder runs

    amibake.bake(builder, [Step(longer)], session=place.session, resume=caught.value.build)
    assert (swept[0].removed, swept[0].leftovers) == ((), ())
    assert {"has not expired"} <= {one.reason[-15:] for one in swept[0].spared}


def test_a_kept_builder_that_nobody_comes_back_to_goes_in_the_end_or_by_its_name(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise amibake.AmibakeError("no")

    builds: list[Any] = []
    for _ in range(2):
        place.clock.sleep(1)
        builder = amibake.Builder(ami_name="shop {{timestamp}}", source_ami=place.source_ami, instance_type="t3.micro")
        with pytest.raises(amibake.AmibakeError) as caught:
            amibake.bake(builder, [Step(fail)], session=place.session, on_error="keep")
        builds.append(caught.value.build)
    named = sweep(place, build=builds[0])
    assert {one.build for one in named.removed} == {builds[0]}
    assert {"instance", "key pair", "security group", "volume", "network interface"} == {
        one.kind for one in named.removed
    }
    place.clock.sleep(DEAD)
    assert {one.build for one in sweep(place).removed} == {builds[1]}


def test_a_launched_instance_is_never_looked_at(place: Place) -> None:
    image = bake(place, app="shop")
    with amibake.launch(image, instance_type="t3.micro", session=place.session):
        place.clock.sleep(DEAD)
        swept = sweep(place)
        assert (swept.removed, swept.spared) == ((), ())
        named = sweep(place, build=image.tags["amibake:build"])
        assert named.removed == ()
        assert {one.reason for one in named.spared} == {"it is not temporary: it has no tag amibake:expires"}


def test_an_interrupted_sweep_ends_at_once_and_the_next_one_goes_on(place: Place, no_thread_left: None) -> None:
    for _ in range(3):
        assert killed_bake(place, 7)
    place.clock.sleep(DEAD)

    def interrupt(event: Event) -> None:
        if isinstance(event, Waiting):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sweep(place, on_event=interrupt)
    assert left(place)
    assert sweep(place).leftovers == ()


def test_events_come_one_at_a_time_and_tell_what_is_removed(place: Place) -> None:
    dead(place, "regions", 18)
    told: list[Event] = []
    swept = sweep(place, on_event=told.append)
    assert {(one.kind, one.id) for one in told if isinstance(one, Removed)} == {
        (one.kind, one.id) for one in swept.removed
    }
    steps = [one.step for one in told if isinstance(one, StepStarted)]
    assert steps == ["look for what bakes have left", "remove what bakes have left"]


def test_a_fleet_that_has_launched_nothing_is_found_by_its_tags(place: Place) -> None:
    refusal = place.ec2.refuse_launches()
    assert killed_bake(place, 5, spot_price="auto")
    refusal.lift()
    place.clock.sleep(DEAD)
    assert {"fleet", "launch template"} < {one.kind for one in sweep(place).removed}
