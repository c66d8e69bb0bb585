"""The connection to one machine, made anew when need be, and the end of what ran while it was lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from amibake.errors import AmibakeError, ConnectionLost, ScriptFailed
from amibake.events import Emit, Warned
from amibake.remote import as_root, program, relative_to_login, shown
from amibake.ssh import killing
from amibake.ssh.command import Chunk, Ended, Feed, Running, send_all
from amibake.ssh.invocation import ROOT
from amibake.ssh.records import Captured, failure
from amibake.ssh.transport import FOREIGN, ClientTransport, translated
from amibake.veil import Veil
from amibake.waiting import Deadline

_KILLED = "it was killed"
_NOTHING = "nothing of it was found that could be killed"

_REMOVE = 'rm -f "$1"'
_REMOVE_ALL = 'rm -rf "$1"'

_KILLING = 90.0
"""Seconds for killing what has run out of time; it has a grace of some seconds."""

_KILLING_SHORTLY = 15.0
"""Likewise for what is captured: that is short questions, which are not to hold up anybody."""

_DISCARDING = 5.0
"""Seconds for removing a file of ours when the time is up already."""

_HURRY = 0.3
"""Seconds for beginning to, when somebody is in a hurry: the instance that costs is not ended before."""


class Line:
    """What all views of one machine share.

    Attributes:
        veil: What is hidden.
        stale: What earlier uploads left there, as root or not.
        root: How its user becomes root, once that is known.
        lost: The runs during which the connection was lost: to be killed once there is one again.
        renewing: Whether the connection is being made anew at the moment.
    """

    def __init__(
        self, transport: ClientTransport, address: str, reopen: Callable[[Deadline], ClientTransport], emit: Emit
    ) -> None:
        self.veil = Veil()
        self.stale: dict[bool, tuple[str, ...]] = {}
        self.root = ""
        self.lost: list[str] = []
        self.renewing = False
        self._transport = transport
        self._address = address
        self._reopen = reopen
        self._emits = emit
        self._left: list[tuple[str, str]] = []
        self._killing: Thread | None = None

    def close(self) -> None:
        """End the connection."""
        self._transport.end()
        if self._killing is not None:
            self._killing.join(5)

    def renew(self, within: Deadline, connected: Callable[[], None]) -> None:
        """Connect anew, end what the connection that was lost has left there, and tell that it is `connected`. Raises
        as `reopen` does."""
        self._transport.end(abort=True)
        self.renewing = True
        try:
            self._transport = self._reopen(within)
            self._end_lost(within)
            self._remove_left(within)
            connected()
        finally:
            self.renewing = False

    def discard(self, path: str, *, directory: bool) -> None:
        """Remove it now, or once there is a connection again."""
        self._left.append((path, _REMOVE_ALL if directory else _REMOVE))
        self._remove_left()

    def execute(
        self,
        name: str,
        command: str,
        feed: Feed,
        receive: Callable[[Chunk], None],
        deadline: Deadline,
        *,
        patient: bool = False,
        whole: bool = True,
    ) -> Ended:
        """Run a command to its end, and pass on what it prints. `patient` and `whole` are as `Running` has them.

        Raises ConnectionLost, with `started` False where it was lost before; WaitTimeout; and what `receive` does.
        """
        try:
            with translated(name, self._address, self._transport):
                running = Running(
                    self._transport, command, feed, name=name, deadline=deadline, patient=patient, whole=whole
                )
        except ConnectionLost as error:
            error.started = False
            raise
        hurry = True
        try:
            for item in running:
                if isinstance(item, Chunk):
                    receive(item)
                else:
                    self._emits(item)
            ended = running.ended()
            hurry = False
            return ended
        except Exception:
            hurry = False
            raise
        finally:
            running.close(hurry=hurry)

    def becomes_root(self, name: str, deadline: Deadline) -> str:
        """How the user does: "directly" or by "sudo"."""
        if not self.root:
            record = Captured(self.veil)
            ended = self.execute(name, ROOT, send_all(b""), record.add, deadline)
            if ended.status != 0:
                raise ScriptFailed(
                    f"{name}: can't become root on {self._address}: {failure(ended, record)}",
                    status=ended.status,
                    hint="let the user sudo without a password, or log in as root",
                )
            self.root = record.text("stdout").strip()
        return self.root

    def _end_lost(self, within: Deadline) -> None:
        lost, self.lost = self.lost, []
        while lost and within.remaining() > 0 and not self._transport.has_ended():
            run = lost.pop()
            said = self.kill(run, within=within)
            if said not in (_KILLED, _NOTHING) and run not in self.lost:
                self._emits(Warned(f"what ran when the connection was lost may still run: {said}"))
        self.lost += lost

    def _remove_left(self, within: Deadline | None = None) -> None:
        deadline = Deadline(_DISCARDING, within=within)
        while self._left:
            (path, remove), record = self._left[-1], Captured(self.veil)
            command = program("remove", remove, relative_to_login(path))
            try:
                ended = self.execute("remove", command, send_all(b""), record.add, deadline)
            except AmibakeError:
                return  # it stays noted
            self._left.pop()
            if ended.status != 0:
                self._emits(Warned(f"{shown(path)} could not be removed: {failure(ended, record)}"))

    def kill(self, run: str, *, shortly: bool = False, within: Deadline | None = None) -> str:
        """Kill all that this run has started; what an error says of that. When the connection is lost meanwhile it is
        done after the next `reconnect`."""
        record = Captured(self.veil)
        try:
            deadline = Deadline(_KILLING_SHORTLY if shortly else _KILLING, within=within)
            command = self._kill_command(deadline, killing.KILL_SHORTLY if shortly else killing.KILL)
            ended = self.execute("kill it", command, send_all(f"{run}\n".encode()), record.add, deadline)
        except AmibakeError as error:
            if isinstance(error, ConnectionLost):
                self.lost.append(run)
            return f"it could not be killed: {error.message}"
        if ended.status != 0:
            return f"it could not be killed: {failure(ended, record)}"
        left = record.text("stdout").split("\n")[:-1]
        if left == ["nothing"]:
            return _NOTHING
        return f"what it started could not all be killed: {', '.join(left)}" if left else _KILLED

    def begin_to_kill(self, run: str) -> None:
        """Let the far side kill it on its own, without waiting for that: somebody is in a hurry."""

        def begin() -> None:
            with suppress(AmibakeError, *FOREIGN):
                deadline = Deadline(_HURRY)
                command, feed = self._kill_command(deadline, killing.KILL), send_all(f"{run}\n".encode())
                running = Running(self._transport, command, feed, name="kill it", deadline=deadline)
                try:
                    running.sent.wait(_HURRY)
                finally:
                    running.close()

        # in a thread, since a peer that is gone takes its time; that of the connection ends the thread's
        self._killing = Thread(target=begin, name="amibake-ssh-kill", daemon=True)
        self._killing.start()
        self._killing.join(_HURRY)

    def _kill_command(self, deadline: Deadline, kill: str) -> str:
        """As root, if the user may, since what it started may be root's."""
        try:
            return as_root(kill) if self.becomes_root("kill it", deadline) == "sudo" else kill
        except ScriptFailed:
            return kill
