"""Requests about images and snapshots, with the parameters that moto drops."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import AuthFailureRestricted, EC2ClientError, InvalidRequest
from moto.ec2.models import ec2_backends

from amibake.strict.idempotency import Idempotent
from amibake.strict.lifecycle import shown_to
from amibake.strict.sharing import requested
from amibake.strict.tags import check_description

# what ModifyImageAttribute changes, and the parameters that say so
ATTRIBUTES = {
    "description": ("Description",),
    "imdsSupport": ("ImdsSupport",),
    "launchPermission": (
        "LaunchPermission",
        "OrganizationArns",
        "OrganizationalUnitArns",
        "UserGroups",
        "UserIds",
    ),
    "productCodes": ("ProductCodes",),
}
# what DescribeImageAttribute answers with: its own name of the attribute, and ours
SHOWN: Mapping[str, tuple[str, str]] = {
    "bootMode": ("BootMode", "boot_mode"),
    "deregistrationProtection": ("DeregistrationProtection", "deregistration_protection"),
    "description": ("Description", "description"),
    "imdsSupport": ("ImdsSupport", "imds_support"),
    "kernel": ("KernelId", "kernel_id"),
    "sriovNetSupport": ("SriovNetSupport", "sriov"),
    "tpmSupport": ("TpmSupport", "tpm_support"),
}


class ImageRequests(Idempotent):
    """The part of the answers that is about images and snapshots."""

    def create_image(self) -> Any:
        """All parameters of CreateImage."""
        self.error_on_dryrun()
        image = self.ec2_backend.capture_image(self._get_param("InstanceId"), self.params)
        return ActionResult({"ImageId": image.id})

    def copy_image(self) -> Any:
        """All parameters of CopyImage but those for Outposts and Local Zones; the same ClientToken with the same
        parameters gets the same image."""
        self.error_on_dryrun()
        region = self._get_param("SourceRegion")
        try:
            origin = ec2_backends[self.current_account][region]
        except KeyError:
            raise EC2ClientError("InvalidParameterValue", f"The source region '{region}' is invalid") from None
        origin.settle()

        def copy() -> Any:
            source = origin.describe_images(ami_ids=[self._get_param("SourceImageId")])[0]
            return ActionResult({"ImageId": self.ec2_backend.copy_image_from(source, self.params).id})

        return self.once(copy)

    def register_image(self) -> Any:
        """From snapshots only."""
        self.error_on_dryrun()
        return ActionResult({"ImageId": self.ec2_backend.register_image_of(self.params).id})

    def deregister_image(self) -> Any:
        """With DeleteAssociatedSnapshots."""
        self.error_on_dryrun()
        with_snapshots = self._get_bool_param("DeleteAssociatedSnapshots", False)
        self.ec2_backend.deregister_image(self._get_param("ImageId"), with_snapshots=with_snapshots)
        return ActionResult({"Return": True})

    def describe_images(self) -> Any:
        """With IncludeDeprecated, MaxResults and NextToken."""
        answer = super().describe_images()
        images = answer.result["Images"]
        if not self._get_param("IncludeDeprecated") and not self._get_param("ImageIds"):
            images = shown_to(self.current_account, images, self.ec2_backend.world.now())
        token = self._get_param("NextToken") or "0"
        if not re.fullmatch("[0-9]{1,9}", token):
            raise EC2ClientError("InvalidNextToken", "The token is invalid or has expired")
        start = int(token)
        end = start + int(self._get_param("MaxResults") or len(images))
        following = str(end) if end < len(images) else None
        return ActionResult({"Images": images[start:end], "NextToken": following})

    def enable_image_deprecation(self) -> Any:
        """By the minute."""
        self.error_on_dryrun()
        self.ec2_backend.deprecate_image(self._get_param("ImageId"), self._get_param("DeprecateAt"))
        return ActionResult({"Return": True})

    def disable_image_deprecation(self) -> Any:
        """Also of an image that is deprecated already."""
        self.error_on_dryrun()
        self.ec2_backend.undeprecate_image(self._get_param("ImageId"))
        return ActionResult({"Return": True})

    def enable_image_deregistration_protection(self) -> Any:
        """With or without a cooldown."""
        self.error_on_dryrun()
        cooldown = self._get_bool_param("WithCooldown", False)
        shown = self.ec2_backend.protect_image(self._get_param("ImageId"), with_cooldown=cooldown)
        return ActionResult({"Return": shown})

    def disable_image_deregistration_protection(self) -> Any:
        """The cooldown begins."""
        self.error_on_dryrun()
        return ActionResult({"Return": self.ec2_backend.unprotect_image(self._get_param("ImageId"))})

    def modify_image_attribute(self) -> Any:
        """One attribute at a time, in either form."""
        image = self.ec2_backend.own_image(self._get_param("ImageId"))
        attribute = self._attribute_to_change()
        if attribute == "launchPermission":
            add, remove = requested(self.params, "LaunchPermission")
            self.error_on_dryrun()
            self.ec2_backend.share_image(image.id, add, remove)
            return EmptyResult()
        value = self._get_param("Value") if "Attribute" in self.params else None
        name = attribute[0].upper() + attribute[1:]
        self._set_attribute(image, attribute, value or self._get_param(f"{name}.Value"))
        return EmptyResult()

    def describe_image_attribute(self) -> Any:
        """Of one's own images."""
        image = self.ec2_backend.own_image(self._get_param("ImageId"))
        self.error_on_dryrun()
        attribute = self._get_param("Attribute")
        answer = {"ImageId": image.id}
        if attribute == "launchPermission":
            return ActionResult(answer | {"LaunchPermissions": image.launch_permissions})
        if attribute == "productCodes":
            return ActionResult(answer | {"ProductCodes": image.product_codes})
        if attribute == "blockDeviceMapping":
            raise AuthFailureRestricted  # as EC2 does: https://github.com/aws/aws-cli/issues/1083
        if attribute not in SHOWN:
            raise InvalidRequest
        name, ours = SHOWN[attribute]
        return ActionResult(answer | {name: {"Value": getattr(image, ours)}})

    def reset_image_attribute(self) -> Any:
        """Nobody else may launch it."""
        image = self.ec2_backend.own_image(self._get_param("ImageId"))
        self.error_on_dryrun()
        image.launch_permissions = []
        return ActionResult({"Return": True})

    def describe_snapshots(self) -> Any:
        """With OwnerIds; without them, and without ids, one's own."""
        answer = super().describe_snapshots()
        named = self._get_param("SnapshotIds", [])
        asked = self._get_param("OwnerIds", [] if named else ["self"])
        owners = {self.current_account if owner == "self" else owner for owner in asked}
        snapshots = [s for s in answer.result["Snapshots"] if not owners or s.owner_id in owners]
        return ActionResult({"Snapshots": snapshots})

    def modify_snapshot_attribute(self) -> Any:
        """The volume permissions, in either form."""
        add, remove = requested(self.params, "CreateVolumePermission")
        self.error_on_dryrun()
        self.ec2_backend.share_snapshot(self._get_param("SnapshotId"), add, remove)
        return EmptyResult()

    def describe_snapshot_attribute(self) -> Any:
        """The volume permissions, or the product codes, which none has."""
        snapshot = self._get_param("SnapshotId")
        permissions = self.ec2_backend.permissions_of(snapshot)
        self.error_on_dryrun()
        if self._get_param("Attribute") == "productCodes":
            return ActionResult({"SnapshotId": snapshot, "ProductCodes": []})
        return ActionResult({"SnapshotId": snapshot, "CreateVolumePermissions": permissions})

    def _attribute_to_change(self) -> str:
        named = {self.params["Attribute"]} if "Attribute" in self.params else set()
        implied = {name for name, given in ATTRIBUTES.items() if any(key in self.params for key in given)}
        attributes = named | implied
        if len(attributes) != 1 or not attributes <= set(ATTRIBUTES):
            message = "Fields for multiple attribute types specified" if attributes else "No attributes specified."
            raise EC2ClientError("InvalidParameterCombination", message)
        return str(attributes.pop())

    def _set_attribute(self, image: Any, attribute: str, value: Any) -> None:
        if attribute == "description":
            check_description(value or "")
        elif attribute == "imdsSupport" and value != "v2.0":
            raise EC2ClientError("InvalidParameterValue", f"Value ({value}) for parameter imdsSupport is invalid.")
        self.error_on_dryrun()
        if attribute == "description":
            image.description = value
        elif attribute == "imdsSupport":
            image.imds_support = value
        else:
            image.codes = list(dict.fromkeys([*image.codes, *self._get_param("ProductCodes", [])]))
