"""Drafts, publication, and finding what was published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud, connect, tag_dict
from amibake.ec2.images import draft_image, find_by_id, find_published, publish, wait_until_available
from amibake.ec2.instance import Machine, run_instance
from amibake.errors import ImageFailed, NotAuthorized
from amibake.image import Image
from amibake.ledger import Ledger
from amibake.testing.clock import FakeClock

Refuse = Callable[..., list[dict[str, Any]]]
TAGS = {"Name": "shop 1", "amibake:app": "shop", "amibake:stage": "primal", "amibake:source-ami": "ami-0"}
BUILDER = Builder(ami_name="shop 1", ami_description="of the shop")


@pytest.fixture
def machine(cloud: Cloud, debian: str, clock: FakeClock) -> Machine:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    machine.stop()
    return machine


def baked(cloud: Cloud, machine: Machine, builder: Builder = BUILDER, tags: dict[str, str] = TAGS) -> Image:
    published: set[str] = set()
    with draft_image(cloud, machine, builder, tags, published) as draft:
        return publish(cloud, wait_until_available(cloud, draft), published)


def images(cloud: Cloud) -> list[str]:
    return [image["ImageId"] for image in cloud.ec2.describe_images(Owners=["self"])["Images"]]


def snapshots(cloud: Cloud) -> list[dict[str, str]]:
    return [tag_dict(one.get("Tags")) for one in cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


def test_an_image_is_a_draft_until_it_is_published(cloud: Cloud, machine: Machine) -> None:
    done: set[str] = set()
    with draft_image(cloud, machine, BUILDER, TAGS, done) as draft:
        (image,) = cloud.ec2.describe_images(ImageIds=[draft])["Images"]
        tags = tag_dict(image["Tags"])
        assert (image["State"], tags["amibake:state"], tags["amibake:origin"]) == (
            "pending",
            "draft",
            f"us-east-1/{cloud.build}",
        )
        assert "amibake:expires" in tags
        assert find_published(cloud, {"amibake:app": "shop"}) is None
        published = publish(cloud, wait_until_available(cloud, draft), done)
    expected = {**TAGS, "amibake:build": cloud.build, "amibake:state": "published"}
    assert published.tags == expected
    assert (published.id, published.name, published.ids) == (draft, "shop 1", {"us-east-1": draft})
    assert published.source_ami == "ami-0"
    found = find_by_id(cloud, draft)
    assert found is not None
    assert found.tags == expected
    mine = [tags for tags in snapshots(cloud) if tags]
    assert mine == [expected]
    assert len(published.snapshots["us-east-1"]) == 1


@pytest.mark.parametrize("when", ["pending", "available"])
def test_a_draft_that_is_given_up_goes_with_its_snapshots(cloud: Cloud, machine: Machine, when: str) -> None:
    before = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]

    def give_up() -> None:
        with draft_image(cloud, machine, BUILDER, TAGS, ()) as draft:
            if when == "available":
                wait_until_available(cloud, draft)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert images(cloud) == []
    assert cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == before
    assert cloud.ledger.leftovers == []


def test_a_draft_whose_answer_was_lost_goes_too(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = cloud.ec2._client.create_image  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        create(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "create_image", lose)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), draft_image(cloud, machine, BUILDER, TAGS, ()):
        raise AssertionError("not reached")
    assert images(cloud) == []


def test_a_draft_that_cannot_be_removed_is_a_leftover(cloud: Cloud, machine: Machine, refuse: Refuse) -> None:
    refuse("deregister_image", "UnauthorizedOperation")
    with pytest.raises(KeyboardInterrupt), draft_image(cloud, machine, BUILDER, TAGS, ()) as draft:
        raise KeyboardInterrupt
    (leftover,) = cloud.ledger.leftovers
    assert f"deregister-image --delete-associated-snapshots --image-id {draft}" in leftover


def test_an_image_that_fails_says_why(cloud: Cloud, machine: Machine) -> None:
    def lose_the_builder() -> None:
        with draft_image(cloud, machine, BUILDER, TAGS, ()) as draft:
            cloud.ec2.terminate_instances(InstanceIds=[machine.id])
            wait_until_available(cloud, draft)

    with pytest.raises(ImageFailed, match=r"image ami-\w+ is failed: .+"):
        lose_the_builder()
    assert cloud.ledger.leftovers == []


def test_an_image_that_ec2_does_not_know_yet_is_waited_for(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe, blind = cloud.ec2._client.describe_images, iter(["InvalidAMIID.NotFound"] * 2)  # type: ignore[attr-defined]

    def later(**arguments: Any) -> Any:
        return describe(**{**arguments, "ImageIds": ["ami-00000000"]} if next(blind, None) else arguments)

    def wait() -> str:
        with draft_image(cloud, machine, BUILDER, TAGS, ()) as draft, monkeypatch.context() as patched:
            patched.setattr(cloud.ec2._client, "describe_images", later)  # type: ignore[attr-defined]
            return wait_until_available(cloud, draft)["State"]

    assert wait() == "available"


def test_an_image_that_vanishes_is_not_waited_for(cloud: Cloud, clock: FakeClock) -> None:
    before = clock.now()
    with pytest.raises(ImageFailed, match="image ami-00000000 has vanished"):
        wait_until_available(cloud, "ami-00000000")
    assert clock.now() - before < 60


def test_a_busy_snapshot_is_waited_for(cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    delete, busy = cloud.ec2._client.delete_snapshot, iter([True, True])  # type: ignore[attr-defined]

    def in_use(**arguments: Any) -> Any:
        if next(busy, False):
            raise ClientError({"Error": {"Code": "InvalidSnapshot.InUse", "Message": "in use"}}, "DeleteSnapshot")
        return delete(**arguments)

    monkeypatch.setattr(cloud.ec2._client, "delete_snapshot", in_use)  # type: ignore[attr-defined]

    def give_up() -> None:
        with draft_image(cloud, machine, BUILDER, TAGS, ()) as draft:
            wait_until_available(cloud, draft)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert cloud.ledger.leftovers == []
    assert [tags for tags in snapshots(cloud) if tags] == []


def test_a_publication_whose_answer_was_lost_counts(
    cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = cloud.ec2._client.create_tags  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        tag(**arguments)
        raise EndpointConnectionError(endpoint_url="here")

    monkeypatch.setattr(cloud.ec2._client, "create_tags", lose)  # type: ignore[attr-defined]
    image = baked(cloud, machine)
    assert images(cloud) == [image.id]


def test_a_refused_publication_removes_the_draft(cloud: Cloud, machine: Machine, refuse: Refuse) -> None:
    refuse("create_tags", "UnauthorizedOperation")
    with pytest.raises(NotAuthorized):
        baked(cloud, machine)
    assert images(cloud) == []


def test_tags_of_a_draft_that_stay_are_only_a_warning(cloud: Cloud, machine: Machine, refuse: Refuse) -> None:
    refuse("delete_tags", "UnauthorizedOperation")
    image = baked(cloud, machine)
    assert image.tags["amibake:state"] == "published"
    (warning,) = cloud.ledger.warnings
    assert image.id in warning


def test_the_newest_published_image_is_found(cloud: Cloud, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    baked(cloud, machine)
    baked(cloud, machine, Builder(ami_name="blog 1"), {**TAGS, "amibake:app": "blog"})
    (blog,) = cloud.ec2.describe_images(Filters=[{"Name": "tag:amibake:app", "Values": ["blog"]}])["Images"]
    found = find_published(cloud, {"amibake:app": "blog"})
    assert found is not None
    assert found.id == blog["ImageId"]
    dates = ["2026-01-02T00:00:00.000Z", "2026-03-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]
    several = [{**blog, "ImageId": f"ami-0000000{day}", "CreationDate": date} for day, date in enumerate(dates)]
    monkeypatch.setattr(cloud.ec2._client, "describe_images", lambda **_: {"Images": several})  # type: ignore[attr-defined]
    newest = find_published(cloud, {"amibake:app": "blog"})
    assert newest is not None
    assert newest.id == "ami-00000001"


def test_no_image_is_none(cloud: Cloud) -> None:
    assert find_by_id(cloud, "ami-00000000") is None
    assert find_published(cloud, {"amibake:app": "shop"}) is None


def test_a_cloud_of_another_build_finds_nothing_of_this_one(cloud: Cloud, machine: Machine) -> None:
    baked(cloud, machine)
    other = connect(None, build="c" * 16, ledger=Ledger())
    assert other.ec2.describe_images(Filters=other.of_this_build())["Images"] == []
