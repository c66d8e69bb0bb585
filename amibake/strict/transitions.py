"""Requests about several instances: EC2 does all of what they ask for, or refuses all of it."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError, OperationDisableApiStopNotPermitted
from moto.ec2.models import EC2Backend


class Transitions(EC2Backend):
    """What EC2 refuses to do with instances in the wrong state: all of a request or none."""

    def start_instances(self, instance_ids: list[str]) -> Any:
        """Refuses an instance that is stopping or gone."""
        self._require(instance_ids, "started")
        return super().start_instances(instance_ids)

    def stop_instances(self, instance_ids: list[str], *, force: bool = False) -> Any:
        """Refuses one that is pending or gone, a one-time spot instance, and one with DisableApiStop."""
        for instance in self._require(instance_ids, "stopped"):
            if instance.disable_api_stop:
                raise OperationDisableApiStopNotPermitted(instance.id)
        return [(instance, instance.stop(force=force)) for instance in self.get_multi_instances_by_id(instance_ids)]

    def reboot_instances(self, instance_ids: list[str]) -> Any:
        """Refuses one that does not run."""
        self._require(instance_ids, "rebooted")
        return super().reboot_instances(instance_ids)

    def modify_instance_security_groups(self, instance_id: str, new_group_id_list: list[str]) -> Any:
        """Refuses an unknown group and one of another VPC; the interface changes with the instance."""
        vpc_id = self.get_instance(instance_id).vpc_id
        for group_id in new_group_id_list:
            group = self.get_security_group_from_id(group_id)
            if not group:
                raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
            if group.vpc_id != vpc_id:
                message = "You have specified two resources that belong to different networks."
                raise EC2ClientError("InvalidGroup.NotFound", message)
        instance = super().modify_instance_security_groups(instance_id, new_group_id_list)
        instance.nics[0]._group_set = list(instance.security_groups)  # noqa: SLF001 - moto has no setter
        return instance

    def _require(self, instance_ids: list[str], verb: str) -> list[Any]:
        found: list[Any] = self.get_multi_instances_by_id(instance_ids)
        for instance in found:
            instance.require(verb)
        return found
