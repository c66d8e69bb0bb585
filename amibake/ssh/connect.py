"""Getting in, from the first moment on: the machine may still be booting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from amibake import waiting
from amibake.errors import AuthenticationFailed, HostKeyChanged, SSHTimeout, WaitTimeout
from amibake.events import Emit
from amibake.ssh.attempts import Attempts, in_words, of_dialling, of_handshake
from amibake.ssh.credentials import Credentials, Refused, Unanswered
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair
from amibake.ssh.library import paramiko
from amibake.ssh.options import Options
from amibake.ssh.route import Direct, Route
from amibake.ssh.transport import FOREIGN, ClientTransport, Patience, handshake, host_key_line
from amibake.waiting import Deadline, Pending

_REFUSED_EVERY = 5.0
"""Seconds between two attempts once the key has been refused. sshd (OpenSSH 9.8, sshd_config(5), PerSourcePenalties)
keeps a penalty per source address, 5 s for each refusal, that time works off; at more than 15 s it drops connections
unheard. At this pace the penalty never grows."""

_REFUSED_HINT = """\
is `ssh_username` the image's own? Usual names: admin (Debian), ubuntu, ec2-user (Amazon Linux, RHEL), rocky, fedora
or is it the key: an sshd before OpenSSH 6.5 knows no ed25519 (temporary_key_pair_type="rsa")"""

_DROPPED = (paramiko.SSHException, EOFError, ConnectionResetError, BrokenPipeError)
"""A connection that was accepted and ended before anybody could try to log in."""

_NEVER_CAME = (
    "it went on doing so: either what is to bring the known key, such as cloud-init, is not there or has failed, or "
    "this is another machine, or somebody is in between"
)

_ALIVE_EVERY = 3.0
"""Seconds between two questions whether the instance still lives, or a quarter of the time that has passed by then, but
never more than a quarter of the time that there is: each is a call to EC2."""


@dataclass
class _Door:
    """One machine that we want to get into, and how the last attempts went."""

    address: str
    port: int
    credentials: Credentials
    route: Route
    options: Options
    emit: Emit
    alive: Callable[[], object]
    patience: Patience
    grace: float
    attempts: Attempts = field(default_factory=lambda: Attempts(0.0))
    refused_since: float | None = None
    offered: str = ""
    began: float = 0.0
    asked_at: float = 0.0
    awaits_key: bool = False
    """Whether another host key than the known one may just be there still."""
    stranger: HostKeyChanged | None = None

    def open(self, host_key: str | None, deadline: Deadline) -> ClientTransport:
        self.credentials.check()
        self.refused_since = self.stranger = None
        self.began = self.asked_at = waiting.clock.now()
        self.attempts = Attempts(self.asked_at)
        where = f"SSH at {self.address}:{self.port} as {self.credentials.username}{self.route.via}"
        try:
            attempt = partial(self._attempt, host_key, deadline)
            return waiting.wait_for(where, attempt, deadline=deadline, emit=self.emit, first=0.1, steady=0.25, most=1.0)
        except WaitTimeout as error:
            if self.stranger is not None:
                raise self.stranger from error
            cause = "" if self.route.via else self.attempts.cause(self.port)
            hint = [self.attempts.told(), cause or self.route.hint]
            timeout = SSHTimeout(error.message, hint="\n".join([*hint, "`ssh_timeout` gives it longer"]))
            timeout.how = self.attempts.how
            raise timeout from error

    def _attempt(self, host_key: str | None, deadline: Deadline) -> ClientTransport | Pending:
        every = min(max(_ALIVE_EVERY, (self.asked_at - self.began) / 4), deadline.seconds / 4)
        if waiting.clock.now() - self.asked_at >= every:
            if self.alive():
                deadline.begin()
            self.asked_at = waiting.clock.now()
        patience, self.stranger, wire = self.patience.within(deadline.remaining()), None, None
        try:
            wire = self.route.open(self.address, self.port, self.credentials.username, patience)
            return handshake(
                wire,
                self.address,
                self.credentials,
                host_key=host_key,
                patience=patience,
                options=self.options,
                ask=self.refused_since is not None,
            )
        except Refused as refusal:
            self.attempts.add("denied", waiting.clock.now())
            self.offered = "; ".join(filter(None, [refusal.offered, refusal.note]))
            return self._refused(refusal, f"{self._refusal('are', 'is')} (offered: {self.offered})")
        except HostKeyChanged as error:
            if wire is None or not self.awaits_key:  # without one, it is the bastion's
                raise
            self.stranger = error
            error.hint = _NEVER_CAME
            return Pending(error.message)
        except KeyboardInterrupt:
            if wire is not None:
                wire.close()  # it may be a command of the user's
            raise
        except FOREIGN as error:
            self.attempts.add(of_dialling(error) if wire is None else of_handshake(error), waiting.clock.now())
            dropped = isinstance(error, _DROPPED) and not isinstance(error, Unanswered)
            if self.refused_since is not None and dropped:
                # sshd no longer listens to those whom it has refused too often
                seen = f"{in_words(error)}, after {self._refusal('were', 'was')} (offered: {self.offered})"
                return self._refused(error, seen)
            return Pending(in_words(error))

    def _refusal(self, several: str, one: str) -> str:
        return f"{self.credentials.ways} {several if self.credentials.several else one} refused"

    def _refused(self, error: Exception, seen: str) -> Pending:
        """Put up with it for a while: the key and often the user are installed by the machine's first boot, which sshd
        may be ahead of."""
        now = waiting.clock.now()
        if self.refused_since is None:
            self.refused_since = now
        if now - self.refused_since >= self.grace:
            raise AuthenticationFailed(
                f"{self.address}:{self.port} refuses {self.credentials.ways} for the user "
                f"{self.credentials.username}; it offers: {self.offered}",
                hint=_REFUSED_HINT,
            ) from error
        return Pending(seen, pause=_REFUSED_EVERY)


def connect(
    address: str,
    port: int = 22,
    *,
    username: str = "",
    key: KeyPair | None = None,
    credentials: Credentials | None = None,
    route: Route | None = None,
    options: Options | None = None,
    deadline: Deadline,
    emit: Emit,
    timeout: float = 300.0,
    alive: Callable[[], object] = lambda: None,
    data: Mapping[str, str] | None = None,
    known_host_key: str | None = None,
    host_key_may_come: bool = False,
    connected: Callable[[SSHHost], None] = lambda _: None,
    grace: float = 20.0,
    patience: Patience | None = None,
) -> SSHHost:
    """Connect as soon as the machine lets us in; the host is a context manager that closes the connection.

    Args:
        address: A name or an address. port: Where its sshd listens.
        username: Whom to log in as. key: The only key that is tried. Both in place of `credentials`.
        credentials: Whom to log in as, and by what. Nothing else is tried, and no agent forwarded.
        route: How to get there; directly without one. It is not closed with the host: it is its maker's.
        options: Keep-alive and algorithms.
        deadline: The whole bake's; no operation of the host outlasts it.
        emit: Gets `Waiting` now, and later `Output` and `Uploading`.
        timeout: Seconds for getting in, now and at each `reconnect()`.
        alive: Called between attempts, every three seconds at first and later less often; raises when there is nobody
            left to wait for. When it says yes the machine is not on yet, and `timeout` begins anew.
        data: What `host.data` will be.
        known_host_key: The host key that is demanded: "ssh-ed25519 AAAA…" or "SHA256:…". With None the first one seen
            is pinned. Every reconnect must show the same.
        host_key_may_come: The machine's first boot may be what brings the known key: until then, for as long as
            `timeout` allows, another one is put up with, without logging in.
        connected: Called with the host now and after each `reconnect()`; it should not raise.
        grace: For how many seconds refusals of the key are put up with after the first one; meanwhile attempts are
            5 seconds apart.
        patience: Timeouts of a single attempt.

    Raises:
        SSHTimeout: not in time; the message carries what happened last.
        AuthenticationFailed: the server, or the bastion, refuses this user, or there is no SSH agent to ask.
        InvalidOption: the route can't work, whatever the machine does.
        HostKeyChanged: another key than the known one.
    """
    who = credentials or Credentials(username, key)
    door = _Door(
        address, port, who, route or Direct(), options or Options(), emit, alive, patience or Patience(), grace
    )

    def reopen(host_key: str | None, within: Deadline) -> ClientTransport:
        return door.open(host_key, Deadline(timeout, within=within))

    door.awaits_key = host_key_may_come
    transport = reopen(known_host_key, deadline)
    door.awaits_key = False
    pinned = host_key_line(transport.get_remote_server_key())
    host = SSHHost(
        transport,
        address=address,
        deadline=deadline,
        emit=emit,
        data=data or {},
        reopen=partial(reopen, pinned),
        connected=connected,
    )
    door.emit = host.emit  # which hides what is secret
    try:
        if who.username == "root":
            _refuse_signpost(host, address)
        connected(host)
    except BaseException:
        host.close()
        raise
    return host


def _refuse_signpost(host: SSHHost, address: str) -> None:
    """Many images let root in only to be told whose account to use, whatever the command."""
    answer = host.run("true", capture=True, when_lost="repeat")
    if "rather than the user" in answer.stdout:
        said = answer.stdout.strip()
        raise AuthenticationFailed(f"{address} lets root in only to say: {said}", hint="set `ssh_username` to that")
