"""What an error says when a bake does not get into its builder, or not any more."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake import events
from amibake.errors import AmibakeError
from amibake.ssh import dial
from amibake.ssh.transport import Patience
from amibake.testing import Answer, Place
from tests.relay import Relay
from tests.ssh.conftest import open_sockets

pytestmark = pytest.mark.usefixtures("no_thread_left")


def bake(place: Place, *steps: amibake.Provisioner, on_event: Any = None, **options: Any) -> amibake.Image:
    builder = amibake.Builder(
        **{
            "ami_name": "shop {{timestamp}} {{uuid}}",
            "source_ami": place.source_ami,
            "instance_type": "t3.micro",
            "ssh_timeout": 60,
            **options,
        }
    )
    image: amibake.Image = amibake.bake(builder, steps, session=place.session, on_event=on_event)
    return image


def fails_to_dial(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def dialled(*_: object) -> socket.socket:
        raise error

    monkeypatch.setattr(dial, "dial", dialled)


def without_console(error: AmibakeError) -> list[str]:
    lines = str(error).splitlines()
    console = next(number for number, line in enumerate(lines) if "its console ends with:" in line)
    assert len(lines) > console + 1
    return lines[: console + 1]


@pytest.mark.parametrize(
    ("error", "how", "last", "said", "cause"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "refused", "Connection refused", "TCP was refused", "sshd"),
        (TimeoutError("timed out"), "silent", "timed out", "TCP was not answered", "security group"),
        (OSError(113, "No route to host"), "unreachable", "No route to host", "no way there", "reached from here"),
        (socket.gaierror(-2, "Name not known"), "unreachable", "Name not known", "no way there", "resolved"),
        (OSError(24, "Too many open files"), "other", "Too many open files", "it failed otherwise", "security group"),
    ],
)
def test_tcp_that_does_not_connect(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: OSError, how: str, last: str, said: str, cause: str
) -> None:
    fails_to_dial(monkeypatch, error)
    with pytest.raises(amibake.SSHTimeout, match=f"as admin: not after 6[0-9] s; last seen: {last}\n") as caught:
        bake(place)
    assert caught.value.how == how
    lines = without_console(caught.value)
    assert len(lines) < 12
    assert lines[1].startswith("tried ")
    assert f"{said} " in lines[1]
    assert lines[1].endswith(" times from 0 s on")
    assert cause in lines[2]
    assert ("the temporary security group admits 127.0.0.1/32 and nobody else" in lines) == (
        how in ("silent", "unreachable")
    )
    assert "is running, with the public address" in lines[-1]


def test_what_happened_first_is_told_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def dialled(*_: object) -> socket.socket:
        raise TimeoutError("timed out") if place.clock.now() < began + 20 else ConnectionRefusedError(111, "refused")

    began = place.clock.now()
    monkeypatch.setattr(dial, "dial", dialled)
    with pytest.raises(amibake.SSHTimeout) as caught:
        bake(place)
    assert caught.value.how == "refused"
    tried = caught.value.hint.splitlines()[0]
    assert tried.startswith("tried ")
    first, then = tried.split(", then ")
    assert "TCP was not answered" in first
    assert "TCP was refused" in then
    assert "nothing listens on port 22" in caught.value.hint


def test_a_change_at_every_attempt_is_told_shortly(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [TimeoutError("timed out"), ConnectionRefusedError(111, "refused")]

    def dialled(*_: object) -> socket.socket:
        errors.reverse()
        raise errors[0]

    monkeypatch.setattr(dial, "dial", dialled)
    with pytest.raises(amibake.SSHTimeout) as caught:
        bake(place)
    assert " changes more), then " in caught.value.hint
    assert len(caught.value.hint.splitlines()[0]) < 300


def test_what_listens_hangs_up(place: Place) -> None:
    place.machines.behaviour.refuse_connections = 10_000
    with pytest.raises(
        amibake.SSHTimeout, match=r"last seen: connected, but (closed|reset) by the other side"
    ) as caught:
        bake(place)
    assert caught.value.how == "closed"
    assert "MaxStartups" in caught.value.hint
    assert len(without_console(caught.value)) < 12


@contextlib.contextmanager
def peer(
    serve: Callable[[socket.socket], object],
    monkeypatch: pytest.MonkeyPatch,
    banner: float = 0.1,
    handshake: float = 60,
) -> Iterator[None]:
    """In place of every machine there is something that does this with a connection, and keeps it open. Only one part
    of our patience can come to its end, however slow this machine is."""
    far: list[socket.socket] = []

    def dialled(*_: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        far.append(theirs)
        serve(theirs)
        return ours

    silent = Patience(tcp=60, banner=banner, handshake=handshake, auth=60)
    monkeypatch.setattr("amibake.ssh.connect.Patience", lambda: silent)
    monkeypatch.setattr(dial, "dial", dialled)
    try:
        yield
    finally:
        for sock in far:
            sock.close()


@pytest.mark.parametrize(
    ("says", "banner", "handshake", "how", "last", "cause"),
    [
        (b"", 0.1, 60, "mute", "no SSH banner came", "is no SSH server"),
        (b"SSH-2.0-x\r\n", 60, 0.5, "stuck", "the SSH handshake came to no end", "MTU"),
    ],
)
def test_what_listens_says_nothing(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    says: bytes,
    banner: float,
    handshake: float,
    how: str,
    last: str,
    cause: str,
) -> None:
    monkeypatch.setattr("amibake.ssh.transport._MOMENT", 60)
    with peer(lambda sock: sock.sendall(says), monkeypatch, banner, handshake):
        with pytest.raises(amibake.SSHTimeout, match=f"last seen: .*{last}") as caught:
            bake(place, ssh_timeout=2)
        assert caught.value.how == how
        assert cause in caught.value.hint


def test_silence_is_waited_for_no_longer_than_there_is_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    monkeypatch.setattr("amibake.ssh.transport._MOMENT", 0.2)
    with peer(lambda _: None, monkeypatch):
        monkeypatch.setattr("amibake.ssh.connect.Patience", Patience)
        with pytest.raises(amibake.SSHTimeout):
            bake(place, ssh_timeout=0.3)
    assert time.monotonic() - begun < Patience().banner


@pytest.mark.parametrize("tokens", ["required", "optional"])
def test_a_key_that_is_refused(place: Place, tokens: str) -> None:
    """In the end, or for want of time for that."""
    metadata = {"http_tokens": tokens}
    with pytest.raises(amibake.AuthenticationFailed, match="refuses the key for the user ubuntu") as failed:
        bake(place, ssh_username="ubuntu", metadata_options=metadata)
    with pytest.raises(amibake.SSHTimeout, match="last seen: the key is refused") as caught:
        bake(place, ssh_username="ubuntu", metadata_options=metadata, ssh_timeout=5)
    assert caught.value.how == "denied"
    for error in (failed.value, caught.value):
        assert "`ssh_username`" in error.hint
        assert ('metadata_options={"http_tokens": "optional"}' in error.hint) == (tokens == "required")
        assert len(without_console(error)) < 12
    assert "temporary_key_pair_type" in failed.value.hint


def test_a_builder_that_is_lost_for_good_in_the_middle(place: Place) -> None:
    def down() -> None:
        place.machines.behaviour.refuse_connections = 10_000
        place.machines.newest.drop()

    place.machines.behaviour.on("go down", Answer(does=down))
    with pytest.raises(amibake.ConnectionLost, match="was lost before this had ended") as lost:
        bake(place, amibake.Shell(inline=["go down"]))
    assert "max_retries" in lost.value.hint
    assert "its console ends with:" in lost.value.hint
    place.machines.behaviour.refuse_connections = 0
    with pytest.raises(amibake.SSHTimeout, match=r"^upload .* was lost.*; and then: SSH at .*; last seen") as caught:
        bake(place, Does(down), amibake.File(content="x", destination="/srv/x"))
    assert "its console ends with:" in caught.value.hint


class Does:
    """A provisioner that does this here."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do = do

    def check(self) -> None:
        pass

    def provision(self, _: amibake.Host) -> None:
        self.do()


