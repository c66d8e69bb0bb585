"""How the bytes get to a machine: directly, here; through a bastion or a command of the user's, in other modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from amibake.ssh import dial
from amibake.waiting import Deadline

if TYPE_CHECKING:
    from amibake.ssh.transport import Patience
    from amibake.ssh.wire import Wire


class Route(Protocol):
    """A way to a machine. What it holds over several connections belongs to whoever made it, and ends with its own
    `with` block if it has one.

    `via` follows the machine's name in messages (", through the bastion …"); `hint` asks what the user should look at
    when nothing answers.
    """

    @property
    def via(self) -> str: ...
    @property
    def hint(self) -> str: ...

    def open(self, address: str, port: int, username: str, patience: Patience) -> Wire:
        """A new connection to the machine, within the patience of one attempt.

        Raises what `amibake.ssh.transport.FOREIGN` has when it may well succeed later, and an AmibakeError when it
        will not.
        """


class Direct:
    """By TCP, through `amibake.ssh.dial.dial`."""

    via = ""
    hint = (
        "does the security group let this machine in on the port, is the builder in a subnet that is reachable from "
        "here, and does its image start sshd?"
    )

    def open(self, address: str, port: int, _username: str, patience: Patience) -> Wire:
        """See `Route.open`."""
        from amibake.ssh.wire import Wire

        return Wire(dial.dial(address, port, Deadline(patience.tcp)))
