"""The flow: from a source image and provisioners to a published image, with nothing temporary left."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from amibake._version import __version__
from amibake.builder import Builder
from amibake.ec2 import cloud as ec2
from amibake.ec2.access import admit_ssh, security_groups, temporary_key_pair
from amibake.ec2.drafts import unless_published
from amibake.ec2.freeing import set_free
from amibake.ec2.images import DraftTags, create_image, wait_until_available
from amibake.ec2.launching import builder_instance
from amibake.ec2.lookup import Plan, look_up
from amibake.ec2.profile import temporary_profile
from amibake.ec2.publication import copy_images, publish
from amibake.ec2.replacement import delete_old_snapshots, take_names
from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.first_boot import first_boot, injected_host_key
from amibake.host import Host, Provisioner
from amibake.image import APP, NAME, NODE_ENV, SOURCE_AMI, STAGE, VERSION, Image
from amibake.interrupts import check as check_interrupts
from amibake.interrupts import deliver, interruptible, opened, signalled
from amibake.keeping import check_resumable, keeping, keeping_mistakes, key_of
from amibake.ledger import Ledger
from amibake.loading import meanwhile
from amibake.login import Launched, logged_in, login_mistakes, route_to, seen_from, temporary_key
from amibake.provisioners.common import mistakes_of_common_options
from amibake.seal import seal
from amibake.steps import perform, run_error_cleanup
from amibake.timer import MARGIN, Timer

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session


def bake(
    builder: Builder,
    provisioners: Iterable[Provisioner] = (),
    *,
    error_cleanup_provisioners: Iterable[Provisioner] = (),
    on_error: Literal["cleanup", "keep"] = "cleanup",
    resume: str | None = None,
    session: Session | None = None,
    on_event: Emit | None = None,
    handle_signals: bool = True,
    cancel: threading.Event | None = None,
) -> Image | Any:  # None only with skip_create_ami, which nobody wants to be asked about
    """Bake an image: launch a builder, provision it, stop it, image it, and remove everything temporary.

    Args:
        builder: What to launch and what to make of it.
        provisioners: What is done on the builder, in this order.
        error_cleanup_provisioners: What is done on it when one of those has failed, before it is removed.
        on_error: "keep" leaves the builder of a failed bake running, up to the moment at which it is sealed, with all
            that it takes to get in. The error says how to get in, until when, and how to remove it; the private key is
            written to amibake-<build>.pem. An interrupt cleans up in any case.
        resume: The id of a bake whose builder was kept: go on with that, with these provisioners.
        session: Whose account; with None, boto3's own resolution applies, `AWS_ENDPOINT_URL` included.
        on_event: Receives what happens as it happens (see `amibake.events`); with None it goes to `logging`.
        handle_signals: Whether SIGINT, SIGTERM and SIGHUP are handled while it lasts, in the main thread, and where the
            program has not set handlers of its own: everything temporary is removed, the builder at once, before the
            signal goes on as it would have. SIGINT is a KeyboardInterrupt then. SIGTERM and SIGHUP end the process by
            that very signal: the program's own `finally` blocks are not run, as they would not be without us, since
            they may take longer than whoever has sent it will wait. A second signal tells on stderr what is left, with
            the commands that remove it, and stops. With False, or where the program handles them, they do as ever.
        cancel: Ends the bake, in whatever thread, soon after it is set: everything temporary is removed, and then
            `Interrupted` raised.

    Returns:
        The published image; its `warnings` and `leftovers` say what was not perfect. None with `skip_create_ami`.

    Raises:
        AmibakeError: see `amibake.errors`. No image was published, and what could not be removed is in `.leftovers`.
        KeyboardInterrupt: SIGINT has arrived, or `cancel` is set; its notes say what could not be removed.
    """
    steps, cleanup = check(builder, provisioners, error_cleanup_provisioners, on_error, resume)
    ledger, build = Ledger(on_event), secrets.token_hex(8) if resume is None else resume
    with (
        ledger.signed(build),
        interruptible(handle_signals=handle_signals, cancel=cancel, left=ledger.unreleased),
        unless_published() as drafts,
        ExitStack() as kept,
    ):
        cloud = ec2.connect(
            session,
            build=build,
            ledger=ledger,
            access=builder,
            seconds=builder.max_build_time,
            resumed=resume is not None,
        )
        if builder.communicator == "ssh":
            kept.enter_context(meanwhile("amibake.ssh.connect"))
        with ledger.step("look up what is needed"):
            plan = look_up(cloud, builder)
        builder, tags = plan.builder, _tags(cloud, plan)
        keeper = kept.enter_context(keeping(cloud, builder, wanted=on_error == "keep"))
        timer = Timer(cloud.deadline, ledger, margin=MARGIN + (ec2.GRACE if on_error == "keep" else 0))
        with ExitStack() as access, ExitStack() as machine:  # what it takes to get in outlives the builder, if need be
            with ledger.step("launch the builder"):
                launched = _launch(cloud, plan, timer, access, machine)
            keeper.keep(launched, machine)
            if builder.communicator == "ssh":
                with logged_in(cloud, plan, launched, timer) as host:
                    _provision(host, steps, cleanup, ledger)
                    keeper.released()  # from now on nobody may get in any more
                    timer.cancel(host)
                    with ledger.step("seal the builder"), opened():
                        seal(host, launched.key.public if launched.key else None, ledger)
            else:
                ledger.warn('not sealed: there is no way to the builder with communicator="none"')
            if builder.skip_create_ami:
                return None
            # a spot instance can't be stopped; it is sealed, which writes everything to its disk
            with nullcontext() if builder.is_spot else ledger.step("stop the builder"):
                seen = launched.machine.be_ready(builder)
            with ledger.step("make the image"), drafts.pending():
                draft = create_image(cloud, drafts, launched.machine, plan, tags, seen)
                if set_free(launched.machine, builder, seen):
                    access.close()
                images = wait_until_available(cloud, {cloud.region: draft})
            with ledger.step("remove what is temporary"):
                machine.close()
                access.close()
        if plan.copies:
            with ledger.step("copy the image"):
                images |= copy_images(cloud, drafts, images[cloud.region], plan, tags)
        with ledger.step("publish the image"):
            image = publish(cloud, drafts, {region: images[region] for region in plan.regions}, builder)
            image = take_names(cloud, image, plan, tags)
            if builder.force_delete_snapshot:
                delete_old_snapshots(cloud, plan.taken, image)
        if signalled():
            check_interrupts()
    return replace(image, timings=ledger.timings, warnings=tuple(ledger.warnings), leftovers=tuple(ledger.leftovers))


def _provision(host: Host, steps: list[Provisioner], cleanup: list[Provisioner], ledger: Ledger) -> None:
    try:
        for step in steps:
            with opened():
                perform(step, host, ledger)
            deliver()  # also what the step has swallowed
    except Exception:
        run_error_cleanup(cleanup, host, ledger)
        raise


def _launch(cloud: ec2.Cloud, plan: Plan, timer: Timer, access: ExitStack, instance: ExitStack) -> Launched:
    """The builder, running, which goes with `instance`, and everything that it takes to get in, with `access`."""
    builder, keep = plan.builder, access.enter_context
    cloud = cloud.tagged({NAME: "amibake builder", **builder.run_tags, **({APP: builder.app} if builder.app else {})})
    if cloud.resumed:
        check_resumable(cloud, plan)
    taken_up = cloud.resumed and builder.has_temporary_key
    key = key_of(cloud.build) if taken_up else temporary_key(builder, comment=f"amibake {cloud.build}")
    host_key = injected_host_key(builder)
    user_data = None if cloud.resumed else first_boot(cloud, plan, timer, host_key)
    route = keep(route_to(cloud, builder))  # a bastion that does not work is known before anything is made
    key_name = keep(temporary_key_pair(cloud, builder, key.public)) if key else builder.ssh_keypair_name
    groups = keep(security_groups(cloud, plan.network))
    profile = keep(temporary_profile(cloud, builder))
    machine = instance.enter_context(
        builder_instance(
            cloud,
            builder,
            plan.source,
            plan.network,
            key_name=key_name,
            group_ids=groups,
            profile=profile,
            user_data=user_data,
        )
    )
    behind = builder.ssh_bastion_host is not None
    by_ssh = builder.communicator == "ssh"  # which is tried as soon as there is an address
    found = machine.wait_for_address(builder.ssh_interface, prefer_private=behind, running=not by_ssh)
    address = builder.ssh_host or found
    admitted: tuple[str, ...] = ()
    if by_ssh:
        admitted = admit_ssh(cloud, builder, groups, address, seen_from(cloud, builder, route, address))
    return Launched(machine, address, route, key, admitted, host_key)


def check(
    builder: Builder,
    provisioners: Iterable[Provisioner],
    error_cleanup_provisioners: Iterable[Provisioner] = (),
    on_error: str = "cleanup",
    resume: str | None = None,
) -> tuple[list[Provisioner], list[Provisioner]]:
    """Everything that can be known beforehand, all mistakes in one error; answers with the provisioners as lists."""
    if not isinstance(builder, Builder):
        raise InvalidOption(f"builder: a Builder, not {type(builder).__name__}")
    mistakes = list(login_mistakes(builder))
    mistakes += keeping_mistakes(builder, on_error, resume)
    steps, wrong = checked(provisioners)
    cleanup, also_wrong = checked(error_cleanup_provisioners, "error_cleanup_provisioner")
    mistakes += [*wrong, *also_wrong]
    if builder.communicator == "none" and steps:
        mistakes.append('provisioners: there is no way to the builder with communicator="none"')
    if mistakes:
        raise InvalidOption(*mistakes)
    return steps, cleanup


def checked(provisioners: Iterable[Provisioner], kind: str = "provisioner") -> tuple[list[Provisioner], list[str]]:
    """The provisioners as a list, and what is wrong with them."""
    if not isinstance(provisioners, Iterable):
        return [], [f"{kind}s: a list of provisioners, not one {type(provisioners).__name__}"]
    steps, mistakes = list(provisioners), list[str]()
    for number, step in enumerate(steps, start=1):
        if isinstance(step, type) or not isinstance(step, Provisioner):
            name = getattr(step, "__name__", type(step).__name__)
            mistakes.append(f"{kind} {number}: {name} is not one; it has to be an object with check() and provision()")
            continue
        kind_of_it = type(step).__name__
        found = list[str]()
        try:
            step.check()
        except InvalidOption as error:
            found += error.mistakes
        except (TypeError, ValueError) as error:  # what it says may show a secret
            found.append(f"{kind_of_it}: its check() raised {type(error).__name__}")
        found += (f"{kind_of_it}: {mistake}" for mistake in mistakes_of_common_options(step))
        mistakes += dict.fromkeys(found)  # a step of our own has looked at these already
    return steps, mistakes


def _tags(cloud: ec2.Cloud, plan: Plan) -> DraftTags:
    """What the bake's images and their snapshots carry from the call on that makes them: a stable contract."""
    builder = plan.builder
    ours = {APP: builder.app, STAGE: builder.stage, NODE_ENV: builder.node_env}
    marks = {
        **{key: value for key, value in ours.items() if value},
        SOURCE_AMI: plan.source.id,
        VERSION: __version__,
    }
    image = {NAME: builder.ami_name, **builder.tags}
    return DraftTags(cloud, {**image, **marks}, {**image, **builder.snapshot_tags, **marks}, home=plan.home)
