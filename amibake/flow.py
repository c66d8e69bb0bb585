"""The flow: from a source image and provisioners to a published image, with nothing temporary left."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from amibake._version import __version__
from amibake.builder import Builder, ImageFilter
from amibake.ec2 import cloud as ec2
from amibake.ec2.access import admit_ssh, security_groups, temporary_key_pair
from amibake.ec2.images import draft_image, publish, wait_until_available
from amibake.ec2.instance import Machine, builder_instance
from amibake.ec2.names import rendered
from amibake.ec2.source import SourceImage, find_source_image
from amibake.ec2.types import check_architecture, common_architecture, find_types
from amibake.errors import AmibakeError, InvalidOption, SSHTimeout
from amibake.events import Emit
from amibake.host import Provisioner
from amibake.image import APP, NAME, NODE_ENV, SOURCE_AMI, STAGE, VERSION, Image
from amibake.interrupts import interruptible
from amibake.ledger import Ledger
from amibake.seal import seal
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session


def bake(
    builder: Builder,
    provisioners: Iterable[Provisioner] = (),
    *,
    session: Session | None = None,
    on_event: Emit | None = None,
) -> Image:
    """Bake an image: launch a builder, provision it, stop it, image it, and remove everything temporary.

    Args:
        builder: What to launch and what to make of it.
        provisioners: What is done on the builder, in this order.
        session: Whose account; with None, boto3's own resolution applies, `AWS_ENDPOINT_URL` included.
        on_event: Receives what happens as it happens (see `amibake.events`); with None it goes to `logging`.

    Returns:
        The published image. Its `warnings` and `leftovers` say what was not perfect.

    Raises:
        AmibakeError: see `amibake.errors`. No image was published, and what could not be removed is in `.leftovers`.
    """
    steps = check(builder, provisioners)
    ledger, build, published = Ledger(on_event), secrets.token_hex(8), set[str]()
    with ledger.signed(build), interruptible(), ExitStack() as unless_published:
        cloud = ec2.connect(
            session,
            build=build,
            ledger=ledger,
            access=builder,
            seconds=builder.max_build_time,
            tags={NAME: "amibake builder", **builder.run_tags, **({APP: builder.app} if builder.app else {})},
        )
        with ledger.step("look up the source image"):
            types = find_types(cloud, builder)
            wanted = builder.source_ami
            if isinstance(wanted, ImageFilter) and wanted.follows_architecture:
                wanted = wanted.on(common_architecture(types))
            source = find_source_image(cloud, wanted)
            check_architecture(types, source)
            builder = rendered(cloud, builder, source)
        with ExitStack() as temporary:
            key = make_key_pair(builder.temporary_key_pair_type, comment=f"amibake {build}")
            with ledger.step("launch the builder"):
                key_name = temporary.enter_context(temporary_key_pair(cloud, key.public))
                groups = temporary.enter_context(security_groups(cloud, builder))
                machine = temporary.enter_context(builder_instance(cloud, builder, source, key_name, groups))
                found = machine.wait_for_address(builder.ssh_interface)
                address = builder.ssh_host or found
                admit_ssh(cloud, builder, groups, address)
            with _host(cloud, builder, source, machine, address, key) as host:
                for provisioner in steps:
                    with ledger.step(_name(provisioner)):
                        provisioner.provision(host)
                with ledger.step("seal the builder"):
                    seal(host, key.public, ledger)
            with ledger.step("stop the builder"):
                machine.stop()
            with ledger.step("make the image"):
                draft = unless_published.enter_context(
                    draft_image(cloud, machine, builder, _tags(builder, source), published)
                )
                available = wait_until_available(cloud, draft)
            with ledger.step("remove what is temporary"):
                temporary.close()
        with ledger.step("publish the image"):
            image = publish(cloud, available, published)
    return replace(image, timings=ledger.timings, warnings=tuple(ledger.warnings), leftovers=tuple(ledger.leftovers))


def check(builder: Builder, provisioners: Iterable[Provisioner]) -> list[Provisioner]:
    """Everything that can be known beforehand, all mistakes in one error; answers with the provisioners as a list."""
    if not isinstance(builder, Builder):
        raise InvalidOption(f"builder: a Builder, not {type(builder).__name__}")
    if not isinstance(provisioners, Iterable):
        raise InvalidOption(f"provisioners: a list of provisioners, not one {type(provisioners).__name__}")
    steps, mistakes = list(provisioners), list[str]()
    for number, step in enumerate(steps, start=1):
        if isinstance(step, type) or not isinstance(step, Provisioner):
            name = getattr(step, "__name__", type(step).__name__)
            mistakes.append(
                f"provisioner {number}: {name} is not one; it has to be an object with check() and provision()"
            )
            continue
        try:
            step.check()
        except InvalidOption as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise InvalidOption(*mistakes)
    return steps


def _name(provisioner: Provisioner) -> str:
    """What the step is called: what the provisioner calls itself, but never a repr, which may show a secret."""
    kind = type(provisioner)
    return kind.__name__ if kind.__str__ is object.__str__ else str(provisioner)


@contextmanager
def _host(
    cloud: ec2.Cloud, builder: Builder, source: SourceImage, machine: Machine, address: str, key: KeyPair
) -> Iterator[SSHHost]:
    """The builder by SSH. When it cannot be reached, the error has what EC2 says of it."""
    data = {
        "BuildID": cloud.build,
        "BuildRegion": cloud.region,
        "Host": address,
        "ID": machine.id,
        "Port": str(builder.ssh_port),
        "SourceAMI": source.id,
        "SourceAMIName": source.name,
        "User": builder.ssh_username,
    }
    with ExitStack() as connection:
        try:
            with cloud.ledger.step("connect to the builder"):
                host = connection.enter_context(
                    connect(
                        address,
                        builder.ssh_port,
                        username=builder.ssh_username,
                        key=key,
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


def _tags(builder: Builder, source: SourceImage) -> dict[str, str]:
    """The tags of the image and its snapshots: a stable contract."""
    ours = {APP: builder.app, STAGE: builder.stage, NODE_ENV: builder.node_env}
    return {
        NAME: builder.ami_name,
        **builder.tags,
        **{key: value for key, value in ours.items() if value},
        SOURCE_AMI: source.id,
        VERSION: __version__,
    }
