"""A bake waits for what EC2 takes, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import amibake
from amibake.strict import Delays
from amibake.testing import Place, exits, in_process
from tests.account import shutting_down, temporary

DELAYS = Delays(running=7, stopped=17, available=41, terminated=9)
"""About what EC2 takes for a small builder."""


@pytest.fixture
def slow() -> Iterator[Place]:
    """An EC2 that takes its time."""
    with in_process(delays=DELAYS) as place:
        yield place
        ec2 = place.session.client("ec2")
        assert temporary(ec2) == set()
        place.clock.sleep(DELAYS.terminated)
        assert shutting_down(ec2) == set()


def bake(place: Place, *lines: str, on_event: Any = None, **options: Any) -> Any:
    given = {"ami_name": "shop {{uuid}}", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    steps = [amibake.Shell(inline=list(lines or ["true"]))]
    return amibake.bake(amibake.Builder(**given), steps, session=place.session, on_event=on_event)


def actions(place: Place, *but: str) -> list[str]:
    """The calls so far, but those that only look, and these."""
    return [one.action for one in place.ec2.requests if not one.action.startswith(("Describe", "Get", *but))]


def test_what_is_temporary_goes_while_the_image_is_made_and_nobody_waits_for_the_end_of_the_builder(
    slow: Place,
) -> None:
    image = bake(slow)
    assert actions(slow) == [
        "ImportKeyPair",
        "CreateSecurityGroup",
        "RunInstances",
        "AuthorizeSecurityGroupIngress",
        "StopInstances",
        "ModifyInstanceAttribute",  # a shutdown of what is launched from the image stops it
        "CreateImage",
        "ModifyInstanceAttribute",  # the group
        "DeleteSecurityGroup",
        "DeleteKeyPair",
        "TerminateInstances",
        "CreateTags",
        "DeleteTags",
    ]
    assert image.timings["remove what is temporary"] == 0
    assert image.leftovers == ()
    assert len(shutting_down(slow.session.client("ec2"))) == 1


def test_the_builder_lives_as_long_as_its_image_is_pending(slow: Place) -> None:
    seen: list[list[str]] = []
    ec2 = slow.session.client("ec2")

    def look(event: amibake.events.Event) -> None:
        if isinstance(event, amibake.events.Removed):
            states = [one["State"] for one in ec2.describe_images(Owners=["self"])["Images"]]
            seen.append([event.kind, *states])

    bake(slow, on_event=look)
    assert seen == [["security group", "pending"], ["key pair", "pending"], ["instance", "available"]]


def test_the_builder_is_moved_to_the_default_group_of_its_own_vpc(slow: Place) -> None:
    ec2 = slow.session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    bake(slow, subnet_id=subnet)
    (default,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    moved = [one.params for one in slow.ec2.requests if "GroupId.1" in one.params and "InstanceId" in one.params]
    assert [one["GroupId.1"] for one in moved] == [default["GroupId"]]


def test_groups_of_the_users_are_left_alone(slow: Place) -> None:
    ec2 = slow.session.client("ec2")
    group = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    from_here = [{"CidrIp": "127.0.0.1/32"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": from_here}]
    )
    image = bake(slow, security_group_ids=[group], shutdown_behavior="stop")
    assert "ModifyInstanceAttribute" not in actions(slow)
    assert image.timings["remove what is temporary"] == 0
    slow.clock.sleep(DELAYS.terminated)
    ec2.delete_security_group(GroupId=group)


@pytest.mark.parametrize("call", ["DescribeSecurityGroups", "ModifyInstanceAttribute"])
def test_who_may_not_move_it_waits_for_its_end_and_nothing_else_is_different(slow: Place, call: str) -> None:
    permitted = slow.ec2.refuse(call)
    image = bake(slow, shutdown_behavior="stop")
    assert (image.warnings, image.leftovers) == ((), ())
    assert actions(slow, "Modify")[-5:-2] == ["TerminateInstances", "DeleteSecurityGroup", "DeleteKeyPair"]
    assert image.timings["remove what is temporary"] >= DELAYS.terminated
    permitted.lift()


def test_volumes_that_outlive_the_builder_are_seen_to_after_its_end(slow: Place) -> None:
    kept = amibake.BlockDevice("sdf", volume_size=1, delete_on_termination=False)
    image = bake(slow, launch_block_device_mappings=[kept])
    (warning,) = image.warnings
    assert "is kept" in warning
    assert image.timings["remove what is temporary"] >= DELAYS.terminated
    ec2 = slow.session.client("ec2")
    for volume in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=volume["VolumeId"])


def test_who_may_not_look_at_volumes_waits_for_the_end_and_is_told(slow: Place) -> None:
    slow.ec2.refuse("DescribeVolumes", times=2)
    image = bake(slow)
    assert [one.partition(" of build")[0] for one in image.leftovers] == ["perhaps volumes"]
    assert image.timings["remove what is temporary"] >= DELAYS.terminated


def test_a_spot_instance_is_terminated_first_and_waited_for(slow: Place) -> None:
    image = bake(slow, spot_price="auto")
    later = actions(slow)[actions(slow).index("CreateImage") + 1 :]
    assert later[:2] == ["TerminateInstances", "DeleteFleets"]
    assert "ModifyInstanceAttribute" not in later
    assert image.timings["remove what is temporary"] >= DELAYS.terminated


def test_when_a_step_fails_the_builder_is_terminated_first_and_the_group_goes_after_its_end(slow: Place) -> None:
    slow.machines.behaviour.on("make it", exits(1))
    with pytest.raises(amibake.ScriptFailed):
        bake(slow, "make it")
    assert actions(slow)[-3:] == ["TerminateInstances", "DeleteSecurityGroup", "DeleteKeyPair"]
    assert shutting_down(slow.session.client("ec2")) == set()


def test_when_the_image_fails_the_builder_is_terminated_after_the_image_has_gone(slow: Place) -> None:
    slow.ec2.fail_images()
    with pytest.raises(amibake.ImageFailed):
        bake(slow)
    later = actions(slow)[actions(slow).index("CreateImage") + 1 :]
    assert later == [
        "ModifyInstanceAttribute",
        "DeleteSecurityGroup",
        "DeleteKeyPair",
        "DeregisterImage",
        "TerminateInstances",
    ]


def test_it_takes_little_longer_than_ec2_does_and_asks_little(slow: Place) -> None:
    before = slow.clock.now()
    bake(slow)
    floor = DELAYS.running + DELAYS.stopped + DELAYS.available  # nothing needs to wait for the termination
    assert slow.clock.now() - before <= floor + 2.5
    assert sum(one.action.startswith("Describe") for one in slow.ec2.requests) <= 60


@pytest.mark.parametrize("by", [0.8, 0.93, 1.04, 1.3])
def test_so_it_is_whatever_ec2_takes(by: float) -> None:
    delays = Delays(**{name: seconds * by for name, seconds in vars(DELAYS).items()})
    floor = delays.running + delays.stopped + delays.available
    with in_process(delays=delays) as place:
        before = place.clock.now()
        bake(place)
        assert place.clock.now() - before <= floor + 2.5 * max(by, 1)


def test_an_image_that_takes_long_is_asked_about_gently() -> None:
    with in_process(delays=Delays(running=7, stopped=17, available=2400, terminated=9)) as place:
        before = place.clock.now()
        bake(place)
        asked = [one for one in place.ec2.requests if one.action == "DescribeImages"]
        assert len(asked) < 300
        assert place.clock.now() - before <= 2400 + 24 + 17


def test_ssh_is_tried_as_soon_as_there_is_an_address(slow: Place) -> None:
    tried: list[tuple[str, float]] = []
    real, ec2 = slow.machines.dial, slow.session.client("ec2")

    def dial(*given: Any, **more: Any) -> Any:
        (found,) = ec2.describe_instances()["Reservations"][0]["Instances"]
        tried.append((found["State"]["Name"], slow.clock.now()))
        return real(*given, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("amibake.ssh.dial.dial", dial)
        bake(slow)
    assert tried[0] == ("pending", 0)
    assert next(at for state, at in tried if state == "running") <= DELAYS.running + 0.3


def test_the_time_for_getting_in_begins_when_the_builder_runs() -> None:
    with in_process(delays=Delays(running=400)) as place:
        bake(place)
        assert sum(one.action == "DescribeInstances" for one in place.ec2.requests) < 30


def test_one_that_is_pending_for_ever_is_given_up() -> None:
    with in_process(delays=Delays(running=9999)) as place:
        with pytest.raises(amibake.SSHTimeout):
            bake(place)
        assert 600 < place.clock.now() < 600 + 300 + 200  # it is looked at ever less often


def test_one_that_lets_us_in_before_ec2_says_that_it_runs_is_stopped_once_it_does(slow: Place) -> None:
    slow.machines.boots = lambda _: False
    before = slow.clock.now()
    bake(slow)
    assert actions(slow).count("StopInstances") == 2
    floor = DELAYS.running + DELAYS.stopped + DELAYS.available
    assert slow.clock.now() - before <= floor + 2.5


def test_so_it_is_where_ec2_does_not_know_at_once_what_it_has_said(slow: Place) -> None:
    slow.machines.boots = lambda _: False
    slow.ec2.refuse("StopInstances", "IncorrectInstanceState", times=3)
    bake(slow)
    assert actions(slow).count("StopInstances") == 4


def test_so_is_a_spot_instance_imaged(slow: Place) -> None:
    slow.machines.boots = lambda _: False
    bake(slow, spot_price="auto")
    assert actions(slow).count("CreateImage") == 1


def test_a_builder_that_nobody_gets_into_runs_before_it_is_stopped(slow: Place) -> None:
    image = bake_without_ssh(slow)
    assert actions(slow).count("StopInstances") == 1
    assert image.timings["launch the builder"] >= DELAYS.running


def bake_without_ssh(place: Place) -> Any:
    given: dict[str, Any] = {"ami_name": "shop {{uuid}}", "source_ami": place.source_ami, "instance_type": "t3.micro"}
    return amibake.bake(amibake.Builder(**given, communicator="none"), session=place.session)
