"""Launches that name what was made a moment before: EC2 may not know it yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.resource import eventually, patiently
from amibake.errors import AmibakeError
from amibake.waiting import Deadline

T = TypeVar("T")

PROFILE_KNOWN = 60.0
"""Seconds for which EC2 may not know yet an instance profile that IAM has just made."""

_KEY = ("InvalidKeyPair.NotFound",)
_GROUP = ("InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound")


@dataclass(frozen=True)
class Fresh:
    """What a launch names that this bake has just made: EC2's words for not knowing it yet, and the temporary instance
    profile."""

    cloud: Cloud
    codes: tuple[str, ...] = ()
    profile: str | None = None

    @classmethod
    def of(cls, cloud: Cloud, builder: Builder, profile: str | None) -> Fresh:
        """What a builder's launch names. What the user names has been there before, so that EC2 is believed."""
        codes = (*(_KEY if builder.has_temporary_key else ()), *(_GROUP if builder.has_temporary_group else ()))
        return cls(cloud, codes, profile)

    def launch(self, call: Callable[[], T]) -> T:
        """Make a call, again for as long as EC2 does not know any of it yet."""
        once = partial(eventually, self.cloud, call, *self.codes)
        if self.profile is None:
            return once()
        what, deadline = f"EC2 to know instance profile {self.profile}", Deadline(PROFILE_KNOWN)
        return patiently(self.cloud, what, once, again=is_unknown_profile, deadline=deadline)


def is_unknown_profile(error: AmibakeError) -> bool:
    """Whether EC2 says that it knows no such instance profile, or not its role."""
    said = any(words in error.message for words in ("Invalid IAM Instance Profile", "has no associated IAM Roles"))
    return error.code == "InvalidParameterValue" and said
