"""A machine that we have an SSH connection to: what provisioners get."""

from __future__ import annotations

import os
import secrets
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from amibake.errors import InvalidOption, UploadFailed
from amibake.events import Emit, Event, Output, Warned
from amibake.host import Completed
from amibake.lines import Lines
from amibake.remote import mistakes_of_variables, program, shortened, shown
from amibake.ssh.command import Chunk, Ended, Feed, Running, Stream, send_all
from amibake.ssh.download import Download
from amibake.ssh.said import Said, hint
from amibake.ssh.transport import ClientTransport, translated
from amibake.ssh.upload import Rights, plan
from amibake.waiting import Deadline

_TAIL = 20

# `read` takes a pipe byte by byte, so what follows the marker is left for the command.
_ENVIRONMENT = """
amibake_shell=${SHELL:-/bin/sh} amibake_exports=
while IFS= read -r amibake_line; do
    if [ "$amibake_line" = "$1" ]; then
        eval "$amibake_exports"
        exec "$amibake_shell" -c "$2"
    fi
    amibake_exports="$amibake_exports$amibake_line
"
done
echo 'the environment did not arrive' >&2
exit 125
"""


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
        self._transport = transport
        self._address = address
        self._deadline = deadline
        self._emit = emit
        self._data = data
        self._reopen = reopen
        self._stale: dict[bool, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def data(self) -> Mapping[str, str]:
        """What Packer calls build data."""
        return self._data

    def emit(self, event: Event) -> None:
        """Tell the user of the bake."""
        self._emit(event)

    def close(self) -> None:
        """End the connection, and with it whatever still runs over it."""
        self._transport.end()

    def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect anew, to the same machine with the same host key, within `timeout` seconds and `ssh_timeout`.

        Raises SSHTimeout, AuthenticationFailed or HostKeyChanged.
        """
        self.close()
        within = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        self._transport = self._reopen(within)

    def remaining(self) -> float:
        """Seconds that are left to the bake."""
        return self._deadline.remaining()

    def run(
        self,
        command: str,
        *,
        input: bytes = b"",  # noqa: A002 - the protocol's word
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        capture: bool = False,
        name: str | None = None,
    ) -> Completed:
        """Run a command in the login shell: see `Host.run`.

        Raises:
            ConnectionLost: the connection ended before the command did.
            WaitTimeout: it did not end within `timeout` seconds, or the bake's time is up. It may still be running.
            InvalidOption: a name in `environment` is no variable's name, or a value has a NUL.
        """
        deadline = self._deadline if timeout is None else Deadline(timeout, within=self._deadline)
        called = shortened(command) if name is None else name
        if environment:
            marker = f"amibake-{secrets.token_hex(8)}"
            input = _exports(environment) + f"{marker}\n".encode() + input  # noqa: A001
            command = program("environment", _ENVIRONMENT, marker, command)
        record: _Captured | _Streamed = _Captured() if capture else _Streamed(self._emit)
        ended = self._execute(called, command, send_all(input), record.add, deadline)
        record.end()
        tail = [*record.tail, *([f"killed by signal {ended.signal}"] if ended.signal else [])]
        return Completed(ended.status, record.text("stdout"), record.text("stderr"), tuple(tail[-_TAIL:]))

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
        download = Download(source, os.fspath(destination), sudo=sudo)
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
                record = _Captured()
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
        with translated(name, self._address, self._transport):
            running = Running(self._transport, command, feed, name=name, deadline=deadline, patient=patient)
        try:
            for item in running:
                if isinstance(item, Chunk):
                    receive(item)
                else:
                    self._emit(item)
            return running.ended()
        finally:
            running.close()


class _Captured:
    """Keeps everything."""

    def __init__(self) -> None:
        self._data: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        self._lines: dict[Stream, Lines] = {"stdout": Lines(), "stderr": Lines()}
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def add(self, chunk: Chunk) -> None:
        self._data[chunk.stream].append(chunk.data)
        self.tail.extend(self._lines[chunk.stream].feed(chunk.data))

    def end(self) -> None:
        for lines in self._lines.values():
            self.tail.extend(lines.feed(b"", final=True))

    def text(self, stream: Stream) -> str:
        return b"".join(self._data[stream]).decode("utf-8", "replace")


class _Streamed:
    """Tells of every line as it comes, and keeps the last ones."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lines: dict[Stream, Lines] = {"stdout": Lines(), "stderr": Lines()}
        self._tails: dict[Stream, deque[str]] = {"stdout": deque(maxlen=_TAIL), "stderr": deque(maxlen=_TAIL)}
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def add(self, chunk: Chunk) -> None:
        self._tell(chunk.stream, self._lines[chunk.stream].feed(chunk.data))

    def end(self) -> None:
        for stream, lines in self._lines.items():
            self._tell(stream, lines.feed(b"", final=True))

    def text(self, stream: Stream) -> str:
        return "".join(f"{line}\n" for line in self._tails[stream])

    def _tell(self, stream: Stream, lines: Iterator[str]) -> None:
        for line in lines:
            self.tail.append(line)
            self._tails[stream].append(line)
            self._emit(Output(stream, line))


def _exports(environment: Mapping[str, str]) -> bytes:
    mistakes = mistakes_of_variables(environment)
    if mistakes:
        raise InvalidOption(*(f"environment: {mistake}" for mistake in mistakes))
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return "".join(lines).encode("utf-8", "surrogateescape")
