"""What a sweep takes for dead and what it spares, one thing at a time."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import boto3
import pytest

import amibake
from amibake.ec2 import removal
from amibake.ec2.cloud import Cloud, tag_dict
from amibake.ec2.instance import Machine
from amibake.ec2.network import Network
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from tests.ec2.baking import baking

BUILD = "0123456789abcdef"
HOME, AWAY = "us-east-1", "eu-west-1"


def tags(**marks: Any) -> list[dict[str, str]]:
    found = {"build": BUILD, "expires": "1000", **marks}
    return [{"Key": f"amibake:{key}", "Value": str(value)} for key, value in found.items() if value is not None]


def specification(kind: str, **marks: Any) -> Any:
    return [{"ResourceType": kind, "Tags": tags(**marks)}] if tags(**marks) else []


def volume(cloud: Cloud, **marks: Any) -> str:
    given = specification("volume", **marks)
    return cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=given)["VolumeId"]


def volumes(cloud: Cloud) -> set[str]:
    return {one["VolumeId"] for one in cloud.ec2.describe_volumes()["Volumes"]}


def group(cloud: Cloud) -> str:
    given = specification("security-group")
    return cloud.ec2.create_security_group(GroupName="amibake_x", Description="x", TagSpecifications=given)["GroupId"]


def instance(cloud: Cloud, image: str, *, ours: bool = False, **options: Any) -> Any:
    if ours:
        options["TagSpecifications"] = specification("instance")
    return cloud.ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, **options)[
        "Instances"
    ][0]


def draft(cloud: Cloud, machine: Machine, clock: FakeClock, **options: Any) -> str:
    """An image that a bake has left when it died; by this moment it is dead."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("amibake.ec2.drafts.remove", lambda *_: None)
        with baking(cloud, machine, **options) as under_way:
            image = under_way.draft()
    clock.sleep(60)
    cloud.ec2.terminate_instances(InstanceIds=[machine.id])
    clock.sleep(5 * 3600)
    return image


def copied(cloud: Cloud, clock: FakeClock, image: str) -> str:
    """A copy of it, and of its tags, in the other region."""
    (found,) = cloud.ec2.describe_images(ImageIds=[image])["Images"]
    given: Any = [{"ResourceType": kind, "Tags": found["Tags"]} for kind in ("image", "snapshot")]
    away = cloud.elsewhere(AWAY).ec2
    copy = away.copy_image(Name="shop 1", SourceImageId=image, SourceRegion=HOME, TagSpecifications=given)["ImageId"]
    clock.sleep(60)
    return copy


def publish(cloud: Cloud, *resources: str) -> None:
    cloud.ec2.create_tags(Resources=list(resources), Tags=[{"Key": "amibake:state", "Value": "published"}])


@cache
def session() -> boto3.Session:
    """One for all tests: making it takes longer than they do."""
    return boto3.Session("test", "test", region_name=HOME)


def sweep(*regions: str, **options: Any) -> amibake.Sweep:
    return amibake.sweep(regions=regions or None, session=session(), **options)


def reasons(swept: amibake.Sweep) -> dict[str, str]:
    return {one.remnant.id: one.reason for one in swept.spared}


def images(cloud: Cloud, region: str = HOME) -> dict[str, dict[str, str]]:
    found = cloud.elsewhere(region).ec2.describe_images(Owners=["self"])["Images"]
    return {image["ImageId"]: tag_dict(image.get("Tags")) for image in found}


def snapshots(cloud: Cloud, region: str = HOME) -> set[str]:
    found = cloud.elsewhere(region).ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {one["SnapshotId"] for one in found}


