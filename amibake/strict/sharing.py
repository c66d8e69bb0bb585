"""Who may use an image or a snapshot, and what EC2 refuses to share.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharing-amis.html and
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidAMIAttributeItemValueError
from moto.ec2.models import EC2Backend

from amibake.strict.keys import is_aws_managed

Permission = dict[str, str]
EVERYBODY: Permission = {"Group": "all"}
ORGANIZATION = r"arn:aws[a-z-]*:organizations::\d{12}:"
VALID: Mapping[str, re.Pattern[str]] = {
    "UserId": re.compile(r"\d{12}"),
    "Group": re.compile("all"),
    "OrganizationArn": re.compile(ORGANIZATION + r"organization/o-[a-z0-9]{10,32}"),
    "OrganizationalUnitArn": re.compile(ORGANIZATION + r"ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}"),
}
FLAT = {
    "UserIds": "UserId",
    "UserGroups": "Group",
    "GroupNames": "Group",
    "OrganizationArns": "OrganizationArn",
    "OrganizationalUnitArns": "OrganizationalUnitArn",
}


def requested(params: Mapping[str, Any], structure: str) -> tuple[list[Permission], list[Permission]]:
    """What a request adds and removes: by a structure with Add and Remove, or by OperationType and lists."""
    changes = params.get(structure) or {}
    add, remove = list(changes.get("Add", [])), list(changes.get("Remove", []))
    flat = [{kind: value} for name, kind in FLAT.items() for value in params.get(name, [])]
    operation = params.get("OperationType")
    if operation == "add":
        add += flat
    elif operation == "remove":
        remove += flat
    elif flat:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter operationType")
    for permission in (*add, *remove):
        for kind, value in permission.items():
            if not VALID[kind].fullmatch(value):
                raise InvalidAMIAttributeItemValueError(kind[0].lower() + kind[1:], value)
    return add, remove


class Sharing(EC2Backend):
    """Launch permissions of images, and createVolumePermission of snapshots."""

    def share_image(self, image_id: str, add: list[Permission], remove: list[Permission]) -> None:
        """Refuses to make public what is encrypted or has a product code, and to share at all what is encrypted
        with aws/ebs."""
        image = self.own_image(image_id)
        if EVERYBODY in add and image.codes:
            message = f"The image {image_id} has a product code and cannot be made public"
            raise EC2ClientError("OperationNotPermitted", message)
        devices = [device for device in image.devices if device.snapshot]
        self._check(add, [(device.encrypted, device.kms_key_id) for device in devices])
        image.launch_permissions = _changed(image.launch_permissions, add, remove)

    def share_snapshot(self, snapshot_id: str, add: list[Permission], remove: list[Permission]) -> None:
        """Refuses the same of a snapshot, and organizations."""
        snapshot = self.own_snapshot(snapshot_id)
        self._check(add, [(snapshot.encrypted, snapshot.kms_key_id)])
        add_to, take_from = _sets(snapshot, set.add), _sets(snapshot, set.discard)
        for change, permissions in ((add_to, add), (take_from, remove)):
            for permission in permissions:
                change(permission)

    def permissions_of(self, snapshot_id: str) -> list[Permission]:
        """As DescribeSnapshotAttribute shows them."""
        snapshot = self.own_snapshot(snapshot_id)
        groups, users = snapshot.create_volume_permission_groups, snapshot.create_volume_permission_userids
        return [{"Group": group} for group in sorted(groups)] + [{"UserId": user} for user in sorted(users)]

    def own_snapshot(self, snapshot_id: str) -> Any:
        """Refuses one that is not there or not ours."""
        snapshot = self.get_snapshot(snapshot_id)
        if snapshot.owner_id != self.account_id:
            raise EC2ClientError("AuthFailure", f"Not authorized for snapshot:{snapshot_id}")
        return snapshot

    def _check(self, add: list[Permission], encryption: Iterable[tuple[bool, str | None]]) -> None:
        keys = [key for encrypted, key in encryption if encrypted]
        if EVERYBODY in add and keys:
            raise EC2ClientError("OperationNotPermitted", "Encrypted snapshots cannot be shared publicly")
        if add and any(is_aws_managed(self, key) for key in keys):
            message = "Encrypted snapshots with EBS default key cannot be shared"
            raise EC2ClientError("OperationNotPermitted", message)


def _changed(now: list[Permission], add: list[Permission], remove: list[Permission]) -> list[Permission]:
    return [permission for permission in _distinct([*now, *add]) if permission not in remove]


def _distinct(permissions: list[Permission]) -> list[Permission]:
    return [permission for index, permission in enumerate(permissions) if permission not in permissions[:index]]


def _sets(snapshot: Any, change: Callable[[set[str], str], None]) -> Callable[[Permission], None]:
    def do(permission: Permission) -> None:
        if "Group" in permission:
            change(snapshot.create_volume_permission_groups, permission["Group"])
        else:
            change(snapshot.create_volume_permission_userids, permission["UserId"])

    return do
