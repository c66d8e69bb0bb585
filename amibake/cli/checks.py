"""What can be known of an account before anything is launched in it: whether a bake with these options would go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from amibake.builder import Builder, ImageFilter
from amibake.cli.calls import calls
from amibake.ec2 import access
from amibake.ec2.cloud import Cloud
from amibake.ec2.dry_run import try_calls
from amibake.ec2.lookup import Plan, look_up
from amibake.ec2.network import find_network
from amibake.ec2.quota import find_quota
from amibake.ec2.routes import find_place, way_out
from amibake.ec2.source import find_source_image
from amibake.ec2.types import common_architecture, find_types
from amibake.errors import AmibakeError, InvalidOption
from amibake.ssh.keys import make_key_pair

State = Literal["ok", "wrong", "unknown"]
PUBLIC = "1.1.1.1"
"""Some public address: where a builder has one, we are seen from our own. Nothing is sent to it."""
_PRIVATE = ("private_ip", "private_dns", "instance_id")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: What it is about.
        state: "ok", "wrong", or "unknown" where it can't be told beforehand.
        said: What was found.
        hint: What to do about it.
    """

    check: str
    state: State
    said: str
    hint: str = ""


def examine(cloud: Cloud, builder: Builder) -> Iterator[Check]:
    """Look at everything, in the order in which things go wrong. Without credentials or a region nothing else is."""
    for look in (_credentials, _region):
        found = _looked(look.__name__.strip("_"), look, cloud, builder)
        yield found
        if found.state == "wrong":
            yield Check("the rest", "unknown", "was not looked at")
            return
    told = set[str]()
    for name, one in _LOOKS.items():
        found = _looked(name, one, cloud, builder)
        if found.state == "ok" or found.said not in told:
            yield found
        told.add(found.said)
    yield Check(
        "SSH",
        "unknown",
        f"whether port {builder.ssh_port} can be reached from here can't be told before there is a builder",
        "firewalls and VPNs may hold it back: ssh_port, ssh_bastion_host, ssh_proxy_command",
    )
    yield from _permissions(cloud, builder)


Look = Callable[[Cloud, Builder], str | Check]


def _looked(name: str, look: Look, cloud: Cloud, builder: Builder) -> Check:
    """What a look finds; an error is what is wrong, and a text is what is well."""
    try:
        found = look(cloud, builder)
    except AmibakeError as error:
        return Check(name, "wrong", error.message, error.hint)
    return found if isinstance(found, Check) else Check(name, "ok", found)


def _credentials(cloud: Cloud, _: Builder) -> str:
    who = cloud.clients.service("sts", cloud.region).get_caller_identity()
    return f"{who['Arn']}, account {who['Account']}"


def _region(cloud: Cloud, _: Builder) -> str:
    zones = cloud.ec2.describe_availability_zones()["AvailabilityZones"]
    return f"{cloud.region}, {len(zones)} availability zones"


def _source(cloud: Cloud, builder: Builder) -> str:
    wanted = builder.source_ami
    if isinstance(wanted, ImageFilter) and wanted.follows_architecture:
        wanted = wanted.on(common_architecture(find_types(cloud, builder)))
    found = find_source_image(cloud, wanted)
    return f"{found.id} {found.name}, {found.architecture}, of {found.creation_date[:10] or 'an unknown date'}"


def _types(cloud: Cloud, builder: Builder) -> str:
    found = find_types(cloud, builder)
    return ", ".join(f"{name} ({' and '.join(sorted(runs))})" for name, runs in found.items())


