"""What a builder is told for its first boot, in its user data: to end itself, and which SSH host key to show."""

from __future__ import annotations

import json
from collections.abc import Iterator

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.lookup import Plan
from amibake.ec2.request import user_data
from amibake.errors import InvalidOption
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.timer import Timer
from amibake.userdata import Part, combined


def injected_host_key(builder: Builder) -> KeyPair | None:
    """The SSH host key that the builder is to get, where the options want one made."""
    return make_key_pair(comment="builder") if builder.ssh_host_key == "inject" else None


def host_key_mistakes(builder: Builder) -> Iterator[str]:
    """What keeps the builder's user data from bringing it a host key."""
    try:
        _with_host_key(user_data(builder), injected_host_key(builder))
    except InvalidOption as error:
        yield from error.mistakes


def first_boot(cloud: Cloud, plan: Plan, timer: Timer, host_key: KeyPair | None) -> str | None:
    """The user data for a builder that is to be launched: the user's own, the timer, and the host key if there is one.
    The timer is left out where it can't be added, and where nobody knows that cloud-init is there to see to it.

    Raises:
        InvalidOption: there is no room for the host key.
    """
    builder = plan.builder
    own = user_data(builder)
    if plan.source.has_cloud_init and builder.metadata_options.http_endpoint == "enabled":
        try:
            return combined([timer.part()], own, _parts(host_key))
        except ValueError as error:
            cloud.ledger.warn(f"until it is logged in to, the builder will not end itself: {error}")
    return _with_host_key(own, host_key)


def _with_host_key(own: str | None, host_key: KeyPair | None) -> str | None:
    if host_key is None:
        return own
    try:
        return combined([], own, _parts(host_key))
    except ValueError as error:
        raise InvalidOption(f'ssh_host_key: "inject" goes by user data: {error}') from error


def _parts(host_key: KeyPair | None) -> list[Part]:
    """Has cloud-init make this the only SSH host key, before sshd is started."""
    if host_key is None:
        return []
    pair = {"ed25519_private": host_key.private.decode("ascii"), "ed25519_public": host_key.public}
    settings = {"ssh_deletekeys": True, "ssh_keys": pair}
    return [Part("text/cloud-config", f"#cloud-config\n{json.dumps(settings)}\n")]  # JSON is YAML
