"""How a bake gets into its builder: what the options say of it, brought to SSH; and what EC2 says when it can't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine
from amibake.ec2.lookup import Plan
from amibake.errors import AmibakeError, AuthenticationFailed, ConnectionLost, InvalidOption, SSHTimeout, WaitTimeout
from amibake.first_boot import host_key_mistakes
from amibake.interrupts import opened
from amibake.secret import Secret
from amibake.ssh.keys import KeyPair, load_key_pair, make_key_pair
from amibake.ssh.options import Options, check_algorithms
from amibake.ssh.route import Direct, Route
from amibake.timer import Timer
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:  # what leads to paramiko is imported where it is used: meanwhile it is being loaded
    from amibake.ssh.bastion import Bastion
    from amibake.ssh.host import SSHHost

_NOTICED = 20.0
"""Seconds after which EC2 has noticed that an instance is off."""


@dataclass(frozen=True)
class Launched:
    """A builder that runs, where it is reached and how, the bake's own key to it, if it has one, and whom its temporary
    security group admits."""

    machine: Machine
    address: str
    route: Route
    key: KeyPair | None
    admitted: tuple[str, ...] = ()
    host_key: KeyPair | None = None
    """The SSH host key that was given to it."""


def login_mistakes(builder: Builder) -> Iterator[str]:
    """What is wrong with the keys, the agent and the algorithms that the options name."""
    if builder.communicator == "none":
        return
    yield from check_algorithms(builder.ssh_ciphers, builder.ssh_key_exchange_algorithms)
    yield from host_key_mistakes(builder)
    if builder.ssh_proxy_command is not None:
        from amibake.ssh.proxy import ProxyCommand

        try:
            ProxyCommand(builder.ssh_proxy_command)
        except ValueError as error:
            yield f"ssh_proxy_command: {error}"
    for prefix in ("ssh", "ssh_bastion"):
        key, certificate = (getattr(builder, f"{prefix}_{what}_file") for what in ("private_key", "certificate"))
        if key is not None:
            try:
                load_key_pair(key, certificate)
            except ValueError as error:
                yield f"{prefix}_private_key_file: {error}"
        if getattr(builder, f"{prefix}_agent_auth"):
            from amibake.ssh.agent import agent_keys

            try:
                agent_keys()
            except AmibakeError as error:
                yield f"{prefix}_agent_auth: {error.message}"


def temporary_key(builder: Builder, comment: str) -> KeyPair | None:
    """The bake's own key pair, where it has one."""
    if not builder.has_temporary_key:
        return None
    return make_key_pair(builder.temporary_key_pair_type, comment, builder.temporary_key_pair_bits or 2048)


@contextmanager
def route_to(cloud: Cloud, builder: Builder) -> Iterator[Route]:
    """The way to the builder: direct, through a bastion, or by the user's command.

    Raises:
        SSHTimeout, AuthenticationFailed: the bastion can't be used.
    """
    if builder.ssh_proxy_command is not None:
        from amibake.ssh.proxy import ProxyCommand

        yield ProxyCommand(builder.ssh_proxy_command)
    elif builder.ssh_bastion_host is None:
        yield Direct()
    else:
        with _bastion(builder, builder.ssh_bastion_host) as bastion:
            bastion.reach(deadline=cloud.deadline, emit=cloud.ledger.emit)
            yield bastion


def _bastion(builder: Builder, host: str) -> Bastion:
    from amibake.ssh.bastion import Bastion
    from amibake.ssh.credentials import Credentials

    username = builder.ssh_bastion_username or builder.ssh_username
    key_file = builder.ssh_bastion_private_key_file
    if key_file or builder.ssh_bastion_agent_auth or builder.ssh_bastion_password:
        key = _loaded(key_file, builder.ssh_bastion_certificate_file)
        credentials = Credentials(username, key, builder.ssh_bastion_password, builder.ssh_bastion_agent_auth)
    else:
        credentials = Credentials(username, _loaded(builder.ssh_private_key_file, builder.ssh_certificate_file))
    return Bastion(host, builder.ssh_bastion_port, credentials, options=_options(builder))


def seen_from(cloud: Cloud, builder: Builder, route: Route, address: str) -> str | None:
    """The address from which the builder at `address` sees us come, where that is not for this machine to say: the
    bastion's.

    Raises:
        InvalidOption: the bastion does not say.
    """
    named = builder.temporary_security_group_source_cidrs or builder.temporary_security_group_source_public_ip
    if builder.ssh_bastion_host is None or not builder.has_temporary_group or named:
        return None
    from amibake.ssh.bastion import Bastion

    if not isinstance(route, Bastion):
        return None
    with opened():
        found = route.address_seen(address, deadline=cloud.deadline)
    if found is None:
        raise InvalidOption(
            "temporary_security_group_source_cidrs: the address from which ssh_bastion_host reaches the builder at "
            f"{address} cannot be found out",
            hint="Name the bastion's address: temporary_security_group_source_cidrs=[…].",
        )
    return found


