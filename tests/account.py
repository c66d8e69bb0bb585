"""What tests look for in an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

EXPIRING: list[FilterTypeDef] = [{"Name": "tag-key", "Values": ["amibake:expires"]}]
OURS: list[FilterTypeDef] = [{"Name": "tag-key", "Values": ["amibake:build"]}]


def temporary(ec2: EC2Client) -> set[str]:
    """Everything in the account that a bake makes only for a while, whether it is ours or not, and snapshots of ours
    that no image lists."""
    images = ec2.describe_images(Owners=["self"])["Images"]
    listed = {mapping.get("Ebs", {}).get("SnapshotId") for image in images for mapping in image["BlockDeviceMappings"]}
    ours = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=OURS)["Snapshots"]}
    instances = [one for found in ec2.describe_instances()["Reservations"] for one in found["Instances"]]
    groups = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    return {
        *(one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"),
        *(pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]),
        *(groups - {"default"}),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(image["ImageId"] for image in ec2.describe_images(Owners=["self"], Filters=EXPIRING)["Images"]),
        *(one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=EXPIRING)["Snapshots"]),
        *(ours - listed),
    }
