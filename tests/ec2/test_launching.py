"""The builder: which try succeeds, what is said when none does, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from amibake.builder import BlockDevice
from amibake.ec2.access import security_groups, temporary_key_pair
from amibake.ec2.cloud import Cloud, connect
from amibake.ec2.instance import run_instance
from amibake.ec2.network import Network, find_network
from amibake.ec2.profile import temporary_profile
from amibake.ec2.source import SourceImage, find_source_image
from amibake.errors import AmibakeError, InvalidOption, NoCapacity, NotAuthorized
from amibake.interrupts import interruptible
from amibake.ledger import Ledger
from amibake.ssh.keys import make_key_pair
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from tests.account import temporary
from tests.ec2.support import NOWHERE, Refuse, answers, builder, launched, states, tags, wire

LOST = ("InternalError", "An internal error has occurred")
FULL = ("InsufficientInstanceCapacity", "We currently do not have sufficient t3.micro capacity.")
LIMIT = ("VcpuLimitExceeded", "You have requested more vCPU capacity than your current limit of 32 allows.")
NO_ADDRESS = ("InsufficientFreeAddressesInSubnet", "The subnet has not enough free addresses.")
NOT_HERE = (
    "Unsupported",
    "Your requested instance type (t3.micro) is not supported in your requested Availability Zone (us-east-1e).",
)


def test_a_builder_is_tagged_reached_stopped_and_terminated(cloud: Cloud, source: SourceImage) -> None:
    with launched(cloud, builder(user_data="#!/bin/sh\n"), source) as machine:
        found = machine.describe()
        assert found is not None
        assert tags(found)["amibake:build"] == cloud.build
        assert int(tags(found)["amibake:expires"]) > 0
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert not machine.is_spot
        assert machine.wait_for_address(None) == machine.wait_for_address("public_ip")
        assert machine.wait_for_address("private_ip")
        machine.check_alive()
        machine.stop()
        assert states(cloud) == ["stopped"]
        with pytest.raises(AmibakeError, match=f"instance {machine.id} is stopped"):
            machine.check_alive()
    assert states(cloud) == ["terminated"]
    assert cloud.ec2.describe_volumes()["Volumes"] == []
    assert cloud.ledger.leftovers == []


def test_types_and_subnets_are_tried_in_turn_each_by_a_token_of_its_own(
    cloud: Cloud, source: SourceImage, two: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(cloud, monkeypatch, "run_instances", FULL, NOT_HERE, NO_ADDRESS)
    options = builder(instance_type=["t3.micro", "t3a.micro"])
    with launched(cloud, options, source, two) as machine:
        found = machine.describe()
        assert found is not None
        assert (found["InstanceType"], found["SubnetId"]) == ("t3a.micro", two.subnet_ids[1])
    tried = [(one["InstanceType"], one["SubnetId"]) for one in asked]
    assert tried == [(kind, subnet) for kind in options.instance_type for subnet in two.subnet_ids]
    assert len({one["ClientToken"] for one in asked}) == 4
    assert states(cloud) == ["terminated"]


def test_when_nothing_is_to_be_had_every_try_is_listed(
    cloud: Cloud, source: SourceImage, two: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(cloud, monkeypatch, "run_instances", FULL, NOT_HERE, NO_ADDRESS, FULL)
    one, other = two.subnet_ids
    with (
        pytest.raises(NoCapacity) as caught,
        launched(cloud, builder(instance_type=["t3.micro", "t3a.micro"]), source, two),
    ):
        raise AssertionError("not reached")
    assert caught.value.message.splitlines() == [
        "EC2 has no room for the builder:",
        f"  t3.micro in {one}: {FULL[0]}: {FULL[1]}",
        f"  t3.micro in {other}: {NOT_HERE[0]}: {NOT_HERE[1]}",
        f"  t3a.micro in {one}: {NO_ADDRESS[0]}: {NO_ADDRESS[1]}",
        f"  t3a.micro in {other}: {FULL[0]}: {FULL[1]}",
    ]
    assert (states(cloud), cloud.ledger.leftovers) == ([], [])


def test_a_limit_of_the_account_is_no_matter_of_the_subnet(
    cloud: Cloud, source: SourceImage, two: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(cloud, monkeypatch, "run_instances", LIMIT, LIMIT)
    with pytest.raises(NoCapacity), launched(cloud, builder(instance_type=["m5.large", "t3.micro"]), source, two):
        raise AssertionError("not reached")
    assert [(one["InstanceType"], one["SubnetId"]) for one in asked] == [
        ("m5.large", two.subnet_ids[0]),
        ("t3.micro", two.subnet_ids[0]),
    ]


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        (("UnauthorizedOperation", "no"), NotAuthorized, "ec2:RunInstances"),
        (("Unsupported", "The requested configuration is currently not supported."), InvalidOption, "instance_type: "),
        (("InvalidKeyPair.NotFound", "The key pair 'x' does not exist"), InvalidOption, "ssh_keypair_name: "),
        (("InvalidBlockDeviceMapping", "too small"), InvalidOption, "launch_block_device_mappings: "),
        (("InternalError", "An internal error has occurred"), AmibakeError, "InternalError"),
    ],
)
def test_whatever_is_no_want_of_room_ends_the_tries(
    cloud: Cloud,
    source: SourceImage,
    two: Network,
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[str, str],
    kind: type[AmibakeError],
    said: str,
) -> None:
    asked = answers(cloud, monkeypatch, "run_instances", FULL, *[refusal] * 9)
    options = builder(ssh_agent_auth=True, ssh_keypair_name="x")
    with pytest.raises(kind) as caught, launched(cloud, options, source, two):
        raise AssertionError("not reached")
    assert said in str(caught.value)
    assert {one["SubnetId"] for one in asked} == {*two.subnet_ids}
    assert len({one["ClientToken"] for one in asked}) == 2
    assert len(asked) == (9 if said == "InternalError" else 2)  # which is repeated, but nowhere else


def test_where_an_answer_was_lost_nothing_else_is_tried_and_the_instance_is_terminated(
    cloud: Cloud, source: SourceImage, two: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = cloud.ec2._client.run_instances, list[str]()  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        asked.append(arguments["ClientToken"])
        run(**arguments)
        raise EndpointConnectionError(endpoint_url="https://ec2")

    monkeypatch.setattr(cloud.ec2._client, "run_instances", lose)  # type: ignore[attr-defined]
    with pytest.raises(AmibakeError, match="could not be called"), launched(cloud, builder(), source, two):
        raise AssertionError("not reached")
    assert set(asked) == {f"{cloud.build}-0"}
    assert states(cloud) == ["terminated"]


def test_an_instance_whose_answer_was_lost_to_a_signal_is_found_and_terminated(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cloud.ec2._client.run_instances  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        run(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "run_instances", lose)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), launched(cloud, builder(), source):
        raise AssertionError("not reached")
    assert states(cloud) == ["terminated"]


def test_what_was_just_made_is_waited_for_by_the_same_token(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(
        cloud,
        monkeypatch,
        "run_instances",
        ("InvalidKeyPair.NotFound", "The key pair does not exist"),
        ("InvalidGroup.NotFound", "The security group does not exist"),
    )
    public = make_key_pair("ed25519", comment="test").public
    with (
        temporary_key_pair(cloud, builder(), public) as name,
        security_groups(cloud, NOWHERE) as groups,
        launched(cloud, builder(), source, key_name=name, group_ids=groups),
    ):
        pass
    assert len(asked) == 3
    assert len({one["ClientToken"] for one in asked}) == 1


def test_one_that_cannot_be_terminated_is_a_leftover_and_its_volumes_are_not_waited_for(
    cloud: Cloud, source: SourceImage, refuse: Refuse, clock: FakeClock
) -> None:
    with launched(cloud, builder(), source) as machine:
        refuse("terminate_instances", "UnauthorizedOperation")
        before = clock.now()
    (leftover,) = cloud.ledger.leftovers
    assert leftover.endswith(f"aws ec2 terminate-instances --instance-ids {machine.id} --region us-east-1")
    assert clock.now() - before < 60


def test_volumes_go_with_the_builder_whatever_the_source_image_says(
    cloud: Cloud, strict: StrictEC2, debian: str, clock: FakeClock
) -> None:
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}
    first = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro", "BlockDeviceMappings": [mapping]})
    clock.sleep(10)
    keeping = cloud.ec2.create_image(InstanceId=first.id, Name="keeps", NoReboot=True)["ImageId"]
    clock.sleep(60)
    other = replace(cloud, build="c" * 16, tags={**cloud.tags, "amibake:build": "c" * 16})
    calls = wire(cloud, "DeleteVolume")
    with launched(other, builder(), find_source_image(cloud, keeping)):
        pass
    assert other.ec2.describe_volumes(Filters=other.of_this_build())["Volumes"] == []
    assert calls == []
    first.terminate()


KEPT = BlockDevice("/dev/sdf", volume_size=5, delete_on_termination=False)


def test_a_volume_that_the_user_wants_to_keep_stays_and_is_said(cloud: Cloud, source: SourceImage) -> None:
    with launched(cloud, builder(launch_block_device_mappings=[KEPT]), source):
        pass
    (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    assert (volume["Size"], volume["State"]) == (5, "available")
    assert "amibake:expires" not in tags(volume)
    (warning,) = cloud.ledger.warnings
    assert f"volume {volume['VolumeId']} (/dev/sdf) is kept" in warning
    assert cloud.ledger.leftovers == []


def test_where_ec2_says_no_more_which_it_was_what_is_left_is_kept(
    cloud: Cloud, source: SourceImage, refuse: Refuse, clock: FakeClock
) -> None:
    with launched(cloud, builder(launch_block_device_mappings=[KEPT]), source) as machine:
        refuse("delete_tags", "UnauthorizedOperation")
        clock.sleep(10)
        cloud.ec2.terminate_instances(InstanceIds=[machine.id])
        clock.sleep(60)
    (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    (warning,) = cloud.ledger.warnings
    assert warning.startswith(f"volume {volume['VolumeId']} is kept")
    assert "its tag amibake:expires could not be removed" in warning


def test_where_ec2_does_not_say_which_it_is_all_are_kept(cloud: Cloud, source: SourceImage, refuse: Refuse) -> None:
    with launched(cloud, builder(launch_block_device_mappings=[KEPT]), source) as machine:
        cloud.ec2.terminate_instances(InstanceIds=[machine.id])
        refuse("describe_instances", "UnauthorizedOperation")
    assert any(machine.id in warning and "unwatched" in warning for warning in cloud.ledger.warnings)
    assert cloud.ledger.leftovers == []  # EC2 has said that it goes down
    (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    assert volume["Size"] == 5


def test_any_other_volume_that_outlives_the_builder_is_removed(cloud: Cloud, source: SourceImage) -> None:
    with launched(cloud, builder(launch_block_device_mappings=[KEPT]), source):
        stray = cloud.ec2.create_volume(
            Size=1, AvailabilityZone="us-east-1a", TagSpecifications=cloud.specification("volume")
        )["VolumeId"]
    (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    assert volume["VolumeId"] != stray
    assert cloud.ledger.leftovers == []


def test_volumes_that_cannot_be_looked_for_or_removed_are_leftovers(
    cloud: Cloud, source: SourceImage, refuse: Refuse
) -> None:
    with launched(cloud, builder(), source):
        stray = cloud.ec2.create_volume(
            Size=1, AvailabilityZone="us-east-1a", TagSpecifications=cloud.specification("volume")
        )["VolumeId"]
        refuse("delete_volume", "UnauthorizedOperation")
    other = replace(cloud, build="c" * 16, tags={**cloud.tags, "amibake:build": "c" * 16})
    with launched(other, builder(), source):
        refuse("describe_volumes", "UnauthorizedOperation")
    one, two = cloud.ledger.leftovers
    assert one.endswith(f"aws ec2 delete-volume --volume-id {stray} --region us-east-1")
    assert two.startswith(f"perhaps volumes of build {other.build} (")


def test_a_signal_while_it_is_terminated_does_not_leave_its_volumes(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminate = cloud.ec2._client.terminate_instances  # type: ignore[attr-defined]

    def interrupted(**arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return terminate(**arguments)

    monkeypatch.setattr(cloud.ec2._client, "terminate_instances", interrupted)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), interruptible(), launched(cloud, builder(), source):
        cloud.ec2.create_volume(Size=1, AvailabilityZone="us-east-1a", TagSpecifications=cloud.specification("volume"))
    assert states(cloud) == ["terminated"]
    assert cloud.ec2.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize("spot", [{}, {"spot_price": "auto"}])
@pytest.mark.parametrize("when", ["before-call", "after-call"])
def test_a_signal_at_whatever_call_leaves_nothing(
    strict: StrictEC2, debian: str, when: str, spot: dict[str, Any]
) -> None:
    """Of a builder with a temporary key pair, group and instance profile."""
    session, calls, interrupted_at = boto3.Session(region_name="us-east-1"), 0, 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)

    session.events.register(f"{when}.ec2", count)
    session.events.register(f"{when}.iam", count)
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    options = builder(temporary_iam_instance_profile_policy_document=policy, **spot)
    public = make_key_pair("ed25519", comment="test").public

    def launch(cloud: Cloud) -> None:
        source, network = find_source_image(cloud, debian), find_network(cloud, options)
        with interruptible(), ExitStack() as temporary_things:
            name = temporary_things.enter_context(temporary_key_pair(cloud, options, public))
            groups = temporary_things.enter_context(security_groups(cloud, network))
            profile = temporary_things.enter_context(temporary_profile(cloud, options))
            given = {"key_name": name, "group_ids": groups, "profile": profile}
            temporary_things.enter_context(launched(cloud, options, source, network, **given))

    quiet = boto3.Session(region_name="us-east-1")
    for interrupted_at in range(1, 100):
        calls = 0
        cloud = connect(session, build=f"{interrupted_at:016x}", ledger=Ledger(), seconds=3600)
        try:
            launch(cloud)
            break
        except KeyboardInterrupt:
            assert temporary(quiet.client("ec2"), quiet.client("iam")) == set(), interrupted_at
            assert cloud.ledger.leftovers == [], interrupted_at
    assert interrupted_at > 15


def test_what_an_earlier_try_may_have_launched_is_looked_for_whichever_option_is_wrong(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = cloud.ec2._client.run_instances, [LOST, ("InvalidSubnetID.NotFound", "gone")]  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        run(**arguments)
        code, message = said.pop(0)
        raise ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")

    monkeypatch.setattr(cloud.ec2._client, "run_instances", lose)  # type: ignore[attr-defined]
    with pytest.raises(InvalidOption, match="subnet_id: "), launched(cloud, builder(), source):
        pass
    assert states(cloud) == ["terminated"]