@contextmanager
def logged_in(cloud: Cloud, plan: Plan, launched: Launched, timer: Timer) -> Iterator[SSHHost]:
    """The builder by SSH, with its timer armed. When it cannot be reached, or no longer, the error has what EC2 says of
    it."""
    from amibake.ssh.connect import connect
    from amibake.ssh.credentials import Credentials

    builder, machine = plan.builder, launched.machine
    data = {
        "BuildID": cloud.build,
        "BuildName": builder.build_name or "-".join(filter(None, (builder.app, builder.stage, builder.node_env))),
        "BuildRegion": cloud.region,
        "Host": launched.address,
        "ID": machine.id,
        "Port": str(builder.ssh_port),
        "SourceAMI": plan.source.id,
        "SourceAMIName": plan.source.name,
        "User": builder.ssh_username,
    }
    if builder.ssh_private_key_file is not None:
        data["SSHPrivateKeyFile"] = str(builder.ssh_private_key_file.expanduser())
    own = launched.host_key
    key = launched.key or _loaded(builder.ssh_private_key_file, builder.ssh_certificate_file)
    credentials = Credentials(builder.ssh_username, key, builder.ssh_password, builder.ssh_agent_auth)
    with ExitStack() as connection:
        try:
            with cloud.ledger.step("connect to the builder"), cloud.ledger.waits("instance answering"):
                host = connection.enter_context(
                    connect(
                        launched.address,
                        builder.ssh_port,
                        credentials=credentials,
                        route=launched.route,
                        options=_options(builder),
                        deadline=cloud.deadline,
                        timeout=builder.ssh_timeout,
                        emit=cloud.ledger.emit,
                        alive=connection.enter_context(machine.watched()),
                        data=data,
                        known_host_key=own.public if own else builder.demanded_host_key,
                        host_key_may_come=not cloud.resumed,
                        connected=timer.arm,
                    )
                )
        except AmibakeError as error:
            known = error if type(error) is not AmibakeError else SSHTimeout(error.message, hint=error.hint)
            _explain(known, launched)
            raise known from error.__cause__
        if own is not None:
            host.conceal([Secret(own.private.decode("ascii"))])  # it can be read on the builder
        try:
            yield host
        except (SSHTimeout, AuthenticationFailed, ConnectionLost) as error:
            gone = _end_of(launched, builder, cloud) if isinstance(error, ConnectionLost) else ""
            if gone:
                error.hint = "\n".join(filter(None, [error.hint, gone]))
            else:
                _explain(error, launched)
            raise


def _explain(error: AmibakeError, launched: Launched) -> None:
    """Add what EC2 knows to the hint of an error that says why there is no way in."""
    machine, facts = launched.machine, [error.hint]
    denied = isinstance(error, AuthenticationFailed)
    if isinstance(error, SSHTimeout):
        denied = error.how == "denied"
        if launched.admitted and error.how in ("silent", "unreachable", "closed"):
            facts.append(f"the temporary security group admits {', '.join(launched.admitted)} and nobody else")
    if denied and launched.key is not None and machine.requires_tokens():
        facts.append(_NO_TOKENS)
    error.hint = "\n".join(filter(None, [*facts, machine.last_words()]))


_NO_TOKENS = (
    "or is its cloud-init an old one? Its metadata demands IMDSv2, and one that knows IMDSv1 only never gets the key: "
    'metadata_options={"http_tokens": "optional"}'
)


def _end_of(launched: Launched, builder: Builder, cloud: Cloud) -> str:
    """Whether it was the builder's end, and why, by what EC2 says once it has noticed; "" where it lives."""
    from amibake.ssh.transport import FOREIGN, Patience, reason

    answered = 0

    def probe() -> Pending | None:
        nonlocal answered
        launched.machine.check_alive()
        try:
            launched.route.open(launched.address, builder.ssh_port, builder.ssh_username, Patience(tcp=2.0)).close()
        except FOREIGN as error:
            return Pending(reason(error))
        answered += 1  # while it goes down it may do so once more
        return None if answered > 1 else Pending("it answers")

    try:
        wait_for("whether the builder is still there", probe, deadline=Deadline(_NOTICED), emit=cloud.ledger.emit)
    except WaitTimeout:
        return ""
    except AmibakeError as gone:
        return "\n".join(filter(None, [gone.message, gone.hint]))
    return ""


def _options(builder: Builder) -> Options:
    return Options(
        keep_alive_interval=builder.ssh_keep_alive_interval,
        ciphers=builder.ssh_ciphers,
        key_exchange_algorithms=builder.ssh_key_exchange_algorithms,
    )


def _loaded(path: Path | None, certificate: Path | None) -> KeyPair | None:
    return load_key_pair(path, certificate) if path is not None else None
