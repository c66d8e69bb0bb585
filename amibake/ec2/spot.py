"""A builder on spare capacity: a temporary launch template, and an instant fleet of one spot instance."""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from amibake import waiting
from amibake.builder import Builder
from amibake.builder.spot import AUTO
from amibake.ec2.by_hand import removal
from amibake.ec2.cloud import Cloud, tag_dict, tag_list
from amibake.ec2.fresh import Fresh
from amibake.ec2.refused import is_for_want_of_room, no_capacity, refusal
from amibake.ec2.request import (
    Request,
    credit_specification,
    placement,
    template_network,
    volume_tags,
)
from amibake.ec2.resource import eventually, remove, resource
from amibake.errors import AmibakeError, NotAuthorized

FLEET = "aws:ec2:fleet-id"
STRATEGY = "price-capacity-optimized"
BY_PRIORITY = "capacity-optimized-prioritized"


def template_data(cloud: Cloud, builder: Builder, common: Request, group_ids: list[str]) -> Request:
    """What a launch template says of the builder: all but its type and its place."""
    place = placement(builder, None)
    tags = [*cloud.specification("network-interface"), volume_tags(cloud, builder)]
    data = {
        **common,
        **template_network(builder, group_ids),
        **credit_specification(builder),
        **({"Placement": place} if place else {}),
        "TagSpecifications": tags,
    }
    if "UserData" in data:
        data["UserData"] = b64encode(data["UserData"].encode()).decode()  # RunInstances does that by itself
    return data


def launch_template(cloud: Cloud, builder: Builder, data: Request) -> AbstractContextManager[str]:
    """Make a launch template for this build; yields its id."""
    name = f"amibake-{cloud.build}"
    tags = tag_list({**cloud.tags, **builder.spot_tags})

    def create() -> str:
        return cloud.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=data,  # type: ignore[arg-type]  # built from the options, not from literals
            ClientToken=cloud.build,
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
        )["LaunchTemplate"]["LaunchTemplateId"]

    def find() -> list[str]:
        found = cloud.ec2.describe_launch_templates(Filters=cloud.of_this_build())["LaunchTemplates"]
        return [template["LaunchTemplateId"] for template in found]

    def release(template_id: str) -> None:
        delete = partial(cloud.ec2.delete_launch_template, LaunchTemplateId=template_id)
        remove(cloud, "launch template", template_id, delete)

    return resource(cloud, "launch template", create=create, find=find, release=release)


@contextmanager
def fleets(cloud: Cloud) -> Iterator[list[str]]:
    """For the ids of fleets, which are deleted in the end: EC2 keeps the request of one, also when its instances are
    gone or there were none."""
    made: list[str] = []

    try:
        yield made
    finally:
        for fleet_id in made or _fleets_of_instances(cloud):
            busy = ("unexpectedError",)
            remove(cloud, "fleet", fleet_id, partial(delete_fleets, cloud, [fleet_id]), busy=busy)


def delete_fleets(cloud: Cloud, fleet_ids: Sequence[str]) -> None:
    """Delete fleets, and terminate their instances with them: that takes no permission for TerminateInstances."""
    answer = cloud.ec2.delete_fleets(FleetIds=fleet_ids, TerminateInstances=True)
    for one in answer.get("UnsuccessfulFleetDeletions", ()):
        code = one.get("Error", {}).get("Code", "")
        if code == "fleetNotInDeletableState":  # it is being deleted already
            continue
        error = AmibakeError(f"DeleteFleets: EC2 says {code}: {one.get('Error', {}).get('Message')}")
        error.code = "InvalidFleetId.NotFound" if code == "fleetIdDoesNotExist" else code
        raise error


def delete_those_made(cloud: Cloud, made: Sequence[str]) -> None:
    """Delete the fleets of this build, also where the answer that would have named it was lost."""
    found = made or _fleets_of_instances(cloud)
    if not found:
        raise AmibakeError("the fleet that has launched it is not known")
    delete_fleets(cloud, found)


