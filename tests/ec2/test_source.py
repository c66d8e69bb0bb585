"""Which image a bake starts from, and what the new one may be called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from amibake.builder import DEBIAN_12, WHEEZY, Builder, ImageFilter
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import run_instance
from amibake.ec2.names import find_taken, rendered
from amibake.ec2.source import SourceImage, find_source_image
from amibake.errors import InvalidOption, SourceImageNotFound
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock


def test_the_newest_match_of_a_filter_is_taken(cloud: Cloud, strict: StrictEC2, debian: str) -> None:
    strict.add_image(name="debian-12-amd64-2025", owner_id="136693071363", creation_date="2025-01-01T00:00:00+00:00")
    strict.add_image(name="debian-12-amd64-2027", owner_id="000000000666", creation_date="2027-01-01T00:00:00+00:00")
    found = find_source_image(cloud, DEBIAN_12.on("x86_64"))
    assert (found.id, found.owner, found.is_old) == (debian, "136693071363", False)


def test_an_image_is_found_by_its_id(cloud: Cloud, strict: StrictEC2) -> None:
    old = strict.add_image(
        name="jessie", owner_id="1", root_device_name="/dev/sda1", creation_date="2015-06-13T00:00:00+00:00"
    )
    found = find_source_image(cloud, old)
    assert (found.id, found.name, found.ebs_devices, found.is_old) == (old, "jessie", ("/dev/sda1",), True)


def test_the_articles_image_is_gone_and_the_hint_names_a_modern_one(cloud: Cloud) -> None:
    with pytest.raises(SourceImageNotFound, match="no image ami-22de994a in us-east-1") as caught:
        find_source_image(cloud, WHEEZY)
    assert "amibake.DEBIAN_12" in caught.value.hint


def test_a_filter_that_matches_nothing_is_shown(cloud: Cloud) -> None:
    wanted = ImageFilter(owners=("self",), name="shop-*", filters={"architecture": "arm64"})
    with pytest.raises(SourceImageNotFound, match=r"no image name 'shop-\*', architecture 'arm64', owned by self"):
        find_source_image(cloud, wanted)


def test_an_image_that_is_not_ready_is_refused(cloud: Cloud, debian: str, clock: FakeClock) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    pending = cloud.ec2.create_image(InstanceId=machine.id, Name="mine", NoReboot=True)["ImageId"]
    with pytest.raises(SourceImageNotFound, match=f"{pending} is pending, not available"):
        find_source_image(cloud, pending)


SOURCE = SourceImage("ami-12345678", "debian", "1", "2026-01-01T00:00:00.000Z", ebs_devices=("/dev/xvda",))


def test_every_expression_is_of_one_moment(cloud: Cloud, clock: FakeClock) -> None:
    builder = Builder(
        ami_name="shop {{timestamp}}",
        ami_description="from {{ .SourceAMIName }} at {{timestamp}}",
        tags={"source": "{{ .SourceAMI }}", "owner": "{{ .SourceAMIOwner }}"},
    )
    found = rendered(cloud, builder, SOURCE)
    now = str(int(clock.epoch()))
    assert (found.ami_name, found.ami_description) == (f"shop {now}", f"from debian at {now}")
    assert found.tags == {"source": "ami-12345678", "owner": "1"}


def test_what_becomes_too_long_by_being_filled_in_is_refused(cloud: Cloud) -> None:
    source = SourceImage("ami-12345678", "x" * 128, "1", "2026-01-01T00:00:00.000Z")
    name = "{{ .SourceAMIName }}"
    for description in (name * 2, "für alle"):
        with pytest.raises(InvalidOption, match=r"ami_description: .* up to 255 ASCII characters"):
            rendered(cloud, Builder(ami_name="shop", ami_description=description), source)
    with pytest.raises(InvalidOption, match="tags: from: a value has at most 256"):
        rendered(cloud, Builder(ami_name="shop", tags={"from": name * 3}), source)


def test_a_name_that_ec2_would_refuse_is_refused_first(cloud: Cloud) -> None:
    source = SourceImage("ami-12345678", "shop_ü", "1", "2026-01-01T00:00:00.000Z")
    with pytest.raises(InvalidOption, match=r"'shop_ü' is not a name .*clean_resource_name"):
        rendered(cloud, Builder(ami_name="{{ .SourceAMIName }}"), source)


def test_a_name_that_is_taken_is_refused_with_who_has_it(cloud: Cloud, debian: str, clock: FakeClock) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    taken = cloud.ec2.create_image(InstanceId=machine.id, Name="shop [1]", NoReboot=True)["ImageId"]
    assert find_taken(cloud, "shop [1]", ["us-east-1"])["us-east-1"]["ImageId"] == taken
    assert find_taken(cloud, "shop 1", ["us-east-1"]) == {}


def test_what_is_wrong_once_it_is_filled_in_is_in_one_error(cloud: Cloud, clock: FakeClock) -> None:
    builder = Builder(
        ami_name="{{ .SourceAMIName }}",
        ami_description="{{ .SourceAMIName }}" * 4,
        tags={str(number): "" for number in range(30)},
        snapshot_tags={f"s{number}": "" for number in range(30)},
        run_tags={"team": "web (green)"},
        temporary_iam_instance_profile_policy_document={"Version": "2012-10-17", "Statement": []},
        deprecate_at=datetime.fromtimestamp(clock.epoch() + 60, UTC),
    )
    source = SourceImage("ami-12345678", "ü" * 100, "1", "2026-01-01T00:00:00.000Z")
    with pytest.raises(InvalidOption) as caught:
        rendered(cloud, builder, source)
    named = [line.partition(":")[0] for line in caught.value.mistakes]
    assert named == ["ami_name", "ami_description", "snapshot_tags", "deprecate_at", "run_tags"]
