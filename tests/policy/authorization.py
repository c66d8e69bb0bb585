"""What AWS asks IAM for one call: each action on each resource that the call is about, with what is known of them.

Which action knows which type of resource and which condition is in tests/data/service-authorization.json, the part that
concerns us of https://docs.aws.amazon.com/service-authorization/latest/reference/ (October 2026). Where that leaves
open whether a type is asked about, it is asked about here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.policy.evaluator import Question

REFERENCE: Mapping[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "service-authorization.json").read_text()
)
"""{action: {"keys": of the action, "resources": {type: keys}}}."""

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TO_EC2 = {"iam:PassedToService": ("ec2.amazonaws.com",)}
Params = Mapping[str, Any]
Tags = Mapping[str, str]

_PREFIXES = {
    "ami": "image",
    "i": "instance",
    "key": "key-pair",
    "lt": "launch-template",
    "sg": "security-group",
    "snap": "snapshot",
    "vol": "volume",
    "fleet": "fleet",
}
_NAMING = {
    "FleetIds": "fleet",
    "GroupId": "security-group",
    "ImageId": "image",
    "InstanceId": "instance",
    "InstanceIds": "instance",
    "KeyName": "key-pair",
    "KeyPairId": "key-pair",
    "LaunchTemplateId": "launch-template",
    "NetworkInterfaceId": "network-interface",
    "SnapshotId": "snapshot",
    "VolumeId": "volume",
}
"""The parameters that say what a call is about."""
_MAKES = {
    "CopyImage": ("image", "snapshot"),
    "CreateFleet": ("fleet", "instance"),
    "CreateImage": ("image", "snapshot"),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateSecurityGroup": ("security-group",),
    "ImportKeyPair": ("key-pair",),
    "RegisterImage": ("image",),
    "RunInstances": ("instance", "network-interface", "volume"),
}
_BY_EC2 = ("CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
"""What EC2 asks KMS on behalf of who encrypts.
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html"""


class Account(Protocol):
    """What has to be looked up at the moment of the call."""

    def tags(self, region: str, kind: str, name: str) -> Tags: ...
    def template(self) -> Params: ...
    def roles(self, profile: str) -> list[str]: ...


def questions(account: Account, service: str, call: str, region: str, params: Params) -> Iterator[Question]:
    """What is asked for this call."""
    if not REFERENCE.get(f"{service}:{call}", {}).get("resources"):
        return iter([Question(f"{service}:{call}", "*")])
    if service == "iam":
        return _of_iam(call, params)
    return _OfEc2(account, call, region, params).all()


def _known(
    action: str, kind: str, *, requested: Tags | None = None, there: Tags | None = None, **more: Any
) -> dict[str, Any]:
    """The context, as far as the reference says that the action knows it of this type."""
    entry = REFERENCE[action]
    keys = {*entry["keys"], *entry["resources"][kind]}
    known: dict[str, tuple[str, ...]] = {}
    if "aws:RequestTag" in keys:
        known |= {f"aws:RequestTag/{key}": (value,) for key, value in (requested or {}).items()}
    if "aws:TagKeys" in keys and requested:
        known["aws:TagKeys"] = tuple(requested)
    if "aws:ResourceTag" in keys:
        known |= {f"aws:ResourceTag/{key}": (value,) for key, value in (there or {}).items()}
    return known | {key: value for key, value in more.get("more", {}).items() if key in keys}


def ask(action: str, kind: str, arn: str, **known: Any) -> Question:
    """A question with as much context as the action knows."""
    return Question(action, arn, tuple(sorted(_known(action, kind, **known).items())))


def arn_of(region: str, kind: str, name: str) -> str:
    """A resource's ARN."""
    match kind:
        case "image" | "snapshot":
            return f"arn:aws:ec2:{region}::{kind}/{name}"
        case "role" | "instance-profile":
            return f"arn:aws:iam::{ACCOUNT}:{kind}/{name}"
        case _:
            return f"arn:aws:ec2:{region}:{ACCOUNT}:{kind}/{name}"


