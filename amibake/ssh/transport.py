"""One SSH connection: the handshake with its timeouts, and the boundary at which foreign errors are translated."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from amibake.errors import ConnectionLost, HostKeyChanged
from amibake.ssh.credentials import Credentials, Disconnected, Refused, authenticate
from amibake.ssh.library import common, paramiko
from amibake.ssh.options import Options
from amibake.ssh.wire import Wire

FOREIGN = (paramiko.SSHException, OSError, EOFError)
"""What paramiko and the socket below it raise."""

_LOGGER = "amibake.ssh.paramiko"
# paramiko logs a traceback for every refused handshake, of which a booting machine gives dozens.
logging.getLogger(_LOGGER).setLevel(logging.CRITICAL + 1)


class ClientTransport(paramiko.Transport):
    """paramiko's, and it keeps by which signal a command died, which paramiko drops (its issue 598), asks the peer
    whether it is still there, and ends without leaving anything.

    Attributes:
        signals: By which one a command died, by its channel's number.
        takers: Whom to tell how many bytes more the far side has taken, by the channel's number.
    """

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)  # type: ignore[arg-type] # what the stubs ask of a socket, paramiko does not
        self.set_log_channel(_LOGGER)
        self.signals: dict[int, str] = {}
        self.takers: dict[int, Callable[[int], None]] = {}
        self._wire = wire
        self._over = threading.Event()
        self._keeper: threading.Thread | None = None

    def keep_alive(self, options: Options) -> None:
        """Ask the peer from time to time for an answer, which paramiko's own keepalive does not: it can't tell a dead
        peer. Also keeps the connection in the books of a NAT."""
        if options.keep_alive_interval > 0:
            self._keeper = threading.Thread(
                target=self._ask, args=(options,), name="amibake-ssh-keepalive", daemon=True
            )
            self._keeper.start()

    def end(self, *, abort: bool = False) -> None:
        """Close, and leave neither thread nor socket, in whatever state this is. With `abort` nothing of what has been
        sent is to arrive any more: the kernel would go on trying after us, beside the connection that replaces this."""
        self._over.set()
        if abort:
            self._wire.abort()
        self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread, which else looks up ten times a second only
        self.close()
        self.sock.close()
        for thread in (self, self._keeper):
            if thread is not None and thread.is_alive():
                thread.join(5)
        self.packetizer.complete_handshake()  # cancels the timer of a handshake that never was complete

    def why(self, trouble: BaseException | None = None) -> str:
        """Why it is at its end, and what else was seen when it does not know; "" when nothing is known."""
        said = self._wire.explain()
        cause = self.get_exception() or trouble
        return said or (reason(cause) if cause else "")

    def has_ended(self) -> bool:
        """Whether nothing comes through it any more. paramiko's `is_active` says so only after the channels know."""
        refused = isinstance(self.saved_exception, paramiko.ChannelException)  # a channel, which it outlives
        return not self.is_active() or (self.saved_exception is not None and not refused)

    def get_exception(self) -> Exception | None:
        """paramiko's forgets what it has answered with once. What has ended the connection is kept for all who ask."""
        error = super().get_exception()
        outlived = isinstance(error, paramiko.ChannelException | paramiko.AuthenticationException)
        if error is not None and not outlived:  # None: one may have come since
            self.saved_exception = error
        return error

    def _ask(self, options: Options) -> None:
        interval = options.keep_alive_interval
        question = paramiko.Message()
        question.add_byte(common.cMSG_GLOBAL_REQUEST)
        question.add_string("keepalive@openssh.com")
        question.add_boolean(True)  # wants an answer; that nobody knows the request is one too
        while not self._over.wait(interval) and self.is_active():
            self._wire.asking(options.answers_within)
            with suppress(*FOREIGN):
                self._send_user_message(question)  # type: ignore[attr-defined]

    def _parse_channel_open_success(self, message: paramiko.Message) -> None:
        """A channel that comes when nobody waits for it any more is closed: a bastion would keep up its connection."""
        ours, theirs = message.get_int(), message.get_int()
        if self._channels.get(ours) is None:  # type: ignore[attr-defined]
            close = paramiko.Message()
            close.add_byte(common.cMSG_CHANNEL_CLOSE)
            close.add_int(theirs)
            self._send_message(close)  # type: ignore[attr-defined]
            return
        message.rewind()
        super()._parse_channel_open_success(message)  # type: ignore[misc]

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        """A refusal that comes when nobody waits for it any more is nobody's: paramiko would keep it as the
        connection's own."""
        number = message.get_int()
        if self._channels.get(number) is None:  # type: ignore[attr-defined]
            self.channel_events.pop(number, None)
            return
        message.rewind()
        super()._parse_channel_open_failure(message)  # type: ignore[misc]

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        """What the peer says at the end is kept; paramiko drops it."""
        self.saved_exception = Disconnected(message.get_int(), message.get_text())