def test_a_thing_dies_at_the_very_second_that_its_tag_names(cloud: Cloud, clock: FakeClock) -> None:
    there = volume(cloud, expires=int(clock.epoch()) + 100, app="shop")
    clock.sleep(99)
    (spared,) = sweep().spared
    assert str(spared) == (
        f"volume {there} in us-east-1 of build {BUILD} (shop), expires in 1 s: its bake may still be going on"
    )
    clock.sleep(1)
    (removed,) = sweep().removed
    assert (removed.kind, removed.id, removed.region) == ("volume", there, HOME)
    assert (removed.build, removed.app, removed.expires, removed.overdue) == (BUILD, "shop", int(clock.epoch()), 0)
    assert str(removed).endswith("expired 0 s ago")
    assert sweep().removed == ()


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ({"build": None}, "no tag amibake:build"),
        ({"build": ""}, "no tag amibake:build"),
        ({"expires": "soon"}, "'soon', which is no time"),
        ({"expires": "-1"}, "'-1', which is no time"),
        ({"expires": "1e3"}, "'1e3', which is no time"),
        ({"expires": ""}, "'', which is no time"),
        ({"expires": "\u0661\u0662"}, "which is no time"),
    ],
)
def test_what_is_not_clearly_ours_stays(cloud: Cloud, marks: dict[str, Any], reason: str) -> None:
    there = volume(cloud, **marks)
    swept = sweep()
    assert swept.removed == ()
    assert reason in reasons(swept)[there]
    assert str(swept.spared[0]).startswith(f"volume {there}")
    assert volumes(cloud) == {there}


def test_what_is_to_stay_has_no_time_to_die_and_is_not_even_looked_at(cloud: Cloud) -> None:
    there, nobodys = volume(cloud, expires=None), volume(cloud, build=None, expires=None)
    assert sweep().spared == ()
    named = sweep(build=BUILD)
    assert (named.removed, list(reasons(named))) == ((), [there])
    assert "it is not temporary" in reasons(named)[there]
    assert volumes(cloud) == {there, nobodys}


def test_a_build_that_is_named_goes_before_its_time_and_no_other_does(cloud: Cloud, clock: FakeClock) -> None:
    later = int(clock.epoch()) + 1000
    ours = volume(cloud, expires=later)
    others = {volume(cloud, build="f" * 16, expires=later), volume(cloud, build="e" * 16)}
    swept = sweep(build=BUILD)
    assert ([one.id for one in swept.removed], swept.spared) == ([ours], ())
    assert volumes(cloud) == others


@pytest.mark.parametrize("wrong", ["*", "", "0123456789abcde?", "0123456789ABCDEF", 7])
def test_what_is_no_id_of_a_bake_is_refused(strict: StrictEC2, wrong: Any) -> None:
    with pytest.raises(amibake.InvalidOption, match=r"build: the id of a bake, 16 hex digits"):
        sweep(build=wrong)
    assert strict.requests == []


@pytest.mark.parametrize("wrong", [[], ["us-east-1", "everywhere"], ["*"], [7], "eu-west-1.evil.example/"])
def test_what_is_no_region_is_refused(strict: StrictEC2, wrong: Any) -> None:
    with pytest.raises(amibake.InvalidOption, match="regions: "):
        amibake.sweep(regions=wrong)
    assert strict.requests == []


def test_regions_are_the_sessions_or_those_named_or_all(cloud: Cloud) -> None:
    there = volume(cloud)
    assert amibake.sweep(dry_run=True).regions == (HOME,)
    assert amibake.sweep(regions=AWAY).regions == (AWAY,)
    assert amibake.sweep(regions=iter([AWAY, "us-west-2", AWAY])).regions == (AWAY, "us-west-2")
    every = amibake.sweep(regions="all")
    assert {HOME, AWAY, "ap-northeast-1"} < set(every.regions)
    assert "me-south-1" not in every.regions  # it is not enabled
    assert [one.id for one in every.removed] == [there]


def test_a_clock_that_is_ahead_ends_no_bake(cloud: Cloud, clock: FakeClock) -> None:
    there = volume(cloud, expires=int(time.time()) + 3600)
    clock.sleep(time.time() - clock.epoch() + 24 * 3600)
    swept = sweep()
    assert (swept.removed, list(reasons(swept))) == ((), [there])
    (warning,) = swept.warnings
    assert "24 h ahead of EC2's" in warning


