"""Uploads over lines of any kind: in blocks, compressed, over several channels."""

from __future__ import annotations

import gzip
import os
import shlex
import subprocess
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import paramiko
import pytest

from amibake.errors import ConnectionLost, UploadFailed
from amibake.ssh import archive, blocks, local, outlet, programs, tarstream, upload
from amibake.ssh.command import Running
from amibake.ssh.host import SSHHost
from amibake.ssh.lanes import Lane
from amibake.ssh.local import Entry, look_at
from amibake.ssh.outlet import Outlet
from amibake.ssh.pace import Pace
from amibake.ssh.transport import ClientTransport
from amibake.ssh.upload import Rights, plan
from amibake.testing.sshd import LoopbackMachine

TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(200_000))


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is near."""
    monkeypatch.setattr(blocks, "NEAR", 0.0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What goes over the commands' own channels."""
    sent: list[bytes] = []
    real = Outlet.__call__

    def call(self: Outlet, data: memoryview) -> None:
        sent.append(bytes(data))
        real(self, data)

    monkeypatch.setattr(Outlet, "__call__", call)
    return sent


def takes(monkeypatch: pytest.MonkeyPatch, seconds: float | None) -> None:
    """Let every line be measured so: seconds for a byte."""
    monkeypatch.setattr(Outlet, "seconds_for_a_byte", lambda _: seconds)


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch, far: None) -> list[int]:
    """Bytes of each block that went over a lane; from the second block on all lanes are there, and used."""
    takes(monkeypatch, 0.0)
    went: list[int] = []
    opened: list[Lane] = []
    open_lane, send, call = Running._lane, Lane.send, Outlet.__call__

    def lane(self: Running, command: str) -> Lane:
        opened.append(open_lane(self, command))
        return opened[-1]

    def called(self: Outlet, data: memoryview) -> None:
        call(self, data)
        if len(data) > 1000:  # a block, and so all that the far side waits for
            for one in opened:
                while not (one.is_ready.wait(0.01) or one._over.is_set()):
                    pass

    def spied(self: Lane, block: bytes | bytearray | None) -> None:
        went.extend([len(block)] if block else [])
        send(self, block)

    monkeypatch.setattr(Running, "_lane", lane)
    monkeypatch.setattr(Outlet, "__call__", called)
    monkeypatch.setattr(Lane, "send", spied)
    return went


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Larger than what one channel is for, of which hardly anything can be compressed."""
    tree = tmp_path / "local"
    (tree / "below").mkdir(parents=True)
    for number in range(30):
        (tree / "below" / str(number)).write_bytes(os.urandom(100_001))
    (tree / "big").write_bytes(os.urandom(5_000_000))
    return tree


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def there(machine: LoopbackMachine) -> list[str]:
    return sorted(path.name for path in machine.upload("/srv").iterdir())


@pytest.mark.parametrize("merging", [True, False])
def test_several_channels_carry_one_stream(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], merging: bool
) -> None:
    if merging:
        machine.upload("/srv/x").mkdir(parents=True)
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert there(machine) == ["x"]
    assert len(lanes) >= 4
    assert host._line._transport.takers == {}
    assert set(lanes) <= {1 << 20, 1 << 18} | {min(lanes)}


def test_what_has_several_channels_is_compressed_too(
    host: SSHHost, machine: LoopbackMachine, lanes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([0.0, 0.0, *[1.0] * 1000])
    monkeypatch.setattr(Outlet, "seconds_for_a_byte", lambda _: next(measured))
    monkeypatch.setattr(blocks.Blocks, "_is_held_up", lambda _: True)
    host.put(TEXT, "/srv/x")
    assert machine.upload("/srv/x").read_bytes() == TEXT
    assert min(lanes) < 1 << 18


def test_where_no_more_channels_are_to_be_had_one_does_it(
    host: SSHHost, machine: LoopbackMachine, tree: Path, far: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 0.0)
    opened: list[object] = []
    real = ClientTransport.open_session

    def open_session(self: ClientTransport, *arguments: Any, **options: Any) -> paramiko.Channel:
        opened.append(self)
        if len(opened) > 1:
            raise paramiko.ChannelException(1, "Administratively prohibited")
        return real(self, *arguments, **options)

    monkeypatch.setattr(ClientTransport, "open_session", open_session)
    host.put(tree, "/srv/x")
    assert len(opened) == 4
    assert contents(machine.upload("/srv/x")) == contents(tree)


@pytest.mark.parametrize("lane", ["echo 'Welcome, lane'; exit 1", "echo amibake-lane-open; exit 1"])
def test_a_channel_of_which_nothing_came_is_not_used(
    host: SSHHost, machine: LoopbackMachine, tree: Path, far: None, monkeypatch: pytest.MonkeyPatch, lane: str
) -> None:
    """Whatever start-up files print there, and whenever it ends."""
    takes(monkeypatch, 0.0)
    monkeypatch.setattr(upload, "text", lambda name: lane if name == "lane.sh" else programs.text(name))
    opened: list[Lane] = []
    open_lane, call = Running._lane, Outlet.__call__

    def spied(self: Running, command: str) -> Lane:
        opened.append(open_lane(self, command))
        return opened[-1]

    def called(self: Outlet, data: memoryview) -> None:
        call(self, data)
        for one in opened:
            one.thread.join(10)

    monkeypatch.setattr(Running, "_lane", spied)
    monkeypatch.setattr(Outlet, "__call__", called)
    host.put(tree, "/srv/x")
    assert len(opened) == 3
    assert contents(machine.upload("/srv/x")) == contents(tree)


def test_what_a_login_shell_says_first_is_not_taken_for_a_channel_that_is_open(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        upload, "text", lambda name: ("echo Welcome; sleep 0.5\n" if name == "lane.sh" else "") + programs.text(name)
    )
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert lanes


def test_a_lane_that_carries_something_is_found_by_its_upload_s_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(b"x", f"{tmp_path}/x", Rights())
    commands: list[str] = []

    class Blocks:
        def __init__(self, _: Outlet, __: int, lane: Callable[[int], str]) -> None:
            commands.append(lane(1))

        write, close = len, int

    monkeypatch.setattr(archive, "Blocks", Blocks)
    planned.feed(cast("Outlet", None), lambda _: None)
    own = tmp_path / planned.token
    own.mkdir(mode=0o700)
    os.mkfifo(own / "lane1")
    with subprocess.Popen(["/bin/sh", "-c", commands[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lane:
        assert lane.stdout is not None
        assert lane.stdin is not None
        assert lane.stdout.readline() == b"amibake-lane-open\n"
        reader = os.open(own / "lane1", os.O_RDONLY)
        lane.stdin.write(b"data")
        lane.stdin.flush()
        assert os.read(reader, 100) == b"data"  # so it is past all that comes before
        assert planned.token.encode() in Path(f"/proc/{lane.pid}/cmdline").read_bytes()
        lane.stdin.close()
    os.close(reader)


def test_more_channels_are_opened_only_where_the_far_side_knows_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LANES_FROM", 1 << 12)
    monkeypatch.setattr(archive, "LANES_FROM", 1 << 12)
    monkeypatch.setattr(blocks, "_SMALL", 1)
    for number in range(1, 21):
        (tmp_path / str(number)).touch()
        opened: list[str] = []
        line = SimpleNamespace(round_trip=1.0, lane=opened.append)
        planned = plan(tmp_path, "/srv/x", Rights())
        with suppress(AttributeError):  # it has no more than that
            planned.feed(cast("Outlet", line), lambda _: None)
        assert ("lanes" in shlex.split(planned.command)) == (len(opened) == 3) == (number >= 7)


def test_a_disk_here_that_is_full_is_told_of(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "file").write_text("x")
    monkeypatch.setattr(archive, "_KEPT", 1)
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "none"))
    with pytest.raises(
        UploadFailed, match="the list of what is uploaded can't be kept in a temporary file: No such file"
    ):
        host.put(tmp_path / "local", "/srv/x")
    assert not machine.upload("/srv/x").exists()


@pytest.mark.parametrize("missing", ["gzip", "dd"])
def test_a_program_that_the_far_side_lacks_is_named(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, far: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (tmp_path / "bin").mkdir()
    for directory in ("/usr/bin", "/bin"):
        for path in Path(directory).iterdir():
            if path.name != missing and not (tmp_path / "bin" / path.name).is_symlink():
                (tmp_path / "bin" / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    with pytest.raises(UploadFailed, match=f"there is no {missing}, which an upload from afar needs$"):
        host.put(TEXT, "/srv/x")
    assert there(machine) == []


@pytest.fixture
def mkfifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts another in the place of the far side's."""

    def put(script: str) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "mkfifo").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "mkfifo").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    return put


