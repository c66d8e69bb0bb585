"""What bakes leave in an account, looked for by what EC2 lists rather than by what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

EXPIRING: list[FilterTypeDef] = [{"Name": "tag-key", "Values": ["amibake:expires"]}]
OURS: list[FilterTypeDef] = [{"Name": "tag-key", "Values": ["amibake:build"]}]


def temporary(ec2: EC2Client, iam: Any = None) -> set[str]:
    """Everything in the region that a bake makes only for a while, whether it is ours or not, and snapshots of ours
    that no image lists. With a client of IAM also the roles and instance profiles that are called as ours are. An
    instance that is shutting down is none of it: nothing keeps it from being terminated, see `shutting_down`."""
    images = ec2.describe_images(Owners=["self"])["Images"]
    listed = {mapping.get("Ebs", {}).get("SnapshotId") for image in images for mapping in image["BlockDeviceMappings"]}
    ours = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=OURS)["Snapshots"]}
    instances = [one for found in ec2.describe_instances()["Reservations"] for one in found["Instances"]]
    groups = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    return {
        *(one["InstanceId"] for one in instances if one["State"]["Name"] not in ("shutting-down", "terminated")),
        *(pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]),
        *(groups - {"default"}),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(image["ImageId"] for image in ec2.describe_images(Owners=["self"], Filters=EXPIRING)["Images"]),
        *(one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=EXPIRING)["Snapshots"]),
        *(one["FleetId"] for one in ec2.describe_fleets()["Fleets"] if not one["FleetState"].startswith("deleted")),
        *(one["LaunchTemplateId"] for one in ec2.describe_launch_templates()["LaunchTemplates"]),
        *(ours - listed),
        *(_of_iam(iam) if iam else ()),
    }


def shutting_down(ec2: EC2Client) -> set[str]:
    """The instances that are not terminated yet, but will be."""
    filters: list[FilterTypeDef] = [{"Name": "instance-state-name", "Values": ["shutting-down"]}]
    found = ec2.describe_instances(Filters=filters)["Reservations"]
    return {one["InstanceId"] for reservation in found for one in reservation["Instances"]}


def _of_iam(iam: Any) -> set[str]:
    names = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    names |= {profile["InstanceProfileName"] for profile in iam.list_instance_profiles()["InstanceProfiles"]}
    return {name for name in names if name.startswith("amibake")}