def test_an_answer_without_a_date_does_no_harm(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    there = volume(cloud)

    def unreadable(said: str) -> None:
        raise ValueError(said)

    monkeypatch.setattr("amibake.ec2.listing.parsedate_to_datetime", unreadable)
    swept = sweep()
    assert ([one.id for one in swept.removed], swept.warnings) == ([there], ())


def test_a_draft_goes_and_its_snapshots_after_it(cloud: Cloud, machine: Machine, clock: FakeClock) -> None:
    image = draft(cloud, machine, clock)
    (snapshot,) = snapshots(cloud)
    swept = sweep()
    assert [(one.kind, one.id) for one in swept.removed] == [("image", image), ("snapshot", snapshot)]
    assert (images(cloud), snapshots(cloud)) == ({}, set())


def test_an_orphaned_snapshot_goes(cloud: Cloud, machine: Machine, clock: FakeClock) -> None:
    cloud.ec2.deregister_image(ImageId=draft(cloud, machine, clock))
    (snapshot,) = snapshots(cloud)
    assert [one.id for one in sweep().removed] == [snapshot]
    assert snapshots(cloud) == set()


@pytest.mark.parametrize("stopped", [False, True])
def test_an_image_that_somebody_has_launched_stays_with_its_snapshot(
    cloud: Cloud, machine: Machine, clock: FakeClock, *, stopped: bool
) -> None:
    image = draft(cloud, machine, clock)
    (snapshot,) = snapshots(cloud)
    user = instance(cloud, image)["InstanceId"]
    clock.sleep(60)
    if stopped:
        cloud.ec2.stop_instances(InstanceIds=[user])
        clock.sleep(60)
    for build in (None, cloud.build):
        swept = sweep(build=build)
        assert swept.removed == ()
        assert reasons(swept)[image] == f"{user} has been launched from it"
        assert reasons(swept)[snapshot] == f"{image} is made of it"
    cloud.ec2.terminate_instances(InstanceIds=[user])
    clock.sleep(60)
    assert {one.id for one in sweep().removed} == {image, snapshot}


def test_a_snapshot_that_another_image_is_made_of_stays(cloud: Cloud, machine: Machine, clock: FakeClock) -> None:
    image = draft(cloud, machine, clock)
    (snapshot,) = snapshots(cloud)
    devices: Any = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}]
    theirs = cloud.ec2.register_image(Name="theirs", RootDeviceName="/dev/xvda", BlockDeviceMappings=devices)["ImageId"]
    swept = sweep()
    assert [one.id for one in swept.removed] == [image]
    assert reasons(swept) == {snapshot: f"{theirs} is made of it"}
    assert (list(images(cloud)), snapshots(cloud)) == ([theirs], {snapshot})


@pytest.mark.parametrize("state", ["finished", None])
def test_what_says_nothing_that_we_know_of_its_state_stays(
    cloud: Cloud, machine: Machine, clock: FakeClock, state: str | None
) -> None:
    image = draft(cloud, machine, clock)
    if state:
        cloud.ec2.create_tags(Resources=[image], Tags=[{"Key": "amibake:state", "Value": state}])
    else:
        cloud.ec2.delete_tags(Resources=[image], Tags=[{"Key": "amibake:state"}])
    swept = sweep()
    assert swept.removed == ()
    assert reasons(swept)[image] == f"its amibake:state is {state!r}, not 'draft'"
    assert len(swept.spared) == 2  # and its snapshot


def test_a_copy_whose_origin_is_published_is_finished_and_not_removed(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2
) -> None:
    image = draft(cloud, machine, clock)
    copy = copied(cloud, clock, image)
    (ours,), (theirs,) = snapshots(cloud), snapshots(cloud, AWAY)
    publish(cloud, image, ours)

    del strict.requests[:]
    dry = sweep(AWAY, dry_run=True)
    assert ({one.id for one in dry.finished}, dry.removed) == ({copy, theirs}, ())
    assert {one.action[:8] for one in strict.requests} == {"Describe"}

    strict.refuse("CreateTags", region=AWAY, times=2)
    refused = sweep(AWAY)
    assert (refused.finished, refused.removed, refused.leftovers) == ((), (), ())
    assert len(refused.warnings) == 2

    done = sweep(AWAY, HOME)
    assert ({one.id for one in done.finished}, done.removed) == ({image, copy, ours, theirs}, ())
    for region in (HOME, AWAY):
        (tagged,) = images(cloud, region).values()
        assert tagged["amibake:state"] == "published"
        assert not {"amibake:expires", "amibake:origin"} & set(tagged)
    assert sweep(AWAY, HOME).finished == ()


