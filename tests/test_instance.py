"""Launching from what was baked."""

from __future__ import annotations

from typing import Any

import pytest

import amibake
from amibake.ec2.cloud import tag_dict
from amibake.ec2.instance import Machine
from amibake.testing import Place


@pytest.fixture
def image(place: Place) -> amibake.Image:
    builder = amibake.Builder(
        ami_name="shop 1",
        source_ami=place.source_ami,
        instance_type="t3.micro",
        app="shop",
        stage="carnivore",
        node_env="staging",
    )
    return amibake.bake(builder, session=place.session)


def test_an_instance_carries_the_applications_tags_and_ends_with_the_block(place: Place, image: amibake.Image) -> None:
    ec2 = place.session.client("ec2")
    with amibake.launch(image, instance_type="t3.micro", tags={"team": "web"}, session=place.session) as instance:
        (found,) = ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"]
        tags = tag_dict(found["Tags"])
        expected = {
            "Name": "shop 1",
            "amibake:app": "shop",
            "amibake:stage": "carnivore",
            "amibake:node-env": "staging",
            "team": "web",
        }
        assert {key: value for key, value in tags.items() if key != "amibake:build"} == expected
        assert "amibake:expires" not in tags
        (volume,) = ec2.describe_volumes()["Volumes"]
        assert tag_dict(volume["Tags"])["amibake:app"] == "shop"
        assert instance.state == "running"
        assert instance.public_ip == found["PublicIpAddress"]
        assert (instance.region, bool(instance.private_ip)) == ("us-east-1", True)
    assert instance.state == "terminated"


def test_everything_that_is_asked_for_reaches_ec2(place: Place, image: amibake.Image) -> None:
    ec2 = place.session.client("ec2")
    ec2.create_key_pair(KeyName="ops")
    group = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    iam = place.session.client("iam")
    iam.create_instance_profile(InstanceProfileName="web")
    iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance = amibake.launch(
        image.id,
        instance_type="t3.micro",
        subnet_id=subnet,
        security_group_ids=[group],
        key_name="ops",
        iam_instance_profile="web",
        user_data="#!/bin/sh\n",
        session=place.session,
    )
    (found,) = ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"]
    assert (found["SubnetId"], found["KeyName"]) == (subnet, "ops")
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]
    assert found["IamInstanceProfile"]["Arn"].endswith("/web")
    assert place.machines.launches[instance.id].user_data is not None
    instance.terminate()
    ec2.delete_key_pair(KeyName="ops")
    ec2.delete_security_group(GroupId=group)


@pytest.mark.parametrize(
    ("given", "said"),
    [("ponyfoo", "'ponyfoo' is neither an Image nor the id of one"), ("ami-00000000", "there is no ami-00000000")],
)
def test_an_image_that_is_not_there_launches_nothing(place: Place, given: str, said: str) -> None:
    with pytest.raises(amibake.InvalidOption, match=said):
        amibake.launch(given, session=place.session)
    assert place.machines.all == {}


def test_an_instance_that_does_not_come_up_is_terminated(
    place: Place, image: amibake.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise amibake.WaitTimeout("not up")

    monkeypatch.setattr(Machine, "wait_for_address", fail)
    with pytest.raises(amibake.WaitTimeout) as caught:
        amibake.launch(image, instance_type="t3.micro", session=place.session)
    assert caught.value.leftovers == ()


def test_an_instance_that_ec2_has_forgotten_is_terminated(place: Place, image: amibake.Image) -> None:
    with amibake.launch(image, instance_type="t3.micro", session=place.session) as instance:
        gone = amibake.Instance("i-00000000000000000", "us-east-1", "", "", Machine(instance._machine.cloud, "i-0"))
        assert gone.state == "terminated"


def test_one_that_cannot_be_terminated_either_is_a_leftover_of_the_error(
    place: Place, image: amibake.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise amibake.AmibakeError("not now")

    monkeypatch.setattr(Machine, "wait_for_address", fail)
    with monkeypatch.context() as patched:
        patched.setattr(Machine, "terminate", fail)
        with pytest.raises(amibake.AmibakeError) as caught:
            amibake.launch(image, instance_type="t3.micro", session=place.session)
    assert caught.value.build is not None
    (leftover,) = caught.value.leftovers
    assert "aws ec2 terminate-instances" in leftover
    place.session.client("ec2").terminate_instances(InstanceIds=[list(place.machines.all)[-1]])
    place.clock.sleep(60)