def _fleets_of_instances(cloud: Cloud) -> list[str]:
    """Where the answer of CreateFleet was lost: DescribeFleets does not list instant ones, but EC2 has put the id on
    their instances."""
    try:
        reservations = cloud.ec2.describe_instances(Filters=cloud.of_this_build())["Reservations"]
    except AmibakeError:
        return []
    tags = [tag_dict(one.get("Tags")) for found in reservations for one in found["Instances"]]
    return sorted({found[FLEET] for found in tags if FLEET in found})


def request_spot(
    cloud: Cloud, builder: Builder, template_id: str, subnet_ids: Sequence[str], fresh: Fresh, made: list[str]
) -> str:
    """One spot instance of whichever type and subnet EC2 chooses; answers with its id. The fleets go into `made`.

    Raises:
        NoCapacity: there is none; the message has every type and subnet and EC2's reason.
    """
    request = fleet_request(cloud, builder, template_id, subnet_ids)
    numbers = itertools.count()  # a fleet that failed fails again when it is asked for by the same token

    def ask() -> str:
        token = f"{cloud.build}-{next(numbers)}"
        answer = cloud.ec2.create_fleet(**request, ClientToken=token)
        made.append(answer["FleetId"])
        cloud.made[answer["FleetId"]] = waiting.clock.now()
        cloud.ledger.owns("fleet", answer["FleetId"], removal(cloud, "fleet", answer["FleetId"]))
        ids = [one for instance in answer.get("Instances", ()) for one in instance.get("InstanceIds", ())]
        if not ids:
            raise _failure(answer.get("Errors", ()))
        return ids[0]

    try:
        return fresh.launch(partial(eventually, cloud, ask, "InvalidLaunchTemplateId.NotFound"))
    except AmibakeError as error:
        raise refusal(error, key_option="ssh_keypair_name") from error


def fleet_request(cloud: Cloud, builder: Builder, template_id: str, subnet_ids: Sequence[str]) -> Request:
    """The CreateFleet request for one spot instance."""
    return {
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "SpotOptions": {"AllocationStrategy": builder.spot_allocation_strategy or STRATEGY},
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template_id, "Version": "$Latest"},
                "Overrides": list(_overrides(builder, subnet_ids)),
            }
        ],
        "TagSpecifications": [
            {"ResourceType": "fleet", "Tags": tag_list({**cloud.tags, **builder.fleet_tags})},
            *cloud.specification("instance"),
        ],
    }


def _overrides(builder: Builder, subnet_ids: Sequence[str]) -> list[Request]:
    overrides: list[Request] = []
    for number, instance_type in enumerate(builder.instance_types):
        for subnet_id in subnet_ids or (None,):
            wanted = {
                "InstanceType": instance_type,
                "SubnetId": subnet_id,
                "AvailabilityZone": builder.availability_zone if subnet_id is None else None,
                "MaxPrice": builder.spot_price if builder.spot_price != AUTO else None,
                "Priority": float(number) if builder.spot_allocation_strategy == BY_PRIORITY else None,
            }
            overrides.append({name: value for name, value in wanted.items() if value is not None})
    return overrides


def _failure(errors: Sequence[Any]) -> AmibakeError:
    """What a fleet without an instance says, as one error: want of room when that is all that is wrong."""
    tries = [(_what(one), one.get("ErrorCode", ""), one.get("ErrorMessage", "")) for one in errors]
    if not tries:
        return AmibakeError("CreateFleet: EC2 has launched nothing and says not why")
    other = [one for one in tries if not is_for_want_of_room(one[1], one[2])]
    if not other:
        return no_capacity(tries)
    what, code, message = other[0]
    said = f"CreateFleet: EC2 says {code}: {message} ({what})"
    error = NotAuthorized(said) if code in ("UnauthorizedOperation", "AuthFailure") else AmibakeError(said)
    error.code = code
    return error


def _what(error: Any) -> str:
    tried = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
    place = tried.get("SubnetId") or tried.get("AvailabilityZone")
    return f"{tried.get('InstanceType', 'any type')}{f' in {place}' if place else ''}"