def test_a_snapshot_of_what_is_published_stays_without_its_image(
    cloud: Cloud, machine: Machine, clock: FakeClock
) -> None:
    image = draft(cloud, machine, clock)
    cloud.elsewhere(AWAY).ec2.deregister_image(ImageId=copied(cloud, clock, image))
    publish(cloud, image)
    swept = sweep(AWAY)
    assert ({one.id for one in swept.finished}, swept.removed) == (snapshots(cloud, AWAY), ())


def test_without_the_word_of_its_origin_a_copy_stays(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2
) -> None:
    copy = copied(cloud, clock, draft(cloud, machine, clock))
    refusal = strict.refuse("DescribeImages", region=HOME)
    swept = sweep(AWAY)
    refusal.lift()
    assert (swept.removed, swept.leftovers) == ((), ())
    assert set(reasons(swept)) == {copy, *snapshots(cloud, AWAY)}
    assert all("whether it is published could not be asked in us-east-1" in one for one in reasons(swept).values())
    assert copy in {one.id for one in sweep(AWAY).removed}


@pytest.mark.parametrize("origin", ["somewhere", "us-east-1", "../x/{build}", "us-east-1/" + "f" * 16])
def test_a_draft_of_an_origin_that_is_none_stays(cloud: Cloud, machine: Machine, clock: FakeClock, origin: str) -> None:
    image = draft(cloud, machine, clock)
    mark: Any = {"Key": "amibake:origin", "Value": origin.format(build=cloud.build)}
    cloud.ec2.create_tags(Resources=[image], Tags=[mark])
    swept = sweep()
    assert swept.removed == ()
    assert "so whether it is published is not known" in reasons(swept)[image]


def test_a_draft_that_was_never_to_be_published_goes_though_its_copies_are(
    cloud: Cloud, machine: Machine, clock: FakeClock
) -> None:
    image = draft(cloud, machine, clock, ami_regions=[AWAY], skip_save_build_region=True)
    assert "amibake:origin" not in images(cloud)[image]
    copy = copied(cloud, clock, image)
    away = cloud.elsewhere(AWAY)
    publish(away, copy, *snapshots(cloud, AWAY))
    away.ec2.delete_tags(Resources=[copy, *snapshots(cloud, AWAY)], Tags=[{"Key": "amibake:expires"}])
    swept = sweep(HOME, AWAY)
    assert {one.region for one in swept.removed} == {HOME}
    assert (images(cloud), snapshots(cloud), list(images(cloud, AWAY))) == ({}, set(), [copy])


@pytest.mark.parametrize("late", [0.0, 20.0])
def test_snapshots_that_show_only_after_their_image_was_deregistered_go_too(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2, late: float
) -> None:
    strict.late_snapshots = late
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("amibake.ec2.drafts.remove", lambda *_: None)
        with baking(cloud, machine) as under_way:
            under_way.draft()
    swept = sweep(build="b" * 16)  # while it is pending
    assert {"image", "snapshot"} <= {one.kind for one in swept.removed}
    assert (swept.leftovers, images(cloud)) == ((), {})
    clock.sleep(60)
    assert snapshots(cloud) == set()


def test_what_somebody_has_attached_to_an_instance_of_theirs_stays(cloud: Cloud, clock: FakeClock, debian: str) -> None:
    there, user = volume(cloud), instance(cloud, debian)
    made = cloud.ec2.create_network_interface(
        SubnetId=user["SubnetId"], TagSpecifications=specification("network-interface")
    )
    card = made["NetworkInterface"]["NetworkInterfaceId"]
    clock.sleep(60)
    cloud.ec2.attach_volume(VolumeId=there, InstanceId=user["InstanceId"], Device="/dev/sdf")
    cloud.ec2.attach_network_interface(NetworkInterfaceId=card, InstanceId=user["InstanceId"], DeviceIndex=1)
    swept = sweep()
    assert swept.removed == ()
    assert reasons(swept) == dict.fromkeys((there, card), f"it is attached to {user['InstanceId']}")


