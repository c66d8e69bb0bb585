"""The least that a bake has to be allowed, as an IAM policy: a table of all calls that amibake makes, scoped by the
tags that it puts on what it makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from amibake.builder import Builder
from amibake.errors import InvalidOption
from amibake.permissions import base, features
from amibake.permissions.grant import BASE, PARTITIONS, Arns, Grant

LIMIT = 6144
"""Characters that a managed policy may have, not counting white space.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

GRANTS: tuple[Grant, ...] = (*base.GRANTS, *features.GRANTS)
"""Every statement, in order."""

FEATURES: tuple[str, ...] = tuple(dict.fromkeys(grant.feature for grant in features.GRANTS))
"""What `policy` takes."""


def policy(
    *features: str,
    builder: Builder | None = None,
    bake: bool = True,
    partition: str = "aws",
    account_id: str = "*",
    roles: Sequence[str] = (),
    kms_keys: Sequence[str] = (),
) -> dict[str, Any]:
    """The IAM policy of those who bake: the least that is needed, scoped by the tags of amibake.

    `json.dumps(amibake.policy("copies", "sharing"))`

    Args:
        features: What is needed besides a plain bake, of `amibake.permissions.FEATURES`, which docs/iam-policy.md
            explains.
        builder: What its options need is added.
        bake: Whether those who have it bake. `policy("sweep", bake=False)` is for those who only sweep, and
            `policy("launch", bake=False)` for those who only launch.
        partition: "aws", "aws-cn", "aws-us-gov", "aws-iso" or "aws-iso-b".
        account_id: The account's id, 12 digits; "*" is any, so that one policy fits all accounts.
        roles: The ARNs of the roles that builders may get, for "instance_profile".
        kms_keys: The ARNs of the KMS keys, for "encryption" [all keys of the account].

    Raises:
        InvalidOption: no such feature, partition or account, what is no ARN of a role or a key, "instance_profile"
            without roles, or nothing at all.
    """
    wanted = {*([BASE] if bake else []), *features, *(features_of(builder) if builder is not None else ())}
    mistakes = [*_mistakes(features, partition, account_id), *_no_arns(roles, kms_keys)]
    if not wanted:
        mistakes.append("bake: without it and without features there is nothing to allow")
    if "instance_profile" in wanted and not roles:
        mistakes.append("roles: name the roles that builders may get, by their ARNs: who may pass any has all of them")
    if mistakes:
        raise InvalidOption(*mistakes)
    arns = Arns(partition, account_id, tuple(roles), tuple(kms_keys))
    statements = [grant.statement(arns) for grant in GRANTS if grant.feature in wanted]
    return {"Version": "2012-10-17", "Statement": statements}


def _mistakes(features: Sequence[str], partition: str, account_id: str) -> Iterator[str]:
    for name in features:
        if name not in FEATURES:
            near = get_close_matches(name, FEATURES, n=1)
            yield f"features: there is no {name!r}; {f'did you mean {near[0]}?' if near else ', '.join(FEATURES)}"
    if partition not in PARTITIONS:
        yield f"partition: {partition!r} is not one of {', '.join(PARTITIONS)}"
    if not re.fullmatch(r"[0-9]{12}|\*", account_id):
        yield f'account_id: {account_id!r} is neither 12 digits nor "*"'


def _no_arns(roles: Sequence[str], kms_keys: Sequence[str]) -> Iterator[str]:
    """What IAM would refuse, or what would allow nothing: it compares ARNs, and knows no names."""
    for option, given, kind, example in (
        ("roles", roles, "iam::[^:]*:role/", "arn:aws:iam::123456789012:role/web"),
        ("kms_keys", kms_keys, "kms:[^:]*:[^:]*:key/", "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-…"),
    ):
        for one in given:
            if not re.fullmatch(rf"arn:[\w-]+:{kind}\S+", str(one)):
                yield f"{option}: {one!r} is not an ARN, such as {example}"


def features_of(builder: Builder) -> tuple[str, ...]:
    """The features that a bake with these options needs, of `FEATURES`."""
    devices = (*builder.launch_block_device_mappings, *builder.ami_block_device_mappings)
    place = builder.placement
    needed: Mapping[str, object] = {
        "copies": builder.ami_regions,
        "sharing": any(getattr(builder, name) for name in SHARING),
        "deprecation": builder.deprecate_after or builder.deprecate_at,
        "protection": builder.deregistration_protection.enabled,
        "force_deregister": builder.force_deregister,
        "force_delete_snapshot": builder.force_delete_snapshot,
        "encryption": builder.encrypt_boot or any(one.encrypted or one.kms_key_id for one in devices),
        "snapshots": any(one.snapshot_id for one in devices),
        "spot": builder.is_spot,
        "instance_profile": builder.iam_instance_profile,
        "temporary_profile": builder.temporary_iam_instance_profile_policy_document,
        "own_key": builder.ssh_keypair_name,
        "own_groups": builder.security_group_ids or builder.security_group_filter,
        "placement": place and (place.group_name or place.host_resource_group_arn),
        "capacity_reservation": builder.capacity_reservation_id or builder.capacity_reservation_group_arn,
        "licenses": builder.license_specifications,
    }
    return tuple(feature for feature, wanted in needed.items() if wanted)


SHARING = (
    "ami_users",
    "ami_groups",
    "ami_org_arns",
    "ami_ou_arns",
    "ami_product_codes",
    "imds_support",
    "snapshot_users",
    "snapshot_groups",
)
"""The options that are attributes of the image and of its snapshots."""


def size(document: Mapping[str, Any]) -> int:
    """The characters of a policy as IAM counts them: without white space."""
    return len(json.dumps(document, separators=(",", ":")))


def split(document: Mapping[str, Any], limit: int = LIMIT) -> list[dict[str, Any]]:
    """A policy in as many parts as it takes for each to be one managed policy; together they allow the same."""
    parts: list[dict[str, Any]] = []
    for statement in document["Statement"]:
        last = parts[-1]["Statement"] if parts else []
        fuller = {**document, "Statement": [*last, statement]}
        if parts and size(fuller) <= limit:
            parts[-1] = fuller
        else:
            parts.append({**document, "Statement": [statement]})
    return parts
