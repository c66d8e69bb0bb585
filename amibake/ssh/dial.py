"""The TCP connection below SSH."""

from __future__ import annotations

import socket

from amibake.waiting import Deadline

DEAD_AFTER = 30
"""Seconds after which a peer that no longer answers is taken for dead, also while a script runs silently."""


class _PromptSocket(socket.socket):
    """Acknowledges at once what arrives.

    sshd holds back small writes until the previous one is acknowledged, and Linux delays acknowledgements by 40 ms:
    without this the first command of a connection takes 48 ms instead of 4. The option lasts for one read only.
    """

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data = super().recv(bufsize, flags)
        _set(self, socket.IPPROTO_TCP, "TCP_QUICKACK", 1)
        return data


def dial(address: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect; a documented seam: a test that replaces `amibake.ssh.dial.dial` decides where connections lead.

    Raises OSError, as socket does.
    """
    plain = socket.create_connection((address, port), timeout=max(deadline.remaining(), 0.001))
    sock = _PromptSocket(fileno=plain.detach())
    _set(sock, socket.IPPROTO_TCP, "TCP_NODELAY", 1)
    # paramiko's own keepalive wants no answer, so it can't tell a dead peer: the kernel's can.
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPCNT", 4)
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", DEAD_AFTER * 1000)
    return sock


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    option = getattr(socket, name, None)  # TCP_QUICKACK, TCP_KEEPIDLE and TCP_USER_TIMEOUT are Linux's
    if option is not None:
        sock.setsockopt(level, option, value)
