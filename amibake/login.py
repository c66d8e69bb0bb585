"""How a bake gets into its builder: what the options say of it, brought to SSH; and what EC2 says when it can't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine
from amibake.ec2.lookup import Plan
from amibake.errors import AmibakeError, InvalidOption, SSHTimeout
from amibake.interrupts import opened
from amibake.ssh.agent import agent_keys
from amibake.ssh.bastion import Bastion
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, load_key_pair, make_key_pair
from amibake.ssh.options import Options, check_algorithms
from amibake.ssh.proxy import ProxyCommand
from amibake.ssh.route import Direct, Route


@dataclass(frozen=True)
class Launched:
    """A builder that runs, where it is reached and how, and the bake's own key to it, if it has one."""

    machine: Machine
    address: str
    route: Route
    key: KeyPair | None


def login_mistakes(builder: Builder) -> Iterator[str]:
    """What is wrong with the keys, the agent and the algorithms that the options name."""
    if builder.communicator == "none":
        return
    yield from check_algorithms(builder.ssh_ciphers, builder.ssh_key_exchange_algorithms)
    if builder.ssh_proxy_command is not None:
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
        yield ProxyCommand(builder.ssh_proxy_command)
    elif builder.ssh_bastion_host is None:
        yield Direct()
    else:
        with _bastion(builder, builder.ssh_bastion_host) as bastion:
            bastion.reach(deadline=cloud.deadline, emit=cloud.ledger.emit)
            yield bastion


def _bastion(builder: Builder, host: str) -> Bastion:
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
    if not isinstance(route, Bastion) or not builder.has_temporary_group or named:
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
def logged_in(cloud: Cloud, plan: Plan, launched: Launched) -> Iterator[SSHHost]:
    """The builder by SSH. When it cannot be reached, the error has what EC2 says of it."""
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
    key = launched.key or _loaded(builder.ssh_private_key_file, builder.ssh_certificate_file)
    credentials = Credentials(builder.ssh_username, key, builder.ssh_password, builder.ssh_agent_auth)
    with ExitStack() as connection:
        try:
            with cloud.ledger.step("connect to the builder"):
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
                        alive=machine.check_alive,
                        data=data,
                    )
                )
        except AmibakeError as error:
            known = error if type(error) is not AmibakeError else SSHTimeout(error.message, hint=error.hint)
            known.hint = "\n".join(filter(None, [error.hint, machine.last_words()]))
            raise known from error.__cause__
        yield host


def _options(builder: Builder) -> Options:
    return Options(
        keep_alive_interval=builder.ssh_keep_alive_interval,
        ciphers=builder.ssh_ciphers,
        key_exchange_algorithms=builder.ssh_key_exchange_algorithms,
    )


def _loaded(path: Path | None, certificate: Path | None) -> KeyPair | None:
    return load_key_pair(path, certificate) if path is not None else None
