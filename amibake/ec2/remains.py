"""What bakes have left in an account: things that carry a bake's tags, and whether that bake is dead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amibake.image import APP, BUILD, EXPIRES
from amibake.waiting import duration

KINDS = (
    "instance",
    "fleet",
    "launch template",
    "key pair",
    "network interface",
    "volume",
    "security group",
    "role in the instance profile",
    "instance profile",
    "role policy",
    "role",
    "image",
    "snapshot",
)
"""Everything that a bake makes, in the order in which it can be removed."""


@dataclass(frozen=True)
class Remnant:
    """Something that a bake has made for a while.

    Attributes:
        kind: What it is, in EC2's words: one of `KINDS`.
        id: Its id; of what IAM has, its name.
        region: Where it is; "" for what IAM has, which is everywhere.
        build: The id of the bake, or "" where its tags do not say.
        app: The application that was baked, or "".
        expires: From when on it counts as dead, in seconds since 1970; None where its tags do not say.
        overdue: For how many seconds it has; negative for one that has not yet.
    """

    kind: str
    id: str
    region: str
    build: str
    app: str
    expires: int | None
    overdue: float | None

    def __str__(self) -> str:
        where = f" in {self.region}" if self.region else ""
        whose = f" of build {self.build}" if self.build else ""
        return f"{self.kind} {self.id}{where}{whose}{f' ({self.app})' if self.app else ''}{self._since()}"

    def _since(self) -> str:
        if self.overdue is None:
            return ""
        if self.overdue < 0:
            return f", expires in {duration(-self.overdue)}"
        return f", expired {duration(self.overdue)} ago"


@dataclass(frozen=True)
class Spared:
    """A remnant that stays, and why."""

    remnant: Remnant
    reason: str

    def __str__(self) -> str:
        return f"{self.remnant}: {self.reason}"


@dataclass(frozen=True)
class Thing:
    """Something with a bake's tags, as EC2 or IAM tells of it; `facts` is all of that."""

    kind: str
    id: str
    region: str
    tags: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def build(self) -> str:
        """The id of the bake, or ""."""
        return self.tags.get(BUILD, "")

    @property
    def expires(self) -> int | None:
        """From when on it counts as dead, if that is said by a number."""
        said = self.tags.get(EXPIRES, "")
        return int(said) if re.fullmatch("[0-9]{1,15}", said) else None

    def as_remnant(self, now: float) -> Remnant:
        """For the user."""
        expires = self.expires
        overdue = None if expires is None else now - expires
        return Remnant(self.kind, self.id, self.region, self.build, self.tags.get(APP, ""), expires, overdue)

    def why_not(self, now: float, build: str | None) -> str:
        """Why it is not for removal, by its tags alone; "" where it is: a bake's that is dead, or the one named."""
        if not self.build:
            return f"it has no tag {BUILD}, so it is not known to be of a bake"
        if EXPIRES not in self.tags:
            return f"it is not temporary: it has no tag {EXPIRES}"
        if self.expires is None:
            return f"its {EXPIRES} is {self.tags[EXPIRES]!r}, which is no time"
        if build is None and self.expires > now:
            return "its bake may still be going on"
        return ""
