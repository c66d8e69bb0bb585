"""Clients of AWS's services for one account, by the user's credentials."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from amibake._version import __version__
from amibake.builder.access import Access
from amibake.ec2.models import share
from amibake.ec2.refusals import Translating
from amibake.ec2.transient import Retries
from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.loading import undisturbed
from amibake.waiting import Deadline

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from mypy_boto3_ec2 import EC2Client

OWN = ("profile", "access_key", "secret_key", "token", "assume_role")
"""The options that say whose credentials to use, which a session says as well."""


_MAKING = threading.Lock()
"""A session, unlike a client, is not to be used by two threads at once, and bakes side by side may share one."""


@dataclass(frozen=True)
class Clients:
    """Makes clients that raise our errors, all by the same credentials and with the same retries."""

    session: Session
    config: Config
    retries: Retries = field(default_factory=Retries)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    def ec2(self, region: str) -> EC2Client:
        """EC2 in a region."""
        return cast("EC2Client", self.service("ec2", region))

    def service(self, name: str, region: str) -> Any:
        """Another service, "iam" say."""
        if (name, region) not in self._made:
            with _MAKING, undisturbed():
                plain = self.session.client(name, region_name=region, config=self.config)
            decode = partial(self._decoded, region)
            self._made[name, region] = Translating(plain, service=name, decode=decode, retries=self.retries)
        return self._made[name, region]

    def _sts(self, region: str) -> Any:
        """STS, which only says more about a refusal. Where it can't be reached, from a subnet with an endpoint for EC2
        alone, say, nobody is to wait for it at every refusal."""
        if ("sts", region) not in self._made:
            from botocore.config import Config

            quick = self.config.merge(Config(connect_timeout=2, read_timeout=5))
            with _MAKING:
                plain = self.session.client("sts", region_name=region, config=quick)
            self._made["sts", region] = Translating(plain, service="sts")
        return self._made["sts", region]

    def _decoded(self, region: str, message: str) -> str:
        """What STS makes of an encoded authorization failure message."""
        answer = self._sts(region).decode_authorization_message(EncodedMessage=message)
        return str(answer["DecodedMessage"])


def clients(
    session: Session | None,
    access: Access,
    *,
    build: str,
    within: Deadline | None = None,
    emit: Emit = lambda _: None,
) -> tuple[Clients, str]:
    """Clients by the session's credentials, or by those that the options name, and the region to speak to. What they
    repeat keeps to the time `within` which the bake is to be over, and is told by `emit`.

    Raises:
        InvalidOption: options that say whose credentials together with a session, or a profile that does not exist.
    """
    with undisturbed():
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

    own = [name for name in OWN if getattr(access, name) is not None]
    if session is not None and own:
        raise InvalidOption(*(f"{name}: not together with session=, which has its own credentials" for name in own))
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},  # repeating is `Retries`' own, and on our clock
        connect_timeout=10,
        read_timeout=30,
        user_agent_extra=f"amibake/{__version__}",
    )
    try:
        if session is None:
            session = boto3.Session(
                profile_name=access.profile,
                aws_access_key_id=access.access_key,
                aws_secret_access_key=access.secret_key,
                aws_session_token=access.token,
            )
            share(session._session)  # noqa: SLF001 - boto3 has no other way to it
        region = access.region or session.region_name or "us-east-1"
        if access.assume_role is not None:
            session = _in_role(session, access, build, region, config)
        retries = Retries(access.max_retries, access.retry_timeout, within, emit)
        return Clients(session, config, retries), region
    except BotoCoreError as error:
        raise InvalidOption(f"the AWS configuration cannot be used: {error}") from error


def _in_role(session: Session, access: Access, build: str, region: str, config: Config) -> Session:
    """A session in a role, whose credentials are fetched when they are first needed, and again before they expire."""
    import boto3
    import botocore.session
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    role = access.assume_role
    assert role is not None  # noqa: S101 - the caller's condition
    wanted = {
        "RoleSessionName": role.session_name or f"amibake-{build}",
        "DurationSeconds": role.duration_seconds,
        "ExternalId": role.external_id,
        "Policy": role.policy,
        "PolicyArns": [{"arn": arn} for arn in role.policy_arns],
        "Tags": [{"Key": key, "Value": value} for key, value in role.tags.items()],
        "TransitiveTagKeys": list(role.transitive_tag_keys),
    }
    source = session.get_credentials()
    if source is None:
        raise InvalidOption("assume_role: there are no AWS credentials to take it on with")
    fetcher = AssumeRoleCredentialFetcher(
        # the fetcher wants botocore's own; the region decides on the partition, and on how far the call has to go
        client_creator=partial(session._session.create_client, region_name=region, config=config),  # noqa: SLF001
        source_credentials=source,
        role_arn=role.role_arn,
        extra_args={name: value for name, value in wanted.items() if value},
    )
    inner = botocore.session.Session(profile=access.profile)
    # botocore has no other way in
    inner._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]  # noqa: SLF001
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    made = boto3.Session(botocore_session=inner, region_name=region)
    share(inner)  # not before: boto3 adds a directory to what it looks through, for each session anew
    return made
