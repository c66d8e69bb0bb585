"""The inner loop of writing provisioners: running them on a machine that lives, without baking."""

from __future__ import annotations

import os
from collections.abc import Iterable

from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.flow import checked
from amibake.host import Provisioner
from amibake.instance import Instance
from amibake.ledger import Ledger
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.keys import load_key_pair
from amibake.steps import perform
from amibake.waiting import Deadline


def provision(
    target: Instance | str,
    provisioners: Iterable[Provisioner],
    *,
    key: str | os.PathLike[str] | None = None,
    username: str = "admin",
    port: int = 22,
    ssh_timeout: float = 60.0,
    timeout: float = 4 * 3600.0,
    on_event: Emit | None = None,
) -> None:
    """Run provisioners on a machine that is there already, and leave it running.

    Args:
        target: An `Instance`, or the address of any machine.
        provisioners: What is done on it, in this order.
        key: The private key file to log in with [the keys of the SSH agent].
        username: Whom to log in as.
        port: Where its SSH server listens.
        ssh_timeout: Seconds for getting in.
        timeout: Seconds for all of it.
        on_event: As in `bake`.

    Raises:
        InvalidOption: every mistake in one error, before anything is done.
        AmibakeError: as `bake`, of what a provisioner does.
    """
    steps, mistakes = checked(provisioners)
    try:
        pair = load_key_pair(os.fspath(key)) if key is not None else None
    except ValueError as error:
        mistakes.append(f"key: {error}")
    if mistakes:
        raise InvalidOption(*mistakes)
    ledger, deadline = Ledger(on_event), Deadline(timeout)
    data = {"Port": str(port), "User": username}
    if isinstance(target, Instance):
        address = target.public_ip or target.private_ip
        data["ID"] = target.id
    else:
        address = target
    data["Host"] = address
    with connect(
        address,
        port,
        credentials=Credentials(username, pair, agent=pair is None),
        deadline=deadline,
        timeout=ssh_timeout,
        emit=ledger.emit,
        data=data,
    ) as host:
        for step in steps:
            perform(step, host, ledger)
