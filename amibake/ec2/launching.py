"""From the options to a builder that runs: types and subnets tried in turn, on demand or spot, and its end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.fresh import Fresh
from amibake.ec2.instance import Machine, end, launched
from amibake.ec2.network import Network
from amibake.ec2.refused import is_for_want_of_room, no_capacity, refusal
from amibake.ec2.request import Request, common_request, device_name, instance_request, tokens_are_optional
from amibake.ec2.source import SourceImage
from amibake.ec2.spot import delete_those_made, fleets, launch_template, request_spot, template_data
from amibake.ec2.volumes import remove_volumes, volumes_on
from amibake.errors import AmibakeError
from amibake.interrupts import held

WHOLE_ACCOUNT = {"InstanceLimitExceeded", "VcpuLimitExceeded"}
"""Limits of the account for an instance type: no other subnet helps."""


@contextmanager
def builder_instance(
    cloud: Cloud,
    builder: Builder,
    source: SourceImage,
    network: Network,
    *,
    key_name: str | None,
    group_ids: list[str],
    profile: str | None,
    user_data: str | None = None,
) -> Iterator[Machine]:
    """The builder: launched, and terminated in the end, its volumes with it but those that the user wants to keep. One
    that was set free (see `freeing`) may be shutting down still when the block has ended.

    Args:
        source: What to launch it from.
        network: Where; with several subnets each is tried, for each of the builder's types.
        key_name: The key pair to launch with.
        group_ids: Its security groups.
        profile: The name of the temporary instance profile, if there is one.
        user_data: In place of the options'.

    Raises:
        InvalidOption: what EC2 refuses of an option.
        NoCapacity: EC2 has no room for any type in any subnet; the message has every try and EC2's reason.
    """
    if tokens_are_optional(builder, source):
        cloud.ledger.warn(
            f"version 1 of the metadata service is open on the builder, since {source.id} is from "
            f'{source.creation_date[:10]}; metadata_options={{"http_tokens": "required"}} closes it'
        )
    common = common_request(builder, source, key_name=key_name, profile=profile, given=user_data)
    fresh = Fresh.of(cloud, builder, profile)
    wanted = [one for one in builder.launch_block_device_mappings if one.delete_on_termination is False]
    release = partial(_end, cloud, [device_name(one, source) for one in wanted])
    if builder.is_spot:
        data = template_data(cloud, builder, common, group_ids)
        with launch_template(cloud, builder, data) as template_id, fleets(cloud) as made:
            ask = partial(request_spot, cloud, builder, template_id, network.subnet_ids, fresh, made)
            release = partial(release, instead=partial(delete_those_made, cloud, made))
            with launched(cloud, ask, release=release) as instance_id:
                yield Machine(cloud, instance_id, is_spot=True)
    else:
        tries = partial(_first_that_fits, cloud, builder, common, network, group_ids, fresh)
        with launched(cloud, tries, release=release) as instance_id:
            yield Machine(cloud, instance_id)


def _end(
    cloud: Cloud, keeping: Collection[str], instance_id: str, *, instead: Callable[[], object] | None = None
) -> None:
    """Terminate the builder, then remove what volumes of it are left but those on the devices to be kept. One that goes
    unwatched takes all of them along."""
    with held():
        kept = volumes_on(Machine(cloud, instance_id), keeping) if keeping else {}
        if end(cloud, instance_id, instead=instead) and instance_id not in cloud.unwatched:
            remove_volumes(cloud, kept)


def _first_that_fits(
    cloud: Cloud, builder: Builder, common: Request, network: Network, group_ids: list[str], fresh: Fresh
) -> str:
    """Launch the first type in the first subnet that EC2 has room for. Each try has a client token of its own, so that
    one whose answer was lost can be repeated; where the outcome stays unknown, nothing else is tried."""
    refused: list[tuple[str, str, str]] = []
    hopeless: set[str] = set()
    tries = itertools.product(builder.instance_types, network.subnet_ids or (None,))
    for number, (instance_type, subnet_id) in enumerate(tries):
        if instance_type in hopeless:
            continue
        request = instance_request(cloud, builder, common, instance_type, subnet_id, group_ids)
        token = f"{cloud.build}-{number}"
        run = partial(cloud.ec2.run_instances, **request, MinCount=1, MaxCount=1, ClientToken=token)
        try:
            return fresh.launch(run)["Instances"][0]["InstanceId"]
        except AmibakeError as error:
            if not is_for_want_of_room(error.code, error.message):
                raise refusal(error, key_option="ssh_keypair_name") from error
            what = f"{instance_type} in {subnet_id}" if subnet_id else instance_type
            refused.append((what, error.code, _reason(error)))
            if error.code in WHOLE_ACCOUNT:
                hopeless.add(instance_type)
    raise no_capacity(refused)


def _reason(error: AmibakeError) -> str:
    """EC2's own words, without its code."""
    return error.message.partition(f" says {error.code}: ")[2] or error.message
