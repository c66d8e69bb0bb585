"""Instances: the temporary builder, and what its life looks like from here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from amibake.builder import Builder
from amibake.ec2.cloud import RELEASE, Cloud, missing
from amibake.ec2.refusals import of_an_option
from amibake.ec2.resource import eventually, resource
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError
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
        stop = partial(self.cloud.ec2.stop_instances, InstanceIds=[self.id])
        eventually(self.cloud, stop, "InvalidInstanceID.NotFound")
        deadline = Deadline(600, within=self.cloud.deadline)
        self.wait_until("stopped", deadline=deadline, on_the_way=("running", "stopping"))

    def terminate(self) -> None:
        """End it and wait until it is gone."""
        terminate = partial(self.cloud.ec2.terminate_instances, InstanceIds=[self.id])
        eventually(self.cloud, terminate, "InvalidInstanceID.NotFound", releasing=True)
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


# What EC2 says of a RunInstances request, and which option it is about.
_OPTIONS = {
    "InvalidGroup.NotFound": "security_group_ids",
    "InvalidKeyPair.NotFound": "key_name",
    "InvalidSubnetID.NotFound": "subnet_id",
    "MissingInput": "subnet_id",
    "NoSuchEntity": "iam_instance_profile",
    "Unsupported": "instance_type",
    "VPCIdNotSpecified": "subnet_id",
}


def run_instance(cloud: Cloud, request: Request, *, not_yet: tuple[str, ...] = ()) -> Machine:
    """Launch one instance. The client token makes a repeated call answer with the same one. `not_yet` are EC2's words
    for what the request names and was made just before."""
    run = partial(cloud.ec2.run_instances, **request, MinCount=1, MaxCount=1, ClientToken=cloud.build)
    try:
        answer = eventually(cloud, run, *not_yet)
    except AmibakeError as error:
        raise _of_an_option(error) from error
    return Machine(cloud, answer["Instances"][0]["InstanceId"])


def _of_an_option(error: AmibakeError) -> AmibakeError:
    if error.code == "InvalidParameterValue":
        if "iamInstanceProfile" in error.message:
            return of_an_option(error, {error.code: "iam_instance_profile"})
        if re.search("architecture", error.message):
            return of_an_option(error, {error.code: "instance_type"}, "The type has to suit the image's architecture.")
        if re.search("instance ?type", error.message, re.IGNORECASE):
            return of_an_option(error, {error.code: "instance_type"}, _EVERYWHERE)
    return of_an_option(error, _OPTIONS, _EVERYWHERE if error.code == "Unsupported" else "")


_EVERYWHERE = 'A size that every region offers: instance_type="t3.micro".'


def terminated(
    cloud: Cloud, request: Request, *, not_yet: tuple[str, ...] = (), keep: Callable[[str], bool] = lambda _: False
) -> AbstractContextManager[str]:
    """Launch the one instance of this build; yields its id. At the end of the block it is terminated, unless it is to
    be `keep`t."""

    def create() -> str:
        return run_instance(cloud, request, not_yet=not_yet).id

    def find() -> list[str]:
        reservations = cloud.ec2.describe_instances(Filters=cloud.of_this_build())["Reservations"]
        return [found["InstanceId"] for one in reservations for found in one["Instances"]]

    def release(instance_id: str) -> None:
        by_hand = cloud.command("terminate-instances", "--instance-ids", instance_id)
        cloud.ledger.release("instance", instance_id, Machine(cloud, instance_id).terminate, by_hand)

    return resource(cloud, "instance", create=create, find=find, release=release, keep=keep)


@contextmanager
def builder_instance(
    cloud: Cloud, builder: Builder, source: SourceImage, key_name: str, group_ids: list[str]
) -> Iterator[Machine]:
    """The builder: launched, and terminated in the end, its volumes with it."""
    request: Request = {
        "ImageId": source.id,
        "InstanceType": builder.instance_types[0],
        "KeyName": key_name,
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "optional" if source.is_old else "required", "HttpEndpoint": "enabled"},
        "BlockDeviceMappings": [
            {"DeviceName": device, "Ebs": {"DeleteOnTermination": True}} for device in source.ebs_devices
        ],
        "TagSpecifications": cloud.specification("instance", "volume", "network-interface"),
        **network_placement(next(iter(builder.subnet_id), None), group_ids, public=builder.associate_public_ip_address),
    }
    if builder.user_data is not None:
        request["UserData"] = builder.user_data
    if builder.iam_instance_profile is not None:
        request["IamInstanceProfile"] = {"Name": builder.iam_instance_profile}
    ours = ("InvalidKeyPair.NotFound", *(() if builder.security_group_ids else ("InvalidGroup.NotFound",)))
    with terminated(cloud, request, not_yet=ours) as instance_id:
        yield Machine(cloud, instance_id)


def network_placement(subnet_id: str | None, group_ids: list[str], *, public: bool | None) -> Request:
    """The part of a RunInstances request that says where in the network. A public address, asked for or declined,
    has to be said of an interface, and then everything else as well."""
    subnet = {"SubnetId": subnet_id} if subnet_id is not None else {}
    if public is None:
        return {**subnet, **({"SecurityGroupIds": group_ids} if group_ids else {})}
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": public, "DeleteOnTermination": True, **subnet}
    return {"NetworkInterfaces": [{**interface, **({"Groups": group_ids} if group_ids else {})}]}
