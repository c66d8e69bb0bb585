"""A machine that we have an SSH connection to: what provisioners get."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from amibake import interrupts
from amibake.errors import AmibakeError, ConnectionLost, ScriptFailed, UploadFailed, WaitTimeout
from amibake.events import Emit, Event, Warned
from amibake.host import Completed
from amibake.remote import as_root, program, relative_to_login, shortened, shown
from amibake.secret import Secret
from amibake.ssh import killing
from amibake.ssh.command import Chunk, Ended, Feed, Running, send_all
from amibake.ssh.download import Download
from amibake.ssh.invocation import ROOT, Beginning, invocation
from amibake.ssh.records import TAIL, Captured, Streamed, failure
from amibake.ssh.said import Said, hint
from amibake.ssh.transport import FOREIGN, ClientTransport, translated
from amibake.ssh.upload import Rights, plan
from amibake.veil import Veil
from amibake.waiting import Deadline

_KILLED = "it was killed"
_NOTHING = "nothing of it was found that could be killed"

_REMOVE = 'rm -f "$1"'

_KILLING = 90.0
"""Seconds for killing what has run out of time; it has a grace of some seconds."""

_KILLING_SHORTLY = 15.0
"""Likewise for what is captured: that is short questions, which are not to hold up anybody."""

_DISCARDING = 5.0
"""Seconds for removing a file of ours when the time is up already."""

_HURRY = 2.0
"""Seconds for beginning to, when somebody is in a hurry."""


class SSHHost:
    """A `Host` over SSH. Closed by `close()` or by leaving the `with` block; what it raises is as `Host` says.

    Nothing waits for longer than the deadline it was given, and a machine that no longer answers is noticed within
    half a minute, also while a command says nothing.
    """

    def __init__(
        self,
        transport: ClientTransport,
        *,
        address: str,
        deadline: Deadline,
        emit: Emit,
        data: Mapping[str, str],
        reopen: Callable[[Deadline], ClientTransport],
    ) -> None:
        self._line = _Line(transport, reopen)
        self._address = address
        self._deadline = deadline
        self._emits = emit
        self._data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self._line.veil.over_error(error)
        self.close()

    @property
    def data(self) -> Mapping[str, str]:
        """What Packer calls build data."""
        return self._data

    def emit(self, event: Event) -> None:
        """Tell the user of the bake."""
        self._emit(event)

    def conceal(self, values: Iterable[str | Secret]) -> None:
        """Hide these from now on: see `Host.conceal`."""
        self._line.veil.add(values)

    def limited(self, seconds: float) -> SSHHost:
        """The same machine and connection, with all that is done through this bounded by so many seconds from now."""
        view = copy(self)
        view._deadline = Deadline(seconds, within=self._deadline)  # noqa: SLF001 - one of our own
        return view

    def close(self) -> None:
        """End the connection."""
        self._transport.end()

    def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect anew, to the same machine with the same host key, within `timeout` seconds and `ssh_timeout`.

        What ran when the connection was lost is killed then, unless its output was captured or the machine has been
        restarted since: whatever is tried again never runs beside the first try.

        Raises SSHTimeout, AuthenticationFailed or HostKeyChanged.
        """
        self.close()
        within = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        self._line.transport = self._line.reopen(within)
        self._end_lost(within)
        self._remove_left(within)

    def discard(self, path: str) -> None:
        """Remove a file that the user who logs in has left, also when the time is up: within 5 seconds or, when the
        connection is lost, as soon as there is one again. That it can't be done is a warning."""
        self._line.left.append(path)
        self._remove_left()

    def remaining(self) -> float:
        """Seconds that are left to the bake, or to whatever else bounds this view."""
        return self._deadline.remaining()

    def run(
        self,
        command: str,
        *,
        input: bytes = b"",  # noqa: A002 - the protocol's word
        environment: Mapping[str, str | Secret] | None = None,
        timeout: float | None = None,
        capture: bool = False,
        name: str | None = None,
        sudo: bool = False,
    ) -> Completed:
        """Run a command in the login shell: see `Host.run`.

        Raises:
            ConnectionLost: the connection ended before the command did.
            WaitTimeout: it did not end within `timeout` seconds, or the bake's time is up. All that it had started has
                been killed, or the message says what could not be; `tail` has its last lines. Killing may take 90
                seconds beyond that time, but 15 with `capture`.
            ScriptFailed: the user can't become root.
            InvalidOption: a name in `environment` is no variable's name, or a value has a NUL or more than 128 KiB.
        """
        deadline = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        self.conceal(value for value in (environment or {}).values() if isinstance(value, Secret))
        called = shortened(self._line.veil.over(command)) if name is None else name
        by_sudo = sudo and self._becomes_root(called, deadline) == "sudo"
        call = invocation(command, input, environment, sudo=by_sudo)
        record = Captured(self._line.veil) if capture else Streamed(self._emit, self._line.veil)
        beginning = Beginning(call.token, record.add)
        try:
            ended = self._execute(called, call.command, send_all(call.input), beginning.add, deadline)
            beginning.end()
            record.end()
        except WaitTimeout as error:
            beginning.end()
            record.end()
            error.tail = tuple(record.tail)
            run = f"{call.token} {beginning.main}"
            error.message = f"{error.message}; {self._kill(run, shortly=capture)}"
            raise
        except ConnectionLost as error:
            if error.started and not capture:
                self._line.lost.append(f"{call.token} {beginning.main}")
            raise
        except BaseException:
            if not interrupts.ending():  # then the builder itself is about to go
                self._begin_to_kill(f"{call.token} {beginning.main}")
            raise
        tail = [*record.tail, *([f"killed by signal {ended.signal}"] if ended.signal else [])]
        said = record.text("stdout"), record.text("stderr")
        return Completed(ended.status, *said, tuple(tail[-TAIL:]), ended.signal)

    def put(
        self,
        source: Path | bytes,
        destination: str,
        *,
        mode: int | None = None,
        exclude: Sequence[str] = (),
        owner: str | int | None = None,
        group: str | int | None = None,
        sudo: bool = False,
    ) -> None:
        """Upload one file, or a directory's contents, to exactly this path: see `Host.put`.

        Raises:
            UploadFailed: something could not be read here or written there, or is not on the disk there as it was read
                here; what was being replaced is as it was, except that a failure while merging may leave some entries
                merged.
            ConnectionLost, WaitTimeout: as `run`.
        """
        rights = Rights(mode, owner, group, sudo)
        upload = plan(source, destination, rights, self._stale.get(rights.as_root, ()), exclude)
        said = Said()
        self._stale[rights.as_root] = self._stale.get(rights.as_root, ()) + upload.stale
        name = "the content" if isinstance(source, bytes) else shown(str(source))
        called = f"upload {name} to {shown(destination)}"
        ended = self._execute(called, upload.command, upload.feed, said.add, self._deadline)
        if ended.signal is None:
            self._stale.pop(rights.as_root)  # the remote program came to its end, where it cleans up
        if ended.status != 0:
            why = said.why(ended)
            message = f"{name} can't be uploaded to {shown(destination)} on {self._address}: {why}"
            raise UploadFailed(message, hint=hint(why, sudo=rights.as_root))

    def get(self, source: str, destination: str | Path, *, sudo: bool = False) -> None:
        """Download a file, a directory, or what a pattern matches: see `Host.get`.

        Raises:
            UploadFailed: it is not there or can't be read, changed meanwhile, or can't be written here; what was being
                replaced is as it was, except that a failure while merging may leave some entries merged.
            ConnectionLost, WaitTimeout: as `run`.
        """
        download = Download(source, os.fspath(destination), sudo=sudo, deadline=self._deadline)
        called = f"download {shown(source)} to {shown(os.fspath(destination))}"
        try:
            ended = self._execute(called, download.command, send_all(b""), download.add, self._deadline, patient=True)
            # 1: something changed as tar read it, which is looked into below
            if ended.status != 0 and not (ended.status == 1 and download.complete):
                why = download.said.why(ended)
                message = f"{shown(source)} can't be downloaded from {self._address}: {why}"
                raise UploadFailed(message, hint=hint(why, sudo=sudo))
            if question := download.doubts():
                command, given = question
                record = Captured()
                self._execute(called, command, send_all(given), record.add, self._deadline, patient=True)
                download.settle(record.text("stdout"))
            download.place()
        finally:
            download.discard()
        for warning in download.warnings():
            self._emit(Warned(warning))

    def _execute(
        self,
        name: str,
        command: str,
        feed: Feed,
        receive: Callable[[Chunk], None],
        deadline: Deadline,
        *,
        patient: bool = False,
    ) -> Ended:
        try:
            with translated(name, self._address, self._transport):
                running = Running(self._transport, command, feed, name=name, deadline=deadline, patient=patient)
        except ConnectionLost as error:
            error.started = False
            raise
        try:
            for item in running:
                if isinstance(item, Chunk):
                    receive(item)
                else:
                    self._emit(item)
            return running.ended()
        finally:
            running.close()

    def _becomes_root(self, name: str, deadline: Deadline) -> str:
        """How the user does: "directly" or by "sudo"."""
        if not self._line.root:
            record = Captured(self._line.veil)
            ended = self._execute(name, ROOT, send_all(b""), record.add, deadline)
            if ended.status != 0:
                raise ScriptFailed(
                    f"{name}: can't become root on {self._address}: {failure(ended, record)}",
                    status=ended.status,
                    hint="let the user sudo without a password, or log in as root",
                )
            self._line.root = record.text("stdout").strip()
        return self._line.root

    def _end_lost(self, within: Deadline) -> None:
        while self._line.lost and within.remaining() > 0:
            said = self._kill(self._line.lost.pop(), within=within)
            if said not in (_KILLED, _NOTHING):
                self._emit(Warned(f"what ran when the connection was lost may still run: {said}"))

    def _remove_left(self, within: Deadline | None = None) -> None:
        deadline = Deadline(_DISCARDING, within=within)
        while self._line.left:
            path, record = self._line.left[-1], Captured(self._line.veil)
            command = program("remove", _REMOVE, relative_to_login(path))
            try:
                ended = self._execute("remove", command, send_all(b""), record.add, deadline)
            except AmibakeError:
                return  # it stays noted
            self._line.left.pop()
            if ended.status != 0:
                self._emit(Warned(f"{shown(path)} could not be removed: {failure(ended, record)}"))

    def _kill(self, run: str, *, shortly: bool = False, within: Deadline | None = None) -> str:
        """Kill all that this run has started; what an error says of that. When the connection is lost meanwhile it is
        done after the next `reconnect`."""
        record = Captured(self._line.veil)
        try:
            deadline = Deadline(_KILLING_SHORTLY if shortly else _KILLING, within=within)
            command = self._kill_command(deadline, killing.KILL_SHORTLY if shortly else killing.KILL)
            ended = self._execute("kill it", command, send_all(f"{run}\n".encode()), record.add, deadline)
        except AmibakeError as error:
            if isinstance(error, ConnectionLost):
                self._line.lost.append(run)
            return f"it could not be killed: {error.message}"
        if ended.status != 0:
            return f"it could not be killed: {failure(ended, record)}"
        left = record.text("stdout").split("\n")[:-1]
        if left == ["nothing"]:
            return _NOTHING
        return f"what it started could not all be killed: {', '.join(left)}" if left else _KILLED

    def _begin_to_kill(self, run: str) -> None:
        """Let the far side kill it on its own, without waiting for that: somebody is in a hurry."""
        with suppress(AmibakeError, *FOREIGN):
            deadline = Deadline(_HURRY)
            command, feed = self._kill_command(deadline, killing.KILL), send_all(f"{run}\n".encode())
            running = Running(self._transport, command, feed, name="kill it", deadline=deadline)
            try:
                running.sent.wait(_HURRY)
            finally:
                running.close()

    def _kill_command(self, deadline: Deadline, kill: str) -> str:
        """As root, if the user may, since what it started may be root's."""
        try:
            return as_root(kill) if self._becomes_root("kill it", deadline) == "sudo" else kill
        except ScriptFailed:
            return kill

    @property
    def _transport(self) -> ClientTransport:
        return self._line.transport

    @property
    def _stale(self) -> dict[bool, tuple[str, ...]]:
        return self._line.stale

    def _emit(self, event: Event) -> None:
        self._emits(self._line.veil.over_event(event))


@dataclass
class _Line:
    """What all views of one machine share: the connection, what earlier uploads left there (as root or not), how its
    user becomes root once that is known, what is hidden, the runs during which the connection was lost, and the files
    that are to be removed."""

    transport: ClientTransport
    reopen: Callable[[Deadline], ClientTransport]
    stale: dict[bool, tuple[str, ...]] = field(default_factory=dict)
    root: str = ""
    veil: Veil = field(default_factory=Veil)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
