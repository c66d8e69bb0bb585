"""How a statement of the policy is said: what it is for, what it allows, on what, and under which conditions.

Which action knows which type of resource and which condition is the Service Authorization Reference's word
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html, likewise for IAM, KMS and STS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amibake.image import BUILD, DRAFT, EXPIRES, STATE

BASE = "bake"
"""The feature of every bake."""

# https://docs.aws.amazon.com/general/latest/gr/rande.html
PARTITIONS = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-us-gov": "amazonaws.com",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
}
"""The partitions of AWS, with what the names of their services end with."""

Condition = Mapping[str, Mapping[str, str | list[str]]]
"""{operator: {key: values}}, as a statement has it."""


@dataclass(frozen=True)
class Grant:
    """One statement.

    Attributes:
        feature: What it is for; "bake" is every bake.
        sid: The statement's name.
        why: What the bake does with it, for people.
        actions: What it allows.
        resources: On which types of resources, by the reference's names; "*" for calls that know none.
        conditions: What they, or what is asked for, have to be like.
    """

    feature: str
    sid: str
    why: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: tuple[Condition, ...] = ()

    def statement(self, arns: Arns) -> dict[str, Any]:
        """As a policy has it."""
        conditions: dict[str, dict[str, Any]] = {}
        for condition in self.conditions:
            for operator, keys in condition.items():
                filled = {key: _filled(value, arns.suffix) for key, value in keys.items()}
                conditions.setdefault(operator, {}).update(filled)
        return {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": _one_or_more(self.actions),
            "Resource": _one_or_more([arn for kind in self.resources for arn in arns.of(kind)]),
            **({"Condition": conditions} if conditions else {}),
        }


@dataclass(frozen=True)
class Arns:
    """Types of resources as patterns of ARNs."""

    partition: str = "aws"
    account_id: str = "*"
    roles: tuple[str, ...] = ()
    kms_keys: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """What the names of its services end with."""
        return PARTITIONS[self.partition]

    def of(self, kind: str) -> Sequence[str]:
        """All of this type; of roles and instance profiles those that a bake makes, by their names."""
        region, account = f"arn:{self.partition}:%s:*:{self.account_id}:{kind}", self.account_id
        match kind:
            case "*":
                return ["*"]
            case "your role":
                return self.roles
            case "role" | "instance-profile":
                return [f"arn:{self.partition}:iam::{account}:{kind}/amibake_*"]
            case "key":
                return self.kms_keys or [f"{region % 'kms'}/*"]
            case "image" | "snapshot":  # which belong to no account
                return [f"arn:{self.partition}:ec2:*::{kind}/*"]
            case "group":
                return [f"{region % 'resource-groups'}/*"]
            case "license-configuration":
                return [f"{region % 'license-manager'}:*"]
            case _:
                return [f"{region % 'ec2'}/*"]


def _filled(value: str | list[str], suffix: str) -> str | list[str]:
    return value.replace("{suffix}", suffix) if isinstance(value, str) else value


def _one_or_more(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _has(kind: str, *keys: str) -> Condition:
    return {"Null": {f"aws:{kind}Tag/{key}": "false" for key in keys}}


# What is made has to get our tags in the call that makes it.
NEW = _has("Request", BUILD, EXPIRES)
LASTING = _has("Request", BUILD)
# What is touched has to have them: what is temporary, what any bake has made, and what is not published.
TEMPORARY = _has("Resource", BUILD, EXPIRES)
OURS = _has("Resource", BUILD)
UNPUBLISHED: Condition = {**OURS, "StringEquals": {f"aws:ResourceTag/{STATE}": DRAFT}}
TO_EC2: Condition = {"StringEquals": {"iam:PassedToService": "ec2.{suffix}"}}
BY_EC2: Condition = {"StringLike": {"kms:ViaService": "ec2.*.{suffix}"}}


def made_by(*calls: str) -> Condition:
    return {"StringEquals": {"ec2:CreateAction": list(calls) if len(calls) > 1 else calls[0]}}


def only(*keys: str) -> Condition:
    """No other tags than these."""
    return {"ForAllValues:StringEquals": {"aws:TagKeys": list(keys)}}


# A request to take tags away that names none is about all of them.
NAMED: Condition = {"Null": {"aws:TagKeys": "false"}}


def ec2(*calls: str) -> tuple[str, ...]:
    return tuple(f"ec2:{call}" for call in calls)


def iam(*calls: str) -> tuple[str, ...]:
    return tuple(f"iam:{call}" for call in calls)