def _network(cloud: Cloud, builder: Builder) -> str | Check:
    place = find_place(cloud, find_network(cloud, builder), builder.availability_zone)
    where = f"{place.subnet} in {place.vpc}"
    try:
        gateway = way_out(cloud, place)
    except AmibakeError as error:
        return Check("network", "unknown", f"{where}; its routes can't be looked at: {error.message}", error.hint)
    public = place.is_public if builder.associate_public_ip_address is None else builder.associate_public_ip_address
    own_way = bool(builder.ssh_bastion_host or builder.ssh_proxy_command or builder.ssh_interface in _PRIVATE)
    if not gateway:
        return Check(
            "network",
            "unknown" if own_way else "wrong",
            f"{where}, from which no route leads out",
            "a builder there gets no packages, and has no public address that works: name another subnet_id",
        )
    if gateway.startswith("igw-") and not public and not own_way:
        return Check(
            "network",
            "unknown",
            f"{where}, out by {gateway}, but a builder there has no public address",
            "associate_public_ip_address=True gives it one; else it has to be reached from within",
        )
    return f"{where}, out by {gateway}"


def _here(_: Cloud, builder: Builder) -> str | Check:
    if builder.temporary_security_group_source_cidrs or not builder.has_temporary_group:
        return "who is let in is said by the options"
    if builder.communicator == "none":
        return "nobody is let in: the builder is not logged in to"
    private = builder.ssh_interface in _PRIVATE or builder.associate_public_ip_address is False
    by_other_ways = private or builder.ssh_proxy_command or builder.ssh_bastion_host
    if by_other_ways and not builder.temporary_security_group_source_public_ip:
        return "the builder is not reached by its public address"
    try:
        return f"{access.our_address(PUBLIC, builder.ssh_port)}, as {access.CHECKIP} sees us"
    except InvalidOption as error:
        return Check("our address", "wrong", f"our public address can't be found out: {error.__cause__}", error.hint)


def _quota(cloud: Cloud, builder: Builder) -> str | Check:
    instance_type = builder.instance_types[0]
    try:
        quota = find_quota(cloud, instance_type, spot=builder.is_spot)
    except AmibakeError as error:
        return Check("quota", "unknown", f"Service Quotas does not say: {error.message}")
    if quota is None:
        return Check("quota", "unknown", f"{instance_type} counts against no quota of virtual CPUs")
    said = f"{quota.used} of {quota.limit} vCPUs run, {instance_type} takes {quota.wanted}: {quota.name}"
    if quota.is_enough:
        return said
    more = f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {quota.code}"
    return Check("quota", "wrong", said, f"take a smaller type, or ask for more: {more} --desired-value …")


def _rest(cloud: Cloud, builder: Builder) -> str | Check:
    plan = look_up(cloud, builder)
    return f"{plan.builder.ami_name!r} is free in {', '.join(plan.regions)}"


_LOOKS: dict[str, Look] = {
    "instance type": _types,
    "source image": _source,
    "network": _network,
    "our address": _here,
    "quota": _quota,
    "options": _rest,
}


def _permissions(cloud: Cloud, builder: Builder) -> Iterator[Check]:
    try:
        plan = look_up(cloud, builder)
    except AmibakeError:
        yield Check("permissions", "unknown", "can't be tried while something else is wrong")
        return
    tried = list(try_calls(cloud, plan, make_key_pair().public))
    for one in tried:
        if one.verdict == "denied" and one.error is not None:
            yield Check("permissions", "wrong", one.error.message, one.error.hint)
    if allowed := [one.call for one in tried if one.verdict == "allowed"]:
        yield Check("permissions", "ok", f"allowed, by dry runs: {', '.join(allowed)}")
    yield from _not_tried(plan, {one.call for one in tried if one.verdict != "unknown" or one.error is not None})
    for one in tried:
        if one.verdict == "unknown" and one.error is not None:
            said = f"{one.call} was refused, though not for want of a permission: {one.error.message}"
            yield Check(
                "permissions", "unknown", said, one.error.hint or "a bake would be refused as well, most likely"
            )


def _not_tried(plan: Plan, known: set[str]) -> Iterator[Check]:
    rest = [call for call in dict.fromkeys(one.call for one in calls(plan)) if call not in known]
    if rest:
        yield Check(
            "permissions",
            "unknown",
            f"can't be tried before there is something to handle: {', '.join(rest)}",
            "`amibake policy` prints what all of it takes",
        )
