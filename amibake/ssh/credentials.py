"""Whom to log in as, and by what: a key, the SSH agent's keys, a password."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from amibake.ssh.agent import AgentSigner, agent_keys
from amibake.ssh.keys import KeyPair
from amibake.ssh.library import paramiko

T = TypeVar("T")


@dataclass(frozen=True)
class Credentials:
    """Of several ways each is tried, in this order, until the server is content.

    Attributes:
        username: Whom to log in as.
        key: A key pair.
        agent: Whether the keys of the SSH agent are tried, in its order. It is never forwarded.
        password: Given as "password", or as the answer to the only question of "keyboard-interactive" where the server
            takes nothing else.
    """

    username: str
    key: KeyPair | None = None
    password: str | None = field(default=None, repr=False)
    agent: bool = False

    def __post_init__(self) -> None:
        if self.key is None and self.password is None and not self.agent:
            raise ValueError("a key, a password or the SSH agent is needed to log in")

    @property
    def ways(self) -> str:
        """What is tried, for a message: "the key", "the key and the password" …"""
        ways = ["the key"] if self.key else []
        ways += ["the agent's keys"] if self.agent else []
        ways += ["the password"] if self.password is not None else []
        return " and ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))

    @property
    def several(self) -> bool:
        """Whether `ways` is a plural."""
        return self.agent or (self.key is not None and self.password is not None)

    def check(self) -> None:
        """Raises AuthenticationFailed when the agent is to be asked and there is none, or no key in it."""
        if self.agent:
            agent_keys()


class Refused(paramiko.AuthenticationException):
    """The server takes none of what it was given. `offered` is what it would take; `note` what else is known."""

    def __init__(self, message: str, offered: Sequence[str], note: str) -> None:
        super().__init__(message)
        self.offered = ", ".join(offered) or "nothing"
        self.note = note


class Unanswered(paramiko.SSHException):
    """The login came to no end: the server did not say whether it takes what it was given, or the agent whether it
    signs. That may be otherwise the next time."""


class Disconnected(paramiko.SSHException):
    """The server has ended the connection, and said why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or f"it was ended, for reason {code}")
        self._code = code

    @property
    def refuses(self) -> bool:
        """Whether that is its answer to a login: sshd gives the general code for its MaxAuthTries."""
        return self._code == _NO_MORE_WAYS or "authentication failures" in str(self)


_NO_MORE_WAYS = 14
"""RFC 4253, 11.1: SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE."""


def authenticate(transport: paramiko.Transport, credentials: Credentials, *, ask: bool) -> None:
    """Log in. With `ask` the server is first asked what it takes, so that a refusal can say so.

    Raises Refused for what the server has answered; Unanswered, or another exception of paramiko's or the socket's; or
    AuthenticationFailed for want of an agent.
    """
    offered: Sequence[str] = ()
    if ask:
        try:
            _answered(transport, lambda: transport.auth_none(credentials.username))
        except paramiko.BadAuthenticationType as refusal:
            offered = refusal.allowed_types
        else:
            return
    ways = _ways(transport, credentials)
    try:
        _try(transport, ways, offered)
    finally:
        for way in ways:
            if isinstance(way.signer, AgentSigner):
                way.signer.give_up()


def _try(transport: paramiko.Transport, ways: Iterable[_Way], offered: Sequence[str]) -> None:
    """One after the other, until the server is content."""
    tried: list[_Way] = []
    failure: paramiko.AuthenticationException | None = None
    for way in ways:
        if not way.fits(offered):
            continue
        tried.append(way)
        try:
            offered = _answered(transport, way.attempt) or offered
        except paramiko.BadAuthenticationType as refusal:
            failure, offered = refusal, refusal.allowed_types
        except paramiko.AuthenticationException as refusal:
            failure = refusal
        if transport.is_authenticated():
            return
        if not transport.is_active():
            break  # it has had enough: sshd's MaxAuthTries
    notes = "; ".join(note for way in tried for note in way.note())
    if any(isinstance(way.signer, AgentSigner) and way.signer.unanswered for way in tried):
        raise Unanswered(notes) from failure
    methods = list(dict.fromkeys(way.method for way in tried))
    raise Refused(str(failure or "refused"), offered or methods, notes) from failure


def _answered(transport: paramiko.Transport, attempt: Callable[[], T]) -> T:
    """The attempt, in which an AuthenticationException is the server's answer and nothing else: paramiko raises it too
    when there is none."""
    before = transport.auth_handler
    try:
        return attempt()
    except (paramiko.SSHException, OSError, EOFError) as error:
        now = transport.auth_handler
        # forgotten with each refusal, also where the connection has ended since
        refused = now is not before and now is not None and now.get_username() is None
        if refused or (isinstance(error, Disconnected) and error.refuses):
            raise _as_answer(error) from error
        if isinstance(error, paramiko.AuthenticationException):
            raise Unanswered(str(error)) from error
        raise


def _as_answer(error: Exception) -> paramiko.AuthenticationException:
    return (
        error if isinstance(error, paramiko.AuthenticationException) else paramiko.AuthenticationException(str(error))
    )


@dataclass(frozen=True)
class _Way:
    method: str
    attempt: Callable[[], Sequence[str]]
    signer: paramiko.PKey | None = None

    def fits(self, offered: Sequence[str]) -> bool:
        """Whether it is worth a try, with what is known of the server."""
        if self.method == "keyboard-interactive":
            return self.method in offered and "password" not in offered
        return not offered or self.method in offered

    def note(self) -> list[str]:
        return [self.signer.refusal] if isinstance(self.signer, AgentSigner) and self.signer.refusal else []


def _ways(transport: paramiko.Transport, credentials: Credentials) -> list[_Way]:
    name, password = credentials.username, credentials.password
    signers = [credentials.key.signer()] if credentials.key else []
    if credentials.agent:
        signers += [key.signer() for key in agent_keys()]
    ways = [
        _Way("publickey", lambda signer=signer: transport.auth_publickey(name, signer), signer)  # type: ignore[misc]
        for signer in signers
    ]
    if password is not None:
        ways += [
            _Way("password", lambda: transport.auth_password(name, password, fallback=False)),
            _Way("keyboard-interactive", lambda: transport.auth_interactive(name, _answers(password))),
        ]
    return ways


def _answers(password: str) -> Callable[[str, str, list[tuple[str, bool]]], list[str]]:
    """Answers the first question that wants a hidden answer, and no other: the next may ask for a new password."""
    left = [password]

    def answer(_title: str, _instructions: str, questions: list[tuple[str, bool]]) -> list[str]:
        return ["" if echoed or not left else left.pop() for _, echoed in questions]

    return answer
