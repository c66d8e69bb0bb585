"""Through a machine that stands between: an SSH connection to it, in which a channel leads on to the builder."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Self

from amibake.errors import AmibakeError, AuthenticationFailed, InvalidOption, SSHTimeout, WaitTimeout
from amibake.events import Emit
from amibake.remote import program
from amibake.ssh import dial
from amibake.ssh.command import Chunk, Running, send_all
from amibake.ssh.credentials import Credentials, Refused
from amibake.ssh.library import paramiko
from amibake.ssh.options import Options
from amibake.ssh.transport import FOREIGN, ClientTransport, Patience, handshake, host_key_line, reason
from amibake.ssh.wire import Wire
from amibake.waiting import Deadline, Pending, wait_for

_FORBIDDEN = {1: "administratively prohibited", 3: "it knows no direct-tcpip"}
"""The reasons of RFC 4254, 5.1, for which a channel is refused that no later attempt can change."""

_ANSWERS_WITHIN = 10.0

_ADDRESS = """
PATH=$PATH:/usr/sbin:/sbin
ip "$1" route get "$2" 2>/dev/null || hostname -I
"""


class Bastion:
    """A `Route` through a bastion; a context manager, or `close()` ends it.

    Its connection is made when it is first needed, used for every connection to the machine, and made anew when it has
    died. Its first host key is pinned, unless one is known beforehand. Where it refuses the login that is final.
    """

    def __init__(
        self,
        host: str,
        port: int,
        credentials: Credentials,
        known_host_key: str | None = None,
        *,
        options: Options | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._credentials = credentials
        self._host_key = known_host_key
        self._options = options or Options()
        self._patience = patience or Patience()
        self._transport: ClientTransport | None = None
        self._name = f"the bastion {host}:{port}"
        self.via = f", through {self._name}"
        self.hint = (
            "does the security group let the bastion in on the port, is the builder in a network that the bastion "
            "reaches, and does its image start sshd?"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connection, and with it all that lead through it. May be used again after."""
        if self._transport is not None:
            self._transport.end()
            self._transport = None

    def reach(self, *, deadline: Deadline, emit: Emit, timeout: float = 60.0) -> None:
        """Connect to the bastion now, so that one which does not work is known before anything is launched.

        Raises SSHTimeout (not within `timeout` seconds), AuthenticationFailed or HostKeyChanged.
        """

        def attempt() -> bool | Pending:
            try:
                self._connected(self._patience)
            except FOREIGN as error:
                return Pending(reason(error))
            return True

        limit = Deadline(timeout, within=deadline)
        try:
            wait_for(f"SSH at {self._name}", attempt, deadline=limit, emit=emit, first=0.25, most=2.0)
        except WaitTimeout as error:
            hint = "are `ssh_bastion_host` and `ssh_bastion_port` right, and is it reachable from here?"
            raise SSHTimeout(error.message, hint=hint) from error

    def open(self, address: str, port: int, _username: str, patience: Patience) -> Wire:
        """See `Route.open`."""
        transport = self._connected(patience)
        try:
            channel = transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=patience.tcp)
        except paramiko.ChannelException as error:
            if error.code in _FORBIDDEN:
                raise InvalidOption(
                    f"ssh_bastion_host: {self._name} lets {self._credentials.username} in, but does not connect it to "
                    f"{address}:{port}: {_FORBIDDEN[error.code]}",
                    hint="AllowTcpForwarding and PermitOpen in its sshd_config decide that",
                ) from error
            raise ConnectionError(f"from the bastion: {error.text}") from error
        except FOREIGN as error:
            if transport.has_ended():
                raise ConnectionError(self._lost(transport)) from error
            raise ConnectionError(f"from the bastion: no connection within {patience.tcp:g} s") from error
        return _Forwarded(channel, lambda: self._lost(transport) if transport.has_ended() else "")

    def address_seen(self, toward: str, *, deadline: Deadline) -> str | None:
        """The address from which the bastion's connections come to this one: what a security group has to let in.

        To a private address: that of the bastion's interface which leads there, which the bastion is asked for. To a
        public one: the bastion's own public address. None where that can't be found out.

        Raises AmibakeError when the bastion can't be reached: `reach()` first.
        """
        try:
            target = ipaddress.ip_address(toward)
        except ValueError:
            target = None
        if target is not None and target.is_global:
            return _public_address(self._host)
        try:
            transport = self._connected(self._patience)
        except FOREIGN as error:
            raise SSHTimeout(reason(error)) from error
        version = f"-{target.version if target else 4}"
        try:
            said = _answer(transport, program("route", _ADDRESS, version, toward), deadline)
        except (AmibakeError, *FOREIGN):
            return None  # it may run nothing there, which a bastion need not allow
        return _source(said)

    def _connected(self, patience: Patience) -> ClientTransport:
        """The connection, made anew where it is not there. Raises as `Route.open`."""
        if self._transport is not None and not self._transport.has_ended():
            return self._transport
        self.close()
        try:
            self._transport = handshake(
                Wire(dial.dial(self._host, self._port, Deadline(patience.tcp))),
                self._name,
                self._credentials,
                host_key=self._host_key,
                patience=patience,
                options=self._options,
                ask=True,
            )
        except Refused as refusal:
            note = f"; {refusal.note}" if refusal.note else ""
            raise AuthenticationFailed(
                f"{self._name} refuses {self._credentials.ways} for the user {self._credentials.username}; it offers: "
                f"{refusal.offered}{note}",
                hint="is `ssh_bastion_username` right, and is its key or password the one that the bastion knows?",
            ) from refusal
        except FOREIGN as error:
            raise ConnectionError(f"at {self._name}: {reason(error)}") from error
        self._host_key = host_key_line(self._transport.get_remote_server_key())
        return self._transport

    def _lost(self, transport: ClientTransport) -> str:
        why = transport.why()
        return f"the connection to {self._name} was lost{why and f': {why}'}"


class _Forwarded(Wire):
    """A channel of the bastion's connection, which may end with that."""

    def __init__(self, channel: paramiko.Channel, lost: Callable[[], str]) -> None:
        super().__init__(channel)
        self._lost = lost

    def explain(self) -> str:
        return self._lost()

    def judge(self, error: Exception) -> None:
        if lost := self._lost():
            raise ConnectionError(lost) from error


def _answer(transport: ClientTransport, command: str, deadline: Deadline) -> str:
    running = Running(
        transport,
        command,
        send_all(b""),
        name="ask the bastion for its address",
        deadline=Deadline(_ANSWERS_WITHIN, within=deadline),
    )
    try:
        said = b"".join(item.data for item in running if isinstance(item, Chunk) and item.stream == "stdout")
        running.ended()
    finally:
        running.close()
    return said.decode("utf-8", "replace")


def _source(said: str) -> str | None:
    """The address in what `ip route get` prints, or the first one of `hostname -I`."""
    found = re.search(r"\bsrc (\S+)", said)
    words = [found[1]] if found else said.split()
    try:
        return str(ipaddress.ip_address(words[0]))
    except (IndexError, ValueError):
        return None


def _public_address(host: str) -> str | None:
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return None
    address = str(found[0][4][0])
    return address if ipaddress.ip_address(address).is_global else None
