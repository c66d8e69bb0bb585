"""A spot builder: what is asked for, what is said when there is none, and that nothing of it stays."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from amibake.builder import BlockDevice, Builder
from amibake.ec2.access import security_groups, temporary_key_pair
from amibake.ec2.cloud import Cloud
from amibake.ec2.network import Network
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError, InvalidOption, NoCapacity, NotAuthorized
from amibake.ssh.keys import make_key_pair
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from tests.account import temporary
from tests.ec2.support import NOWHERE, Refuse, answers, launched, states, tags, wire
from tests.ec2.support import builder as on_demand


def builder(**options: Any) -> Builder:
    return on_demand(**{"spot_price": "auto", **options})


def of_types(*types: str, **options: Any) -> Builder:
    """A builder of whichever of these types EC2 chooses."""
    return Builder(**{"ami_name": "shop", "spot_price": "auto", "spot_instance_types": types, **options})


def part(call: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The parameters that begin so, without that."""
    return {key.removeprefix(prefix): value for key, value in call.items() if key.startswith(prefix)}


def overrides(call: Mapping[str, str]) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key, value in part(call, "LaunchTemplateConfigs.1.Overrides.").items():
        number, _, name = key.partition(".")
        found.setdefault(number, {})[name] = value
    return [found[number] for number in sorted(found, key=int)]