def _of_iam(call: str, params: Params) -> Iterator[Question]:
    tags = {one["Key"]: one["Value"] for one in params.get("Tags", ())}
    kind = "instance-profile" if call.endswith("InstanceProfile") else "role"
    name = params["InstanceProfileName" if kind == "instance-profile" else "RoleName"]
    yield ask(f"iam:{call}", kind, arn_of("", kind, name), requested=tags)
    if tags:
        tagging = {"role": "iam:TagRole", "instance-profile": "iam:TagInstanceProfile"}[kind]
        yield ask(tagging, kind, arn_of("", kind, name), requested=tags)
    if call == "AddRoleToInstanceProfile":
        yield ask("iam:PassRole", "role", arn_of("", "role", params["RoleName"]), more=TO_EC2)


class _OfEc2:
    """A call of EC2's that knows resources."""

    def __init__(self, account: Account, call: str, region: str, params: Params) -> None:
        self.account = account
        self.call = call
        self.region = region
        self.params = params
        self.requested: dict[str, Tags] = {}
        for one in params.get("TagSpecifications", ()):
            self.requested[one["ResourceType"]] = {tag["Key"]: tag["Value"] for tag in one["Tags"]}

    def all(self) -> Iterator[Question]:
        if self.call in ("CreateTags", "DeleteTags"):
            yield from self._tags()
        elif self.call in ("CopyImage", "CreateImage", "RegisterImage"):
            yield from self._image()
        elif self.call == "RunInstances":
            yield from self._launch(self.params)
        elif self.call == "CreateFleet":
            yield from self._fleet()
        else:
            yield from self._named()
        for kind in _MAKES.get(self.call, ()):
            yield from self._made(self.call, kind, self.requested.get(kind, {}))
        if _encrypts(self.params) or _encrypts(self._template()):
            yield from self._kms()

    def _there(self, action: str, kind: str, name: str, **known: Any) -> Question:
        tags = self.account.tags(self.region, kind, name)
        return ask(action, kind, arn_of(self.region, kind, name), there=tags, **known)

    def _made(self, call: str, kind: str, tags: Tags) -> Iterator[Question]:
        arn = arn_of(self.region, kind, "*" if kind != "key-pair" else self.params["KeyName"])
        yield ask(f"ec2:{call}", kind, arn, requested=tags)
        if tags:
            yield ask("ec2:CreateTags", kind, arn, requested=tags, more={"ec2:CreateAction": (call,)})

    def _tags(self) -> Iterator[Question]:
        tags = {one["Key"]: one.get("Value", "") for one in self.params.get("Tags", ())}
        for name in self.params["Resources"]:
            yield self._there(f"ec2:{self.call}", _PREFIXES[name.partition("-")[0]], name, requested=tags)

    def _named(self) -> Iterator[Question]:
        for key, kind in _NAMING.items():
            names = self.params.get(key, [])
            for name in [names] if isinstance(names, str) else names:
                if self.call not in _MAKES:
                    yield self._there(f"ec2:{self.call}", kind, name)
        if self.call == "ModifyInstanceAttribute":
            for group in self.params.get("Groups", ()):
                yield self._there("ec2:ModifyInstanceAttribute", "security-group", group)
        if self.call == "CreateSecurityGroup":
            yield self._there("ec2:CreateSecurityGroup", "vpc", self.params.get("VpcId", "vpc-default"))

    def _image(self) -> Iterator[Question]:
        if self.call == "CreateImage":
            yield self._there("ec2:CreateImage", "instance", self.params["InstanceId"])
        if self.call == "RegisterImage":
            yield from self._snapshots(self.params)

    def _snapshots(self, params: Params) -> Iterator[Question]:
        for one in params.get("BlockDeviceMappings", ()):
            if name := one.get("Ebs", {}).get("SnapshotId"):
                yield self._there(f"ec2:{self.call}", "snapshot", name)

    def _launch(self, params: Params, subnets: tuple[str, ...] = (), **known: Any) -> Iterator[Question]:
        """What RunInstances asks about besides what it makes."""
        action, interfaces = "ec2:RunInstances", params.get("NetworkInterfaces", ())
        yield self._there(action, "image", params["ImageId"], **known)
        named = [params.get("SubnetId"), *(one.get("SubnetId") for one in interfaces)]
        for subnet in subnets or [one for one in named if one] or ["subnet-default"]:
            yield self._there(action, "subnet", subnet, **known)
        groups = [
            *params.get("SecurityGroupIds", ()),
            *(group for one in interfaces for group in one.get("Groups", ())),
        ]
        for group in groups or ["sg-default"]:
            yield self._there(action, "security-group", group, **known)
        if "KeyName" in params:
            yield self._there(action, "key-pair", params["KeyName"], **known)
        for one in params.get("BlockDeviceMappings", ()):
            if snapshot := one.get("Ebs", {}).get("SnapshotId"):
                yield self._there(action, "snapshot", snapshot, **known)
        yield from self._places(params)
        if profile := params.get("IamInstanceProfile"):
            name = profile.get("Name") or profile["Arn"].rpartition("/")[2]
            for role in self.account.roles(name):
                yield ask("iam:PassRole", "role", arn_of("", "role", role), more=TO_EC2)

    def _places(self, params: Params) -> Iterator[Question]:
        action = "ec2:RunInstances"
        place, reservation = params.get("Placement", {}), params.get("CapacityReservationSpecification", {})
        target = reservation.get("CapacityReservationTarget", {})
        if name := place.get("GroupName"):
            yield self._there(action, "placement-group", name)
        if name := target.get("CapacityReservationId"):
            yield self._there(action, "capacity-reservation", name)
        groups = (place.get("HostResourceGroupArn"), target.get("CapacityReservationResourceGroupArn"))
        yield from (ask(action, "group", arn) for arn in groups if arn)
        for one in params.get("LicenseSpecifications", ()):
            yield ask(action, "license-configuration", one["LicenseConfigurationArn"])

    def _template(self) -> Params:
        return self.account.template() if self.call == "CreateFleet" else {}

    def _fleet(self) -> Iterator[Question]:
        """A fleet launches by the template: what CreateFleet asks, and after that RunInstances of what it makes, whose
        tags are the template's and the fleet's together."""
        template = self._template()
        configs = self.params["LaunchTemplateConfigs"]
        overrides = [one for config in configs for one in config["Overrides"]]
        subnets = tuple(dict.fromkeys(one["SubnetId"] for one in overrides if "SubnetId" in one)) or ("subnet-default",)
        for config in configs:
            name = config["LaunchTemplateSpecification"]["LaunchTemplateId"]
            for action in ("ec2:CreateFleet", "ec2:RunInstances"):
                yield self._there(action, "launch-template", name)
        yield self._there("ec2:CreateFleet", "image", template["ImageId"])
        for subnet in subnets:
            yield self._there("ec2:CreateFleet", "subnet", subnet)
        yield ask("ec2:CreateFleet", "volume", arn_of(self.region, "volume", "*"))
        yield from self._launch(template, subnets)
        arn = arn_of(self.region, "spot-instances-request", "*")
        yield ask("ec2:RunInstances", "spot-instances-request", arn)
        tags: dict[str, Tags] = {
            one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in _tagged(template)
        }
        tags |= {"instance": self.requested["instance"]}
        for kind in _MAKES["RunInstances"]:
            yield from self._made("RunInstances", kind, tags.get(kind, {}))
            arn, made_by = arn_of(self.region, kind, "*"), {"ec2:CreateAction": ("CreateFleet",)}
            yield ask("ec2:CreateTags", kind, arn, requested=tags[kind], more=made_by)

    def _kms(self) -> Iterator[Question]:
        for call in _BY_EC2:
            more = {"kms:ViaService": (f"ec2.{self.region}.amazonaws.com",), "kms:GrantIsForAWSResource": ("true",)}
            yield ask(f"kms:{call}", "key", KEY, more=more)


def _encrypts(params: Any) -> bool:
    """Whether anything is encrypted: it may be with a key that is asked about."""
    if isinstance(params, Mapping):
        return bool(params.get("Encrypted")) or any(map(_encrypts, params.values()))
    return isinstance(params, list) and any(map(_encrypts, params))


def _tagged(template: Params) -> list[Any]:
    return list(template.get("TagSpecifications", ()))
