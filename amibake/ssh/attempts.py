"""How the attempts to get into a machine went: what an error says of them, and the likely cause."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Literal

from amibake.ssh.credentials import Unanswered
from amibake.ssh.library import paramiko
from amibake.ssh.transport import reason
from amibake.waiting import duration

How = Literal["refused", "silent", "unreachable", "closed", "mute", "stuck", "denied", "other"]
"""What became of an attempt. TCP was refused, was not answered, or knew no way; the connection was closed, or stayed
silent, before SSH began; the handshake or the login came to no end; the login was refused; or something else."""

_SAID: dict[How, str] = {
    "refused": "TCP was refused",
    "silent": "TCP was not answered",
    "unreachable": "there was no way there",
    "closed": "the connection was closed before a login",
    "mute": "TCP was accepted, but nothing spoke SSH",
    "stuck": "the handshake or the login came to no end",
    "denied": "the login was refused",
    "other": "it failed otherwise",
}

_CAUSES: dict[How, str] = {
    "refused": "the machine is there, but nothing listens on port {port}: sshd has not started yet, the image does not "
    "start it, or it listens elsewhere (`ssh_port`)",
    "silent": "what is sent there gets lost: does the security group let this machine in, from the address that it has "
    "now, and the network ACL? Has the builder a public address (`associate_public_ip_address`) and its subnet a route "
    "to an internet gateway, or is it to be reached otherwise (`ssh_interface`, `ssh_bastion_host`)?",
    "unreachable": "is it an address that can be reached from here, and a name that can be resolved? See "
    "`ssh_interface`, `associate_public_ip_address` and `ssh_bastion_host`",
    "closed": "something listens and hangs up: sshd is only starting, or is full (MaxStartups), or what is in between "
    "(a proxy, a load balancer) has nobody behind it, or port {port} is another program's",
    "mute": "the machine accepts connections and says nothing: it is still starting, or out of memory, or what listens "
    "on port {port} is no SSH server",
    "stuck": "the machine or the line is very slow, or large packets get lost on the way (MTU)",
    "denied": "is `ssh_username` the image's own? The key is installed by the machine's first boot",
}


@dataclass
class _Spell:
    """Attempts in a row of which the same became, and when the first was."""

    how: How
    since: float
    times: int = 1


class Attempts:
    """Those of one time that somebody wants to get in, from the moment `began` on."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._spells: list[_Spell] = []

    @property
    def how(self) -> How:
        """What became of the last one."""
        return self._spells[-1].how if self._spells else "other"

    def add(self, how: How, now: float) -> None:
        """One has failed."""
        if self._spells and self._spells[-1].how == how:
            self._spells[-1].times += 1
        else:
            self._spells.append(_Spell(how, now - self._began))

    def told(self) -> str:
        """How often what happened, and since when: the first time and what came last, where much did."""
        told = [f"{_SAID[spell.how]} {_times(spell.times)} from {duration(spell.since)} on" for spell in self._spells]
        if len(told) > _MOST:
            told = [told[0], f"({len(told) - _MOST} changes more)", *told[1 - _MOST :]]
        tried = sum(spell.times for spell in self._spells)
        return f"tried {_times(tried)}: {', then '.join(told)}"

    def cause(self, port: int) -> str:
        """What is likely the matter; "" where that can't be told."""
        return _CAUSES.get(self.how, "").format(port=port)


_MOST = 4


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def of_dialling(error: Exception) -> How:
    """What a failure to connect is."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "silent"
    number = error.errno if isinstance(error, OSError) else None
    return "unreachable" if isinstance(error, socket.gaierror) or number in _NO_WAY else "other"


_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
_ENDED = (EOFError, ConnectionResetError, BrokenPipeError)


def of_handshake(error: Exception) -> How:
    """What a failure is once TCP has connected."""
    if _is_banner(error):
        return "mute" if isinstance(error.__context__, TimeoutError) else "closed"
    if isinstance(error, _ENDED):
        return "closed"
    if isinstance(error, Unanswered) or _NO_END in str(error):
        return "stuck"
    return "other"


def in_words(error: Exception) -> str:
    """The error as a person would say it."""
    if _is_banner(error):
        if isinstance(error.__context__, TimeoutError):
            return "connected, but no SSH banner came"
        how = "reset" if isinstance(error.__context__, ConnectionResetError) else "closed"
        return f"connected, but {how} by the other side before the SSH banner came"
    if isinstance(error, paramiko.SSHException) and _NO_END in str(error):
        return "the SSH handshake came to no end in time"
    return reason(error)


_NO_END = "No existing session"
"""What paramiko says then."""


def _is_banner(error: Exception) -> bool:
    return isinstance(error, paramiko.SSHException) and "Error reading SSH protocol banner" in str(error)