def test_where_the_file_system_has_no_pipes_one_channel_does_it(
    host: SSHHost, machine: LoopbackMachine, tree: Path, far: None, mkfifo: Callable[[str], None]
) -> None:
    mkfifo("exit 1")
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert there(machine) == ["x"]


def test_a_pipe_is_not_written_to_before_somebody_reads_it(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], mkfifo: Callable[[str], None]
) -> None:
    mkfifo('/usr/bin/mkfifo "$@"; sleep 1')
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert lanes


def test_a_channel_that_is_lost_on_the_way_makes_no_success(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Lane.send

    def cut(self: Lane, block: bytes | bytearray | None) -> None:
        if len(lanes) == 3 and self._channel is not None:
            self._channel.close()
        real(self, block)

    monkeypatch.setattr(Lane, "send", cut)
    machine.upload("/srv").mkdir()
    with pytest.raises(UploadFailed, match="local can't be uploaded to /srv/x"):
        host.put(tree, "/srv/x")
    assert there(machine) == []
    monkeypatch.setattr(Lane, "send", real)
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)


@pytest.mark.parametrize("at", [1, 300_000, 1_500_000])
def test_a_connection_that_is_lost_with_all_its_channels_is_made_anew(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], at: int
) -> None:
    machine.behaviour.drop_after = at
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert there(machine) == ["x"]
    machine.behaviour.drop_after, machine.behaviour.drop_times = at, 100  # each channel counts for itself
    with pytest.raises(ConnectionLost):
        host.put(tree, "/srv/y")
    assert "y" not in there(machine)
    machine.behaviour.drop_after = None
    host.put(tree, "/srv/y")
    assert there(machine) == ["x", "y"]


