"""What is in the account after a bake: the image, and what was left, which the commands told have to remove."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

import amibake
from amibake.testing import Place
from tests.account import temporary
from tests.faults.scenarios import PROFILE, REGIONS, Scenario


@lru_cache(maxsize=4)
def _client(session: Any, service: str, region: str) -> Any:
    return session.client(service, region_name=region)


def ec2(place: Place, region: str = REGIONS[0]) -> Any:
    """A client."""
    return _client(place.session, "ec2", region)


def images(place: Place, region: str = REGIONS[0]) -> list[Any]:
    found: list[Any] = ec2(place, region).describe_images(Owners=["self"])["Images"]
    return found


def left(place: Place, scenario: Scenario | None = None) -> set[str]:
    """Everything temporary: wherever that scenario makes anything, or everywhere."""
    regions = scenario.regions if scenario else REGIONS
    iam = _client(place.session, "iam", REGIONS[0]) if scenario in (None, PROFILE) else None
    return {each for region in regions for each in temporary(ec2(place, region), iam)}


def check_published(place: Place, image: amibake.Image, scenario: Scenario) -> None:
    """The image is there, once in each region, and published."""
    assert set(image.ids) == set(scenario.regions), f"in {set(image.ids)}"
    for region in scenario.regions:
        found = {one["ImageId"]: one for one in images(place, region)}
        assert set(found) == {image.ids[region]}, f"{set(found)} in {region} instead of {image.ids[region]}"
        for one in found.values():
            assert is_published(one), f"{one['ImageId']} is {one['State']}: {one['Tags']}"


def is_published(image: Any) -> bool:
    """Whether it can be used, and says so."""
    return image["State"] == "available" and {"Key": "amibake:state", "Value": "published"} in image["Tags"]


def remove_images(place: Place, scenario: Scenario | None = None) -> None:
    """Make room for the next bake."""
    for region in scenario.regions if scenario else REGIONS:
        client = ec2(place, region)
        for image in images(place, region):
            if image.get("DeregistrationProtection", "disabled") != "disabled":
                client.disable_image_deregistration_protection(ImageId=image["ImageId"])
            client.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    place.clock.sleep(1)


def commands(notes: Iterable[str]) -> list[str]:
    """What leftovers and warnings tell to do by hand, but for what only looks whether there is something."""
    found = [note.partition("remove them with: ")[2] or note.partition("remove it with: ")[2] for note in notes]
    return [command for command in found if command and not re.match(r"aws \w+ (describe|get)-", command)]


def follow(place: Place, told: list[str]) -> None:
    """Do by hand what the leftovers say. Each command is there once, and has something to do."""
    assert len(set(told)) == len(told), told
    place.clock.sleep(60)  # it takes a person some time, in which a pending image gets to list its snapshots
    for each in told:
        for command in each.split(" && "):
            _do(place, command)
        place.clock.sleep(60)


def mark(place: Place, notes: Iterable[str]) -> None:
    """Mark as published what could not be: it counts already, since its home does."""
    for note in notes:
        _, found, command = note.partition("mark it with: ")
        for each in command.split(" && ") if found else ():
            _do(place, each)


def remove_perhaps(place: Place, notes: Iterable[str]) -> None:
    """Delete the snapshots of which it is said that they are perhaps left: what they are of could not be seen."""
    for note in notes:
        if "describe-snapshots --snapshot-ids" in note:
            for snapshot in sorted(set(re.findall(r"snap-[0-9a-f]+", note))):
                with suppress(ClientError):  # or it is some image's after all
                    ec2(place).delete_snapshot(SnapshotId=snapshot)


def _do(place: Place, command: str) -> None:
    program, service, operation, *words = shlex.split(command)
    assert program == "aws"
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            options[word[2:]] = []
        else:
            options[list(options)[-1]].append(word)
    client: Any = place.session.client(service, region_name=options.pop("region", [REGIONS[0]])[0])
    name = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
    arguments = dict(_argument(model.input_shape.members, option, values) for option, values in options.items())
    _check_there(client, arguments)
    try:
        getattr(client, name)(**arguments)
    except ClientError as error:
        raise AssertionError(f"{command}: {error}") from error


def _check_there(client: Any, arguments: dict[str, Any]) -> None:
    """What EC2 would "remove" without a word though it is gone."""
    for instance in arguments.get("InstanceIds", ()):
        found = client.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        assert found["State"]["Name"] not in ("shutting-down", "terminated"), f"{instance} is gone"
    if "KeyName" in arguments:
        assert client.describe_key_pairs(KeyNames=[arguments["KeyName"]])["KeyPairs"], "there is no such key pair"


def _argument(members: Any, option: str, values: list[str]) -> tuple[str, Any]:
    (member,) = [name for name in members if xform_name(name, "-") == option]
    kind = members[member].type_name
    if kind == "boolean":
        return member, True
    if kind == "list" and members[member].member.type_name == "structure":
        return member, [dict(pair.split("=", 1) for pair in value.split(",")) for value in values]
    return member, values if kind == "list" else values[0]
