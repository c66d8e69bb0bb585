"""Whom to log in as, and by what: a key, the SSH agent's keys, a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import paramiko

from amibake.ssh.agent import AgentSigner, agent_keys
from amibake.ssh.keys import KeyPair


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


def authenticate(transport: paramiko.Transport, credentials: Credentials, *, ask: bool) -> None:
    """Log in. With `ask` the server is first asked what it takes, so that a refusal can say so.

    Raises Refused, another exception of paramiko's or the socket's, or AuthenticationFailed for want of an agent.
    """
    offered: Sequence[str] = ()
    if ask:
        try:
            transport.auth_none(credentials.username)
        except paramiko.BadAuthenticationType as refusal:
            offered = refusal.allowed_types
        else:
            return
    tried: list[str] = []
    notes: list[str] = []
    failure: paramiko.AuthenticationException | None = None
    for way in _ways(transport, credentials):
        if not way.fits(offered):
            continue
        tried.append(way.method)
        try:
            offered = way.attempt() or offered
        except paramiko.BadAuthenticationType as refusal:
            failure, offered = refusal, refusal.allowed_types
        except paramiko.AuthenticationException as refusal:
            failure = refusal
        if transport.is_authenticated():
            return
        notes += way.note()
        if not transport.is_active():
            break  # it has had enough: sshd's MaxAuthTries
    raise Refused(str(failure or "refused"), offered or list(dict.fromkeys(tried)), "; ".join(notes)) from failure


@dataclass(frozen=True)
class _Way:
    method: str
    attempt: Callable[[], Sequence[str] | None]
    signer: paramiko.PKey | None = None

    def fits(self, offered: Sequence[str]) -> bool:
        """Whether it is worth a try, with what is known of the server."""
        if self.method == "keyboard-interactive":
            return self.method in offered and "password" not in offered
        return not offered or self.method in offered

    def note(self) -> list[str]:
        return [self.signer.refusal] if isinstance(self.signer, AgentSigner) and self.signer.refusal else []


def _ways(transport: paramiko.Transport, credentials: Credentials) -> Iterator[_Way]:
    name, password = credentials.username, credentials.password
    signers = [credentials.key.signer()] if credentials.key else []
    if credentials.agent:
        signers += [key.signer() for key in agent_keys()]
    for signer in signers:
        yield _Way("publickey", lambda signer=signer: transport.auth_publickey(name, signer), signer)  # type: ignore[misc]
    if password is not None:
        yield _Way("password", lambda: transport.auth_password(name, password, fallback=False))
        yield _Way("keyboard-interactive", lambda: transport.auth_interactive(name, _answers(password)))


def _answers(password: str) -> Callable[[str, str, list[tuple[str, bool]]], list[str]]:
    """Answers the first question that wants a hidden answer, and no other: the next may ask for a new password."""
    left = [password]

    def answer(_title: str, _instructions: str, questions: list[tuple[str, bool]]) -> list[str]:
        return ["" if echoed or not left else left.pop() for _, echoed in questions]

    return answer
