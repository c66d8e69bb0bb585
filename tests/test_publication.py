"""Publication seen from a bake: when the builder goes, what copies find, and what an interrupt leaves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

import amibake
from amibake.events import Event, Waiting
from amibake.testing import Place
from tests.account import temporary
from tests.test_interrupts import send

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
COPIES = {"ami_regions": REGIONS[1:], "ami_users": ["210987654321"], "deregistration_protection": True}


def bake(place: Place, *, on_event: Any = None, **options: Any) -> Any:
    builder = amibake.Builder(
        **{"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    )
    shell = amibake.Shell(inline=["true"])
    return amibake.bake(builder, [shell], session=place.session, on_event=on_event)


def images(place: Place) -> list[str]:
    clients = [place.session.client("ec2", region_name=region) for region in REGIONS]
    return [image["ImageId"] for ec2 in clients for image in ec2.describe_images(Owners=["self"])["Images"]]


@pytest.fixture(autouse=True)
def _nothing_is_left_in_any_region(place: Place) -> Iterator[None]:
    yield
    for region in REGIONS:
        assert temporary(place.session.client("ec2", region_name=region)) == set()


@pytest.mark.parametrize("spot", [False, True])
def test_the_builder_goes_once_its_image_is_there_and_not_before_nor_later(place: Place, *, spot: bool) -> None:
    ec2 = place.session.client("ec2")
    states: list[str] = []

    def look(**_: Any) -> None:
        states.extend(image["State"] for image in ec2.describe_images(Owners=["self"])["Images"])

    place.session.events.register("before-call.ec2.TerminateInstances", look)
    bake(place, **COPIES, **({"spot_price": "auto"} if spot else {}))
    assert states == ["available"]
    order = [request.action for request in place.ec2.requests]
    assert order.index("TerminateInstances") < order.index("CopyImage")
    assert order.index("DeleteSecurityGroup") < order.index("CopyImage")
    assert ("StopInstances" in order) != spot


def test_an_image_in_three_regions_is_found_in_each(place: Place) -> None:
    image = bake(place, app="shop", **COPIES)
    assert list(image.ids) == list(REGIONS)
    for region in REGIONS:
        found = amibake.find_image(app="shop", region=region, session=place.session)
        assert found is not None
        assert (found.id, found.region, found.name) == (image.ids[region], region, image.name)
    assert "copy the image" in image.timings


def test_an_unpublished_image_is_terminated_with_its_builder_when_an_interrupt_comes_while_it_is_pending(
    place: Place,
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Waiting) and event.what.startswith("image "):
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        bake(place, on_event=interrupt)
    assert images(place) == []


def test_ctrl_c_during_the_copy_leaves_nothing_in_any_region(place: Place) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Waiting) and "us-west-2: pending" in event.seen:
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        bake(place, on_event=interrupt, **COPIES)
    assert images(place) == []


def test_a_second_copy_that_fails_leaves_nothing_in_any_region(place: Place) -> None:
    place.ec2.fail_images(region="us-west-2", reason="Client.InvalidKey")
    with pytest.raises(amibake.ImageFailed, match="us-west-2") as caught:
        bake(place, **COPIES)
    assert caught.value.leftovers == ()
    assert images(place) == []


def test_without_an_image_everything_else_is_done(place: Place) -> None:
    assert bake(place, skip_create_ami=True) is None
    assert len(place.machines.newest.ran) == 2  # the script, and sealing
    assert images(place) == []
    assert "CreateImage" not in [request.action for request in place.ec2.requests]


def test_every_mistake_that_a_look_at_the_account_shows_is_in_one_error(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        bake(
            place,
            instance_type=["t4g.micro", "x9.huge"],
            ami_regions=["eu-south-9"],
            subnet_id="subnet-00000000",
            security_group_ids=["sg-00000000"],
            tags={"from": "{{ .SourceAMITags.team }}"},
            encrypt_boot=False,
            launch_block_device_mappings=[amibake.BlockDevice("sdf")],
        )
    assert {line.partition(":")[0] for line in caught.value.mistakes} == {
        "instance_type",
        "ami_regions",
        "subnet_id",
        "security_group_ids",
        "tags",
        "launch_block_device_mappings",
    }
    assert {request.action[:3] for request in place.ec2.requests} == {"Des"}


def test_a_type_of_another_architecture_is_refused_before_launch(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption, match=r"instance_type: t4g.micro \(arm64\) can't run ami-\w+") as caught:
        bake(place, instance_type="t4g.micro")
    assert "amibake.DEBIAN_12" in caught.value.hint
    assert place.machines.all == {}


def test_the_named_images_follow_the_architecture_of_the_type(place: Place) -> None:
    owners = {"debian": "136693071363", "ubuntu": "099720109477"}
    names = [
        (amibake.DEBIAN_12, "debian", "debian-12-{}-20260101"),
        (amibake.DEBIAN_13, "debian", "debian-13-{}-20260101"),
        (amibake.UBUNTU_24_04, "ubuntu", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{}-server-20260101"),
    ]
    later = "2030-01-01T00:00:00+00:00"
    for number, (wanted, owner, name) in enumerate(names):
        for word, architecture, instance_type in (("amd64", "x86_64", "t3.micro"), ("arm64", "arm64", "t4g.micro")):
            there = place.ec2.add_image(
                name=name.format(word), owner_id=owners[owner], architecture=architecture, creation_date=later
            )
            image = bake(place, ami_name=f"{number} {word}", source_ami=wanted, instance_type=instance_type)
            assert image.source_ami == there


def test_types_without_an_architecture_in_common_need_an_explicit_image(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption, match=r"t4g.micro .*no architecture in common"):
        bake(place, source_ami=amibake.DEBIAN_12, instance_type=["t3.micro", "t4g.micro"])


@pytest.mark.parametrize("given", [None, "required"])
def test_version_1_of_the_metadata_service_is_open_only_on_old_images_and_said(place: Place, given: str | None) -> None:
    old = place.ec2.add_image(name="jessie", owner_id="136693071363", creation_date="2015-06-13T00:00:00+00:00")
    image = bake(place, source_ami=old, metadata_options={"http_tokens": given})
    (run,) = [request for request in place.ec2.requests if request.action == "RunInstances"]
    assert run.params["MetadataOptions.HttpTokens"] == ("required" if given else "optional")
    assert [bool("version 1 of the metadata service" in one) for one in image.warnings] == ([] if given else [True])


def test_every_text_of_a_bake_is_of_one_moment(place: Place) -> None:
    image = bake(
        place,
        ami_name='shop {{isotime "20060102-150405"}}',
        ami_description="{{timestamp}} {{user `team`}} {{ .SourceAMIOwner }}",
        variables={"team": "web"},
        tags={"at": '{{isotime "20060102-150405"}}'},
        snapshot_tags={"at": '{{isotime "20060102-150405"}}'},
        run_tags={"at": '{{isotime "20060102-150405"}}'},
        deprecate_after="1d",
    )
    stamp = image.name.removeprefix("shop ")
    assert image.tags["at"] == stamp
    (run,) = [request for request in place.ec2.requests if request.action == "RunInstances"]
    assert stamp in run.params.values()
    (one,) = place.session.client("ec2").describe_images(ImageIds=[image.id])["Images"]
    assert one["Description"].endswith(" web 136693071363")
    assert one["DeprecationTime"][:10] == "2025-06-16"
