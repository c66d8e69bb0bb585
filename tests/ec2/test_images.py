"""Drafts: made, awaited, removed with their snapshots; and finding what was published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amibake.ec2.cloud import Cloud, connect, tag_dict
from amibake.ec2.images import find_by_id, find_published, wait_until_available
from amibake.ec2.instance import Machine
from amibake.errors import AmibakeError, ImageFailed
from amibake.ledger import Ledger
from amibake.strict import StrictEC2
from amibake.strict.images import Ami
from amibake.testing.clock import FakeClock
from tests.ec2.baking import TAGS, bake, baking


def images(cloud: Cloud) -> list[str]:
    return [image["ImageId"] for image in cloud.ec2.describe_images(Owners=["self"])["Images"]]


def snapshots(cloud: Cloud) -> list[dict[str, str]]:
    return [tag_dict(one.get("Tags")) for one in cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


def give_up(cloud: Cloud, machine: Machine, *, available: bool = False) -> None:
    def begin() -> None:
        with baking(cloud, machine) as under_way:
            draft = under_way.draft()
            if available:
                wait_until_available(cloud, {cloud.region: draft})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()


def test_an_image_from_before_a_bake_was_gone_on_with_is_not_taken_for_its_own(cloud: Cloud, machine: Machine) -> None:
    before = bake(cloud, machine)
    resumed = replace(cloud, resumed=True)
    image = bake(resumed, machine, ami_name="shop 2")
    assert image.id != before.id
    found = cloud.ec2.describe_images(ImageIds=[before.id])["Images"]
    assert "amibake:expires" not in tag_dict(found[0]["Tags"])


def test_what_was_published_before_a_bake_was_gone_on_with_keeps_its_snapshots(
    cloud: Cloud, machine: Machine, strict: StrictEC2
) -> None:
    before = bake(cloud, machine)
    strict.fail_images(leave_snapshots=True)
    with pytest.raises(ImageFailed):
        bake(replace(cloud, resumed=True), machine, ami_name="shop 2")
    assert images(cloud) == [before.id]
    assert len(snapshots(cloud)) == 1
    assert cloud.ledger.leftovers == []


def test_an_image_is_a_draft_until_it_is_published(cloud: Cloud, machine: Machine) -> None:
    with baking(cloud, machine) as under_way:
        (image,) = cloud.ec2.describe_images(ImageIds=[under_way.draft()])["Images"]
        tags = tag_dict(image["Tags"])
        assert (image["State"], tags["amibake:state"], tags["amibake:origin"]) == (
            "pending",
            "draft",
            f"us-east-1/{cloud.build}",
        )
        assert "amibake:expires" in tags
        assert find_published(cloud, {"amibake:app": "shop"}) is None
    assert images(cloud) == []
    published = bake(cloud, machine)
    expected = {**TAGS, "amibake:build": cloud.build, "amibake:state": "published"}
    assert published.tags == expected
    assert (published.name, published.ids, published.source_ami) == ("shop 1", {"us-east-1": published.id}, "ami-0")
    found = find_by_id(cloud, published.id)
    assert found is not None
    assert found.tags == expected
    assert [tags for tags in snapshots(cloud) if tags] == [expected]
    assert len(published.snapshots["us-east-1"]) == 1


@pytest.mark.parametrize("available", [False, True])
def test_a_draft_that_is_given_up_goes_with_its_snapshots(cloud: Cloud, machine: Machine, *, available: bool) -> None:
    before = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    give_up(cloud, machine, available=available)
    assert images(cloud) == []
    assert cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == before
    assert cloud.ledger.leftovers == []


def test_snapshots_that_show_only_after_the_image_is_gone_are_looked_for(
    cloud: Cloud, machine: Machine, strict: StrictEC2, clock: FakeClock
) -> None:
    strict.late_snapshots = 37.0
    before = clock.now()
    give_up(cloud, machine)
    assert 37 <= clock.now() - before < 60
    clock.sleep(60)
    assert [tags for tags in snapshots(cloud) if tags] == []


def test_no_more_than_a_minute_is_spent_on_snapshots_that_never_show(
    cloud: Cloud, machine: Machine, strict: StrictEC2, clock: FakeClock
) -> None:
    strict.late_snapshots = 1e9
    before = clock.now()
    give_up(cloud, machine)
    assert 60 <= clock.now() - before < 70
    assert cloud.ledger.leftovers == []


def test_a_draft_whose_answer_was_lost_goes_too(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = cloud.ec2._client.create_image  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        create(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "create_image", lose)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), baking(cloud, machine) as under_way:
        under_way.draft()
    assert images(cloud) == []
    assert [tags for tags in snapshots(cloud) if tags] == []


def test_a_draft_that_cannot_be_removed_is_a_leftover_with_its_snapshots(
    cloud: Cloud, machine: Machine, strict: StrictEC2, clock: FakeClock
) -> None:
    strict.refuse("DeregisterImage")
    before = clock.now()
    give_up(cloud, machine, available=True)
    (draft,) = images(cloud)
    (leftover,) = cloud.ledger.leftovers
    assert f"deregister-image --delete-associated-snapshots --image-id {draft}" in leftover
    assert clock.now() - before < 60


def test_snapshots_that_cannot_be_looked_for_are_perhaps_a_leftover(
    cloud: Cloud, machine: Machine, strict: StrictEC2
) -> None:
    strict.refuse("DescribeSnapshots")
    give_up(cloud, machine)
    (leftover,) = cloud.ledger.leftovers
    assert f"describe-snapshots --owner-ids self --filters Name=tag:amibake:build,Values={cloud.build}" in leftover


def test_who_does_not_want_to_wait_is_told_what_is_left(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "describe_snapshots", interrupt)  # type: ignore[attr-defined]
    give_up(cloud, machine)
    assert any("--image-id ami-" in leftover for leftover in cloud.ledger.leftovers)


def test_an_image_that_fails_says_why(cloud: Cloud, machine: Machine) -> None:
    with baking(cloud, machine) as under_way:
        draft = under_way.draft()
        cloud.ec2.terminate_instances(InstanceIds=[machine.id])
        with pytest.raises(ImageFailed, match=r"image ami-\w+ in us-east-1 is failed: .+"):
            wait_until_available(cloud, {cloud.region: draft})
    assert cloud.ledger.leftovers == []


def test_an_image_that_ec2_does_not_know_yet_is_waited_for(cloud: Cloud, machine: Machine, strict: StrictEC2) -> None:
    with baking(cloud, machine) as under_way:
        draft = under_way.draft()
        strict.refuse("DescribeImages", "InvalidAMIID.NotFound", times=2)
        assert wait_until_available(cloud, {cloud.region: draft})[cloud.region]["State"] == "available"


def test_an_image_that_vanishes_is_not_waited_for(cloud: Cloud, clock: FakeClock) -> None:
    before = clock.now()
    with pytest.raises(ImageFailed, match="image ami-00000000 has vanished"):
        wait_until_available(cloud, {cloud.region: "ami-00000000"})
    assert clock.now() - before < 60


def test_a_busy_snapshot_is_waited_for(cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    delete, busy = cloud.ec2._client.delete_snapshot, iter([True, True])  # type: ignore[attr-defined]

    def in_use(**arguments: Any) -> Any:
        if next(busy, False):
            raise ClientError({"Error": {"Code": "InvalidSnapshot.InUse", "Message": "in use"}}, "DeleteSnapshot")
        return delete(**arguments)

    monkeypatch.setattr(cloud.ec2._client, "delete_snapshot", in_use)  # type: ignore[attr-defined]
    give_up(cloud, machine, available=True)
    assert cloud.ledger.leftovers == []
    assert [tags for tags in snapshots(cloud) if tags] == []


def test_a_volume_that_the_image_leaves_out_and_one_that_it_gets(cloud: Cloud, machine: Machine) -> None:
    mappings = [
        {"device_name": "sdf", "volume_size": 3, "volume_type": "gp3"},
        {"device_name": "sdg", "no_device": True},
    ]
    image = bake(cloud, machine, ami_block_device_mappings=mappings)
    (found,) = cloud.ec2.describe_images(ImageIds=[image.id])["Images"]
    disks = {one["DeviceName"]: one["Ebs"] for one in found["BlockDeviceMappings"]}
    assert disks.keys() == {"/dev/xvda", "sdf"}
    assert (disks["sdf"]["VolumeSize"], disks["sdf"]["VolumeType"]) == (3, "gp3")


def test_a_snapshot_of_the_users_is_neither_tagged_nor_deleted(cloud: Cloud, machine: Machine) -> None:
    volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    theirs = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    more: dict[str, Any] = {"ami_block_device_mappings": [{"device_name": "sdf", "snapshot_id": theirs}]}
    with baking(cloud, machine, **more) as under_way:
        wait_until_available(cloud, {cloud.region: under_way.draft()})
    image = bake(cloud, machine, **more)
    assert theirs in image.snapshots["us-east-1"]
    (found,) = cloud.ec2.describe_snapshots(SnapshotIds=[theirs])["Snapshots"]
    assert not found.get("Tags")


def test_the_newest_published_image_is_found(cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    bake(cloud, machine)
    blog = bake(cloud, machine, {"amibake:app": "blog"}, ami_name="blog 1")
    found = find_published(cloud, {"amibake:app": "blog"})
    assert found is not None
    assert found.id == blog.id
    (one,) = cloud.ec2.describe_images(ImageIds=[blog.id])["Images"]
    dates = ["2026-01-02T00:00:00.000Z", "2026-03-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]
    several = [{**one, "ImageId": f"ami-0000000{day}", "CreationDate": date} for day, date in enumerate(dates)]
    monkeypatch.setattr(cloud.ec2._client, "describe_images", lambda **_: {"Images": several})  # type: ignore[attr-defined]
    newest = find_published(cloud, {"amibake:app": "blog"})
    assert newest is not None
    assert newest.id == "ami-00000001"


def test_no_image_is_none(cloud: Cloud) -> None:
    assert find_by_id(cloud, "ami-00000000") is None
    assert find_published(cloud, {"amibake:app": "shop"}) is None


def test_what_ec2_refuses_is_no_missing_image(cloud: Cloud, strict: StrictEC2) -> None:
    strict.refuse("DescribeImages")
    with pytest.raises(AmibakeError, match="UnauthorizedOperation"):
        find_by_id(cloud, "ami-00000000")


def test_a_cloud_of_another_build_finds_nothing_of_this_one(cloud: Cloud, machine: Machine) -> None:
    bake(cloud, machine)
    other = connect(None, build="c" * 16, ledger=Ledger())
    assert other.ec2.describe_images(Filters=other.of_this_build())["Images"] == []


@pytest.mark.parametrize("late", [2, 10_000])
def test_the_snapshots_that_an_available_image_lists_a_moment_later_are_published_too(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    looks = iter(range(late))

    def mappings(image: Ami) -> list[dict[str, Any]]:
        ready = image.state == "available" and next(looks, None) is None
        return [device.mapping(with_snapshot=ready) for device in image.devices]

    monkeypatch.setattr(Ami, "block_device_mappings", property(mappings))
    published = bake(cloud, machine)
    assert len(published.snapshots["us-east-1"]) == (late == 2)  # whoever lists none for long has none
    (tags,) = [tags for tags in snapshots(cloud) if tags]
    assert tags["amibake:state"] == ("published" if late == 2 else "draft")
