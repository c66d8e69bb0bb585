"""The temporary instance profile: a role with the user's policy, for the builder alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from amibake.builder import Builder
from amibake.ec2.by_hand import PREFIX
from amibake.ec2.cloud import Cloud, tag_dict, tag_list
from amibake.ec2.refusals import of_an_option
from amibake.ec2.resource import eventually, remove, resource
from amibake.errors import AmibakeError
from amibake.image import BUILD, EXPIRES

UNKNOWN = "NoSuchEntity"
THERE_ALREADY = ("EntityAlreadyExists", "LimitExceeded")
"""What IAM says when the answer to a first try was lost, and the call repeated: a profile has one role at most."""
BUSY = ("ConcurrentModification", "DeleteConflict", "EntityTemporarilyUnmodifiable")

_OPTIONS = {"MalformedPolicyDocument": "temporary_iam_instance_profile_policy_document"}

# https://docs.aws.amazon.com/general/latest/gr/rande.html; everywhere else it is amazonaws.com
_SUFFIXES = {"cn-": "amazonaws.com.cn", "us-iso-": "c2s.ic.gov", "us-isob-": "sc2s.sgov.gov"}


@contextmanager
def temporary_profile(cloud: Cloud, builder: Builder) -> Iterator[str | None]:
    """A role with the policy document of the options, and an instance profile with that role; yields the profile's
    name, or None where none is wanted. Each part is undone by itself, in the reverse order, whatever the next ones
    come to."""
    document = builder.temporary_iam_instance_profile_policy_document
    if document is None:
        yield None
        return
    name = f"{PREFIX}{cloud.build}"
    with ExitStack() as undo:
        for part in _parts(cloud, name, document):
            undo.enter_context(part.made())
        if cloud.resumed:
            _keep_alive(cloud, name)
        yield name


def _keep_alive(cloud: Cloud, name: str) -> None:
    """What is taken up from another bake does not count as dead before this one is over."""
    iam, tags = cloud.clients.service("iam", cloud.region), tag_list({EXPIRES: cloud.marks[EXPIRES]})
    iam.tag_role(RoleName=name, Tags=tags)
    iam.tag_instance_profile(InstanceProfileName=name, Tags=tags)


@dataclass(frozen=True)
class _Part:
    """One thing to make, of the build's name. What is there already is ours if it has the build's tag.

    Attributes:
        make: The call that makes it.
        look: A call whose answer is false, or that fails, where it is not there or is somebody else's.
        remove: The call that removes it.
        held_by: The kinds of parts that have to be gone before it can go.
    """

    cloud: Cloud
    name: str
    kind: str
    make: Callable[[], object]
    look: Callable[[], object]
    remove: Callable[[], object]
    held_by: tuple[str, ...] = ()

    def made(self) -> AbstractContextManager[str]:
        return resource(self.cloud, self.kind, create=self._create, find=self._find, release=self._release)

    def _create(self) -> str:
        try:
            eventually(self.cloud, self.make, UNKNOWN, "ConcurrentModification")
        except AmibakeError as error:
            if error.code not in THERE_ALREADY or not self._find():
                raise of_an_option(error, _OPTIONS) from error
        return self.name

    def _find(self) -> list[str]:
        try:
            return [self.name] if self.look() else []
        except AmibakeError as error:
            if error.code != UNKNOWN:
                raise
            return []

    def _release(self, name: str) -> None:
        remove(self.cloud, self.kind, name, self.remove, busy=BUSY, held_by=self.held_by)


def _parts(cloud: Cloud, name: str, document: str) -> Iterator[_Part]:
    """What there is to make, in this order. IAM is global, but for its partition."""
    iam = cloud.clients.service("iam", cloud.region)
    part, tags = partial(_Part, cloud, name), tag_list(cloud.tags)
    role, profile = {"RoleName": name}, {"InstanceProfileName": name}
    policy = {**role, "PolicyName": name}

    def find_profile() -> Mapping[str, Any]:
        found: Mapping[str, Any] = iam.get_instance_profile(**profile)["InstanceProfile"]
        return found if _is_ours(cloud, found) else {}

    yield part(
        "role",
        make=partial(iam.create_role, **role, AssumeRolePolicyDocument=_trust(cloud.region), Tags=tags),
        look=lambda: _is_ours(cloud, iam.get_role(**role)["Role"]),
        remove=partial(iam.delete_role, **role),
        held_by=("role policy", "role in the instance profile"),
    )
    yield part(
        "role policy",
        make=partial(iam.put_role_policy, **policy, PolicyDocument=document),
        look=partial(iam.get_role_policy, **policy),
        remove=partial(iam.delete_role_policy, **policy),
    )
    yield part(
        "instance profile",
        make=partial(iam.create_instance_profile, **profile, Tags=tags),
        look=find_profile,
        remove=partial(iam.delete_instance_profile, **profile),
        held_by=("role in the instance profile",),
    )
    yield part(
        "role in the instance profile",
        make=partial(iam.add_role_to_instance_profile, **profile, **role),
        look=lambda: [one for one in find_profile().get("Roles", ()) if one["RoleName"] == name],
        remove=partial(iam.remove_role_from_instance_profile, **profile, **role),
    )


def _is_ours(cloud: Cloud, found: Mapping[str, Any]) -> bool:
    return tag_dict(found.get("Tags")).get(BUILD) == cloud.build


def _trust(region: str) -> str:
    """Who may take on the role."""
    principal = {"Service": ec2_principal(region)}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def ec2_principal(region: str) -> str:
    """EC2 as a service that may take on roles, in the partition of this region."""
    suffix = next((suffix for prefix, suffix in _SUFFIXES.items() if region.startswith(prefix)), "amazonaws.com")
    return f"ec2.{suffix}"
