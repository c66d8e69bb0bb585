"""Everything in the account that carries a bake's tags, of each kind in each region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from amibake.ec2.cloud import Cloud, missing, tag_dict
from amibake.ec2.remains import Thing
from amibake.ec2.spot import FLEET
from amibake.errors import AmibakeError
from amibake.image import APP, BUILD, EXPIRES

PAGE = 200
"""Things in an answer: what every one of the calls takes."""

Answers = Iterator[Mapping[str, Any]]


@dataclass(frozen=True)
class Listed:
    """What there is of one kind in one region: things that carry the tags of something temporary, or of the one build.

    Attributes:
        things: Those.
        more: Of images all others of the account, since they may be made of a snapshot.
        dates: When EC2 said so, by its own clock, in seconds since 1970.
        error: Why nothing is known.
    """

    kind: str
    region: str
    things: list[Thing] = field(default_factory=list)
    more: list[Thing] = field(default_factory=list)
    dates: list[float] = field(default_factory=list)
    error: AmibakeError | None = None


@dataclass(frozen=True)
class _Call:
    """How things of a kind are listed, and where in the answer they and their ids are."""

    call: str
    key: str
    id: str
    request: Mapping[str, Any] = field(default_factory=lambda: {"MaxResults": PAGE})
    filtered: bool = True


_CALLS = {
    "instance": _Call("describe_instances", "Reservations", "InstanceId"),
    "launch template": _Call("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    "key pair": _Call("describe_key_pairs", "KeyPairs", "KeyPairId", {}),  # it has no pages
    "network interface": _Call("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "volume": _Call("describe_volumes", "Volumes", "VolumeId"),
    "security group": _Call("describe_security_groups", "SecurityGroups", "GroupId"),
    "image": _Call(
        "describe_images",
        "Images",
        "ImageId",
        {"MaxResults": PAGE, "Owners": ["self"], "IncludeDisabled": True},
        filtered=False,
    ),
    "snapshot": _Call("describe_snapshots", "Snapshots", "SnapshotId", {"MaxResults": PAGE, "OwnerIds": ["self"]}),
}
LISTED = (*_CALLS, "fleet")
"""The kinds that `list_things` knows: all that are in a region."""


def list_things(cloud: Cloud, kind: str, build: str | None) -> Listed:
    """What there is of a kind in the cloud's region; never raises."""
    listed = Listed(kind, cloud.region)
    try:
        found = _fleets(cloud, build, listed.dates) if kind == "fleet" else _things(cloud, kind, build, listed.dates)
        for thing in found:
            ours = EXPIRES in thing.tags if build is None else thing.build == build
            (listed.things if ours else listed.more).append(thing)
    except AmibakeError as error:
        return Listed(kind, cloud.region, error=error)
    return listed


def instances_of(cloud: Cloud, image_ids: Sequence[str]) -> dict[str, str]:
    """{image id: an instance of it that is not terminated}, whoever has launched that."""
    found: dict[str, str] = {}
    for start in range(0, len(image_ids), PAGE):
        filters = [{"Name": "image-id", "Values": list(image_ids[start : start + PAGE])}]
        for answer in pages(cloud.ec2.describe_instances, MaxResults=PAGE, Filters=filters):
            for one in _flat(answer["Reservations"]):
                if one["State"]["Name"] != "terminated":
                    found[one["ImageId"]] = one["InstanceId"]
    return found


def pages(call: Callable[..., Any], **request: Any) -> Answers:
    """All answers of a call that gives them in pages, as EC2 does."""
    while True:
        answer = call(**request)
        yield answer
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _things(cloud: Cloud, kind: str, build: str | None, dates: list[float]) -> Iterator[Thing]:
    how = _CALLS[kind]
    more = {"Filters": _filters(build)} if how.filtered else {}
    for answer in pages(getattr(cloud.ec2, how.call), **how.request, **more):
        dates.extend(_date(answer))
        found = _flat(answer[how.key]) if kind == "instance" else answer[how.key]
        for one in found:
            yield Thing(kind, one[how.id], cloud.region, tag_dict(one.get("TagSet") or one.get("Tags")), one)


def _filters(build: str | None) -> list[dict[str, Any]]:
    return [{"Name": "tag-key", "Values": [EXPIRES]} if build is None else {"Name": f"tag:{BUILD}", "Values": [build]}]


def _flat(reservations: Iterable[Any]) -> Iterator[Any]:
    return (instance for one in reservations for instance in one["Instances"])


def _fleets(cloud: Cloud, build: str | None, dates: list[float]) -> Iterator[Thing]:
    """DescribeFleets lists no instant fleets, but knows one by its id; EC2 has put that on the instances, and those
    fleets that have none have tags."""
    ids = {thing.tags[FLEET] for thing in _things(cloud, "instance", build, dates) if FLEET in thing.tags}
    filters = [{"Name": "resource-type", "Values": ["fleet"]}, {"Name": "key", "Values": [BUILD, EXPIRES, APP]}]
    for answer in pages(cloud.ec2.describe_tags, MaxResults=PAGE, Filters=filters):
        ids.update(tag["ResourceId"] for tag in answer["Tags"])
    for fleet_id in sorted(ids):
        try:
            found = cloud.ec2.describe_fleets(FleetIds=[fleet_id])["Fleets"]
        except AmibakeError as error:
            if not missing(error):
                raise
            continue
        for one in found:
            if not one.get("FleetState", "").startswith("deleted"):
                yield Thing("fleet", fleet_id, cloud.region, tag_dict(one.get("Tags")), one)


def _date(answer: Mapping[str, Any]) -> Iterator[float]:
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        yield parsedate_to_datetime(said).timestamp()
    except ValueError:
        return
