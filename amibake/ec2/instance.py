"""Instances: the temporary builder, and what its life looks like from here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from amibake.builder import Builder
from amibake.ec2.cloud import RELEASE, Cloud, missing
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError, InvalidOption
from amibake.image import BUILD, NAME
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

Request = dict[str, Any]
"""Arguments of RunInstances."""


@dataclass(frozen=True)
class Machine:
    """An instance that we launched."""

    cloud: Cloud
    id: str

    def describe(self) -> InstanceTypeDef | None:
        """What EC2 says of it, or None while it does not know it yet."""
        try:
            reservations = self.cloud.ec2.describe_instances(InstanceIds=[self.id])["Reservations"]
        except AmibakeError as error:
            if missing(error):
                return None
            raise
        return reservations[0]["Instances"][0] if reservations else None

    def check_alive(self) -> None:
        """Raises AmibakeError, with EC2's reason, once the instance is going down or gone."""
        found = self.describe()
        if found and found["State"]["Name"] not in ("pending", "running"):
            raise AmibakeError(f"instance {self.id} is {found['State']['Name']}: {_reason(found)}")

    def wait_for_address(self, which: Literal["public_ip", "private_ip"] | None) -> str:
        """The address to reach it at, once it is running: the public one where it has one, else the private one."""

        def probe() -> str | Pending:
            found = self.describe()
            if found is None:
                return Pending("unknown")
            state = found["State"]["Name"]
            if state != "running":
                if state != "pending":
                    raise AmibakeError(f"instance {self.id} is {state}: {_reason(found)}")
                return Pending(state)
            public, private = found.get("PublicIpAddress", ""), found.get("PrivateIpAddress", "")
            address = {"public_ip": public, "private_ip": private, None: public or private}[which]
            return address or Pending("running, without an address")

        return wait_for(
            f"instance {self.id} to run",
            probe,
            deadline=Deadline(600, within=self.cloud.deadline),
            emit=self.cloud.ledger.emit,
            hint="Without an address of the wanted kind: see associate_public_ip_address and ssh_interface.",
        )

    def wait_until(self, wanted: str, *, deadline: Deadline, on_the_way: tuple[str, ...]) -> None:
        """Wait for a state; raises AmibakeError when it turns into one that does not lead there."""

        def probe() -> Pending | None:
            found = self.describe()
            state = found["State"]["Name"] if found else "terminated"
            if state == wanted:
                return None
            if state in on_the_way:
                return Pending(state)
            raise AmibakeError(f"instance {self.id} is {state} where it should become {wanted}")

        wait_for(f"instance {self.id} to be {wanted}", probe, deadline=deadline, emit=self.cloud.ledger.emit)

    def stop(self) -> None:
        """Shut it down and wait until it is off."""
        self.cloud.ec2.stop_instances(InstanceIds=[self.id])
        deadline = Deadline(600, within=self.cloud.deadline)
        self.wait_until("stopped", deadline=deadline, on_the_way=("running", "stopping"))

    def terminate(self) -> None:
        """End it and wait until it is gone."""
        self.cloud.ec2.terminate_instances(InstanceIds=[self.id])
        anything = ("pending", "running", "stopping", "stopped", "shutting-down")
        self.wait_until("terminated", deadline=Deadline(RELEASE), on_the_way=anything)

    def last_words(self) -> str:
        """Its state and the end of its console, for an error's message; never raises."""
        try:
            found = self.describe()
            state = found["State"]["Name"] if found else "unknown"
            console = self.cloud.ec2.get_console_output(InstanceId=self.id).get("Output", "")
        except AmibakeError as error:
            return f"instance {self.id}: {error.message}"
        tail = "".join(f"\n  {line}" for line in console.splitlines()[-10:])
        return (
            f"instance {self.id} is {state}; its console ends with:{tail}" if tail else f"instance {self.id} is {state}"
        )


def _reason(found: InstanceTypeDef) -> str:
    return found.get("StateReason", {}).get("Message") or found.get("StateTransitionReason") or "no reason given"


def run_instance(cloud: Cloud, request: Request) -> Machine:
    """Launch one instance. The client token makes a repeated call answer with the same one."""
    try:
        answer = cloud.ec2.run_instances(**request, MinCount=1, MaxCount=1, ClientToken=cloud.build)
    except AmibakeError as error:
        if error.code in ("InvalidParameterValue", "Unsupported") and re.search("(?i)instance ?type", error.message):
            raise InvalidOption(
                f"instance_type: {error.message}", hint='A size that every region offers: instance_type="t3.micro".'
            ) from error
        raise
    machine = Machine(cloud, answer["Instances"][0]["InstanceId"])
    cloud.ledger.created("instance", machine.id)
    return machine


@contextmanager
def terminated(cloud: Cloud, *, only_on_failure: bool = False) -> Iterator[Callable[[Request], Machine]]:
    """Yields what launches the one instance of this build. At the end of the block it is terminated, also when the
    answer to RunInstances never came; with `only_on_failure`, when the block is left by an exception."""
    launched: list[Machine] = []

    def launch(request: Request) -> Machine:
        launched.append(run_instance(cloud, request))
        return launched[0]

    def remove() -> None:
        for machine in launched or _instances_of_this_build(cloud):
            machine.terminate()

    failed = True
    try:
        yield launch
        failed = False
    finally:
        if failed or not only_on_failure:
            name = launched[0].id if launched else f"of build {cloud.build}"
            by_hand = (
                cloud.command("terminate-instances", "--instance-ids", name)
                if launched
                else cloud.command("describe-instances", "--filters", f"Name=tag:{BUILD},Values={cloud.build}")
            )
            cloud.ledger.release("instance", name, remove, by_hand)


@contextmanager
def builder_instance(
    cloud: Cloud, builder: Builder, source: SourceImage, key_name: str, group_ids: list[str]
) -> Iterator[Machine]:
    """The builder: launched, and terminated in the end."""
    tags = {NAME: "amibake builder", **builder.run_tags}
    request: Request = {
        "ImageId": source.id,
        "InstanceType": builder.instance_type,
        "KeyName": key_name,
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "optional" if source.is_old else "required", "HttpEndpoint": "enabled"},
        "TagSpecifications": cloud.specification("instance", "volume", "network-interface", **tags),
        **network_placement(builder.subnet_id, group_ids, public=builder.associate_public_ip_address),
    }
    if builder.user_data is not None:
        request["UserData"] = builder.user_data
    if builder.iam_instance_profile is not None:
        request["IamInstanceProfile"] = {"Name": builder.iam_instance_profile}
    with terminated(cloud) as launch:
        yield launch(request)


def network_placement(subnet_id: str | None, group_ids: list[str], *, public: bool | None) -> Request:
    """The part of a RunInstances request that says where in the network. A public address, asked for or declined,
    has to be said of an interface, and then everything else as well."""
    subnet = {"SubnetId": subnet_id} if subnet_id is not None else {}
    if public is None:
        return {**subnet, **({"SecurityGroupIds": group_ids} if group_ids else {})}
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": public, "DeleteOnTermination": True, **subnet}
    return {"NetworkInterfaces": [{**interface, **({"Groups": group_ids} if group_ids else {})}]}


def _instances_of_this_build(cloud: Cloud) -> list[Machine]:
    reservations = cloud.ec2.describe_instances(Filters=cloud.of_this_build())["Reservations"]
    return [Machine(cloud, found["InstanceId"]) for one in reservations for found in one["Instances"]]
