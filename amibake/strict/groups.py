"""Security groups: which are in use, and what they let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend

from amibake.strict.machines import Ingress

if TYPE_CHECKING:
    from amibake.strict.instances import Instance

ALL_PORTS = (0, 65535)


class Groups(EC2Backend):
    """What EC2 refuses to do with security groups."""

    def create_security_group(self, name: str, description: str, vpc_id: str | None = None, **kwargs: Any) -> Any:
        """Refuses a VPC that does not exist."""
        if vpc_id and vpc_id not in self.vpcs:
            raise EC2ClientError("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist")
        return super().create_security_group(name, description, vpc_id=vpc_id, **kwargs)

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Refuses the default group, and one that an instance, an interface or another group still uses."""
        group = self.get_security_group_by_name_or_id(group_id or name)
        if group and group.is_default:
            message = f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
            raise EC2ClientError("CannotDelete", message)
        if group and self._in_use(group):
            raise EC2ClientError("DependencyViolation", f"resource {group.id} has a dependent object")
        super().delete_security_group(name, group_id)

    def _in_use(self, group: Any) -> bool:
        users = [i.security_groups for i in self.all_instances() if i.state != "terminated"]
        users += [interface.group_set for interface in self.enis.values()]
        if any(group in used for used in users):
            return True
        others = [other for other in self.describe_security_groups() if other is not group]
        rules = [rule for other in others for rule in (*other.ingress_rules, *other.egress_rules)]
        return any(rule.source_group.get("GroupId") == group.id for rule in rules)


def ingress_of(instance: Instance) -> tuple[Ingress, ...]:
    """What an instance's groups admit now: IPv4 ranges, and the addresses of the instances in peer groups.

    IPv6 ranges and prefix lists admit nobody: the machines have IPv4 addresses only.
    """
    admitted: dict[tuple[str, int, int], set[str]] = {}
    for group in instance.security_groups:
        for rule in group.ingress_rules:
            first, last = ALL_PORTS if rule.from_port is None else (rule.from_port, rule.to_port)
            admitted.setdefault((rule.ip_protocol, first, last), set()).update(_sources(instance, rule))
    return tuple(
        Ingress(protocol, first, last, tuple(sorted(cidrs)))
        for (protocol, first, last), cidrs in sorted(admitted.items())
        if cidrs
    )


def _sources(instance: Instance, rule: Any) -> set[str]:
    if rule.cidr_ipv4:
        return {rule.cidr_ipv4}
    peer = rule.source_group.get("GroupId")
    return {
        f"{other.address}/32"
        for other in instance.ec2_backend.all_instances()
        if other.up and any(group.id == peer for group in other.security_groups)
    }
