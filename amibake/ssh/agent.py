"""The user's SSH agent: its keys sign for us and never leave it. It is never forwarded to any machine.

Not paramiko's own client of it: that waits for an agent without end, kills the connection when one key may not be used
though the next could, and presents the certificates of an agent in a form that servers refuse. The protocol is that of
draft-ietf-sshm-ssh-agent.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from amibake.errors import AuthenticationFailed
from amibake.ssh.library import PublicBlob, paramiko

_LIST, _LISTED = 11, 12
_SIGN, _SIGNED = 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}

_ANSWERS_WITHIN = 20.0
"""Seconds; an agent may ask its user first. Less than an attempt to log in has: the agent is to be named."""

_LONGEST = 1 << 20


@dataclass(frozen=True)
class AgentKey:
    """A key, or a certificate, that the agent holds: its `kind` ("ssh-ed25519" …), its public half and its comment."""

    kind: str
    blob: bytes
    comment: str

    def signer(self) -> AgentSigner:
        """It as paramiko wants it."""
        return AgentSigner(self)


def agent_keys() -> tuple[AgentKey, ...]:
    """What the agent at SSH_AUTH_SOCK holds, in its order.

    Raises AuthenticationFailed when there is no agent, or no key in it, or it does not answer; the message does not
    name an option.
    """
    try:
        answer = _ask(bytes([_LIST]), _LISTED)
        count = answer.get_int()
        found = [(answer.get_binary(), answer.get_text()) for _ in range(count)]
    except TimeoutError as error:
        raise AuthenticationFailed(
            f"the SSH agent does not answer within {_ANSWERS_WITHIN:g} s", hint="SSH_AUTH_SOCK says where it is"
        ) from error
    except (OSError, paramiko.SSHException) as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise AuthenticationFailed(
            f"there is no SSH agent: {text}", hint="`ssh-agent` starts one, and SSH_AUTH_SOCK says where it is"
        ) from error
    if not found:
        raise AuthenticationFailed("the SSH agent has no keys", hint="`ssh-add` loads one")
    return tuple(AgentKey(paramiko.Message(blob).get_text(), blob, comment) for blob, comment in found)


class AgentSigner(paramiko.PKey):
    """A key in the agent, for paramiko.

    Attributes:
        refusal: Why the agent would not sign, if it would not.
        unanswered: It did not say in time whether it would.
    """

    def __init__(self, key: AgentKey) -> None:
        super().__init__()
        self.refusal = ""
        self.unanswered = False
        self._key = key
        self._asking: socket.socket | None = None
        self._over = False
        # What is presented is exactly what the agent holds, also where that is a certificate.
        self.public_blob = PublicBlob(key.kind, key.blob)

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        """The agent's signature. When it refuses, one that is none: the server refuses it, and other keys have their
        turn; to raise here would end the connection."""
        plain = (algorithm or self._key.kind).removesuffix("-cert-v01@openssh.com")
        question = paramiko.Message()
        question.add_byte(bytes([_SIGN]))
        question.add_string(self._key.blob)
        question.add_string(data)
        question.add_int(_FLAGS.get(plain, 0))
        try:
            return paramiko.Message(_ask(question.asbytes(), _SIGNED, self._use).get_binary())
        except (OSError, paramiko.SSHException) as error:
            self.unanswered = isinstance(error, TimeoutError)
            why = f"no answer within {_ANSWERS_WITHIN:g} s" if self.unanswered else error
            self.refusal = f"the agent does not sign with {self._key.comment or self._key.kind}: {why}"
            none = paramiko.Message()
            none.add_string(plain)
            none.add_string(b"\0" * 64)
            return none

    def give_up(self) -> None:
        """Wait for the agent no longer, and ask it nothing more. From any thread."""
        self._over = True
        sock = self._asking
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _use(self, sock: socket.socket) -> None:
        self._asking = sock
        if self._over:
            raise paramiko.SSHException("it is no longer needed")


def _ask(question: bytes, expected: int, use: Callable[[socket.socket], None] = lambda _: None) -> paramiko.Message:
    """One question on a connection of its own, which `use` is told of. Raises OSError or SSHException."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise paramiko.SSHException("SSH_AUTH_SOCK is not set")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_ANSWERS_WITHIN)
        sock.connect(path)
        use(sock)
        sock.sendall(struct.pack(">I", len(question)) + question)
        (length,) = struct.unpack(">I", _read(sock, 4))
        if not 0 < length <= _LONGEST:
            raise paramiko.SSHException("what answers is no agent")
        answer = paramiko.Message(_read(sock, length))
    if answer.get_byte()[0] != expected:
        raise paramiko.SSHException("it refused")
    return answer


def _read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise paramiko.SSHException("it closed the connection")
        data += part
    return bytes(data)