def test_another_host_key_in_the_middle_of_an_upload_stops_the_bake(place: Place, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    before: list[str] = []
    told: list[events.Event] = []

    def tell(event: events.Event) -> None:
        told.append(event)
        if isinstance(event, events.Uploading) and not before:
            machine = place.machines.newest
            before.append(machine._host_key.fingerprint)
            machine.change_host_key()
            machine.drop()

    with pytest.raises(amibake.HostKeyChanged) as caught:
        bake(place, amibake.File(tmp_path / "big", "/srv/big", max_retries=3), on_event=tell)
    machine = place.machines.newest
    message = caught.value.message
    assert message.startswith(f"upload {tmp_path}/big to /srv/big: the SSH connection was lost before this had ended")
    assert f"shows the SSH host key ssh-ed25519 {machine._host_key.fingerprint}" in message
    assert f"ssh-ed25519 {before[0]} is pinned" in message
    assert "ssh-keygen" in caught.value.hint
    assert machine.logins == 1
    assert not machine.upload("/srv/big").exists()


def loses(place: Place, phase: str) -> tuple[list[Any], Any]:
    """Steps, and who listens to them, of a bake that loses its connection in that phase, for good or not."""
    machines = place.machines

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Uploading) and phase == "upload":
            machines.newest.drop()
        if isinstance(event, events.Output) and phase == "interrupt":
            raise KeyboardInterrupt

    drop = (lambda: machines.newest.drop()) if phase == "script" else None  # noqa: PLW0108 - there is none yet
    machines.behaviour.on("script of ours", Answer(stdout="x\n", does=drop))
    if phase == "download":
        machines.behaviour.drop_instead = "amibake-get"
    if phase == "login":
        machines.behaviour.refuse_connections = 3
    if phase == "failure":
        machines.behaviour.on("script of ours", Answer(3))
    steps = [
        amibake.File(content=bytes(3_000_000), destination="/srv/x"),
        amibake.Shell(inline=["script of ours"]),
    ]
    return steps, tell


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        ("none", None),
        ("failure", amibake.ScriptFailed),
        ("login", None),
        ("upload", amibake.ConnectionLost),
        ("script", amibake.ConnectionLost),
        ("download", None),
        ("interrupt", KeyboardInterrupt),
    ],
)
def test_no_thread_and_no_socket_outlives_a_bake(
    place: Place, tmp_path: Path, phase: str, error: type[BaseException] | None
) -> None:
    bake(place)  # what is made once stays, as a client's pool does
    threads, sockets = set(threading.enumerate()), open_sockets()
    steps, tell = loses(place, phase)
    steps.append(amibake.File("/srv/x", tmp_path / "back", direction="download"))

    def bakes() -> None:
        bake(place, *steps, on_event=tell)

    if error is None:
        bakes()
    else:
        with pytest.raises(error):
            bakes()
    assert [thread.name for thread in set(threading.enumerate()) - threads] == []
    assert open_sockets() <= sockets


