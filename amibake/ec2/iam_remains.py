"""What bakes have left in IAM: their temporary instance profiles and roles. IAM is the same in all regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from amibake.ec2.by_hand import PREFIX
from amibake.ec2.cloud import Cloud, tag_dict
from amibake.ec2.listing import Listed
from amibake.ec2.profile import UNKNOWN
from amibake.ec2.remains import Thing
from amibake.errors import AmibakeError
from amibake.image import EXPIRES

MOST = 1000
"""Names in an answer of IAM's."""

KINDS = ("role in the instance profile", "instance profile", "role policy", "role")


def list_profiles(cloud: Cloud, build: str | None) -> Listed:
    """The temporary instance profiles and roles, with all that has to go before them. Never raises."""
    iam = cloud.clients.service("iam", cloud.region)
    found: list[Thing] = []
    try:
        for name in _names(iam.list_instance_profiles, "InstanceProfiles", "InstanceProfileName", build):
            found += _profile(iam, name)
        for name in _names(iam.list_roles, "Roles", "RoleName", build):
            found += _role(iam, name)
    except AmibakeError as error:
        return Listed("instance profile", "", error=error)
    ours = [thing for thing in found if EXPIRES in thing.tags or build is not None]
    return Listed("instance profile", "", [thing for thing in ours if build in (None, thing.build)])


def removal(cloud: Cloud, thing: Thing) -> Callable[[], object]:
    """The call that removes it."""
    iam, kind = cloud.clients.service("iam", cloud.region), thing.kind
    if kind == "role":
        return partial(iam.delete_role, RoleName=thing.id)
    if kind == "instance profile":
        return partial(iam.delete_instance_profile, InstanceProfileName=thing.id)
    role = thing.facts["role"]
    if kind == "role policy":
        return partial(iam.delete_role_policy, RoleName=role, PolicyName=thing.id)
    return partial(iam.remove_role_from_instance_profile, InstanceProfileName=thing.id, RoleName=role)


def _names(call: Callable[..., Any], key: str, name: str, build: str | None) -> Iterator[str]:
    """The names that a bake gives, of all that there are."""
    for answer in _pages(call, MaxItems=MOST):
        for one in answer[key]:
            if one[name].startswith(PREFIX) and build in (None, one[name].removeprefix(PREFIX)):
                yield one[name]


def _pages(call: Callable[..., Any], **request: Any) -> Iterator[Mapping[str, Any]]:
    while True:
        answer = call(**request)
        yield answer
        if not answer.get("IsTruncated"):
            return
        request["Marker"] = answer["Marker"]


def _profile(iam: Any, name: str) -> Iterator[Thing]:
    """The lists do not show tags."""
    if found := _unless_gone(partial(iam.get_instance_profile, InstanceProfileName=name)):
        profile = found["InstanceProfile"]
        tags = tag_dict(profile.get("Tags"))
        for role in profile["Roles"]:
            yield Thing("role in the instance profile", name, "", tags, {"role": role["RoleName"]})
        yield Thing("instance profile", name, "", tags)


def _role(iam: Any, name: str) -> Iterator[Thing]:
    if found := _unless_gone(partial(iam.get_role, RoleName=name)):
        tags = tag_dict(found["Role"].get("Tags"))
        for policy in (_unless_gone(partial(iam.list_role_policies, RoleName=name)) or {}).get("PolicyNames", ()):
            yield Thing("role policy", policy, "", tags, {"role": name})
        yield Thing("role", name, "", tags)


def _unless_gone(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except AmibakeError as error:
        if error.code != UNKNOWN:
            raise
        return None
