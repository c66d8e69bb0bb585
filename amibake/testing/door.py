"""What a loopback machine's SSH server says to those who connect."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)
from paramiko.server import InteractiveQuery

if TYPE_CHECKING:
    from amibake.testing.sshd import LoopbackMachine


class Door(paramiko.ServerInterface):
    """Lets in whom the machine admits, to run commands and to be led on."""

    def __init__(self, machine: LoopbackMachine) -> None:
        self._machine = machine
        self._username = ""
        self._led_on: dict[int, socket.socket] = {}

    def get_allowed_auths(self, _username: str) -> str:
        return ",".join(self._machine.behaviour.methods)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if self._machine.admits(username, key) else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_SUCCESSFUL if self._machine.admits_password(username, password) else AUTH_FAILED

    def check_auth_interactive(self, username: str, _submethods: bytes | str) -> int | InteractiveQuery:
        if "keyboard-interactive" not in self._machine.behaviour.methods:
            return AUTH_FAILED
        self._username = username
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int | InteractiveQuery:
        admitted = self._machine.admits_password(self._username, "".join(responses), "keyboard-interactive")
        return AUTH_SUCCESSFUL if admitted else AUTH_FAILED

    def check_channel_request(self, kind: str, _number: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self._machine.behaviour.refuse_commands:
            return False
        self._machine.begin(channel, command.decode("utf-8", "surrogateescape"))
        return True

    def check_channel_direct_tcpip_request(
        self, number: int, _origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if self._machine.behaviour.refuse_forwarding:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            self._led_on[number] = self._machine.connect(*destination)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        self._machine.forwarded.append(destination)
        return OPEN_SUCCEEDED

    def opened(self, channel: paramiko.Channel) -> None:
        """A channel is there that was asked for."""
        sock = self._led_on.pop(channel.get_id(), None)
        if sock is not None:
            self._machine.forward(channel, sock)


class ServerTransport(paramiko.Transport):
    """paramiko's, and it tells of each channel at once."""

    def __init__(self, sock: socket.socket, door: Door) -> None:
        super().__init__(sock)
        self._door = door

    def _queue_incoming_channel(self, channel: paramiko.Channel) -> None:
        super()._queue_incoming_channel(channel)  # type: ignore[misc]
        self._door.opened(channel)
