"""RunInstances: what EC2 checks before, and what it makes beside the instances."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

from amibake.strict.devices import Device, planned
from amibake.strict.idempotency import Answered
from amibake.strict.machines import Launch

USER_DATA_LIMIT = 16384
SHUTDOWN_BEHAVIOURS = ("stop", "terminate")


class Launched(Answered):
    """What the client token of a launch stands for."""

    def again(self, request: str) -> Any:
        """The answer, if the same is asked for and any of its instances is left."""
        answer = super().again(request)
        if all(instance.state == "terminated" for instance in answer.result.instances):
            message = "The client token you have provided is associated with an instance that has been terminated."
            raise EC2ClientError("IdempotentInstanceTerminated", message)
        return answer


class Launches(EC2Backend):
    """RunInstances as EC2 does it, for whoever calls it: a client, a fleet, a spot request."""

    def run_instances(
        self, image_id: str | None, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any
    ) -> Any:
        """Check everything, then make the instances with their volumes and tags, and have the machines switched on."""
        image = self._launchable(image_id)
        self._check_key(kwargs.get("key_name"))
        _check_type(kwargs["instance_type"], image, self.region_name)
        _check_user_data(user_data)
        check_shutdown_behaviour(kwargs.get("instance_initiated_shutdown_behavior") or "stop")
        for name in security_group_names:
            if not self.get_security_group_by_name_or_id(name):
                raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{name}' does not exist")
        self._check_network(count, kwargs)
        devices = planned(image.devices, kwargs.pop("block_device_mappings", None) or (), self.get_snapshot)
        tags = kwargs.get("tags", {})
        kwargs |= {"block_device_mappings": (), "is_instance_type_default": False}
        known = set(self.reservations)
        try:
            reservation = super().run_instances(image.id, count, user_data, security_group_names, **kwargs)
            for instance in reservation.instances:
                instance.image, instance.ena_support = image, image.ena_support
                _set_up_interfaces(instance, kwargs.get("nics", ()), tags.get("network-interface", {}))
                self._add_volumes(instance, devices, tags.get("volume", {}))
        except Exception:
            self._forget(set(self.reservations) - known)
            raise
        for instance in reservation.instances:
            instance.run(self._launch(instance, devices))
        return reservation

    def _check_network(self, count: int, kwargs: dict[str, Any]) -> None:
        """Refuses groups of another VPC than the subnet's, a subnet that is full, and what a test has ordered."""
        asked: dict[str, Any] = next(iter(kwargs.get("nics") or ()), {})
        zone = kwargs.get("placement") or f"{self.region_name}a"
        subnet_id = kwargs.get("subnet_id") or asked.get("SubnetId")
        subnet = self.get_subnet(subnet_id) if subnet_id else self.get_default_subnets().get(zone)
        if subnet:
            _check_groups(self, subnet, [*kwargs.get("security_group_ids", ()), *(asked.get("Groups") or ())])
            if subnet.available_ip_address_count < count:
                message = (
                    "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances."
                )
                raise EC2ClientError("InsufficientFreeAddressesInSubnet", message.format(subnet.id))
        spot = kwargs.get("instance_market_options") == "spot" or kwargs.get("lifecycle") == "spot"
        self.world.check_launch(
            self.region_name,
            instance_type=kwargs["instance_type"],
            subnet_id=subnet.id if subnet else None,
            zone=subnet.availability_zone if subnet else zone,
            lifecycle="spot" if spot else "on-demand",
        )

    def _launchable(self, image_id: str | None) -> Any:
        if not image_id:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
        if image_id in self.deleted_amis:
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")
        image = self.describe_images(ami_ids=[image_id])[0]
        if image.state != "available":
            message = f"The image ID '{image_id}' is not available: its state is {image.state}"
            raise EC2ClientError("InvalidAMIID.Unavailable", message)
        return image

    def _check_key(self, name: str | None) -> None:
        if name and name not in self.key_pairs:
            raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")

    def _add_volumes(self, instance: Any, devices: tuple[Device, ...], tags: dict[str, str]) -> None:
        for device in devices:
            volume = self.create_volume(
                size=device.size,
                zone_name=instance.availability_zone,
                snapshot_id=device.snapshot.id if device.snapshot else None,
                encrypted=device.encrypted or self.ebs_encryption_by_default,
                kms_key_id=device.kms_key_id,
                volume_type=device.type,
                iops=device.iops,
                throughput=device.throughput,
            )
            volume.add_tags(tags)
            self.attach_volume(volume.id, instance.id, device.name, device.delete_on_termination)

    def _launch(self, instance: Any, devices: tuple[Device, ...]) -> Launch:
        key = self.key_pairs.get(instance.key_name)
        root = [device.size for device in devices if device.name == instance.root_device_name]
        return Launch(
            instance_id=instance.id,
            image_id=instance.image.disk,
            instance_type=instance.instance_type,
            key_name=instance.key_name,
            public_key=key.public_key.strip() if key else None,
            user_data=_decoded(instance.user_data).decode(errors="replace") if instance.user_data else None,
            root_volume_gib=root[0] if root else 0,
            http_endpoint=instance.metadata_options.http_endpoint != "disabled",
            mac_address=instance.nics[0].mac_address,
        )

    def _forget(self, reservation_ids: set[str]) -> None:
        for reservation_id in reservation_ids:
            for instance in self.reservations[reservation_id].instances:
                instance.release()
            del self.reservations[reservation_id]


