"""Publication: in all regions or in none, whatever is refused, fails or dies meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from amibake import waiting
from amibake.builder.access import Access
from amibake.ec2.cloud import Cloud, connect, tag_dict
from amibake.ec2.images import find_published
from amibake.ec2.instance import Machine
from amibake.ec2.publication import _JUST_MADE
from amibake.errors import AmibakeError, ImageFailed, InvalidOption, NotAuthorized
from amibake.events import Event, Removed, Waiting
from amibake.ledger import Ledger
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from tests.ec2.baking import TAGS, bake, baking

HOME, *COPIES = REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
EVERYWHERE: dict[str, Any] = {
    "ami_regions": COPIES,
    "ami_users": ["210987654321"],
    "snapshot_users": ["210987654321"],
    "imds_support": "v2.0",
    "deprecate_at": "2027-01-31T00:00:00Z",
    "deregistration_protection": True,
}


def images(cloud: Cloud) -> dict[str, dict[str, dict[str, str]]]:
    """{region: {image id: its tags}}."""
    return {
        region: {
            image["ImageId"]: tag_dict(image.get("Tags"))
            for image in cloud.elsewhere(region).ec2.describe_images(Owners=["self"])["Images"]
        }
        for region in REGIONS
    }


def snapshots(cloud: Cloud) -> dict[str, list[dict[str, Any]]]:
    """{region: the snapshots of this build}."""
    return {
        region: [
            dict(one)
            for one in cloud.elsewhere(region).ec2.describe_snapshots(OwnerIds=["self"], Filters=cloud.of_this_build())[
                "Snapshots"
            ]
        ]
        for region in REGIONS
    }


def assert_nothing_is_left(cloud: Cloud) -> None:
    assert images(cloud) == {region: {} for region in REGIONS}
    assert snapshots(cloud) == {region: [] for region in REGIONS}
    assert cloud.ledger.leftovers == []


def found(cloud: Cloud) -> dict[str, bool]:
    """{region: whether the published image is found there}."""
    return {region: find_published(cloud.elsewhere(region), TAGS) is not None for region in REGIONS}


def test_copies_are_made_side_by_side_and_are_the_same_image_everywhere(cloud: Cloud, machine: Machine) -> None:
    before = cloud.deadline.remaining()
    image = bake(cloud, machine, {"team": "web"}, ami_regions=["us-west-2", "eu-west-1", "us-east-1", "us-west-2"])
    assert before - cloud.deadline.remaining() < 2.5 * 41  # two rounds of what EC2 takes for an image, not three
    assert list(image.ids) == ["us-east-1", "us-west-2", "eu-west-1"]
    assert (image.region, image.id) == ("us-east-1", image.ids["us-east-1"])
    expected = {**TAGS, "team": "web", "amibake:build": cloud.build, "amibake:state": "published"}
    assert images(cloud) == {region: {image.ids[region]: expected} for region in REGIONS}
    for region, ours in snapshots(cloud).items():
        assert tuple(one["SnapshotId"] for one in ours) == image.snapshots[region]
        assert [tag_dict(one["Tags"]) for one in ours] == [expected]
    assert found(cloud) == dict.fromkeys(REGIONS, True)


def test_snapshots_have_tags_of_their_own(cloud: Cloud, machine: Machine) -> None:
    bake(cloud, machine, tags={"team": "web"}, snapshot_tags={"team": "disk"}, ami_regions=COPIES)
    assert {tags["team"] for tagged in images(cloud).values() for tags in tagged.values()} == {"web"}
    assert {tag_dict(one["Tags"])["team"] for ours in snapshots(cloud).values() for one in ours} == {"disk"}


@pytest.mark.parametrize("region", COPIES)
def test_a_copy_that_fails_leaves_nothing_in_any_region(
    cloud: Cloud, machine: Machine, strict: StrictEC2, region: str
) -> None:
    strict.fail_images(region=region, reason="Client.InvalidKey: the key is gone")
    with pytest.raises(ImageFailed, match=rf"in {region} is failed: .*the key is gone"):
        bake(cloud, machine, **EVERYWHERE)
    assert_nothing_is_left(cloud)


@pytest.mark.parametrize("region", COPIES)
def test_a_copy_that_is_refused_leaves_nothing_in_any_region(
    cloud: Cloud, machine: Machine, strict: StrictEC2, region: str
) -> None:
    strict.refuse("CopyImage", region=region)
    with pytest.raises(NotAuthorized, match="CopyImage"):
        bake(cloud, machine, **EVERYWHERE)
    assert_nothing_is_left(cloud)


def test_ctrl_c_during_the_copy_leaves_nothing_in_any_region(
    cloud: Cloud, machine: Machine, strict: StrictEC2, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.late_snapshots = 20.0

    def interrupt(event: Event) -> None:
        if isinstance(event, Waiting) and "eu-west-1: pending" in event.seen:
            raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ledger, "emit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bake(cloud, machine, **EVERYWHERE)
    assert_nothing_is_left(cloud)


PUBLICATION_CALLS = (
    "ModifyImageAttribute",
    "ModifySnapshotAttribute",
    "EnableImageDeprecation",
    "EnableImageDeregistrationProtection",
    "CreateTags",
)


@pytest.mark.parametrize("action", PUBLICATION_CALLS)
@pytest.mark.parametrize("region", REGIONS)
def test_a_publication_that_is_refused_anywhere_before_the_end_leaves_nothing(
    cloud: Cloud, machine: Machine, strict: StrictEC2, action: str, region: str
) -> None:
    if action == "CreateTags" and region != HOME:
        return  # that is after the one call that decides: see the next tests
    strict.refuse(action, region=region)
    with pytest.raises(NotAuthorized, match=action):
        bake(cloud, machine, **EVERYWHERE)
    assert_nothing_is_left(cloud)


class Killed(BaseException):
    """The end of the process: nothing is undone."""


@pytest.mark.parametrize("survived", range(22))
def test_killed_between_any_two_calls_of_the_publication_it_is_all_regions_or_none(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    calls = list[str]()

    def call(_cloud: Cloud, do: Any, *codes: str, **_: Any) -> Any:
        if codes == _JUST_MADE:
            if len(calls) == survived:
                raise Killed
            calls.append(do.func.__name__ if hasattr(do.func, "__name__") else "call")
        return do()

    monkeypatch.setattr("amibake.ec2.publication.eventually", call)
    monkeypatch.setattr("amibake.ec2.drafts.remove", lambda *_: None)
    killed = False
    try:
        bake(cloud, machine, **EVERYWHERE)
    except Killed:
        killed = True
    assert killed == (survived < 21)
    decided = survived >= 16  # five calls for each of three regions to prepare, then the one that decides
    assert found(cloud) == dict.fromkeys(REGIONS, decided)
    states = {region: tags["amibake:state"] for region, tagged in images(cloud).items() for tags in tagged.values()}
    if not decided:
        assert states == dict.fromkeys(REGIONS, "draft")
    else:
        assert states[HOME] == "published"


def test_what_is_only_half_marked_as_published_is_found_from_everywhere(
    cloud: Cloud, machine: Machine, strict: StrictEC2
) -> None:
    strict.refuse("CreateTags", region="us-west-2")
    image = bake(cloud, machine, ami_regions=COPIES)
    (warning,) = cloud.ledger.warnings
    assert image.ids["us-west-2"] in warning
    assert images(cloud)["us-west-2"][image.ids["us-west-2"]]["amibake:state"] == "draft"
    assert found(cloud) == dict.fromkeys(REGIONS, True)


def test_a_publication_whose_answer_was_lost_counts(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = cloud.ec2._client.create_tags  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        tag(**arguments)
        raise EndpointConnectionError(endpoint_url="here")

    monkeypatch.setattr(cloud.ec2._client, "create_tags", lose)  # type: ignore[attr-defined]
    image = bake(cloud, machine)
    assert list(images(cloud)[HOME]) == [image.id]


def test_who_stops_everything_is_not_told_to_remove_what_is_published(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[str]] = {}
    tag, untag = cloud.ec2._client.create_tags, cloud.ec2._client.delete_tags  # type: ignore[attr-defined]

    def note(call: str, do: Any, **arguments: Any) -> Any:
        told[call] = cloud.ledger.unreleased()
        return do(**arguments)

    monkeypatch.setattr(cloud.ec2._client, "create_tags", partial(note, "before", tag))  # type: ignore[attr-defined]
    monkeypatch.setattr(cloud.ec2._client, "delete_tags", partial(note, "after", untag))  # type: ignore[attr-defined]
    image = bake(cloud, machine)
    by_hand = f"aws ec2 deregister-image --delete-associated-snapshots --image-id {image.id} --region {HOME}"
    assert told == {"before": [f"image {image.id}; remove it with: {by_hand}"], "after": []}


def hasty(strict: StrictEC2) -> Cloud:
    """One that repeats no call by itself."""
    own = boto3.Session(region_name=HOME)
    return connect(own, build="b" * 16, ledger=Ledger(), seconds=3600, access=Access(max_retries=0))


def test_a_publication_whose_answer_was_lost_counts_also_when_its_repetition_is_refused(
    strict: StrictEC2, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = hasty(strict)
    tag = cloud.ec2._client.create_tags  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        tag(**arguments)
        strict.refuse("CreateTags", "RequestExpired")
        raise EndpointConnectionError(endpoint_url="here")

    monkeypatch.setattr(cloud.ec2._client, "create_tags", lose)  # type: ignore[attr-defined]
    image = bake(cloud, machine)
    assert images(cloud)[HOME][image.id]["amibake:state"] == "published"


def test_what_may_be_published_stays_when_it_cannot_be_looked_at(
    strict: StrictEC2, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, refusals = hasty(strict), list[Any]()
    tag = cloud.ec2._client.create_tags  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        tag(**arguments)
        refusals.append(strict.refuse("DescribeImages", "RequestLimitExceeded"))
        raise EndpointConnectionError(endpoint_url="here")

    monkeypatch.setattr(cloud.ec2._client, "create_tags", lose)  # type: ignore[attr-defined]
    with pytest.raises(AmibakeError, match="CreateTags") as caught:
        bake(cloud, machine)
    for refusal in refusals:
        refusal.lift()
    ((image, tags),) = images(cloud)[HOME].items()
    assert tags["amibake:state"] == "published"
    assert caught.value.__notes__ == [f"published nevertheless: {image}"]
    (leftover,) = cloud.ledger.leftovers
    assert leftover.startswith(f"perhaps image {image}, published or not")


@pytest.mark.parametrize("asleep", [3600 + 30 * 60 - 700, 3600 + 30 * 60 - 500, 10 * 3600])
def test_a_bake_that_has_outlived_its_time_asleep_publishes_nothing(
    cloud: Cloud, machine: Machine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, asleep: int
) -> None:
    """Meanwhile a sweep may have removed a copy of it, say. A monotonic clock stands still then."""
    woken = waiting.clock.epoch() + asleep
    with baking(cloud, machine, ami_regions=COPIES) as under_way:
        monkeypatch.setattr(clock, "epoch", lambda: woken)
        if asleep < 3600 + 30 * 60 - 600:
            under_way.finish()
            return
        with pytest.raises(AmibakeError, match="a sweep may remove what this bake has made") as caught:
            under_way.finish()
    assert "asleep" in caught.value.hint
    assert_nothing_is_left(cloud)


def test_tags_of_a_draft_that_stay_are_only_a_warning(cloud: Cloud, machine: Machine, strict: StrictEC2) -> None:
    strict.refuse("DeleteTags")
    image = bake(cloud, machine)
    assert image.tags["amibake:state"] == "published"
    (warning,) = cloud.ledger.warnings
    assert image.id in warning


def test_who_may_use_the_image_and_its_snapshots(cloud: Cloud, machine: Machine) -> None:
    organization = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
    units = [f"arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-ab12-{end}" for end in ("1234567a", "1234567b")]
    image = bake(
        cloud,
        machine,
        ami_regions=COPIES,
        ami_users=["210987654321", "310987654321"],
        ami_groups="all",
        ami_org_arns=organization,
        ami_ou_arns=units,
        snapshot_users=["410987654321"],
        snapshot_groups=["all"],
    )
    for region in REGIONS:
        ec2 = cloud.elsewhere(region).ec2
        granted = ec2.describe_image_attribute(ImageId=image.ids[region], Attribute="launchPermission")
        values = sorted(str(value) for one in granted["LaunchPermissions"] for value in one.values())
        assert values == sorted(["210987654321", "310987654321", "all", organization, *units])
        (snapshot,) = image.snapshots[region]
        volumes = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
        values = sorted(str(value) for one in volumes["CreateVolumePermissions"] for value in one.values())
        assert values == ["410987654321", "all"]


def test_product_codes_imds_and_deprecation(cloud: Cloud, machine: Machine, clock: FakeClock) -> None:
    image = bake(
        cloud, machine, ami_regions=COPIES, ami_product_codes=["abc123"], imds_support="v2.0",
        deprecate_at="2027-01-31T00:00:00+00:00",
    )  # fmt: skip
    for region in REGIONS:
        (one,) = cloud.elsewhere(region).ec2.describe_images(ImageIds=[image.ids[region]])["Images"]
        assert [code["ProductCodeId"] for code in one["ProductCodes"]] == ["abc123"]
        assert one["ImdsSupport"] == "v2.0"
        assert one["DeprecationTime"] == "2027-01-31T00:00:00.000Z"


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (True, "enabled-without-cooldown"),
        ({"with_cooldown": True}, "enabled-with-cooldown"),
        (False, "disabled"),
    ],
)
def test_protection_against_deregistration(cloud: Cloud, machine: Machine, wanted: Any, shown: str) -> None:
    image = bake(cloud, machine, ami_regions=COPIES, deregistration_protection=wanted)
    for region in REGIONS:
        (one,) = cloud.elsewhere(region).ec2.describe_images(ImageIds=[image.ids[region]])["Images"]
        assert one["DeregistrationProtection"].partition(";")[0] == shown


def test_a_draft_that_is_protected_already_is_removed_all_the_same(
    cloud: Cloud, machine: Machine, strict: StrictEC2
) -> None:
    strict.refuse("CreateTags")
    with pytest.raises(NotAuthorized, match="CreateTags"):
        bake(cloud, machine, deregistration_protection=True)
    assert_nothing_is_left(cloud)


def test_a_cooldown_begins_only_once_the_image_is_published(cloud: Cloud, machine: Machine, strict: StrictEC2) -> None:
    protection = {"with_cooldown": True}
    lack = strict.refuse("CreateTags")
    with pytest.raises(NotAuthorized):
        bake(cloud, machine, ami_regions=COPIES, deregistration_protection=protection)
    assert_nothing_is_left(cloud)
    lack.lift()
    strict.refuse("EnableImageDeregistrationProtection", region="us-west-2")
    again = replace(cloud, build="d" * 16, tags={**cloud.tags, "amibake:build": "d" * 16})
    image = bake(again, machine, ami_regions=COPIES, deregistration_protection=protection)
    assert found(cloud) == dict.fromkeys(REGIONS, True)
    (warning,) = cloud.ledger.warnings
    assert f"{image.ids['us-west-2']} in us-west-2 is not protected" in warning


def test_copies_are_encrypted_by_the_key_of_their_region(cloud: Cloud, machine: Machine) -> None:
    image = bake(
        cloud,
        machine,
        encrypt_boot=True,
        kms_key_id="alias/images",
        ami_regions={"eu-west-1": "alias/images-eu", "us-west-2": ""},
    )
    wire = {}
    for region in COPIES:
        (snapshot,) = image.snapshots[region]
        (one,) = cloud.elsewhere(region).ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
        assert one["Encrypted"] is True
        wire[region] = one.get("KmsKeyId", "")
    assert wire["eu-west-1"].endswith("alias/images-eu")
    assert "images" not in wire["us-west-2"]


def test_what_a_copy_says_on_the_wire(cloud: Cloud, machine: Machine, strict: StrictEC2) -> None:
    bake(cloud, machine, ami_regions=["eu-west-1"], snapshot_copy_duration_minutes=30)
    (copy,) = [one for one in strict.requests if one.action == "CopyImage"]
    assert copy.region == "eu-west-1"
    assert copy.params["SnapshotCopyCompletionDurationMinutes"] == "30"
    assert copy.params["SourceRegion"] == "us-east-1"
    assert copy.params["ClientToken"] == f"{cloud.build}-eu-west-1"
    assert "Encrypted" not in copy.params
    kinds = [copy.params[f"TagSpecification.{number}.ResourceType"] for number in (1, 2)]
    assert kinds == ["image", "snapshot"]


def test_where_no_copy_was_wanted_in_the_build_region_that_image_goes_last(
    cloud: Cloud, machine: Machine, strict: StrictEC2
) -> None:
    image = bake(cloud, machine, ami_regions=["eu-west-1", "us-west-2"], skip_save_build_region=True)
    assert (image.region, list(image.ids)) == ("eu-west-1", ["eu-west-1", "us-west-2"])
    assert images(cloud)[HOME] == {}
    assert snapshots(cloud)[HOME] == []
    assert found(cloud) == {HOME: False, "eu-west-1": True, "us-west-2": True}
    changes = [one.action for one in strict.requests if not one.action.startswith("Describe")]
    assert changes[-2:] == ["DeregisterImage", "DeleteSnapshot"]
    assert cloud.ledger.leftovers == []


def test_the_image_that_nobody_wants_is_no_draft_of_what_was_published(cloud: Cloud, machine: Machine) -> None:
    with baking(cloud, machine, ami_regions=["eu-west-1"], skip_save_build_region=True) as under_way:
        draft = under_way.draft()
        tags = images(cloud)[HOME][draft]
        assert "amibake:origin" not in tags
        assert "amibake:expires" in tags


class TestForceDeregister:
    def old(self, cloud: Cloud, machine: Machine, **options: Any) -> Any:
        before = replace(cloud, build="a" * 16, tags={**cloud.tags, "amibake:build": "a" * 16})
        return bake(before, machine, ami_regions=COPIES, **options)

    def test_a_name_that_is_taken_is_refused_with_where(self, cloud: Cloud, machine: Machine) -> None:
        old = bake(cloud, machine, ami_regions=["eu-west-1"])
        with pytest.raises(InvalidOption, match=r"ami_name: .* is called 'shop 1' already") as caught:
            bake(cloud, machine, ami_regions=COPIES)
        for region in (HOME, "eu-west-1"):
            assert f"{old.ids[region]} in {region}" in caught.value.message
        assert "us-west-2" not in caught.value.message

    @pytest.mark.parametrize("with_snapshots", [False, True])
    def test_the_old_image_makes_way_for_the_published_new_one(
        self, cloud: Cloud, machine: Machine, strict: StrictEC2, *, with_snapshots: bool
    ) -> None:
        old = self.old(cloud, machine)
        del strict.requests[:]
        new = bake(cloud, machine, **EVERYWHERE, force_deregister=True, force_delete_snapshot=with_snapshots)
        assert {region: list(tagged) for region, tagged in images(cloud).items()} == {
            region: [new.ids[region]] for region in REGIONS
        }
        assert (new.name, new.id) == ("shop 1", new.ids[HOME])
        assert found(cloud) == dict.fromkeys(REGIONS, True)
        for region in REGIONS:
            ec2 = cloud.elsewhere(region).ec2
            there = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
            assert set(new.snapshots[region]) <= there
            assert (set(old.snapshots[region]) <= there) != with_snapshots
            (one,) = ec2.describe_images(ImageIds=[new.ids[region]])["Images"]
            assert (one["Name"], one["ImdsSupport"], one["DeregistrationProtection"]) == (
                "shop 1",
                "v2.0",
                "enabled-without-cooldown",
            )
            assert tag_dict(one["Tags"]) == new.tags
            granted = ec2.describe_image_attribute(ImageId=new.ids[region], Attribute="launchPermission")
            assert granted["LaunchPermissions"] == [{"UserId": "210987654321"}]
        assert (cloud.ledger.leftovers, cloud.ledger.warnings) == ([], [])
        order = [one.action for one in strict.requests]
        assert order.index("DeregisterImage") > order.index("CreateTags")

    def test_nothing_is_taken_from_an_image_when_the_new_one_fails(
        self, cloud: Cloud, machine: Machine, strict: StrictEC2
    ) -> None:
        old = self.old(cloud, machine)
        strict.fail_images(region="us-west-2", reason="no")
        with pytest.raises(ImageFailed):
            bake(cloud, machine, ami_regions=COPIES, force_deregister=True)
        assert {region: list(tagged) for region, tagged in images(cloud).items()} == {
            region: [old.ids[region]] for region in REGIONS
        }

    @pytest.mark.parametrize("action", ["DeregisterImage", "RegisterImage"])
    def test_what_goes_wrong_meanwhile_leaves_the_new_image_published_under_another_name(
        self, cloud: Cloud, machine: Machine, strict: StrictEC2, action: str
    ) -> None:
        old = self.old(cloud, machine)
        strict.refuse(action, region="eu-west-1")
        new = bake(cloud, machine, ami_regions=COPIES, force_deregister=True)
        assert found(cloud) == dict.fromkeys(REGIONS, True)
        assert new.ids["eu-west-1"] in images(cloud)["eu-west-1"]
        assert (old.ids["eu-west-1"] in images(cloud)["eu-west-1"]) == (action == "DeregisterImage")
        (warning,) = cloud.ledger.warnings
        assert f"{new.ids['eu-west-1']} in eu-west-1 is published as 'shop 1 {cloud.build}'" in warning
        assert (new.name, cloud.ledger.leftovers) == ("shop 1", [])

    def test_one_that_cannot_be_shared_under_the_name_keeps_its_own(
        self, cloud: Cloud, machine: Machine, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = self.old(cloud, machine)

        def refuse(event: Event) -> None:
            if event == Removed("image", old.id):
                strict.refuse("ModifyImageAttribute")

        monkeypatch.setattr(cloud.ledger, "emit", refuse)
        new = bake(cloud, machine, ami_users=["210987654321"], force_deregister=True)
        assert list(images(cloud)[HOME]) == [new.id]
        assert new.name == f"shop 1 {cloud.build}"

    @pytest.mark.parametrize("times", [1, 2])
    def test_one_that_is_not_seen_to_be_available_under_the_name_does_not_stay_unsaid(
        self, cloud: Cloud, machine: Machine, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        self.old(cloud, machine)
        register = cloud.ec2._client.register_image  # type: ignore[attr-defined]

        def then_refuse(**arguments: Any) -> Any:
            answer = register(**arguments)
            strict.refuse("DescribeImages", times=times)
            return answer

        monkeypatch.setattr(cloud.ec2._client, "register_image", then_refuse)  # type: ignore[attr-defined]
        new = bake(cloud, machine, force_deregister=True)
        others = images(cloud)[HOME].keys() - {new.id}
        assert len(others) == times - 1
        for other, leftover in zip(others, cloud.ledger.leftovers, strict=True):
            assert leftover.endswith(f"aws ec2 deregister-image --image-id {other} --region {HOME}")

    def test_an_image_that_was_protected_meanwhile_keeps_its_name(self, cloud: Cloud, machine: Machine) -> None:
        old = self.old(cloud, machine)
        with baking(cloud, machine, force_deregister=True) as under_way:
            cloud.ec2.enable_image_deregistration_protection(ImageId=old.id)
            new = under_way.finish()
        assert set(images(cloud)[HOME]) == {old.id, new.id}
        (warning,) = cloud.ledger.warnings
        assert "protected meanwhile" in warning

    def test_a_snapshot_of_the_users_outlives_the_old_image(self, cloud: Cloud, machine: Machine) -> None:
        volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
        theirs = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        old = self.old(cloud, machine, ami_block_device_mappings=[{"device_name": "sdf", "snapshot_id": theirs}])
        bake(cloud, machine, force_deregister=True, force_delete_snapshot=True)
        there = {one["SnapshotId"] for one in cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
        assert set(old.snapshots[HOME]) & there == {theirs}

    def test_a_protected_image_is_refused_beforehand(self, cloud: Cloud, machine: Machine) -> None:
        old = self.old(cloud, machine, deregistration_protection=True)
        with pytest.raises(InvalidOption, match=r"force_deregister: .* is protected") as caught:
            bake(cloud, machine, ami_regions=COPIES, force_deregister=True)
        assert old.ids["us-west-2"] in caught.value.message

    def test_what_ec2_says_about_the_image_stays(self, cloud: Cloud, machine: Machine) -> None:
        self.old(cloud, machine)
        devices = [{"device_name": "sdf", "volume_size": 3}, {"device_name": "sdg", "virtual_name": "ephemeral0"}]
        new = bake(cloud, machine, force_deregister=True, ami_block_device_mappings=devices)
        (one,) = cloud.ec2.describe_images(ImageIds=[new.id])["Images"]
        assert (one["Architecture"], one["EnaSupport"], one["Description"]) == ("x86_64", True, "of the shop")
        assert one["RootDeviceName"] == "/dev/xvda"
        assert {"/dev/xvda", "sdf"} <= {disk["DeviceName"] for disk in one["BlockDeviceMappings"]}


def test_a_deprecation_by_age_is_from_the_bakes_start() -> None:
    from amibake.builder import Builder

    assert Builder(ami_name="shop", deprecate_after="12w").deprecate_after == timedelta(weeks=12)


def test_ec2_that_never_gets_to_know_an_image_is_an_error(cloud: Cloud, machine: Machine, strict: StrictEC2) -> None:
    strict.refuse("ModifyImageAttribute", "InvalidAMIID.NotFound")
    with pytest.raises(AmibakeError, match="ModifyImageAttribute"):
        bake(cloud, machine, ami_users=["210987654321"])
    assert_nothing_is_left(cloud)