def test_an_interface_that_is_attached_to_nothing_goes(cloud: Cloud, two: Network) -> None:
    given = specification("network-interface")
    made = cloud.ec2.create_network_interface(SubnetId=two.subnet_ids[0], TagSpecifications=given)
    assert [one.id for one in sweep().removed] == [made["NetworkInterface"]["NetworkInterfaceId"]]


def test_a_group_that_somebody_else_uses_is_left_in_the_end(cloud: Cloud, clock: FakeClock, debian: str) -> None:
    there, also = group(cloud), volume(cloud)
    instance(cloud, debian, SecurityGroupIds=[there])
    before = clock.now()
    swept = sweep()
    assert clock.now() - before < 200
    (leftover,) = swept.leftovers
    assert "DependencyViolation" in leftover
    assert leftover.endswith(f"aws ec2 delete-security-group --group-id {there} --region us-east-1")
    assert [one.id for one in swept.removed] == [also]


def test_an_instance_that_does_not_end_holds_nothing_else_up(
    cloud: Cloud, clock: FakeClock, debian: str, strict: StrictEC2
) -> None:
    there = group(cloud)
    ours = instance(cloud, debian, ours=True, SecurityGroupIds=[there])["InstanceId"]
    refusal = strict.refuse("TerminateInstances", "OperationNotPermitted", "it is protected")
    before = clock.now()
    first, second = sweep().leftovers
    assert clock.now() - before < 10
    assert f"instance {ours} (TerminateInstances: EC2 says OperationNotPermitted: it is protected)" in first
    assert second.startswith(f"security group {there}")
    refusal.lift()
    assert {one.kind for one in sweep().removed} == {"instance", "security group"}


def test_an_instance_that_never_gets_terminated_is_left(cloud: Cloud, debian: str, strict: StrictEC2) -> None:
    ours = instance(cloud, debian, ours=True)["InstanceId"]
    strict.delays = type(strict.delays)(terminated=10_000)
    (leftover,) = sweep().leftovers
    assert f"{ours} is shutting-down" in leftover
    assert f"aws ec2 terminate-instances --instance-ids {ours}" in leftover