def _channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    if message.get_text() == "exit-signal":
        message.get_boolean()
        assert isinstance(channel.transport, ClientTransport)  # noqa: S101 - only its own table leads here
        channel.transport.signals[channel.get_id()] = message.get_text()
        channel.status_event.set()
    message.rewind()
    message.get_int()  # the channel's number, which the transport had read already
    paramiko.Channel._handle_request(channel, message)  # type: ignore[attr-defined] # noqa: SLF001


def _window_adjust(channel: paramiko.Channel, message: paramiko.Message) -> None:
    assert isinstance(channel.transport, ClientTransport)  # noqa: S101 - likewise
    count = message.get_int()
    if taken := channel.transport.takers.get(channel.get_id()):
        taken(count)
    message.rewind()
    message.get_int()  # as above
    paramiko.Channel._window_adjust(channel, message)  # type: ignore[attr-defined] # noqa: SLF001


ClientTransport._channel_handler_table = {  # type: ignore[attr-defined] # noqa: SLF001
    **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined] # noqa: SLF001
    common.MSG_CHANNEL_REQUEST: _channel_request,
    common.MSG_CHANNEL_WINDOW_ADJUST: _window_adjust,
}


@dataclass(frozen=True)
class Patience:
    """Seconds for each part of one attempt to connect."""

    tcp: float = 5.0
    banner: float = 15.0
    handshake: float = 20.0
    auth: float = 30.0

    def within(self, seconds: float) -> Patience:
        """The same, but no part of it takes longer than this, or than a moment that each needs."""
        most = max(seconds, _MOMENT)
        return Patience(*(min(part, most) for part in (self.tcp, self.banner, self.handshake, self.auth)))


_MOMENT = 2.0


def handshake(
    wire: Wire,
    name: str,
    credentials: Credentials,
    *,
    host_key: str | None,
    patience: Patience,
    options: Options,
    ask: bool,
) -> ClientTransport:
    """One attempt to get in over this wire, which ends with it. `name` is what errors call the far side; with `ask`,
    a refusal knows what the server would take.

    Raises HostKeyChanged, Refused, or something else of FOREIGN; for that, but for Refused, what the wire knows better.
    """
    transport: ClientTransport | None = None
    try:
        transport = ClientTransport(wire)
        transport.banner_timeout = patience.banner
        transport.auth_timeout = patience.auth
        options.apply(transport)
        _prefer(transport, host_key)
        transport.start_client(timeout=patience.handshake)
        # start_client returns silently when its time is up; asking for the key raises then.
        check_host_key(transport.get_remote_server_key(), host_key, name)
        authenticate(transport, credentials, ask=ask)
        transport.keep_alive(options)
    except BaseException as error:
        if transport is not None:
            transport.end()
        wire.close()
        if isinstance(error, FOREIGN) and not isinstance(error, Refused):
            wire.judge(error)
        raise
    return transport


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
        f"{address} shows the SSH host key {key.get_name()} {key.fingerprint}, where {_shown(expected)} is pinned",
        hint="either its host keys were made anew (by ssh-keygen, by sshd's package, by cloud-init at another first "
        "boot), or another machine has this address by now, or somebody is in between; nothing has been sent to it",
    )


def _shown(expected: str) -> str:
    """A host key as it is compared by eye: its type and fingerprint."""
    words = expected.split()
    with suppress(ValueError, IndexError):
        digest = hashlib.sha256(base64.b64decode(words[1], validate=True)).digest()
        return f"{words[0]} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
    return expected


def reason(error: BaseException) -> str:
    """What a foreign error says, and its name when it says nothing."""
    if isinstance(error, EOFError):
        return "the other side closed it"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


@contextmanager
def translated(what: str, address: str, transport: ClientTransport) -> Iterator[None]:
    """What paramiko and the socket raise inside comes out as ConnectionLost, in which this is `what` was to be done."""
    try:
        yield
    except FOREIGN as error:
        why = transport.why(error)
        raise ConnectionLost(f"{what}: the SSH connection to {address} was lost: {why}") from error