def test_a_spot_builder_is_launched_reached_and_terminated(cloud: Cloud, source: SourceImage, two: Network) -> None:
    public = make_key_pair("ed25519", comment="test").public
    options = builder(user_data="#!/bin/sh\n", run_volume_tags={"disk": "yes"})
    with (
        temporary_key_pair(cloud, options, public) as name,
        security_groups(cloud, two) as groups,
        launched(cloud, options, source, two, key_name=name, group_ids=groups) as machine,
    ):
        assert machine.is_spot
        found: Any = machine.describe()
        assert found["InstanceLifecycle"] == "spot"
        assert (found["KeyName"], found["SubnetId"]) == (name, two.subnet_ids[0])
        assert [one["GroupId"] for one in found["SecurityGroups"]] == groups
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert tags(found).items() >= cloud.tags.items()
        (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
        assert tags(volume).items() >= {**cloud.tags, "disk": "yes"}.items()
        (interface,) = cloud.ec2.describe_network_interfaces(Filters=cloud.of_this_build())["NetworkInterfaces"]
        assert interface["Attachment"]["InstanceId"] == machine.id
        assert machine.wait_for_address(None)
        machine.check_alive()
    assert states(cloud) == ["terminated"]
    assert (temporary(cloud.ec2), cloud.ledger.leftovers) == (set(), [])


def test_the_template_is_tagged_from_its_first_moment_and_goes(cloud: Cloud, source: SourceImage) -> None:
    with launched(cloud, builder(spot_tags={"kind": "spot"}), source):
        (template,) = cloud.ec2.describe_launch_templates()["LaunchTemplates"]
        assert template["LaunchTemplateName"] == f"amibake-{cloud.build}"
        assert tags(template) == {**cloud.tags, "kind": "spot"}
    assert cloud.ec2.describe_launch_templates()["LaunchTemplates"] == []


def test_the_fleet_asks_for_one_of_all_types_and_subnets(cloud: Cloud, source: SourceImage, two: Network) -> None:
    calls = wire(cloud, "CreateFleet")
    options = of_types(
        "t3.micro",
        "t3a.micro",
        spot_price="0.02",
        spot_allocation_strategy="capacity-optimized-prioritized",
        fleet_tags={"kind": "fleet"},
    )
    with launched(cloud, options, source, two):
        pass
    (call,) = calls
    assert call["Type"] == "instant"
    assert part(call, "TargetCapacitySpecification.") == {
        "TotalTargetCapacity": "1",
        "DefaultTargetCapacityType": "spot",
    }
    assert call["SpotOptions.AllocationStrategy"] == "capacity-optimized-prioritized"
    assert overrides(call) == [
        {"InstanceType": kind, "SubnetId": subnet, "MaxPrice": "0.02", "Priority": priority}
        for kind, priority in (("t3.micro", "0.0"), ("t3a.micro", "1.0"))
        for subnet in two.subnet_ids
    ]
    fleet = part(call, "TagSpecification.1.")
    assert fleet.pop("ResourceType") == "fleet"
    named = {fleet[key]: fleet[key.replace("Key", "Value")] for key in fleet if key.endswith("Key")}
    assert named == {**cloud.tags, "kind": "fleet"}


def test_by_default_ec2_looks_at_price_and_capacity_and_nobody_names_a_price(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "CreateFleet")
    with launched(cloud, builder(availability_zone="us-east-1b"), source) as machine:
        found: Any = machine.describe()
        assert found["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert calls[0]["SpotOptions.AllocationStrategy"] == "price-capacity-optimized"
    assert overrides(calls[0]) == [{"InstanceType": "t3.micro", "AvailabilityZone": "us-east-1b"}]


@pytest.mark.parametrize("strategy", ["capacity-optimized", "lowest-price", "diversified"])
def test_other_strategies_are_passed_on(cloud: Cloud, source: SourceImage, strategy: str) -> None:
    calls = wire(cloud, "CreateFleet")
    with launched(cloud, builder(spot_allocation_strategy=strategy), source):
        pass
    assert calls[0]["SpotOptions.AllocationStrategy"] == strategy


def test_the_template_says_everything_else(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "CreateLaunchTemplate")
    options = builder(
        user_data="#!/bin/sh\n",
        ebs_optimized=True,
        enable_unlimited_credits=False,
        encrypt_boot=True,
        associate_public_ip_address=True,
        placement={"tenancy": "dedicated"},
        launch_block_device_mappings=[BlockDevice("root", volume_size=20)],
    )
    with launched(cloud, options, source):
        (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
        assert (volume["Size"], volume["Encrypted"]) == (20, True)
    data = part(calls[0], "LaunchTemplateData.")
    assert b64decode(data.pop("UserData")) == b"#!/bin/sh\n"
    expected = {
        "ImageId": source.id,
        "EbsOptimized": "true",
        "CreditSpecification.CpuCredits": "standard",
        "Placement.Tenancy": "dedicated",
        "NetworkInterface.1.AssociatePublicIpAddress": "true",
        "NetworkInterface.1.DeviceIndex": "0",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "20",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
        "MetadataOptions.HttpTokens": "required",
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    assert {key: data.get(key) for key in expected} == expected
    assert not [key for key in data if key.startswith(("InstanceType", "InstanceMarket"))]


def test_ipv6_addresses_are_said_of_an_interface(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "CreateLaunchTemplate")
    group = cloud.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    with launched(cloud, builder(ssh_interface="ipv6"), source, group_ids=[group]) as machine:
        found: Any = machine.describe()
        assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]
    data = part(calls[0], "LaunchTemplateData.NetworkInterface.1.")
    assert data == {
        "DeviceIndex": "0",
        "DeleteOnTermination": "true",
        "Ipv6AddressCount": "1",
        "SecurityGroupId.1": group,
    }


def test_when_there_is_no_room_every_type_and_subnet_is_listed(
    cloud: Cloud, source: SourceImage, two: Network, strict: StrictEC2
) -> None:
    one, other = two.subnet_ids
    strict.refuse_launches("InsufficientInstanceCapacity", "none left", subnet_ids=[one])
    strict.refuse_launches("MaxSpotInstanceCountExceeded", "too many", subnet_ids=[other])
    with pytest.raises(NoCapacity) as caught, launched(cloud, builder(), source, two):
        raise AssertionError("not reached")
    assert caught.value.message.splitlines() == [
        "EC2 has no room for the builder:",
        f"  t3.micro in {one}: InsufficientInstanceCapacity: none left",
        f"  t3.micro in {other}: MaxSpotInstanceCountExceeded: too many",
    ]
    assert (temporary(cloud.ec2), cloud.ledger.leftovers) == (set(), [])


def test_another_type_is_taken_where_the_first_is_not_to_be_had(
    cloud: Cloud, source: SourceImage, strict: StrictEC2
) -> None:
    strict.refuse_launches(instance_types=["t3.micro"])
    options = of_types("t3.micro", "t3a.micro")
    with launched(cloud, options, source) as machine:
        found: Any = machine.describe()
        assert found["InstanceType"] == "t3a.micro"
    assert temporary(cloud.ec2) == set()


def test_a_price_that_is_too_low_is_said_to_be(cloud: Cloud, source: SourceImage, strict: StrictEC2) -> None:
    strict.refuse_launches("SpotMaxPriceTooLow")
    with (
        pytest.raises(NoCapacity, match="SpotMaxPriceTooLow") as caught,
        launched(cloud, builder(spot_price="0.002"), source),
    ):
        raise AssertionError("not reached")
    assert 'higher spot_price, or "auto"' in caught.value.hint


@pytest.mark.parametrize(
    ("code", "message", "kind", "said"),
    [
        ("UnauthorizedOperation", "no", NotAuthorized, "CreateFleet: EC2 says UnauthorizedOperation: no (t3.micro)"),
        ("InvalidBlockDeviceMapping", "too small", InvalidOption, "launch_block_device_mappings: CreateFleet"),
        ("InvalidKeyPair.NotFound", "no such key", InvalidOption, "ssh_keypair_name: CreateFleet"),
    ],
)
def test_another_refusal_is_the_right_error(
    cloud: Cloud,
    source: SourceImage,
    two: Network,
    strict: StrictEC2,
    code: str,
    message: str,
    kind: type[AmibakeError],
    said: str,
) -> None:
    strict.refuse_launches(times=1)
    strict.refuse_launches(code, message)
    options = builder(ssh_agent_auth=True, ssh_keypair_name="x")
    with pytest.raises(kind) as caught, launched(cloud, options, source, two):
        raise AssertionError("not reached")
    assert said.partition(" (")[0] in str(caught.value)
    assert temporary(cloud.ec2) == set()


def test_a_fleet_that_says_nothing_at_all_is_an_error(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(cloud, monkeypatch, "create_fleet", {"FleetId": "fleet-1", "Instances": []})
    with pytest.raises(AmibakeError, match="EC2 has launched nothing"), launched(cloud, builder(), source):
        raise AssertionError("not reached")
    assert temporary(cloud.ec2) == set()


def test_what_was_just_made_is_waited_for_each_time_by_another_fleet(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {
        "FleetId": "fleet-1",
        "Errors": [
            {
                "ErrorCode": "InvalidKeyPair.NotFound",
                "ErrorMessage": "no such key",
                "LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": "t3.micro"}},
            }
        ],
    }
    asked = answers(
        cloud, monkeypatch, "create_fleet", ("InvalidLaunchTemplateId.NotFound", "not yet"), unknown, unknown
    )
    with launched(cloud, builder(), source):
        pass
    assert len({one["ClientToken"] for one in asked}) == len(asked) == 4
    assert temporary(cloud.ec2) == set()


@pytest.mark.parametrize("lost", [EndpointConnectionError(endpoint_url="https://ec2"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["create_launch_template", "create_fleet"])
def test_what_was_made_by_a_call_whose_answer_was_lost_goes(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch, call: str, lost: BaseException
) -> None:
    real = getattr(cloud.ec2._client, call)  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        real(**arguments)
        raise lost

    monkeypatch.setattr(cloud.ec2._client, call, lose)  # type: ignore[attr-defined]
    with pytest.raises((AmibakeError, KeyboardInterrupt)), launched(cloud, builder(), source):
        raise AssertionError("not reached")
    assert (temporary(cloud.ec2), cloud.ledger.leftovers) == (set(), [])


def test_a_template_that_is_there_already_is_ours(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cloud.ec2._client.create_launch_template  # type: ignore[attr-defined]

    def twice(**arguments: Any) -> Any:
        real(**arguments)
        return real(**{**arguments, "ClientToken": "another"})

    monkeypatch.setattr(cloud.ec2._client, "create_launch_template", twice)  # type: ignore[attr-defined]
    with launched(cloud, builder(), source):
        pass
    assert temporary(cloud.ec2) == set()


def test_one_of_another_that_has_the_name_stays(cloud: Cloud, source: SourceImage) -> None:
    data: Any = {"ImageId": source.id}
    cloud.ec2.create_launch_template(LaunchTemplateName=f"amibake-{cloud.build}", LaunchTemplateData=data)
    with pytest.raises(AmibakeError, match="AlreadyExists"), launched(cloud, builder(), source):
        raise AssertionError("not reached")
    assert len(cloud.ec2.describe_launch_templates()["LaunchTemplates"]) == 1


def test_the_template_goes_also_when_the_instance_cannot_be_terminated(
    cloud: Cloud, source: SourceImage, refuse: Refuse
) -> None:
    with launched(cloud, builder(), source):
        refuse("terminate_instances", "UnauthorizedOperation")
        refuse("delete_fleets", "UnauthorizedOperation")
    instance, fleet = cloud.ledger.leftovers
    assert "aws ec2 terminate-instances" in instance
    assert "aws ec2 delete-fleets --terminate-instances" in fleet
    assert cloud.ec2.describe_launch_templates()["LaunchTemplates"] == []


def test_who_may_not_terminate_instances_may_delete_fleets_with_them(
    cloud: Cloud, source: SourceImage, refuse: Refuse
) -> None:
    with launched(cloud, builder(), source):
        refuse("terminate_instances", "UnauthorizedOperation")
    assert states(cloud) == ["terminated"]
    assert cloud.ledger.leftovers == []


def test_a_template_that_cannot_be_removed_is_a_leftover(cloud: Cloud, source: SourceImage, refuse: Refuse) -> None:
    with launched(cloud, builder(), source):
        refuse("delete_launch_template", "UnauthorizedOperation")
    (leftover,) = cloud.ledger.leftovers
    assert "aws ec2 delete-launch-template --launch-template-id lt-" in leftover
    assert states(cloud) == ["terminated"]


def test_an_interruption_is_named_as_such(
    cloud: Cloud, source: SourceImage, strict: StrictEC2, clock: FakeClock
) -> None:
    with launched(cloud, builder(), source) as machine:
        machine.wait_for_address(None)
        strict.interrupt(machine.id)
        said = rf"^spot instance {machine.id} was interrupted by EC2 \(Server\.SpotInstanceTermination"
        with pytest.raises(NoCapacity, match=said):
            machine.check_alive()
        clock.sleep(60)
        with pytest.raises(NoCapacity, match=said):
            machine.wait_for_address(None)
    assert (temporary(cloud.ec2), cloud.ledger.leftovers) == (set(), [])


def test_kept_volumes_are_kept_of_a_spot_builder_too(cloud: Cloud, source: SourceImage) -> None:
    kept = BlockDevice("/dev/sdf", volume_size=5, delete_on_termination=False)
    with launched(cloud, builder(launch_block_device_mappings=[kept]), source, NOWHERE):
        pass
    (volume,) = cloud.ec2.describe_volumes()["Volumes"]
    (warning,) = cloud.ledger.warnings
    assert volume["VolumeId"] in warning


@pytest.mark.parametrize("known", [True, False])
def test_one_whose_fleet_was_lost_is_ended_by_it_where_terminating_is_refused(
    cloud: Cloud, source: SourceImage, strict: StrictEC2, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    create = cloud.ec2._client.create_fleet  # type: ignore[attr-defined]

    def lose(**arguments: Any) -> None:
        create(**arguments)
        raise EndpointConnectionError(endpoint_url="here")

    monkeypatch.setattr(cloud.ec2._client, "create_fleet", lose)  # type: ignore[attr-defined]
    if not known:
        monkeypatch.setattr("amibake.ec2.spot.FLEET", "none")
    refusal = strict.refuse("TerminateInstances")
    with pytest.raises(AmibakeError, match="CreateFleet"), launched(cloud, builder(), source):
        pass
    refusal.lift()
    if known:
        assert (states(cloud), cloud.ledger.leftovers) == (["terminated"], [])
        return
    (leftover,) = cloud.ledger.leftovers
    assert "(the fleet that has launched it is not known); remove it with: aws ec2 terminate-instances" in leftover
