"""Which account and region the image is baked in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Unpack

from pydantic import BeforeValidator, Field

from amibake.builder.base import Group, Part
from amibake.builder.values import Policy, Region, Seconds

if TYPE_CHECKING:
    from amibake.builder.keywords import AssumeRoleFields


class AssumeRole(Part):
    """A role to take on before anything else, by STS AssumeRole's own words."""

    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$")
    """The role's ARN: "arn:aws:iam::123456789012:role/baker"."""

    session_name: str | None = Field(None, pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$")
    """The name of the session in CloudTrail ["amibake-" and the bake's id]."""

    duration_seconds: int = Field(3600, ge=900, le=43200)
    """How long one set of credentials lasts; they are renewed as often as the bake needs it."""

    external_id: str | None = Field(None, min_length=2, max_length=1224)
    """The external id that the role's trust policy asks for [none]."""

    policy: Policy = None
    """A session policy, as a dict or as JSON text, that narrows the role's permissions [none]."""

    policy_arns: tuple[str, ...] = Field((), max_length=10)
    """Managed policies that narrow the role's permissions [none]."""

    tags: dict[str, str] = Field(default_factory=dict)
    """Session tags [none]."""

    transitive_tag_keys: tuple[str, ...] = ()
    """Which of the session tags the roles assumed from this one get as well [none]."""

    if TYPE_CHECKING:

        def __init__(self, /, **fields: Unpack[AssumeRoleFields]) -> None: ...


class Access(Group, defer_build=False):
    """Access: the region, and by whose credentials."""

    region: Region | None = None
    """The region to bake in, such as "eu-west-1" [the session's; "us-east-1" where that names none]."""

    profile: str | None = Field(None, min_length=1)
    """The profile of the shared AWS configuration to use [boto3's own choice]. Not together with `session=`."""

    access_key: str | None = Field(None, min_length=1)
    """An access key id, with `secret_key` [boto3's own resolution: environment, files, the machine's role]."""

    secret_key: str | None = Field(None, min_length=1, repr=False)
    """The secret of `access_key` [none]."""

    token: str | None = Field(None, min_length=1, repr=False)
    """The session token of temporary credentials given as `access_key` and `secret_key` [none]."""

    assume_role: Annotated[AssumeRole | None, BeforeValidator(AssumeRole.of)] = None
    """A role to take on with those credentials: an `AssumeRole`, or its fields as a dict [none]. Not together with
    `session=`."""

    max_retries: int = Field(7, ge=0, le=100)
    """How often one call is repeated on throttling, internal errors, lost connections and answers that do not come or
    come in part [7, with pauses of up to 20 s that grow; Packer's is 10]. `retry_timeout` is a limit as well."""

    retry_timeout: Seconds = Field(60.0, gt=0, le=3600)
    """For how many seconds one call is repeated on these, within `max_build_time`."""


def access_mistakes(options: Access) -> Iterator[str]:
    """What contradicts itself."""
    if (options.access_key is None) != (options.secret_key is None):
        yield "access_key: it and secret_key need each other"
    if options.token is not None and options.access_key is None:
        yield "token: belongs to access_key and secret_key, which are not given"
    if options.profile is not None and options.access_key is not None:
        yield "profile: give either this or access_key"
