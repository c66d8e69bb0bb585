"""Bakes whose builder is not to be had at once, or needs more than an instance."""

from __future__ import annotations

from typing import Any

import pytest

import amibake
from amibake.host import Host
from amibake.testing import Place


def builder(place: Place, **options: Any) -> amibake.Builder:
    # a refusal for want of room is repeated by the client, which takes real time
    defaults = {"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "max_retries": 0}
    return amibake.Builder(**{**defaults, **options})


class Look:
    """A provisioner that looks at the builder from outside."""

    def __init__(self, place: Place) -> None:
        self._ec2 = place.session.client("ec2")
        self.seen: dict[str, Any] = {}

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        (found,) = self._ec2.describe_instances(InstanceIds=[host.data["ID"]])["Reservations"][0]["Instances"]
        self.seen = dict(found)


TYPES = ["t3.micro", "t3a.micro", "t2.micro"]


def test_the_third_type_is_taken_when_ec2_has_no_room_for_the_first_two(place: Place) -> None:
    place.ec2.refuse_launches(instance_types=TYPES[:2])
    look = Look(place)
    amibake.bake(builder(place, instance_type=TYPES), [look], session=place.session)
    assert look.seen["InstanceType"] == TYPES[2]


def test_when_there_is_no_room_for_any_the_error_lists_all_and_nothing_is_left(place: Place) -> None:
    place.ec2.refuse_launches()
    with pytest.raises(amibake.NoCapacity) as caught:
        amibake.bake(builder(place, instance_type=TYPES), session=place.session)
    first, *tries = caught.value.message.splitlines()
    assert first == "EC2 has no room for the builder:"
    assert [line.split(":")[0].strip() for line in tries] == TYPES
    assert caught.value.leftovers == ()
    assert place.machines.all == {}


def test_the_other_subnet_is_taken_when_there_is_no_room_in_the_first(place: Place) -> None:
    ec2 = place.session.client("ec2")
    one, two = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    place.ec2.refuse_launches("InsufficientFreeAddressesInSubnet", subnet_ids=[one])
    look = Look(place)
    amibake.bake(builder(place, instance_type="t3.micro", subnet_id=[one, two]), [look], session=place.session)
    assert look.seen["SubnetId"] == two


def test_a_policy_document_gives_the_builder_a_role_that_is_gone_afterwards(place: Place) -> None:
    place.ec2.profile_delay = 20
    look = Look(place)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::releases/*"}],
    }
    options = {"instance_type": "t3.micro", "temporary_iam_instance_profile_policy_document": policy}
    image = amibake.bake(builder(place, **options), [look], session=place.session)
    build = image.tags["amibake:build"]
    assert look.seen["IamInstanceProfile"]["Arn"].endswith(f"/amibake_{build}")
    assert image.leftovers == ()


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"vpc_filter": {"tag:Name": "nobody"}}, "vpc_filter: no VPC in us-east-1 matches"),
        ({"subnet_id": "subnet-0"}, "subnet_id: there is no subnet-0"),
        ({"availability_zone": "us-east-1z"}, "availability_zone: there is no us-east-1z"),
        ({"security_group_filter": {"group-name": "none"}}, "security_group_filter: no security group"),
        (
            {"launch_block_device_mappings": [amibake.BlockDevice("/dev/sdf", volume_type="gp3")]},
            "launch_block_device_mappings: /dev/sdf is not in ami-",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    place: Place, options: dict[str, Any], mistake: str
) -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        amibake.bake(builder(place, instance_type="t3.micro", **options), session=place.session)
    assert caught.value.mistakes[0].startswith(mistake)
    made = [one.action for one in place.ec2.requests if not one.action.startswith(("Describe", "Get"))]
    assert made == []
