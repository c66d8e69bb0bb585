"""An instance's life as seen from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amibake import waiting
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine, run_instance
from amibake.ec2.request import network_placement
from amibake.errors import AmibakeError, InvalidOption, NoCapacity, WaitTimeout
from amibake.testing.clock import FakeClock
from amibake.waiting import Deadline
from tests.ec2.support import Refuse, builder, states


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


RUNNING = {
    "InstanceId": "i-1",
    "State": {"Name": "running"},
    "PublicIpAddress": "203.0.113.7",
    "PrivateIpAddress": "10.0.0.7",
    "PublicDnsName": "ec2-203-0-113-7.compute-1.amazonaws.com",
    "PrivateDnsName": "ip-10-0-0-7.ec2.internal",
    "NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "2001:db8::7"}]}],
}


@pytest.mark.parametrize(
    ("which", "prefer_private", "address"),
    [
        (None, False, "203.0.113.7"),
        (None, True, "10.0.0.7"),
        ("public_ip", True, "203.0.113.7"),
        ("private_ip", False, "10.0.0.7"),
        ("public_dns", False, "ec2-203-0-113-7.compute-1.amazonaws.com"),
        ("private_dns", False, "ip-10-0-0-7.ec2.internal"),
        ("ipv6", False, "2001:db8::7"),
        ("instance_id", False, "i-1"),
    ],
)
def test_each_interface_is_an_address(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, which: Any, prefer_private: bool, address: str
) -> None:
    monkeypatch.setattr(Machine, "describe", lambda _: RUNNING)
    assert Machine(cloud, "i-1").wait_for_address(which, prefer_private=prefer_private) == address


@pytest.mark.parametrize("wait", [Machine.check_alive, lambda one: one.wait_for_address(None), Machine.stop])
def test_an_interruption_of_a_spot_instance_is_named_as_such(
    cloud: Cloud, debian: str, monkeypatch: pytest.MonkeyPatch, wait: Callable[[Machine], object]
) -> None:
    machine = replace(run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"}), is_spot=True)
    code = "Server.SpotInstanceTermination"
    gone = {
        "State": {"Name": "shutting-down"},
        "StateReason": {"Code": code, "Message": f"{code}: Spot instance termination"},
    }
    monkeypatch.setattr(Machine, "describe", lambda _: gone)
    monkeypatch.setattr(cloud.ec2._client, "stop_instances", lambda **_: {})  # type: ignore[attr-defined]
    with pytest.raises(NoCapacity, match=rf"^spot instance {machine.id} was interrupted by EC2 \({code}") as caught:
        wait(machine)
    assert "spot_instance_types" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("Server.InsufficientInstanceCapacity", NoCapacity, "another instance type"),
        ("Client.InternalError", AmibakeError, "kms_key_id"),
        ("Client.VolumeLimitExceeded", AmibakeError, ""),
    ],
)
def test_a_launch_that_fails_later_says_why(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[AmibakeError], hint: str
) -> None:
    gone = {"State": {"Name": "terminated"}, "StateReason": {"Code": code, "Message": f"{code}: no"}}
    monkeypatch.setattr(Machine, "describe", lambda _: gone)
    with pytest.raises(AmibakeError, match=f"instance i-1 is terminated: {code}: no") as caught:
        Machine(cloud, "i-1").wait_for_address(None)
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert bool(hint) == bool(caught.value.hint)


def test_a_builder_that_switches_itself_off_is_waited_for(cloud: Cloud, debian: str, clock: FakeClock) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    states_to_come = iter(["running"] * 300)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if next(states_to_come, None) is None:
            cloud.ec2.stop_instances(InstanceIds=[machine.id])

    watched = SimpleNamespace(now=clock.now, epoch=clock.epoch, waited=clock.waited, sleep=sleep)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(waiting, "clock", watched)
        machine.wait_until_stopped_by_itself()
    assert states(cloud) == ["stopped"]
    assert clock.now() > 1000


def test_one_that_does_not_switch_itself_off_is_not_waited_for_longer_than_the_bake(
    cloud: Cloud, debian: str, clock: FakeClock
) -> None:
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    with pytest.raises(WaitTimeout, match=r"to be stopped: not after .* last seen: running"):
        machine.wait_until_stopped_by_itself()
    assert clock.now() == pytest.approx(cloud.deadline.seconds, abs=1)


def test_the_image_gets_its_attributes_from_the_stopped_builder(cloud: Cloud, debian: str, clock: FakeClock) -> None:
    group = cloud.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    request = {
        "ImageId": debian,
        "InstanceType": "t3.micro",
        "SecurityGroupIds": [group],
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    machine = run_instance(cloud, request)
    clock.sleep(10)
    machine.stop()
    machine.prepare_for_image(builder(shutdown_behavior="terminate", ena_support=False, sriov_support=True))
    found = machine.describe()
    assert found is not None
    assert (found["EnaSupport"], found["SriovNetSupport"]) == (False, "simple")
    behaviour = cloud.ec2.describe_instance_attribute(
        InstanceId=machine.id, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]


def test_an_image_that_asks_for_nothing_changes_nothing_on_the_builder(cloud: Cloud, refuse: Refuse) -> None:
    asked = refuse("modify_instance_attribute", "IncorrectInstanceState")
    Machine(cloud, "i-1").prepare_for_image(builder(shutdown_behavior="stop"))
    assert asked == []


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
    found = machine.describe()
    assert found
    state = f"instance {machine.id} is running, with the public address {found['PublicIpAddress']}; its console"
    console = "\r\n".join(f"\x1b[0;32mline\x1b[0m {number}\n\n" for number in range(40))

    def older(**asked: Any) -> dict[str, str]:
        if asked.get("Latest"):
            raise ClientError({"Error": {"Code": "UnsupportedOperation", "Message": "no"}}, "GetConsoleOutput")
        return {"Output": console}

    def newer(**asked: Any) -> dict[str, str]:
        return {"Output": f"{console}latest" if asked.get("Latest") else console}

    for say, last in ((newer, "latest"), (older, "line 39")):
        monkeypatch.setattr(cloud.ec2._client, "get_console_output", say)  # type: ignore[attr-defined]
        words = machine.last_words().splitlines()
        assert words[0] == f"{state} ends with:"
        assert (len(words), words[-1]) == (21, f"  {last}")
    monkeypatch.setattr(cloud.ec2._client, "get_console_output", lambda **_: {})  # type: ignore[attr-defined]
    assert machine.last_words() == f"{state} shows nothing, which it does late"
    with monkeypatch.context() as private:
        private.setattr(Machine, "describe", lambda _: {"State": {"Name": "running"}})
        assert "is running, with no public address; " in machine.last_words()
    refuse("get_console_output", "UnauthorizedOperation")
    words_without = machine.last_words()
    assert words_without.startswith(f"{state} can't be read: ")
    assert "UnauthorizedOperation" in words_without
    refuse("describe_instances", "UnauthorizedOperation")
    assert machine.last_words().startswith(f"instance {machine.id}: ")
    assert not machine.requires_tokens()


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
        (
            (None, [], True),
            {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}]},
        ),
    ],
)
def test_a_public_address_is_asked_for_of_an_interface(
    arguments: tuple[str | None, list[str], bool | None], expected: dict[str, Any]
) -> None:
    subnet, groups, public = arguments
    assert network_placement(subnet, groups, public=public) == expected
