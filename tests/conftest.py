"""Fixtures for tests of the flow: a whole EC2 in this process, and the certainty that nothing temporary stays in it."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from amibake.testing import Place, in_process


@pytest.fixture
def place() -> Iterator[Place]:
    """An EC2 in this process; afterwards nothing temporary is left in its account."""
    with in_process() as place:
        yield place
        assert temporary(place.session) == []


def temporary(session: boto3.Session) -> list[str]:
    """Everything in the account that a bake makes only for a while, whether it is ours or not."""
    ec2 = session.client("ec2")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    draft = [{"Name": "tag:amibake:state", "Values": ["draft"]}]
    return [
        *(one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"),
        *(pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]),
        *(
            one["GroupName"]
            for one in ec2.describe_security_groups()["SecurityGroups"]
            if one["GroupName"] != "default"
        ),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(image["ImageId"] for image in ec2.describe_images(Owners=["self"], Filters=draft)["Images"]),
        *(one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=draft)["Snapshots"]),
        *(one["SnapshotId"] for one in _orphans(session)),
    ]


def _orphans(session: boto3.Session) -> list[dict[str, str]]:
    """Snapshots of ours that no image lists."""
    ec2 = session.client("ec2")
    images = ec2.describe_images(Owners=["self"])["Images"]
    listed = {mapping.get("Ebs", {}).get("SnapshotId") for image in images for mapping in image["BlockDeviceMappings"]}
    ours = [{"Name": "tag-key", "Values": ["amibake:build"]}]
    found: list[dict[str, str]] = ec2.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"]
    return [snapshot for snapshot in found if snapshot["SnapshotId"] not in listed]
