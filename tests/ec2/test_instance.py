"""The builder's life as seen from here, and its end whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine, builder_instance, network_placement, run_instance
from amibake.ec2.source import SourceImage, find_source_image
from amibake.errors import AmibakeError, InvalidOption, NoCapacity, WaitTimeout
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from amibake.waiting import Deadline

Refuse = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def source(cloud: Cloud, debian: str) -> SourceImage:
    return find_source_image(cloud, debian)


@pytest.fixture
def key_name(cloud: Cloud) -> str:
    return cloud.ec2.create_key_pair(KeyName="mine")["KeyName"]


def builder(**options: Any) -> Builder:
    return Builder(**{"ami_name": "shop {{timestamp}}", "instance_type": "t3.micro", **options})


def states(cloud: Cloud) -> list[str]:
    reservations = cloud.ec2.describe_instances()["Reservations"]
    return [one["State"]["Name"] for reservation in reservations for one in reservation["Instances"]]


def test_a_builder_is_tagged_reached_stopped_and_terminated(cloud: Cloud, source: SourceImage, key_name: str) -> None:
    options = builder(user_data="#!/bin/sh\n")
    with builder_instance(cloud, options, source, key_name, []) as machine:
        found = machine.describe()
        assert found is not None
        tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        assert tags["amibake:build"] == cloud.build
        assert int(tags["amibake:expires"]) > 0
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert found["InstanceId"] == machine.id
        assert machine.wait_for_address(None) == machine.wait_for_address("public_ip")
        assert machine.wait_for_address("private_ip")
        machine.check_alive()
        machine.stop()
        assert states(cloud) == ["stopped"]
        with pytest.raises(AmibakeError, match=f"instance {machine.id} is stopped"):
            machine.check_alive()
    assert states(cloud) == ["terminated"]
    assert cloud.ledger.leftovers == []


def test_volumes_are_tagged_too(cloud: Cloud, source: SourceImage, key_name: str) -> None:
    with builder_instance(cloud, builder(), source, key_name, []):
        (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
        assert volume["State"] in ("in-use", "creating")
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_an_instance_whose_answer_was_lost_is_found_and_terminated(
    cloud: Cloud, source: SourceImage, key_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cloud.ec2._client.run_instances  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        run(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.ec2._client, "run_instances", lose)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), builder_instance(cloud, builder(), source, key_name, []):
        raise AssertionError("not reached")
    assert states(cloud) == ["terminated"]


def test_one_that_cannot_be_terminated_is_a_leftover(
    cloud: Cloud, source: SourceImage, key_name: str, refuse: Refuse
) -> None:
    with builder_instance(cloud, builder(), source, key_name, []) as machine:
        refuse("terminate_instances", "UnauthorizedOperation")
    (leftover,) = cloud.ledger.leftovers
    assert leftover.endswith(f"aws ec2 terminate-instances --instance-ids {machine.id} --region us-east-1")


def test_volumes_go_with_the_builder_whatever_the_source_image_says(
    cloud: Cloud, strict: StrictEC2, debian: str, key_name: str, clock: FakeClock
) -> None:
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}
    first = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro", "BlockDeviceMappings": [mapping]})
    clock.sleep(10)
    keeping = cloud.ec2.create_image(InstanceId=first.id, Name="keeps", NoReboot=True)["ImageId"]
    clock.sleep(60)
    source = find_source_image(cloud, keeping)
    other = replace(cloud, build="c" * 16, tags={**cloud.tags, "amibake:build": "c" * 16})
    with builder_instance(other, builder(), source, key_name, []):
        pass
    assert other.ec2.describe_volumes(Filters=other.of_this_build())["Volumes"] == []
    first.terminate()


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        ({"KeyName": "nobody"}, "key_name"),
        ({"SecurityGroupIds": ["sg-00000000"]}, "security_group_ids"),
        ({"SubnetId": "subnet-00000000"}, "subnet_id"),
        ({"InstanceType": "t4g.micro"}, "instance_type"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "iam_instance_profile"),
    ],
)
def test_what_ec2_refuses_of_an_option_is_said_of_the_option(
    cloud: Cloud, debian: str, request_: dict[str, Any], option: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^{option}: RunInstances: EC2 says"):
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro", **request_})


def test_an_unsupported_type_has_the_hint_and_another_refusal_has_none(
    cloud: Cloud, debian: str, refuse: Refuse
) -> None:
    refuse("run_instances", "Unsupported", "The requested configuration is currently not supported.")
    with pytest.raises(InvalidOption, match="instance_type: ") as caught:
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t1.micro"})
    assert "t3.micro" in caught.value.hint
    refuse("run_instances", "InvalidParameterValue", "Value (x) for parameter iamInstanceProfile.name is invalid.")
    with pytest.raises(InvalidOption, match="iam_instance_profile: "):
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t1.micro"})
    refuse("run_instances", "InvalidParameterValue", "something else")
    with pytest.raises(AmibakeError, match="something else") as other:
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t1.micro"})
    assert not isinstance(other.value, InvalidOption)


def test_the_same_build_launches_one_instance_however_often_it_asks(cloud: Cloud, debian: str) -> None:
    request = {"ImageId": debian, "InstanceType": "t3.micro"}
    assert run_instance(cloud, request).id == run_instance(cloud, request).id
    assert len(states(cloud)) == 1


def test_an_instance_type_that_is_not_there_is_the_options_mistake(cloud: Cloud, debian: str) -> None:
    with pytest.raises(InvalidOption, match=r"instance_type: .*'t9\.nano'") as caught:
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t9.nano"})
    assert "t3.micro" in caught.value.hint


def test_no_capacity_is_said_as_such(cloud: Cloud, debian: str, refuse: Refuse) -> None:
    refuse("run_instances", "InsufficientInstanceCapacity")
    with pytest.raises(NoCapacity):
        run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})


def test_one_that_dies_while_it_is_awaited_is_an_error_with_the_reason(cloud: Cloud, debian: str) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    cloud.ec2.terminate_instances(InstanceIds=[machine.id])
    with pytest.raises(AmibakeError, match=rf"instance {machine.id} is shutting-down: .*User initiated"):
        machine.wait_for_address(None)
    with pytest.raises(AmibakeError, match="is shutting-down where it should become running"):
        machine.wait_until("running", deadline=Deadline(60), on_the_way=("pending",))


def test_one_without_an_address_of_the_wanted_kind_times_out(
    cloud: Cloud, debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    running = {"State": {"Name": "running"}, "PrivateIpAddress": "10.0.0.7"}
    monkeypatch.setattr(Machine, "describe", lambda _: running)
    with pytest.raises(WaitTimeout, match="running, without an address") as caught:
        machine.wait_for_address("public_ip")
    assert "ssh_interface" in caught.value.hint
    assert machine.wait_for_address(None) == "10.0.0.7"


def test_one_that_ec2_does_not_know_yet_is_waited_for(
    cloud: Cloud, debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Machine(cloud, "i-00000000000000000").describe() is None
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    known, describe = iter([False, False]), Machine.describe
    monkeypatch.setattr(Machine, "describe", lambda self: describe(self) if next(known, True) else None)
    assert machine.wait_for_address(None)


def test_last_words_have_the_state_and_the_end_of_the_console(
    cloud: Cloud, debian: str, refuse: Refuse, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    console = "\n".join(f"line {number}" for number in range(20))
    monkeypatch.setattr(cloud.ec2._client, "get_console_output", lambda **_: {"Output": console})  # type: ignore[attr-defined]
    words = machine.last_words()
    assert words.startswith(f"instance {machine.id} is running; its console ends with:\n  line 10\n")
    assert words.endswith("line 19")
    monkeypatch.setattr(cloud.ec2._client, "get_console_output", lambda **_: {})  # type: ignore[attr-defined]
    assert machine.last_words() == f"instance {machine.id} is running"
    refuse("get_console_output", "UnauthorizedOperation")
    assert "UnauthorizedOperation" in machine.last_words()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((None, [], None), {}),
        (("subnet-1", ["sg-1"], None), {"SubnetId": "subnet-1", "SecurityGroupIds": ["sg-1"]}),
        (
            ("subnet-1", ["sg-1"], False),
            {
                "NetworkInterfaces": [
                    {
                        "DeviceIndex": 0,
                        "AssociatePublicIpAddress": False,
                        "DeleteOnTermination": True,
                        "SubnetId": "subnet-1",
                        "Groups": ["sg-1"],
                    }
                ]
            },
        ),
    ],
)
def test_a_public_address_is_asked_for_of_an_interface(
    arguments: tuple[str | None, list[str], bool | None], expected: dict[str, Any]
) -> None:
    subnet, groups, public = arguments
    assert network_placement(subnet, groups, public=public) == expected
