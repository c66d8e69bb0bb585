"""A machine that we have an SSH connection to: what provisioners get."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Self, TypeVar

from amibake import interrupts
from amibake.errors import ConnectionLost, UploadFailed, WaitTimeout
from amibake.events import Emit, Event, Warned
from amibake.host import Completed, WhenLost
from amibake.remote import shortened, shown
from amibake.secret import Secret
from amibake.ssh.command import send_all
from amibake.ssh.download import Download
from amibake.ssh.invocation import Beginning, invocation
from amibake.ssh.line import Line
from amibake.ssh.mending import mended
from amibake.ssh.records import TAIL, Captured, Streamed
from amibake.ssh.said import Said, hint
from amibake.ssh.transport import ClientTransport
from amibake.ssh.upload import Rights, plan
from amibake.waiting import Deadline

T = TypeVar("T")

_FATE_UNKNOWN = (
    "how it ended is not known, so it is not run again by itself: where that does no harm, max_retries does it; where "
    "it ends the connection, expect_disconnect says so; and Reboot restarts the builder"
)


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
        connected: Callable[[SSHHost], None] = lambda _: None,
    ) -> None:
        self._line = Line(transport, address, reopen, self._emit)
        self._connected = connected
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
        self._line.close()

    def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect anew, to the same machine with the same host key, within `timeout` seconds and `ssh_timeout`.

        What ran when the connection was lost, uploads included, is killed then, unless its output was captured or the
        machine has been restarted since: whatever is tried again never runs beside the first try.

        Raises SSHTimeout, AuthenticationFailed or HostKeyChanged.
        """
        within = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        self._line.renew(within, lambda: self._connected(self))

    def discard(self, path: str, *, directory: bool = False) -> None:
        """Remove a file, or a `directory` with all that is in it, that the user who logs in has left, also when the
        time is up: within 5 seconds or, when the connection is lost, as soon as there is one again. That it can't be
        done is a warning."""
        self._line.discard(path, directory=directory)

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
        when_lost: WhenLost = "start",
    ) -> Completed:
        """Run a command in the login shell: see `Host.run`.

        Raises:
            ConnectionLost: the connection ended before the command did, with `capture` also before all of the output
                had come; or four times before it had begun.
            SSHTimeout, AuthenticationFailed, HostKeyChanged: it was lost, and can't be made anew.
            WaitTimeout: it did not end within `timeout` seconds, or the bake's time is up. All that it had started has
                been killed, or the message says what could not be; `tail` has its last lines. Killing may take 90
                seconds beyond that time, but 15 with `capture`.
            ScriptFailed: the user can't become root.
            InvalidOption: a name in `environment` is no variable's name, or a value has a NUL or more than 128 KiB.
        """
        deadline = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        self.conceal(value for value in (environment or {}).values() if isinstance(value, Secret))
        called = shortened(self._line.veil.over(command)) if name is None else name

        def once() -> Completed:
            return self._run(called, command, input, environment, deadline, capture=capture, sudo=sudo)

        if when_lost == "raise":
            return once()
        return self._mended(once, deadline, even_if_started=when_lost == "repeat")

    def _run(
        self,
        called: str,
        command: str,
        given: bytes,
        environment: Mapping[str, str | Secret] | None,
        deadline: Deadline,
        *,
        capture: bool,
        sudo: bool,
    ) -> Completed:
        by_sudo = sudo and self._before_starting(lambda: self._line.becomes_root(called, deadline)) == "sudo"
        call = invocation(command, given, environment, sudo=by_sudo)
        record = Captured(self._line.veil) if capture else Streamed(self._emit, self._line.veil)
        beginning = Beginning(call.token, record.add)
        try:
            feed = send_all(call.input)
            ended = self._line.execute(called, call.command, feed, beginning.add, deadline, whole=capture)
            beginning.end()
            record.end()
        except WaitTimeout as error:
            beginning.end()
            record.end()
            error.tail = tuple(record.tail)
            run = f"{call.token} {beginning.main}"
            error.message = f"{error.message}; {self._line.kill(run, shortly=capture)}"
            raise
        except ConnectionLost as error:
            if error.started:
                error.hint = _FATE_UNKNOWN
                if not capture:
                    self._line.lost.append(f"{call.token} {beginning.main}")
            raise
        except BaseException:
            if not interrupts.ending():  # then the builder itself is about to go
                self._line.begin_to_kill(f"{call.token} {beginning.main}")
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
            ConnectionLost: the connection was lost four times.
            SSHTimeout, AuthenticationFailed, HostKeyChanged, WaitTimeout: as `run`.
        """
        rights = Rights(mode, owner, group, sudo)
        self._mended(lambda: self._put(source, destination, rights, exclude), self._deadline, even_if_started=True)

    def _put(self, source: Path | bytes, destination: str, rights: Rights, exclude: Sequence[str]) -> None:
        upload = plan(source, destination, rights, self._line.stale.get(rights.as_root, ()), exclude)
        said = Said()
        self._line.stale[rights.as_root] = self._line.stale.get(rights.as_root, ()) + upload.stale
        name = "the content" if isinstance(source, bytes) else shown(str(source))
        called = f"upload {name} to {shown(destination)}"
        try:
            ended = self._line.execute(called, upload.command, upload.feed, said.add, self._deadline)
        except ConnectionLost as error:
            if error.started:
                self._line.lost.append(f"{upload.token} ")  # all may have arrived, and only the answer be lost
            raise
        if ended.signal is None:
            self._line.stale.pop(rights.as_root)  # the remote program came to its end, where it cleans up
        if ended.status != 0:
            why = said.why(ended)
            message = f"{name} can't be uploaded to {shown(destination)} on {self._address}: {why}"
            raise UploadFailed(message, hint=hint(why, sudo=rights.as_root))

    def get(self, source: str, destination: str | Path, *, sudo: bool = False) -> None:
        """Download a file, a directory, or what a pattern matches: see `Host.get`.

        Raises:
            UploadFailed: it is not there or can't be read, changed meanwhile, or can't be written here; what was being
                replaced is as it was, except that a failure while merging may leave some entries merged.
            ConnectionLost: the connection was lost four times.
            SSHTimeout, AuthenticationFailed, HostKeyChanged, WaitTimeout: as `run`.
        """
        self._mended(lambda: self._get(source, destination, sudo=sudo), self._deadline, even_if_started=True)

    def _get(self, source: str, destination: str | Path, *, sudo: bool) -> None:
        download = Download(source, os.fspath(destination), sudo=sudo, deadline=self._deadline)
        called = f"download {shown(source)} to {shown(os.fspath(destination))}"
        try:
            ended = self._line.execute(
                called, download.command, send_all(b""), download.add, self._deadline, patient=True
            )
            # 1: something changed as tar read it, which is looked into below
            if ended.status != 0 and not (ended.status == 1 and download.complete):
                why = download.said.why(ended)
                message = f"{shown(source)} can't be downloaded from {self._address}: {why}"
                raise UploadFailed(message, hint=hint(why, sudo=sudo))
            if question := download.doubts():
                command, given = question
                record = Captured()
                self._line.execute(called, command, send_all(given), record.add, self._deadline, patient=True)
                download.settle(record.text("stdout"))
            download.place()
        finally:
            download.discard()
        for warning in download.warnings():
            self._emit(Warned(warning))

    def _mended(self, call: Callable[[], T], deadline: Deadline, *, even_if_started: bool) -> T:
        """Make a call, again where the connection was lost and that is safe; not while it is being made anew."""
        return mended(
            call,
            harmless=lambda error: not self._line.renewing and (even_if_started or not error.started),
            reconnect=lambda: self.reconnect(timeout=deadline.remaining()),
            emit=self._emit,
            deadline=deadline,
        )

    @staticmethod
    def _before_starting(call: Callable[[], T]) -> T:
        """What comes before a command: when the connection is lost meanwhile, the command has not begun."""
        try:
            return call()
        except ConnectionLost as error:
            error.started = False
            raise

    def _emit(self, event: Event) -> None:
        self._emits(self._line.veil.over_event(event))
