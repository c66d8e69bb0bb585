"""A machine of which there is only its SSH server, on loopback in this process.

It carries out amibake's own remote programs (uploads, downloads, cleaning up) for real, in a directory that stands for
its root, and records everything else without running it: a provisioning script must not run on a developer's machine.
Nothing of it needs root.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import dropwhile
from pathlib import Path
from typing import Self

import paramiko

from amibake.ssh.keys import make_key_pair
from amibake.testing.accounts import ANYBODY, Account
from amibake.testing.behaviour import Answer, Behaviour, Ran, uploaded_script, words_of
from amibake.testing.door import Door, ServerTransport
from amibake.testing.execution import Execution
from amibake.testing.forwarding import Connect, Forwarding, connect

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_REFUSAL = "sudo: a password is required\n"
_SUDO = """
while :; do
    case $1 in
        *=*) export "$1" ;;
        -*) ;;
        *) break ;;
    esac
    shift
done
exec "$@"
"""

_LOGGER = "amibake.testing.sshd"
logging.getLogger(_LOGGER).setLevel(logging.CRITICAL + 1)  # a connection that a test drops is no news


class LoopbackMachine:
    """One machine: switched on by `start()`, off by `stop()`; a context manager that does both.

    Attributes:
        address, port: Where it listens while it is on.
        root: The directory that stands for its `/`.
        ran: What it was told to run, in order, without amibake's own remote programs.
        logins: How many have been let in.
        timer: In how many seconds it was told last to power itself off; None where it was not, or is not to any more.
        forwarded: Where connections were led on to, in order.
    """

    def __init__(
        self,
        address: str,
        root: Path,
        authorized_keys: Sequence[str],
        *,
        username: str = "admin",
        password: str | None = None,
        accounts: Sequence[Account] = (),
        behaviour: Behaviour | None = None,
        execute: bool = False,
        connect: Connect = connect,
        listen_at: int = 0,
    ) -> None:
        """One user has this name, or any with ANYBODY, these keys and this password; `accounts` are others, with whom
        they share a home.

        With `execute` every command is really run by /bin/sh, as the user who runs the tests. `connect` is where a
        connection goes that leads on through this machine; `listen_at` the port where it listens, 0 for any.
        """
        self.address = address
        self.port = 0
        self.root = root
        self.username = "admin" if username == ANYBODY else username
        self.accounts = [Account(username, authorized_keys, password), *accounts]
        self.behaviour = behaviour or Behaviour()
        self.execute = execute
        self.connect = connect
        self.listen_at = listen_at
        self.ran: list[Ran] = []
        self.logins = 0
        self.timer: int | None = None
        self.forwarded: list[tuple[str, int]] = []
        self._host_key = _new_host_key()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._transports: list[paramiko.Transport] = []
        self._executions: list[Execution] = []
        self._forwardings: list[Forwarding] = []
        self.home.mkdir(parents=True, exist_ok=True)
        (root / "tmp").mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def home(self) -> Path:
        """The home of the user who logs in."""
        return self.root / "home" / self.username

    @property
    def _commands(self) -> Path:
        """Where those are that a test has replaced: not on the machine's disk, where only what is sent up is."""
        return self.root.with_name(f"{self.root.name}.commands")

    @property
    def host_key(self) -> str:
        """The public host key: type and base64."""
        return f"{self._host_key.get_name()} {self._host_key.get_base64()}"

    def change_host_key(self) -> None:
        """Show another host key from the next connection on."""
        self._host_key = _new_host_key()

    def upload(self, path: str) -> Path:
        """Where on this machine's disk something is that was uploaded there."""
        if path == _BOOT_ID:
            return self.root.with_name(f"{self.root.name}.boot-id")
        return self.root / path.lstrip("/") if path.startswith("/") else self.home / path

    def start(self) -> None:
        """Listen, with a boot id that it never had."""
        self._boot()
        self._listener = socket.create_server((self.address, self.listen_at))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), name="sshd", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Stop listening and drop every connection, with what runs over it. No thread is left."""
        if self._listener is None or self._accepting is None:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self._listener = None
        self.port = 0
        self.drop()
        for execution in self._executions:
            execution.end()
        for transport in self._transports:
            transport.join(5)
            transport.packetizer.complete_handshake()  # cancels the timer of one that never was complete
        for forwarding in self._forwardings:
            forwarding.end()
        self._executions.clear()
        self._forwardings.clear()
        self._transports.clear()

    def reboot(self) -> None:
        """Be another boot of the same machine: cut every connection, and have another boot id."""
        self._boot()
        self.drop()

    def _boot(self) -> None:
        self.timer = None
        self.upload(_BOOT_ID).write_text(f"{uuid.uuid4()}\n")

    def drop(self) -> None:
        """Cut every connection."""
        for transport in list(self._transports):
            with suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)
            transport.close()
            transport.sock.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if self.behaviour.refuse_connections > 0:
                self.behaviour.refuse_connections -= 1
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            door = Door(self)
            transport = ServerTransport(sock, door)
            transport.set_log_channel(_LOGGER)
            transport.add_server_key(self._host_key)
            self._transports.append(transport)
            transport.start_server(event=threading.Event(), server=door)

    def admits(self, username: str, key: paramiko.PKey) -> bool:
        """Whether this key opens the door to this user."""
        return self._admits("publickey", username, lambda account: account.admits(key))

    def admits_password(self, username: str, password: str, method: str = "password") -> bool:
        """Whether this password does, given by this method."""
        return self._admits(method, username, lambda account: account.password == password)

    def _admits(self, method: str, username: str, check: Callable[[Account], bool]) -> bool:
        if method not in self.behaviour.methods:
            return False
        if self.behaviour.refuse_logins > 0:
            self.behaviour.refuse_logins -= 1
            return False
        known = [account for account in self.accounts if account.username in (username, ANYBODY)]
        admitted = any(check(account) for account in known)
        self.logins += admitted
        if admitted and all(account.username == ANYBODY for account in known):
            self.username = username
            self.home.mkdir(parents=True, exist_ok=True)
        return admitted

    def forward(self, channel: paramiko.Channel, sock: socket.socket) -> None:
        """Let this channel and this socket be one connection."""
        self._forwardings.append(Forwarding(channel, sock))

    @property
    def forwarding(self) -> int:
        """How many connections lead on through this machine at the moment."""
        return sum(forwarding.under_way for forwarding in self._forwardings)

    def begin(self, channel: paramiko.Channel, command: str) -> None:
        """Do what this command says, in a thread of its own."""
        self._executions.append(Execution(channel, lambda execution: self._carry_out(execution, command), self._count))

    def _count(self, received: int) -> int | None:
        limit = self.behaviour.drop_after
        if limit is None or received < limit:
            return None
        self.behaviour.dropping()
        self.drop()
        return limit

    def _carry_out(self, execution: Execution, command: str) -> None:
        ours = _our_program(command)
        called = ours[3] if ours else ""
        inner = _our_program(ours[6]) if called == "amibake-run" else []
        if called == "amibake-put" and not self.execute:
            ours[8:10] = "", ""  # owner and group: those of the builder's are not known here
        if self.behaviour.refuse_sudo and " amibake-as-root " in command:
            execution.answer(1, "", _REFUSAL)
        elif inner and inner[3] == "amibake-set-timer":
            self._set_timer(execution, *inner[6:8])
        elif "reboot-by-amibake" in command:
            self._asked_to_reboot(execution, command)
        elif called == "amibake-root":
            refused = self.behaviour.refuse_sudo
            execution.answer(1 if refused else 0, "" if refused else "sudo\n", _REFUSAL if refused else "")
        elif inner:
            self._do(execution, [*ours[:6], f"exec {shlex.join(self._on_disk(inner))}"], command)
        elif ours and called not in ("amibake-run", "amibake-kill"):
            self._do(execution, self._on_disk(ours), command)
        elif self.execute:
            execution.process(ours or ["/bin/sh", "-c", command], self.home, self._environment())
        elif called == "amibake-kill":
            execution.answer(0)
        else:
            ran = self._ran(command, ours, execution.read_all())
            self.ran.append(ran)
            self._answer(execution, ran)

    def _do(self, execution: Execution, words: list[str], command: str) -> None:
        if not self._drops_instead(command):
            execution.process(words, self.home, self._environment())

    def _on_disk(self, ours: list[str]) -> list[str]:
        """A program of amibake's own with the paths that this machine's are on our disk."""
        return [*ours[:4], *(str(self.upload(word)) if word.startswith("/") else word for word in ours[4:])]

    def _ran(self, command: str, ours: list[str], given: bytes) -> Ran:
        environment: dict[str, str] = {}
        sudo = command.startswith("exec sudo ")
        if ours:
            marker, command = ours[5:7]
            exports, _, given = given.partition(f"{marker}\n".encode()) if marker else (b"", b"", given)
            words = shlex.split(exports.decode("utf-8", "surrogateescape"))
            environment = dict(word.split("=", 1) for word in words if word != "export")
        return Ran(command, given, environment, uploaded_script(command, self.upload), sudo, self.username)

    def _drops_instead(self, said: str) -> bool:
        text = self.behaviour.drop_instead
        if text is None or text not in said:
            return False
        self.behaviour.dropping()
        self.drop()
        return True

    def _answer(self, execution: Execution, ran: Ran) -> None:
        said = f"{ran.command}\n{ran.script}"
        if self._drops_instead(said):
            return
        answer = self.behaviour.answer(ran) or Answer()
        if answer.does:
            answer.does()
        if answer.drops:
            self.drop()
        elif answer.stays:
            execution.stay()
        elif answer.runs is not None:
            replaced = self._replacing(answer.runs)
            ran.status = execution.process(self._words_on_disk(ran.command), self.home, {**replaced, **ran.environment})
        else:
            ran.status = answer.status
            execution.answer(answer.status, answer.stdout, answer.stderr)

    def _asked_to_reboot(self, execution: Execution, command: str) -> None:
        """Record it, and do it unless a test has prepared another answer: never is it run."""
        execution.read_all()
        self.ran.append(Ran(command, b"", {}, user=self.username))
        if self.behaviour.answer(self.ran[-1]):
            self._answer(execution, self.ran[-1])
        else:
            self.reboot()

    def _set_timer(self, execution: Execution, verb: str, seconds: str) -> None:
        """Write it down: nothing ever goes off."""
        execution.read_all()
        if not self._drops_instead("amibake-set-timer"):
            if not self.behaviour.refuse_sudo:
                self.timer = int(seconds) if verb == "arm" else None
            execution.answer(4 if self.behaviour.refuse_sudo else 0)

    def _words_on_disk(self, command: str) -> list[str]:
        """A command with the files of this machine that it names where they are on our disk."""
        words = [
            str(found) if (found := self.upload(word)).exists() and "/" in word else word for word in words_of(command)
        ]
        return words[1:] if words[:1] == ["exec"] else words

    def _replacing(self, commands: Mapping[str, str]) -> dict[str, str]:
        """The environment in which these commands are scripts of the test's, and root is who runs the tests."""
        self._commands.mkdir(exist_ok=True)
        for name, script in {"sudo": _SUDO, **commands}.items():
            path = self._commands / name
            path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        return self._environment()

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "USER": self.username,
            "LOGNAME": self.username,
            "SHELL": "/bin/sh",
            "PATH": f"{self._commands}:{self.root}/usr/local/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
        }


def _new_host_key() -> paramiko.PKey:
    return make_key_pair("ed25519", "host").signer()


def _our_program(command: str) -> list[str]:
    """The words of a remote program of amibake's own (amibake.remote), without sudo, and none for anything else. There
    is no root: one that is to be run as root is run like the others."""
    words = words_of(command)[1:]
    if words[:1] == ["sudo"]:
        words = list(dropwhile(lambda word: word.startswith("-"), words[1:]))
    if words[3:4] == ["amibake-as-root"]:
        words = words[4:]
    ours = words[:2] == ["sh", "-c"] and len(words) > 3 and words[3].startswith("amibake-")
    return words if ours else []