def test_an_interrupted_upload_leaves_no_channel(
    host: SSHHost, machine: LoopbackMachine, tree: Path, lanes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Lane, block: bytes | bytearray | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lane, "send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        host.put(tree, "/srv/x")
    assert not machine.upload("/srv/x").exists()


def test_a_lane_leads_only_into_a_directory_that_is_ours_alone(
    host: SSHHost, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(b"x", "/srv/x", Rights())
    taken: list[str] = []

    class Blocks:
        def __init__(self, _: Outlet, __: int, lane: Callable[[int], str]) -> None:
            taken.append(lane(1))

        write, close = len, int

    monkeypatch.setattr(archive, "Blocks", Blocks)
    planned.feed(cast("Outlet", None), lambda _: None)
    own = machine.upload(planned.stale[0])
    own.mkdir(mode=0o700, parents=True)
    os.mkfifo(own / "lane1")
    reader = os.open(own / "lane1", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert host.run(taken[0], input=b"data", capture=True).stdout == "amibake-lane-open\n"
        assert os.read(reader, 100) == b"data"
        own.chmod(0o2700)  # as in a directory that gives its group to all that is made in it
        assert host.run(taken[0], input=b"data", capture=True).stdout == "amibake-lane-open\n"
        assert os.read(reader, 100) == b"data"
        own.chmod(0o755)
        assert host.run(taken[0], input=b"data", capture=True).status != 0
        own.chmod(0o700)
        os.close(reader)
        reader = os.open(own, os.O_RDONLY)  # nobody reads from the pipe
        assert host.run(taken[0], capture=True, timeout=20).stdout == "amibake-lane-open\n"
        own.rename(own.with_name("other"))
        own.symlink_to("other")
        assert host.run(taken[0], input=b"data", capture=True).status != 0
    finally:
        os.close(reader)


def test_on_a_slow_line_text_is_compressed(
    host: SSHHost, machine: LoopbackMachine, far: None, sent: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 1.0)
    host.put(TEXT, "/srv/x")
    assert machine.upload("/srv/x").read_bytes() == TEXT
    assert sum(map(len, sent)) < len(TEXT) / 3


def test_what_can_not_be_compressed_goes_as_it_is(
    host: SSHHost, machine: LoopbackMachine, tree: Path, far: None, sent: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(monkeypatch, 1.0)
    host.put(tree, "/srv/x")
    assert contents(machine.upload("/srv/x")) == contents(tree)
    assert b"gzip" not in b"".join(piece for piece in sent if piece.startswith(b"block "))


@pytest.mark.parametrize("content", [b"small", TEXT], ids=["small", "near"])
def test_what_is_small_or_near_goes_as_one_stream(
    host: SSHHost, machine: LoopbackMachine, sent: list[bytes], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(blocks, "NEAR", 1000.0 if content == TEXT else 0.0)
    host.put(content, "/srv/x")
    assert sent[0] == b"rest\n"
    assert not any(piece.startswith(b"block ") for piece in sent)
    assert machine.upload("/srv/x").read_bytes() == content


def test_a_large_content_is_not_held_in_memory_once_more() -> None:
    sent = 0

    class Null(SimpleNamespace):
        def __call__(self, data: memoryview) -> None:
            nonlocal sent
            sent += len(data)

    line = Null(round_trip=1.0, window=1, seconds_for_a_byte=lambda: 1e-12)
    stream = blocks.Blocks(cast("Outlet", line), 1 << 20, lambda _: "")
    content = bytes(32 << 20)
    tracemalloc.start()
    try:
        stream.write(memoryview(content))
        stream.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent > len(content)
    assert peak < 4 << 20


@pytest.mark.parametrize("openssl", ["exec /usr/bin/openssl", "exit 1", "echo damaged; exit 0;"])
def test_a_large_file_is_verified_with_openssl_or_without(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: str
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(17 << 20)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "openssl").write_text(f'#!/bin/sh\n{openssl} "$@"\n')
    (tmp_path / "bin" / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    if "damaged" in openssl:
        with pytest.raises(UploadFailed, match="it is not on the disk as it was sent"):
            host.put(large, "/srv/x")
        return
    host.put(large, "/srv/x")
    assert machine.upload("/srv/x").read_bytes() == large.read_bytes()


def test_a_tree_that_changes_between_the_walks_is_not_taken_for_whole(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "a").write_text("a")
    real = local.scan

    def scan(directory: Entry, exclude: Sequence[str]) -> Iterator[Entry]:
        yield from real(directory, exclude)
        if not (tmp_path / "local" / "b").exists():
            (tmp_path / "local" / "b").write_text("b")

    monkeypatch.setattr(archive, "scan", scan)
    with pytest.raises(UploadFailed, match="/local changed while it was being uploaded"):
        host.put(tmp_path / "local", "/srv/x")
    assert not machine.upload("/srv/x").exists()
    host.put(tmp_path / "local", "/srv/x")
    assert contents(machine.upload("/srv/x")) == {"a": b"a", "b": b"b"}


@pytest.mark.parametrize("name", ["a", "\udce9", "x" * 100, "x" * 101, "é" * 60, "d/" * 30 + "f"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize(("size", "mtime"), [(0, 0), (8**11 - 1, 8**11 - 1), (8**11, 1), (5, -1)])
def test_a_header_says_what_python_says(name: str, kind: bytes, size: int, mtime: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.mode = kind, size if kind == tarfile.REGTYPE else 0, mtime, 0o4751
    info.linkname = name[::-1] if kind == tarfile.SYMTYPE else ""
    ours, pythons = tarstream.header(info), info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    assert len(ours) == len(pythons)
    assert ours[-255:-247] == pythons[-255:-247] == b"ustar  \0"
    read, expected = (tarfile.TarInfo.frombuf(data[-512:], "utf-8", "surrogateescape") for data in (ours, pythons))
    assert read.get_info() == expected.get_info()


def test_the_pace_is_set_by_the_line() -> None:
    random = os.urandom(1 << 20)
    block = TEXT[: 1 << 20]
    pace = Pace()
    assert pace.pack(block, 1e-12) is None
    hard = pace.pack(block, 1.0)
    assert hard is not None
    assert gzip.decompress(hard) == block
    assert hard == pace.pack(block, None)  # there is time
    for _ in range(6):
        pace.pack(random, 1.0)
    assert [pace.pack(block, 1.0) for _ in range(5)] == [None] * 5  # it takes the next to be of the same kind
    assert any(pace.pack(block, 1.0) for _ in range(20))


class Far:
    """A channel of which the test says what is taken of it."""

    def __init__(self) -> None:
        self.out_window_size = 2 << 20

    def send(self, data: memoryview) -> int:
        count = min(len(data), 1 << 15, self.out_window_size)
        self.out_window_size -= count
        return count


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(outlet, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def an_outlet() -> Outlet:
    return Outlet(cast("paramiko.Channel", Far()), 0.05, lambda _: pytest.fail("no lane is needed"))


def test_what_queues_shows_how_fast_the_line_is(now: SimpleNamespace) -> None:
    measured = an_outlet()
    measured.taken(2 << 20)  # its window, before anything
    assert measured.seconds_for_a_byte() is None
    measured(memoryview(bytes(1 << 20)))
    assert measured.window == 2 << 20
    now.at += 0.09
    for _ in range(10):
        measured.taken(100_000)
        now.at += 0.04
    assert measured.seconds_for_a_byte() == pytest.approx(0.04 / 100_000, rel=0.01)
    later = [measured.seconds_for_a_byte() for _ in range(10)]
    assert later == sorted(cast("list[float]", later), reverse=True)  # it may be faster by now
    assert len(set(later)) == 10


def test_where_nothing_queues_the_line_takes_all(now: SimpleNamespace) -> None:
    measured = an_outlet()
    for _ in range(10):
        measured(memoryview(bytes(100_000)))
        assert measured.seconds_for_a_byte() is None
        now.at += 0.05
        measured.taken(50_000)
        measured.taken(50_000)
        if measured._taken >= 1 << 19:
            break
    assert measured.seconds_for_a_byte() == 0.0


def test_memory_does_not_grow_with_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 4_000
    monkeypatch.setattr(archive, "_KEPT", 1 << 14)
    (tmp_path / "one").write_bytes(b"x")
    (tmp_path / "one").chmod(0o400)
    seen = look_at(os.fspath(tmp_path / "one"), "")

    def scan(_: Entry, __: Sequence[str]) -> Iterator[Entry]:
        for number in range(count):
            yield Entry(seen.path, f"{'directory/' * 10}{number}", seen.seen)

    monkeypatch.setattr(archive, "scan", scan)
    sent = 0

    class Null:
        def __init__(self, _: Outlet, __: int, ___: Callable[[int], str]) -> None:
            pass

        def write(self, data: memoryview) -> None:
            nonlocal sent
            sent += len(data)

        def close(self) -> None:
            pass

    monkeypatch.setattr(archive, "Blocks", Null)
    tracemalloc.start()
    try:
        plan(tmp_path, "/srv/x", Rights()).feed(cast("Outlet", None), lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent > count * 1024
    assert peak < 3 << 19
