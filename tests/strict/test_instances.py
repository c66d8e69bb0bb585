"""The life of an instance, as clients see it and as its machine is told."""

from __future__ import annotations

from typing import Any

import pytest

from amibake.strict import Delays


def changes(answer: Any) -> list[tuple[str, str]]:
    """(PreviousState, CurrentState) of each instance of a Start-, Stop- or TerminateInstances answer."""
    listed = next(value for key, value in answer.items() if key.endswith("Instances"))
    return [(each["PreviousState"]["Name"], each["CurrentState"]["Name"]) for each in listed]


class TestStates:
    @pytest.fixture
    def delays(self) -> Delays:
        return Delays(running=5, stopped=7, terminated=3)

    def test_each_is_shown_for_its_time(self, cloud: Any) -> None:
        answer = cloud.ec2.run_instances(ImageId=cloud.image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
        (started,) = answer["Instances"]
        instance = started["InstanceId"]
        assert started["State"] == {"Code": 0, "Name": "pending"}
        cloud.shop.now += 4.9
        assert cloud.state(instance) == "pending"
        cloud.shop.now += 0.2
        assert cloud.state(instance) == "running"

        assert changes(cloud.ec2.stop_instances(InstanceIds=[instance])) == [("running", "stopping")]
        cloud.shop.now += 6.9
        assert cloud.state(instance) == "stopping"
        cloud.shop.now += 0.2
        assert cloud.state(instance) == "stopped"
        assert cloud.instance(instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"

        assert changes(cloud.ec2.start_instances(InstanceIds=[instance])) == [("stopped", "pending")]
        assert cloud.state(instance) == "pending"
        cloud.shop.now += 5
        assert cloud.state(instance) == "running"

        assert changes(cloud.ec2.terminate_instances(InstanceIds=[instance])) == [("running", "shutting-down")]
        assert cloud.state(instance) == "shutting-down"
        cloud.shop.now += 3
        assert cloud.state(instance) == "terminated"

    def test_without_delays_lasts_as_long_as_the_machine_works(self, cloud: Any) -> None:
        cloud.shop.closed = True
        instance = cloud.run()
        cloud.shop.now += 100
        assert cloud.state(instance) == "pending"
        cloud.shop.work()
        assert cloud.state(instance) == "running"

    def test_filters_and_status_follow_the_shown_state(self, cloud: Any) -> None:
        instance = cloud.run()
        pending = [{"Name": "instance-state-name", "Values": ["pending"]}]
        assert cloud.ec2.describe_instances(Filters=pending)["Reservations"]
        assert cloud.ec2.describe_instance_status()["InstanceStatuses"] == []
        cloud.shop.now += 5
        assert not cloud.ec2.describe_instances(Filters=pending)["Reservations"]
        assert [s["InstanceId"] for s in cloud.ec2.describe_instance_status()["InstanceStatuses"]] == [instance]

    def test_pending_cannot_be_stopped_or_rebooted(self, cloud: Any) -> None:
        instance = cloud.run()
        assert cloud.refusal("stop_instances", InstanceIds=[instance])[0] == "IncorrectInstanceState"
        assert cloud.refusal("reboot_instances", InstanceIds=[instance])[0] == "IncorrectInstanceState"
        assert changes(cloud.ec2.start_instances(InstanceIds=[instance])) == [("pending", "pending")]

    def test_stopping_cannot_be_started_and_is_not_stopped_twice(self, cloud: Any) -> None:
        instance = cloud.run()
        cloud.shop.now += 5
        cloud.ec2.stop_instances(InstanceIds=[instance])
        code, message = cloud.refusal("start_instances", InstanceIds=[instance])
        assert code == "IncorrectInstanceState"
        assert instance in message
        assert changes(cloud.ec2.stop_instances(InstanceIds=[instance])) == [("stopping", "stopping")]
        assert len(cloud.machines.told("stop")) == 1


def test_terminated_can_do_nothing_more(cloud: Any) -> None:
    instance = cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    for operation in ("start_instances", "stop_instances", "reboot_instances"):
        assert cloud.refusal(operation, InstanceIds=[instance])[0] == "IncorrectInstanceState"
    modified = {"InstanceId": instance, "InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
    assert cloud.refusal("modify_instance_attribute", **modified)[0] == "IncorrectInstanceState"
    assert changes(cloud.ec2.terminate_instances(InstanceIds=[instance])) == [("terminated", "terminated")]
    assert len(cloud.machines.told("terminate")) == 1


def test_stopped_and_running_are_no_mistake(cloud: Any) -> None:
    instance = cloud.run()
    assert changes(cloud.ec2.start_instances(InstanceIds=[instance])) == [("running", "running")]
    cloud.ec2.stop_instances(InstanceIds=[instance])
    assert changes(cloud.ec2.stop_instances(InstanceIds=[instance])) == [("stopped", "stopped")]


def test_all_or_none(cloud: Any) -> None:
    gone, running = cloud.run(), cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[gone])
    assert cloud.refusal("stop_instances", InstanceIds=[running, gone])[0] == "IncorrectInstanceState"
    assert cloud.state(running) == "running"
    assert cloud.refusal("stop_instances", InstanceIds=[running], DryRun=True)[0] == "DryRunOperation"


def test_stop_ignores_the_shutdown_behaviour_and_can_be_forced(cloud: Any) -> None:
    instance = cloud.run(InstanceInitiatedShutdownBehavior="terminate")
    cloud.ec2.stop_instances(InstanceIds=[instance], Force=True)
    assert cloud.state(instance) == "stopped"
    assert cloud.machines.told("stop") == [("stop", instance, True)]


def test_stop_protection_and_spot(cloud: Any) -> None:
    protected = cloud.run(DisableApiStop=True)
    assert cloud.refusal("stop_instances", InstanceIds=[protected])[0] == "OperationNotPermitted"
    spot = cloud.run(InstanceMarketOptions={"MarketType": "spot"})
    assert cloud.instance(spot)["InstanceLifecycle"] == "spot"
    code, message = cloud.refusal("stop_instances", InstanceIds=[spot])
    assert code == "UnsupportedOperation"
    assert "one-time" in message


def test_reboot_restarts_the_machine_and_stays_running(cloud: Any) -> None:
    instance = cloud.run()
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    assert cloud.machines.told("reboot") == [("reboot", instance)]
    assert cloud.state(instance) == "running"


def test_addresses_are_the_machines(cloud: Any) -> None:
    cloud.shop.closed = True
    instance = cloud.run()
    assert "PublicIpAddress" not in cloud.instance(instance)
    assert "PrivateIpAddress" not in cloud.instance(instance)
    cloud.shop.work()
    shown = cloud.instance(instance)
    assert (shown["PublicIpAddress"], shown["PrivateIpAddress"]) == ("10.1.0.1", "10.1.0.1")
    assert shown["NetworkInterfaces"][0]["PrivateIpAddress"] == "10.1.0.1"
    assert shown["PublicDnsName"] == "ec2-10-1-0-1.compute-1.amazonaws.com"
    assert shown["PrivateDnsName"] == "ip-10-1-0-1.ec2.internal"

    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.shop.work()
    shown = cloud.instance(instance)
    assert "PublicIpAddress" not in shown
    assert shown["PrivateIpAddress"] == "10.1.0.1"

    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.shop.work()
    assert cloud.instance(instance)["PublicIpAddress"] == "10.2.0.1"
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.shop.work()
    assert not {"PublicIpAddress", "PrivateIpAddress"} & set(cloud.instance(instance))


def test_no_public_address_where_none_is_wanted(cloud: Any) -> None:
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": False}
    shown = cloud.instance(cloud.run(NetworkInterfaces=[interface]))
    assert "PublicIpAddress" not in shown
    assert shown["PrivateIpAddress"] == "10.1.0.1"


def test_a_launch_that_fails(cloud: Any) -> None:
    cloud.machines.broken = {"run"}
    instance = cloud.run()
    shown = cloud.instance(instance)
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateReason"]["Code"] == "Server.InternalError"
    assert "run is broken" in shown["StateTransitionReason"]
    assert cloud.machines.told() == [("run", instance), ("terminate", instance)]
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_a_start_that_fails_leaves_it_stopped(cloud: Any) -> None:
    instance = cloud.run()
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.machines.broken = {"start"}
    cloud.ec2.start_instances(InstanceIds=[instance])
    assert cloud.state(instance) == "stopped"
    assert cloud.instance(instance)["StateReason"]["Code"] == "Server.InternalError"
    cloud.machines.broken = set()
    cloud.ec2.start_instances(InstanceIds=[instance])
    assert cloud.state(instance) == "running"


@pytest.mark.parametrize(("operation", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_machine_that_does_not_go_down_is_given_up(cloud: Any, operation: str, state: str) -> None:
    instance = cloud.run()
    cloud.machines.broken = {operation}
    getattr(cloud.ec2, f"{operation}_instances")(InstanceIds=[instance])
    shown = cloud.instance(instance)
    assert shown["State"]["Name"] == state
    assert f"{operation} is broken" in shown["StateTransitionReason"]


def test_a_reboot_that_fails_is_not_seen(cloud: Any) -> None:
    instance = cloud.run()
    cloud.machines.broken = {"reboot"}
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    assert cloud.state(instance) == "running"


def test_terminated_while_it_boots(cloud: Any) -> None:
    cloud.shop.closed = True
    instance = cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    assert cloud.state(instance) == "shutting-down"
    cloud.shop.work()
    assert cloud.state(instance) == "terminated"
    assert cloud.machines.told() == [("run", instance), ("terminate", instance)]


class TestPowerOff:
    def power_off(self, cloud: Any, instance: str, *, rebooting: bool = False) -> None:
        assert cloud.machines.on_power_off
        cloud.machines.on_power_off(instance, rebooting)

    @pytest.mark.parametrize(("behaviour", "state"), [("stop", "stopped"), ("terminate", "terminated")])
    def test_does_what_the_behaviour_says(self, cloud: Any, behaviour: str, state: str) -> None:
        instance = cloud.run(InstanceInitiatedShutdownBehavior=behaviour)
        self.power_off(cloud, instance)
        shown = cloud.instance(instance)
        assert shown["State"]["Name"] == state
        assert shown["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        assert cloud.machines.told("terminate", "stop") == [("terminate", instance)] * (state == "terminated")

    def test_a_modified_behaviour_counts(self, cloud: Any) -> None:
        instance = cloud.run()
        wanted = {"Value": "terminate"}
        cloud.ec2.modify_instance_attribute(InstanceId=instance, InstanceInitiatedShutdownBehavior=wanted)
        self.power_off(cloud, instance)
        assert cloud.state(instance) == "terminated"

    def test_a_reboot_stays_running(self, cloud: Any) -> None:
        instance = cloud.run()
        self.power_off(cloud, instance, rebooting=True)
        assert cloud.state(instance) == "running"

    def test_of_a_machine_that_was_told_to_stop_changes_nothing(self, cloud: Any) -> None:
        instance = cloud.run(InstanceInitiatedShutdownBehavior="terminate")
        cloud.ec2.stop_instances(InstanceIds=[instance])
        self.power_off(cloud, instance)
        self.power_off(cloud, "i-00000000000000000")
        assert cloud.state(instance) == "stopped"


class TestConsole:
    def test_is_what_the_machine_wrote(self, cloud: Any) -> None:
        instance = cloud.run()
        assert cloud.ec2.get_console_output(InstanceId=instance)["Output"].endswith(f"{instance} hvc0 – login:")

    def test_is_empty_before_and_after(self, cloud: Any) -> None:
        cloud.shop.closed = True
        instance = cloud.run()
        assert cloud.ec2.get_console_output(InstanceId=instance)["Output"] == ""
        cloud.ec2.terminate_instances(InstanceIds=[instance])
        cloud.shop.work()
        assert cloud.ec2.get_console_output(InstanceId=instance)["Output"] == ""
        assert cloud.refusal("get_console_output", InstanceId="i-1234567890abcdef0")[0] == "InvalidInstanceID.NotFound"


class TestModify:
    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("EnaSupport", False),
            ("SriovNetSupport", "none"),
        ],
    )
    def test_what_moto_drops_is_stored(self, cloud: Any, attribute: str, value: Any) -> None:
        instance = cloud.run()
        groups = cloud.instance(instance)["SecurityGroups"]
        assert groups
        cloud.ec2.stop_instances(InstanceIds=[instance])
        cloud.ec2.modify_instance_attribute(InstanceId=instance, **{attribute: {"Value": value}})
        name = attribute[0].lower() + attribute[1:]
        described = cloud.ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)
        assert described[attribute] == {"Value": value}
        assert cloud.instance(instance)["SecurityGroups"] == groups

    def test_the_other_form_works_too(self, cloud: Any) -> None:
        instance = cloud.run()
        request = {"InstanceId": instance, "Attribute": "instanceInitiatedShutdownBehavior", "Value": "terminate"}
        cloud.ec2.modify_instance_attribute(**request)
        described = cloud.ec2.describe_instance_attribute(InstanceId=instance, Attribute=request["Attribute"])
        assert described["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}

    def test_the_type_needs_a_stopped_instance(self, cloud: Any) -> None:
        instance = cloud.run()
        request = {"InstanceId": instance, "InstanceType": {"Value": "t3.small"}}
        assert cloud.refusal("modify_instance_attribute", **request)[0] == "IncorrectInstanceState"
        cloud.ec2.stop_instances(InstanceIds=[instance])
        cloud.ec2.modify_instance_attribute(**request)
        assert cloud.instance(instance)["InstanceType"] == "t3.small"

    def test_nonsense_is_refused(self, cloud: Any) -> None:
        instance = cloud.run()
        refused = cloud.refusal(
            "modify_instance_attribute", InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "explode"}
        )
        assert refused[0] == "InvalidParameterValue"
        assert cloud.refusal("modify_instance_attribute", InstanceId=instance)[0] == "InvalidParameterCombination"
        two = {"EnaSupport": {"Value": True}, "SourceDestCheck": {"Value": False}}
        code, _ = cloud.refusal("modify_instance_attribute", InstanceId=instance, **two)
        assert code == "InvalidParameterCombination"
        behaviour = {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
        dry = cloud.refusal("modify_instance_attribute", InstanceId=instance, DryRun=True, **behaviour)
        assert dry[0] == "DryRunOperation"