@pytest.mark.parametrize("what", ["a script", "an upload"])
def test_an_interrupt_does_not_wait_for_a_peer_that_is_gone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    relay = Relay(place.machines.dial, narrow=True)
    monkeypatch.setattr(dial, "dial", relay.dial)
    at: dict[str, float] = {}

    def interrupt() -> None:
        at["interrupted"] = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Output):
            relay.cut("up", 0, "blackhole")
            interrupt()
        if isinstance(event, events.Uploading) and event.sent < 2_000_000:
            relay.cut("up", 0, "blackhole")
            threading.Timer(0.5, interrupt).start()  # when nothing more is taken

    place.machines.behaviour.on("say", Answer(stdout="x\n"))
    terminate = place.machines.terminate

    def terminated(instance_id: str) -> None:
        at.setdefault("terminated", time.monotonic())
        terminate(instance_id)

    monkeypatch.setattr(place.machines, "terminate", terminated)
    step: amibake.Provisioner = amibake.Shell(inline=["say"], name="say something")
    if what == "an upload":
        (tmp_path / "big").write_bytes(bytes(16_000_000))
        step = amibake.File(tmp_path / "big", "/srv/x")
    with contextlib.closing(relay), pytest.raises(KeyboardInterrupt):
        bake(place, step, on_event=tell)
    assert relay.cuts == 1
    assert at["terminated"] - at["interrupted"] < 6.0  # a fraction of a second, where nothing else is done here