def test_an_instance_that_nobody_can_tell_of_is_left(
    cloud: Cloud, debian: str, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = instance(cloud, debian, ours=True)["InstanceId"]
    end = removal.Removal._terminate

    def ends_sight(self: Any, one: Any) -> Any:
        strict.refuse("DescribeInstances")
        return end(self, one)

    monkeypatch.setattr("amibake.ec2.removal.Removal._terminate", ends_sight)
    (leftover,) = sweep().leftovers
    assert f"{ours} is unknown (DescribeInstances: EC2 says UnauthorizedOperation" in leftover


def test_a_region_that_cannot_be_looked_at_is_left_and_the_others_are_swept(cloud: Cloud, strict: StrictEC2) -> None:
    there = volume(cloud)
    refusal = strict.refuse("DescribeInstances", region=AWAY)
    swept = sweep(AWAY, HOME)
    (warning,) = swept.warnings
    assert "eu-west-1 is left as it is" in warning
    assert [one.id for one in swept.removed] == [there]
    refusal.lift()
    assert sweep(AWAY, HOME).warnings == ()


def test_where_nothing_may_be_looked_at_the_refusal_is_raised(cloud: Cloud, strict: StrictEC2) -> None:
    strict.refuse("DescribeInstances")
    with pytest.raises(amibake.NotAuthorized, match="DescribeInstances"):
        sweep(AWAY, HOME)


@pytest.mark.parametrize(
    ("action", "kind"), [("DescribeVolumes", "volume"), ("DescribeTags", "fleet"), ("DescribeKeyPairs", "key pair")]
)
def test_a_kind_that_cannot_be_looked_at_is_said(cloud: Cloud, strict: StrictEC2, action: str, kind: str) -> None:
    there = group(cloud)
    strict.refuse(action)
    swept = sweep()
    (warning,) = swept.warnings
    assert warning.startswith(f"no {kind} in us-east-1 was looked at")
    assert [one.id for one in swept.removed] == [there]


def test_where_images_cannot_be_looked_at_no_snapshot_goes(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2
) -> None:
    draft(cloud, machine, clock)
    (snapshot,) = snapshots(cloud)
    strict.refuse("DescribeImages")
    swept = sweep()
    assert (swept.removed, reasons(swept)) == ((), {snapshot: "whether an image is made of it could not be asked"})


def test_where_it_cannot_be_asked_who_runs_an_image_it_stays(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = draft(cloud, machine, clock)

    def ends_sight(*_: Any) -> float:
        strict.refuse("DescribeInstances")
        return clock.epoch()

    monkeypatch.setattr("amibake.sweeping._now", ends_sight)
    swept = sweep()
    assert swept.removed == ()
    assert reasons(swept)[image].startswith("whether instances run from it could not be asked (DescribeInstances")


def test_an_image_that_cannot_go_keeps_its_snapshot(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2
) -> None:
    image = draft(cloud, machine, clock)
    (snapshot,) = snapshots(cloud)
    strict.refuse("DeregisterImage", times=1)
    before = clock.now()
    swept = sweep()
    assert clock.now() == before
    first, second = swept.leftovers
    assert f"aws ec2 deregister-image --delete-associated-snapshots --image-id {image}" in first
    assert second.startswith(f"snapshot {snapshot} (the image that is made of it could not be removed)")
    assert swept.removed == ()
    assert {one.id for one in sweep().removed} == {image, snapshot}


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_what_is_published_during_the_sweep_stays(
    cloud: Cloud, machine: Machine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    image = draft(cloud, machine, clock)
    there = {HOME: image, AWAY: copied(cloud, clock, image)}
    of_home = snapshots(cloud)
    remove = removal.Removal.remove

    def publish_first(self: removal.Removal, *arguments: Any, **more: Any) -> None:
        publish(cloud, image, *of_home)  # it is the one that decides
        remove(self, *arguments, **more)

    monkeypatch.setattr(removal.Removal, "remove", publish_first)
    before = {one: (images(cloud, one).keys(), snapshots(cloud, one)) for one in there}
    swept = sweep(region, build=cloud.build)
    assert {one: (images(cloud, one).keys(), snapshots(cloud, one)) for one in there} == before
    assert [one.kind for one in swept.removed if one.kind in ("image", "snapshot")] == []
    assert swept.leftovers == ()
    assert swept.warnings == (f"image {there[region]} in {region} stays: its bake has published it meanwhile",)


def test_an_image_that_cannot_be_looked_at_again_is_left(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = draft(cloud, machine, clock)
    remove = removal.Removal.remove

    def refuse_first(self: removal.Removal, *arguments: Any, **more: Any) -> None:
        strict.refuse("DescribeImages", times=1)
        remove(self, *arguments, **more)

    monkeypatch.setattr(removal.Removal, "remove", refuse_first)
    first, _ = sweep().leftovers
    assert first.startswith(f"image {image} (DescribeImages: ")
    assert images(cloud).keys() == {image}


def test_a_protected_draft_that_cannot_go_is_left_with_commands_that_lift_that(
    cloud: Cloud, machine: Machine, clock: FakeClock, strict: StrictEC2
) -> None:
    image = draft(cloud, machine, clock)
    cloud.ec2.enable_image_deregistration_protection(ImageId=image)
    strict.refuse("DisableImageDeregistrationProtection", times=1)
    first, _ = sweep().leftovers
    by_hand = [
        f"aws ec2 disable-image-deregistration-protection --image-id {image} --region {HOME}",
        f"aws ec2 deregister-image --delete-associated-snapshots --image-id {image} --region {HOME}",
    ]
    assert first.endswith(f"; remove it with: {' && '.join(by_hand)}")
    assert images(cloud).keys() == {image}
