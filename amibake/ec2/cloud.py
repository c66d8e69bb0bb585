"""One account and region, as one bake sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from amibake import waiting
from amibake.builder.access import Access
from amibake.ec2.clients import Clients, clients
from amibake.errors import AmibakeError
from amibake.image import BUILD, EXPIRES, NAME
from amibake.ledger import Ledger
from amibake.waiting import Deadline

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import ResourceTypeType
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagSpecificationTypeDef, TagTypeDef

__all__ = ["CONSISTENCY", "RELEASE", "Cloud", "Session", "connect", "is_build", "missing", "tag_dict", "tag_list"]

GRACE = 30 * 60
"""Seconds after a bake's last moment from which on its temporary things count as dead."""

CONSISTENCY = 30.0
"""Seconds for which EC2 may not know yet what it has just made."""

RELEASE = 300
"""Seconds that releasing one resource may take, whatever time the bake itself has left."""


@dataclass(frozen=True)
class Cloud:
    """What every part of a bake needs to speak to EC2.

    Attributes:
        clients: Makes clients of other services and regions.
        ec2: A boto3 client that raises our errors.
        region: Its region's name.
        build: The bake's id.
        deadline: When the bake must be over.
        ledger: Where it writes down what it does.
        given: The session that the user has given; None for one of our own.
        resumed: Whether what this bake would make may be there already, from the one that it goes on with.
        made: When, on our clock, it has made each thing, by its id or name.
        stuck: The kinds of things of which one could not be removed.
        protected: The images that it has protected against being deregistered.
        unwatched: The instances whose end nobody needs to wait for, since nothing temporary hangs on them.
        tags: For everything temporary: the user's `run_tags`, whose it is, and from when on it counts as dead.
    """

    clients: Clients
    ec2: EC2Client
    region: str
    build: str
    deadline: Deadline
    ledger: Ledger
    tags: Mapping[str, str]
    given: Session | None = field(default=None, repr=False)
    resumed: bool = False
    made: dict[str, float] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    protected: set[str] = field(default_factory=set)
    unwatched: set[str] = field(default_factory=set)

    def is_fresh(self, name: str) -> bool:
        """Whether this bake has made it so short a time ago that EC2 may not know it yet."""
        return waiting.clock.now() - self.made.get(name, -inf) < CONSISTENCY

    @property
    def marks(self) -> dict[str, str]:
        """The part of `tags` that says whose a resource is, and from when on it counts as dead."""
        return {key: self.tags[key] for key in (BUILD, EXPIRES)}

    def elsewhere(self, region: str) -> Cloud:
        """The same bake in another region."""
        return self if region == self.region else replace(self, ec2=self.clients.ec2(region), region=region)

    def tagged(self, tags: Mapping[str, str]) -> Cloud:
        """The same bake, with other tags for what is temporary."""
        return replace(self, tags={**tags, **self.marks})

    def specification(self, *kinds: ResourceTypeType) -> list[TagSpecificationTypeDef]:
        """The TagSpecifications of a create call for something temporary of these kinds."""
        return [{"ResourceType": kind, "Tags": tag_list(self.tags)} for kind in kinds]

    def of_this_build(self) -> list[FilterTypeDef]:
        """The filter that finds what this bake has made."""
        return [{"Name": f"tag:{BUILD}", "Values": [self.build]}]

    def command(self, *words: str) -> str:
        """The AWS command line that does by hand what could not be done here."""
        return " ".join(["aws ec2", *words, "--region", self.region])


def connect(
    session: Session | None,
    *,
    build: str,
    ledger: Ledger,
    access: Access | None = None,
    seconds: float = RELEASE,
    tags: Mapping[str, str] | None = None,
    resumed: bool = False,
) -> Cloud:
    """A cloud for one bake or launch that may take so many `seconds`.

    Raises:
        InvalidOption: `access` names credentials together with a session, or a profile that does not exist.
    """
    deadline = Deadline(seconds)
    made, region = clients(session, access or Access(), build=build, within=deadline, emit=ledger.emit)
    marks = {BUILD: build, EXPIRES: str(int(waiting.clock.epoch() + seconds + GRACE))}
    return Cloud(
        clients=made,
        ec2=made.ec2(region),
        region=region,
        build=build,
        deadline=deadline,
        ledger=ledger,
        tags={NAME: "amibake", **(tags or {}), **marks},
        given=session,
        resumed=resumed,
    )


def is_build(value: object) -> bool:
    """Whether it is the id of a bake: 16 hex digits. Nothing else goes into EC2's filters, which know wildcards."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as EC2 wants them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: Iterable[TagTypeDef] | None) -> dict[str, str]:
    """Tags as EC2 gives them, as a dict."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def missing(error: AmibakeError) -> bool:
    """Whether EC2, or IAM, said that the thing is not there: just after a create it may not be *yet*."""
    return error.code == "NoSuchEntity" or error.code.endswith((".NotFound", ".Unavailable"))
