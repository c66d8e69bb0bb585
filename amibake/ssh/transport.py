"""One SSH connection: the handshake with its timeouts, and the boundary at which foreign errors are translated."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

from amibake.errors import ConnectionLost, HostKeyChanged
from amibake.ssh import dial
from amibake.waiting import Deadline

FOREIGN = (paramiko.SSHException, OSError, EOFError)
"""What paramiko and the socket below it raise."""

_LOGGER = "amibake.ssh.paramiko"
# paramiko logs a traceback for every refused handshake, of which a booting machine gives dozens.
logging.getLogger(_LOGGER).setLevel(logging.CRITICAL + 1)


class ClientTransport(paramiko.Transport):
    """paramiko's, and it keeps by which signal a command died, which paramiko drops (its issue 598)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.set_log_channel(_LOGGER)
        self.signals: dict[int, str] = {}

    def end(self) -> None:
        """Close, and leave neither thread nor socket, in whatever state this is."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread, which else looks up ten times a second only
        self.close()
        self.sock.close()
        if self.is_alive():
            self.join(5)
        self.packetizer.complete_handshake()  # cancels the timer of a handshake that never was complete


def _channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    if message.get_text() == "exit-signal":
        message.get_boolean()
        assert isinstance(channel.transport, ClientTransport)  # noqa: S101 - only its own table leads here
        channel.transport.signals[channel.get_id()] = message.get_text()
        channel.status_event.set()
    message.rewind()
    message.get_int()  # the channel's number, which the transport had read already
    paramiko.Channel._handle_request(channel, message)  # type: ignore[attr-defined] # noqa: SLF001


ClientTransport._channel_handler_table = {  # type: ignore[attr-defined] # noqa: SLF001
    **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined] # noqa: SLF001
    MSG_CHANNEL_REQUEST: _channel_request,
}


@dataclass(frozen=True)
class Patience:
    """Seconds for each part of one attempt to connect."""

    tcp: float = 5.0
    banner: float = 15.0
    handshake: float = 20.0
    auth: float = 30.0


def handshake(
    address: str, port: int, username: str, key: paramiko.PKey, *, host_key: str | None, patience: Patience, ask: bool
) -> ClientTransport:
    """One attempt to get in. With `ask`, a refusal is a BadAuthenticationType that says what the server would take.

    Raises HostKeyChanged, paramiko.AuthenticationException, or something else of FOREIGN.
    """
    sock = dial.dial(address, port, Deadline(patience.tcp))
    transport: ClientTransport | None = None
    try:
        transport = ClientTransport(sock)
        transport.banner_timeout = patience.banner
        transport.auth_timeout = patience.auth
        _prefer(transport, host_key)
        transport.start_client(timeout=patience.handshake)
        # start_client returns silently when its time is up; asking for the key raises then.
        check_host_key(transport.get_remote_server_key(), host_key, address)
        _authenticate(transport, username, key, ask=ask)
    except BaseException:
        if transport is not None:
            transport.end()
        sock.close()
        raise
    return transport


def _authenticate(transport: ClientTransport, username: str, key: paramiko.PKey, *, ask: bool) -> None:
    offered = ["publickey"]
    if ask:
        try:
            transport.auth_none(username)
        except paramiko.BadAuthenticationType as refusal:
            offered = refusal.allowed_types
        else:
            return
    try:
        transport.auth_publickey(username, key)
    except paramiko.BadAuthenticationType:
        raise
    except paramiko.AuthenticationException as error:
        raise paramiko.BadAuthenticationType(str(error), offered) from error


def _prefer(transport: ClientTransport, host_key: str | None) -> None:
    """Ask for a host key of the known one's type: a server that got another type since is still the same server."""
    kind = (host_key or "").split(" ")[0]
    options = transport.get_security_options()
    wanted = ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
    types = tuple(options.key_types)
    options.key_types = tuple(sorted(types, key=lambda name: name not in wanted))


def host_key_line(key: paramiko.PKey) -> str:
    """A host key as known_hosts has it, without the host."""
    return f"{key.get_name()} {key.get_base64()}"


def check_host_key(key: paramiko.PKey, expected: str | None, address: str) -> None:
    """Compare with "type base64 …" or with "SHA256:…". Raises HostKeyChanged."""
    if expected is None or expected == key.fingerprint:
        return
    if expected.split()[:2] == host_key_line(key).split():
        return
    raise HostKeyChanged(
        f"{address} shows the SSH host key {key.get_name()} {key.fingerprint}, where {expected} is known",
        hint="either this is another machine than before, or somebody is in between",
    )


def reason(error: BaseException) -> str:
    """What a foreign error says, and its name when it says nothing."""
    if isinstance(error, EOFError):
        return "the other side closed it"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


@contextmanager
def translated(what: str, address: str) -> Iterator[None]:
    """What paramiko and the socket raise inside comes out as ConnectionLost, in which this is `what` was to be done."""
    try:
        yield
    except FOREIGN as error:
        raise ConnectionLost(f"{what}: the SSH connection to {address} was lost: {reason(error)}") from error