def _set_up_interfaces(instance: Any, requested: Sequence[dict[str, Any]], tags: dict[str, str]) -> None:
    """Tags, and that what RunInstances makes goes with the instance unless told otherwise: moto keeps it."""
    asked = {int(interface["DeviceIndex"]): interface for interface in requested}
    for index, interface in instance.nics.items():
        interface.add_tags(tags)
        if "NetworkInterfaceId" not in asked.get(index, {}):
            interface.delete_on_termination = asked.get(index, {}).get("DeleteOnTermination", True)


def _check_groups(backend: Any, subnet: Any, groups: Sequence[Any]) -> None:
    for named in groups:
        group = backend.get_security_group_from_id(named) if isinstance(named, str) else named
        if group and group.vpc_id != subnet.vpc_id:
            message = f"Security group {group.id} and subnet {subnet.id} belong to different networks."
            raise EC2ClientError("InvalidParameter", message)


def check_shutdown_behaviour(value: Any) -> None:
    """Refuses what is neither "stop" nor "terminate"."""
    if value not in SHUTDOWN_BEHAVIOURS:
        message = f"Value ({value}) for parameter instanceInitiatedShutdownBehavior is invalid."
        raise EC2ClientError("InvalidParameterValue", message)


def _check_type(instance_type: str, image: Any, region: str) -> None:
    if instance_type not in INSTANCE_TYPES:
        raise EC2ClientError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    if all(offer["InstanceType"] != instance_type for offer in INSTANCE_TYPE_OFFERINGS["region"].get(region, ())):
        message = "The requested configuration is currently not supported. Please check the documentation."
        raise EC2ClientError("Unsupported", message)
    facts = INSTANCE_TYPES[instance_type]
    architectures = facts["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in architectures:
        message = (
            f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
            f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
            "have matching architectures, and try again."
        )
        raise EC2ClientError("InvalidParameterValue", message)
    if facts["NetworkInfo"]["EnaSupport"] == "required" and not image.ena_support:
        message = (
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{instance_type}' "
            "instance type. Ensure that you are using an AMI that is enabled for ENA."
        )
        raise EC2ClientError("InvalidParameterCombination", message)


def _check_user_data(user_data: Any) -> None:
    if user_data and len(_decoded(user_data)) > USER_DATA_LIMIT:
        message = f"User data is limited to {USER_DATA_LIMIT} bytes"
        raise EC2ClientError("InvalidParameterValue", message)


def _decoded(user_data: Any) -> bytes:
    return b64decode(user_data.as_bytes())
