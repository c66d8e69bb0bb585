"""What hangs on the stopped builder, taken off it while its image is made, so that nobody has to wait for its end."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import UNKNOWN, Machine
from amibake.ec2.resource import eventually
from amibake.errors import AmibakeError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceBlockDeviceMappingTypeDef, InstanceTypeDef


def set_free(machine: Machine, builder: Builder, seen: InstanceTypeDef | None) -> bool:
    """Take the stopped builder out of its temporary security group, and into the default one of its VPC, where it is
    never started again; `seen` is what EC2 has said of it. Answers with whether the group, and all else that was made
    for the builder, can be removed now.

    Where its volumes go with it, too, nobody needs to wait until it is terminated. No is as good an answer, also for
    whoever may not make these calls: then everything is removed after the builder's end.
    """
    if machine.is_spot:  # one runs, and would be let at by those whom the default group lets in
        return False
    cloud = machine.cloud
    try:
        if builder.has_temporary_group:
            _move(cloud, machine.id, (seen or {}).get("VpcId", ""))
        if _takes_its_volumes(cloud, (seen or {}).get("BlockDeviceMappings", ())):
            cloud.unwatched.add(machine.id)
    except AmibakeError:
        return False
    return True


def _move(cloud: Cloud, instance_id: str, vpc_id: str) -> None:
    wanted = {"vpc-id": vpc_id, "group-name": "default"}
    found = cloud.ec2.describe_security_groups(
        Filters=[{"Name": name, "Values": [value]} for name, value in wanted.items()]
    )["SecurityGroups"]
    groups = [group["GroupId"] for group in found]
    modify = partial(cloud.ec2.modify_instance_attribute, InstanceId=instance_id, Groups=groups)
    eventually(cloud, modify, UNKNOWN)


def _takes_its_volumes(cloud: Cloud, attached: Iterable[InstanceBlockDeviceMappingTypeDef]) -> bool:
    """Whether every volume of this build is deleted by EC2 with the builder that these are attached to."""
    going = {one["Ebs"]["VolumeId"] for one in attached if one.get("Ebs", {}).get("DeleteOnTermination")}
    volumes = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
    return going.issuperset(volume["VolumeId"] for volume in volumes)
