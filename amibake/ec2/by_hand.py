"""The commands by which a person looks for what a bake has made, and removes it."""

from __future__ import annotations

from amibake.ec2.cloud import Cloud

PREFIX = "amibake_"
"""How the names that IAM knows begin; the rest is the bake's id."""

_EC2 = {
    "fleet": "delete-fleets --terminate-instances --fleet-ids",
    "image": "deregister-image --delete-associated-snapshots --image-id",
    "instance": "terminate-instances --instance-ids",
    "key pair": "delete-key-pair --key-name",
    "key pair by id": "delete-key-pair --key-pair-id",
    "launch template": "delete-launch-template --launch-template-id",
    "network interface": "delete-network-interface --network-interface-id",
    "security group": "delete-security-group --group-id",
    "snapshot": "delete-snapshot --snapshot-id",
    "volume": "delete-volume --volume-id",
}
_IAM = {
    "instance profile": "delete-instance-profile --instance-profile-name {0}",
    "role": "delete-role --role-name {0}",
    "role in the instance profile": "remove-role-from-instance-profile --instance-profile-name {0} --role-name {1}",
    "role policy": "delete-role-policy --role-name {1} --policy-name {0}",
}
_LOOKS = {
    "instance profile": "get-instance-profile --instance-profile-name {0}",
    "role": "get-role --role-name {0}",
    "role in the instance profile": "get-instance-profile --instance-profile-name {0}",
    "role policy": "get-role-policy --role-name {0} --policy-name {0}",
}


def look(cloud: Cloud, kind: str) -> str:
    """The command that shows whether the bake has made a resource of this kind."""
    if kind in _LOOKS:
        return f"aws iam {_LOOKS[kind].format(f'{PREFIX}{cloud.build}')}"
    return cloud.command("describe-tags", "--filters", f"Name=value,Values={cloud.build}")


def removal(cloud: Cloud, kind: str, name: str, *, role: str = "", protected: bool = False) -> str:
    """The command of AWS's that removes a resource of this kind and id or, of what has a name of its own, name. `role`
    is whose it is, where that has another name; an image may be `protected` though not by this bake."""
    if kind in _IAM:
        return f"aws iam {_IAM[kind].format(name, role or name)}"
    command = cloud.command(*_EC2.get(kind, f"delete-{kind.replace(' ', '-')} --id").split(), name)
    if kind == "image" and (protected or name in cloud.protected):
        return f"{cloud.command('disable-image-deregistration-protection', '--image-id', name)} && {command}"
    return command
