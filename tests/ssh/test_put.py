"""Uploads, extracted by this machine's own tar and sh below a temporary directory."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amibake.errors import ConnectionLost, UploadFailed
from amibake.events import Event, Uploading
from amibake.ssh.host import SSHHost
from amibake.testing.sshd import LoopbackMachine
from tests.odd import odd_tree, told

NAMES = [
    "plain",
    "two words",
    'it\'s "quoted"',
    "new\nline\n",
    "-rf",
    "--",
    "*",
    "$HOME",
    "back\\slash",
    "é",
    "x" * 250,
]


@pytest.fixture(autouse=True)
def _umask() -> None:
    os.umask(0o022)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Some of everything that a directory may hold."""
    tree = tmp_path / "local"
    for directory in [tree, tree / "empty", tree / "a" / "b"]:
        directory.mkdir(parents=True)
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / "secret").write_text("s")
    (tree / "secret").chmod(0o600)
    (tree / "a" / "b" / "big").write_bytes(os.urandom(3 << 20))
    (tree / "a" / "empty").write_bytes(b"")
    (tree / "a" / ("long" * 60)).write_text("long")
    (tree / "to-file").symlink_to("run")
    (tree / "to-directory").symlink_to("a/b")
    (tree / "to-nothing").symlink_to("/no/such/thing")
    (tree / "a" / "sticky").mkdir(mode=0o700)
    (tree / "a" / "sticky").chmod(0o1777)
    (tree / "read-only").mkdir()
    (tree / "read-only" / "file").write_text("r")
    (tree / "read-only").chmod(0o555)
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).write_text("no UTF-8")
    return tree


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def ours(directory: Path) -> list[str]:
    return [name for name in names(directory) if not name.startswith(".amibake-")]


def listing(root: Path) -> dict[str, tuple[str, bytes | str | None]]:
    """What is below: mode, and content or target."""
    found: dict[str, tuple[str, bytes | str | None]] = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = Path(directory, name)
            mode = path.lstat().st_mode
            content = str(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
            found[str(path.relative_to(root))] = (stat.filemode(mode), content)
    return found


def test_a_directory_arrives_as_it_is(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    tree.chmod(0o750)
    host.put(tree, "/tmp/new/parent/tube")
    there = machine.upload("/tmp/new/parent/tube")
    assert listing(there) == listing(tree)
    assert stat.S_IMODE(there.stat().st_mode) == 0o750
    assert stat.S_IMODE(there.parent.stat().st_mode) == 0o755
    assert (there / "run").stat().st_mtime == int((tree / "run").stat().st_mtime)
    assert names(there.parent) == ["tube"]


def test_a_directory_is_merged_into_one_that_is_there(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    there = machine.upload("/tmp/tube")
    (there / "a" / "b").mkdir(parents=True)
    there.chmod(0o700)
    (there / "a" / "b" / "other").write_text("other")
    (there / "run").write_text("older and longer")
    (there / "secret").symlink_to("/etc/passwd")
    host.put(tree, "/tmp/tube/")
    expected = {**listing(tree), "a/b/other": ("-rw-r--r--", b"other")}
    assert listing(there) == expected
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    host.put(tree, "/tmp/tube")
    assert listing(there) == expected


def test_a_link_to_a_directory_is_followed_as_destination(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    machine.upload("/tmp/real").mkdir()
    machine.upload("/tmp/link").symlink_to("real")
    host.put(tree, "/tmp/link")
    assert listing(machine.upload("/tmp/real")) == listing(tree)


def test_an_empty_directory(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for _ in range(2):
        host.put(tmp_path / "none", "/tmp/none", mode=0o711)
        assert listing(machine.upload("/tmp/none")) == {}
    assert stat.S_IMODE(machine.upload("/tmp/none").stat().st_mode) == 0o711


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_just_a_path(host: SSHHost, machine: LoopbackMachine, tmp_path: Path, name: str) -> None:
    (tmp_path / "in" / name).mkdir(parents=True)
    (tmp_path / "in" / name / name).write_text(name)
    host.put(tmp_path / "in", f"{name}/tree")
    host.put(tmp_path / "in", f"/tmp/{name}/tree")
    assert (machine.home / name / "tree" / name / name).read_text() == name
    assert (machine.root / "tmp" / name / "tree" / name / name).read_text() == name
    host.put(b"content", f"/tmp/{name}/{name}")
    assert (machine.root / "tmp" / name / name).read_bytes() == b"content"
    host.get(f"/tmp/{name}/{name}", tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"content"


def test_a_destination_that_is_no_utf8(host: SSHHost, machine: LoopbackMachine) -> None:
    host.put(b"x", os.fsdecode(b"/tmp/caf\xe9"))
    assert [os.fsencode(name) for name in names(machine.upload("/tmp"))] == [b"caf\xe9"]


def test_home(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    host.put(tree, "~/in-home")
    host.put(b"x", "x")
    assert listing(machine.home / "in-home") == listing(tree)
    host.put(tree, "~")
    assert listing(machine.home).keys() > listing(tree).keys()


@pytest.mark.parametrize("destination", ["", "a\0b"])
def test_what_is_no_path(host: SSHHost, destination: str) -> None:
    with pytest.raises(UploadFailed, match="is no path to upload to"):
        host.put(b"", destination)


def test_a_file_keeps_its_mode_unless_told_otherwise(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    (tree / "link").symlink_to("secret")
    files: list[tuple[Path | bytes, int | None, int]] = [
        (tree / "run", None, 0o755),
        (tree / "link", None, 0o600),
        (tree / "run", 0o640, 0o640),
        (b"", None, 0o644),
        (b"x", 0o4755, 0o4755),
    ]
    for source, mode, expected in files:
        host.put(source, "/tmp/p/q", mode=mode)
        assert stat.S_IMODE(machine.upload("/tmp/p/q").stat().st_mode) == expected
    assert names(machine.upload("/tmp/p")) == ["q"]


def test_a_file_replaces_a_file_and_nothing_else(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    (machine.root / "tmp" / "file").write_text("older")
    host.put(b"newer", "/tmp/file")
    assert (machine.root / "tmp" / "file").read_text() == "newer"
    with pytest.raises(
        UploadFailed, match=r"the content can't be uploaded to /tmp on 127\.78\.0\.1: it is a directory"
    ):
        host.put(b"", "/tmp")
    os.mkfifo(machine.root / "tmp" / "pipe")
    with pytest.raises(UploadFailed, match="it is no regular file"):
        host.put(b"", "/tmp/pipe")
    with pytest.raises(UploadFailed, match=r"local can't be uploaded to /tmp/file on .*: mv: cannot overwrite"):
        host.put(tree, "/tmp/file")
    with pytest.raises(UploadFailed, match=r"(?s)mkdir: cannot create directory.*File exists"):
        host.put(tree, "/tmp/file/below")
    assert names(machine.root / "tmp") == ["file", "pipe"]


def test_a_file_where_the_tree_has_a_directory(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    machine.upload("/tmp/tube").mkdir()
    (machine.upload("/tmp/tube") / "a").write_text("a file")
    with pytest.raises(UploadFailed, match="mv: cannot overwrite non-directory"):
        host.put(tree, "/tmp/tube")


def test_progress_is_told_now_and_then(host: SSHHost, events: list[Event], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(50):
        (tmp_path / "tree" / str(number)).write_bytes(bytes(100_000))
    host.put(tmp_path / "tree", "/tmp/tree")
    sent = [event.sent for event in events if isinstance(event, Uploading)]
    assert sent == [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]
    events.clear()
    (tmp_path / "file").write_bytes(bytes(10))
    host.put(tmp_path / "file", "/tmp/file")
    assert events == [Uploading("/tmp/file", 10, 10)]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))


@pytest.mark.parametrize(("make", "what"), [(make_socket, "a socket"), (os.mkfifo, "a pipe")], ids=["socket", "pipe"])
def test_what_can_not_be_sent_is_refused_at_once(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, make: Callable[[Path], None], what: str
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_text("a")
    make(tmp_path / "t" / "s")
    with pytest.raises(UploadFailed, match=re.escape(f"{tmp_path}/t/s can't be uploaded: it is {what}")):
        host.put(tmp_path / "t", "/tmp/t")
    with pytest.raises(UploadFailed, match=what):
        host.put(tmp_path / "t" / "s", "/tmp/t")
    assert not machine.upload("/tmp/t").exists()


def test_what_is_missing_or_unreadable_is_named(host: SSHHost, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UploadFailed, match="/local/none can't be read: No such file or directory"):
        host.put(tree / "none", "/tmp/x")
    with pytest.raises(UploadFailed, match="/dev/full can't be uploaded: it is a device"):
        host.put(Path("/dev/full"), "/tmp/x")
    monkeypatch.setattr(os, "access", lambda path, _: not path.endswith("secret"))  # root may read anything
    with pytest.raises(UploadFailed, match="/local/secret can't be read: permission denied"):
        host.put(tree, "/tmp/x")


@pytest.mark.parametrize(
    ("exclude", "left_out"),
    [
        ((), set()),
        (["big", "to-*"], {"a/b/big", "to-file", "to-directory", "to-nothing"}),
        (["a/b"], {"a/b", "a/b/big"}),
        (["b", "run"], {"a/b", "a/b/big", "run"}),
        (["*/big"], {"a/b/big"}),
        (["b/big", "BIG", "a/big", "local"], set()),
        (["caf\udce9", "s[ae]cret"], {"caf\udce9", "secret"}),
    ],
)
def test_what_is_excluded_is_left_out(
    host: SSHHost, machine: LoopbackMachine, tree: Path, exclude: list[str], left_out: set[str]
) -> None:
    host.put(tree, "/tmp/x", exclude=exclude)
    expected = {name: entry for name, entry in listing(tree).items() if name not in left_out}
    assert left_out <= set(listing(tree))
    assert listing(machine.upload("/tmp/x")) == expected


def test_what_is_excluded_is_not_even_looked_at(
    host: SSHHost, machine: LoopbackMachine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_socket(tree / "a" / "socket")
    seen: list[str] = []

    def watched(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: str, *arguments: int) -> object:
            seen.append(path)
            return real(path, *arguments)

        return call

    for name in ("open", "listdir", "readlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    host.put(tree, "/tmp/x", exclude=["a/socket", "b", "to-file", "secret"])
    monkeypatch.undo()
    known = {name.removeprefix(f"{tree}/") for name in seen}
    assert {"run", "a", "a/sticky", "to-directory"} <= known
    assert not known & {"a/socket", "a/b", "a/b/big", "to-file", "secret"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "can't be read: No such file"),
        (lambda path: path.write_bytes(b"shorter"), "changed while it was being uploaded"),
        (lambda path: path.write_bytes(bytes(4 << 20)), "changed while it was being uploaded"),
        (lambda path: os.utime(path, (1, 1)), "changed while it was being uploaded"),
    ],
    ids=["vanishes", "shrinks", "grows", "is rewritten"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["in a directory", "alone"])
def test_a_file_that_changes_meanwhile(
    host: SSHHost,
    machine: LoopbackMachine,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    said: str,
    whole: bool,
) -> None:
    big = tree / "a" / "b" / "big"
    real = os.open

    def opened(path: str, *arguments: int) -> int:
        if path == os.fspath(big):
            change(big)
        return real(path, *arguments)

    monkeypatch.setattr("amibake.ssh.upload.os.open", opened)
    with pytest.raises(UploadFailed, match=re.escape(f"{big} ") + said):
        host.put(tree if whole else big, "/tmp/x")
    monkeypatch.undo()
    assert not machine.upload("/tmp/x").exists()
    host.put(tree, "/tmp/other")
    assert names(machine.upload("/tmp")) == ["other"]


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Have the machine find this in place of its own."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")


def test_the_remote_disk_is_full(
    host: SSHHost, machine: LoopbackMachine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = "trap '' XFSZ; ulimit -f 64; exec /usr/bin/{} \"$@\""
    on_path(tmp_path, monkeypatch, "tar", limited.format("tar"))
    with pytest.raises(
        UploadFailed, match=r"local can't be uploaded to /tmp/x on .*tar: tree/a/b/big: Wrote only"
    ) as caught:
        host.put(tree, "/tmp/x")
    assert "bigger root volume" in caught.value.hint
    with pytest.raises(UploadFailed, match=r"big can't be uploaded to /tmp/y on .*tar: tree: Wrote only"):
        host.put(tree / "a" / "b" / "big", "/tmp/y")
    assert names(machine.upload("/tmp")) == []


def test_the_remote_side_loses_something(
    host: SSHHost, machine: LoopbackMachine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip = "dd conv=notrunc bs=1 seek=5 2>/dev/null"
    on_path(tmp_path, monkeypatch, "tar", f'/usr/bin/tar "$@" && printf xyz | {flip} of=tree')
    with pytest.raises(UploadFailed, match=r": it is not on the disk as it was sent: its SHA-256 is another$"):
        host.put(tree / "a" / "b" / "big", "/tmp/x")
    on_path(tmp_path, monkeypatch, "tar", f'/usr/bin/tar "$@" && printf xyz | {flip} of=tree/a/b/big')
    (tree / "-a\n:\\").write_text("the others are as they were")
    with pytest.raises(UploadFailed, match=r": a/b/big is not on the disk as it was sent: its SHA-256 is another$"):
        host.put(tree, "/tmp/x")
    on_path(tmp_path, monkeypatch, "tar", '/usr/bin/tar "$@" && rm tree/a/b/big')
    with pytest.raises(UploadFailed, match=r"sha256sum: \./tree/a/b/big: No such file or directory"):
        host.put(tree, "/tmp/x")
    on_path(tmp_path, monkeypatch, "tar", "cat >/dev/null")
    with pytest.raises(UploadFailed, match="the stream was cut"):
        host.put(tree, "/tmp/x")
    on_path(tmp_path, monkeypatch, "tar", "exit 9")
    with pytest.raises(UploadFailed, match="exit status 9"):
        host.put(tree, "/tmp/x")
    on_path(tmp_path, monkeypatch, "tar", "kill -9 $PPID")
    with pytest.raises(UploadFailed, match="killed there by signal KILL"):
        host.put(tree, "/tmp/x")
    assert len(names(machine.upload("/tmp"))) == 1  # what the killed one could not remove
    on_path(tmp_path, monkeypatch, "tar", 'exec /usr/bin/tar "$@"')
    host.put(tree, "/tmp/x")
    assert names(machine.upload("/tmp")) == ["x"]


def test_merging_across_file_systems(
    host: SSHHost, machine: LoopbackMachine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.put(tree, "/tmp/x")
    on_path(tmp_path, monkeypatch, "cp", "exit 1")
    (tree / "run").write_text("newer")
    host.put(tree, "/tmp/x")
    assert listing(machine.upload("/tmp/x")) == listing(tree)


@pytest.mark.parametrize("there_before", [True, False], ids=["merged", "new"])
@pytest.mark.parametrize("at", [1, 2000, 1_600_000, 3_150_000])
def test_an_upload_cut_and_repeated_is_like_an_undisturbed_one(
    host: SSHHost, machine: LoopbackMachine, tree: Path, at: int, there_before: bool
) -> None:
    there = machine.upload("/tmp/tube")
    if there_before:
        (there / "a").mkdir(parents=True)
        (there / "a" / "other").write_text("other")
    machine.behaviour.drop_after, machine.behaviour.drop_times = at, 4
    with pytest.raises(ConnectionLost, match=f"^upload {tree} to /tmp/tube: the SSH connection .*was lost"):
        host.put(tree, "/tmp/tube")
    assert ours(there.parent) == (["tube"] if there_before else [])
    assert not there_before or (ours(there), ours(there / "a")) == (["a"], ["other"])
    machine.behaviour.drop_after = at
    host.put(tree, "/tmp/tube")
    kept = {"a/other": ("-rw-r--r--", b"other")} if there_before else {}
    assert listing(there) == {**listing(tree), **kept}
    assert names(there.parent) == ["tube"]


def test_a_file_cut_leaves_the_old_one(host: SSHHost, machine: LoopbackMachine) -> None:
    host.put(b"old", "/tmp/x")
    machine.behaviour.drop_after, machine.behaviour.drop_times = 1 << 20, 4
    with pytest.raises(ConnectionLost, match=r"^upload the content to /tmp/x: the SSH connection was lost before"):
        host.put(os.urandom(2 << 20), "/tmp/x")
    assert machine.upload("/tmp/x").read_bytes() == b"old"
    machine.behaviour.drop_after = 1 << 20
    host.put(os.urandom(2 << 20), "/tmp/x")
    assert names(machine.upload("/tmp")) == ["x"]


@pytest.mark.parametrize("again", [b"the same", b"something else since"])
def test_a_first_try_that_has_all_it_needs_is_dead_before_the_second_begins(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bytes
) -> None:
    """Everything has arrived but the answer. Else it could overwrite, later, what has been made of the file since."""
    says = tmp_path / "says"
    os.mkfifo(says)
    real = shutil.which("sha256sum")
    stuck = f'mkdir {tmp_path}/once 2>/dev/null || exec {real} "$@"; echo $$ >{says}; exec sleep 918280'
    on_path(tmp_path, monkeypatch, "sha256sum", stuck)
    found: list[Path] = []

    def cut() -> None:
        found.append(Path("/proc") / says.read_text().strip())
        (tmp_path / "source").write_bytes(again)
        machine.drop()

    cutting = threading.Thread(target=cut)
    cutting.start()
    (tmp_path / "source").write_bytes(b"the same")
    host.put(tmp_path / "source", "/srv/x")
    cutting.join()
    (first,) = found
    assert not first.exists() or ") Z " in (first / "stat").read_text()
    assert machine.upload("/srv/x").read_bytes() == again
    assert names(machine.upload("/srv")) == ["x"]
    assert machine.logins == 2


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives things away")


def owners(root: Path) -> set[tuple[int, int]]:
    found = [root, *root.rglob("*")]
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in found}


@as_root
def test_everything_that_is_created_gets_its_owner_and_nothing_else(
    host: SSHHost, machine: LoopbackMachine, tree: Path
) -> None:
    (tree / "a" / "set-id").write_text("x")
    (tree / "a" / "set-id").chmod(0o6755)
    machine.upload("/srv").mkdir()
    host.put(tree, "/srv/new/app", owner=1234, group=2345)
    assert owners(machine.upload("/srv/new")) == {(1234, 2345)}
    assert owners(machine.upload("/srv")) == {(1234, 2345), (0, 0)}
    assert listing(machine.upload("/srv/new/app")) == listing(tree)
    host.put(b"x", "/srv/other/file", owner=77, mode=0o4750)
    assert owners(machine.upload("/srv/other")) == {(77, 0)}
    assert stat.S_IMODE(machine.upload("/srv/other/file").stat().st_mode) == 0o4750
    host.put(b"x", "/srv/group", group="daemon")
    assert owners(machine.upload("/srv/group")) == {(0, grp.getgrnam("daemon").gr_gid)}
    host.put(b"x", "/srv/user", owner="daemon")
    daemon = pwd.getpwnam("daemon")
    assert owners(machine.upload("/srv/user")) == {(daemon.pw_uid, daemon.pw_gid)}


@as_root
def test_directories_that_are_there_keep_their_owner_and_mode(
    host: SSHHost, machine: LoopbackMachine, tree: Path
) -> None:
    there = machine.upload("/srv/app")
    (there / "a").mkdir(parents=True)
    (there / "a").chmod(0o750)
    (there / "a" / "kept").write_text("kept")
    for path in (there, there / "a", there / "a" / "kept"):
        os.chown(path, 55, 66)
    host.put(tree, "/srv/app", owner=1234, group=2345)
    for path in (there, there / "a", there / "a" / "kept"):
        assert (path.stat().st_uid, path.stat().st_gid) == (55, 66)
    assert stat.S_IMODE((there / "a").stat().st_mode) == 0o750
    assert owners(there / "a" / "b") | owners(there / "run") == {(1234, 2345)}
    (there / "a" / "b" / "big").unlink()
    host.put(tree, "/srv/app", sudo=True)
    assert owners(there / "run") | owners(there / "a" / "b" / "big") == {(0, 0)}
    assert (there / "a" / "b").stat().st_uid == 1234


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ({"owner": "no-such-user"}, "there is no user no-such-user"),
        ({"group": "no-such-group"}, "there is no group no-such-group"),
        ({"owner": "root", "group": "no-such-group"}, "there is no group no-such-group"),
    ],
)
def test_an_owner_who_is_not_there(
    host: SSHHost, machine: LoopbackMachine, tree: Path, rights: dict[str, Any], said: str
) -> None:
    with pytest.raises(UploadFailed, match=f"local can't be uploaded to /srv/new/x on .*: {said}$"):
        host.put(tree, "/srv/new/x", **rights)
    assert not machine.upload("/srv").exists()


def test_nobody_can_look_at_it_before_it_has_its_mode(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.upload("/srv").mkdir()
    machine.upload("/srv").chmod(0o1777)
    look = f"stat -c %a . tree >>{tmp_path}/seen; "
    on_path(tmp_path, monkeypatch, "tar", f'/usr/bin/tar "$@"; {look}')
    on_path(tmp_path, monkeypatch, "chmod", f'{look}/bin/chmod "$@"; {look}')
    host.put(b"x", "/srv/conf", mode=0o640)
    assert (tmp_path / "seen").read_text().split() == ["700", "600", "700", "600", "700", "640"]
    assert stat.S_IMODE(machine.upload("/srv/conf").stat().st_mode) == 0o640


def test_what_others_plant_in_its_way_is_not_followed(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    bend = f'case $1 in *.amibake-*) mv "$1" "$1.moved"; ln -s {tmp_path}/elsewhere "$1";; esac'
    on_path(tmp_path, monkeypatch, "mkdir", f'/bin/mkdir "$@"; {bend}')
    with pytest.raises(UploadFailed, match=r"somebody has moved .*/tmp/\.amibake-"):
        host.put(b"x", "/tmp/conf")
    assert names(tmp_path / "elsewhere") == []
    on_path(tmp_path, monkeypatch, "mkdir", 'ln -s /etc "$1"; exec /bin/mkdir "$@"')
    with pytest.raises(UploadFailed, match="File exists"):
        host.put(b"x", "/tmp/conf")
    assert not machine.upload("/tmp/conf").exists()


def test_who_is_not_root_gives_directories_that_forbid_writing_their_modes_last(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = odd_tree(tmp_path / "odd")
    on_path(tmp_path, monkeypatch, "id", 'if [ "$1" = -u ]; then echo 1000; else exec /usr/bin/id "$@"; fi')
    host.put(tree, "/srv/tree")
    assert told(machine.upload("/srv/tree")) == told(tree)
    (machine.upload("/srv/tree") / "modes" / "d" / "700").chmod(0o711)
    host.put(tree, "/srv/tree")
    expected = told(tree)
    expected[b"modes/d/700"] = ("drwx--x--x", b"", 0)
    assert told(machine.upload("/srv/tree")) == expected


def test_a_symlink_in_the_place_of_a_directory_is_not_followed(
    host: SSHHost, machine: LoopbackMachine, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    machine.upload("/srv/x").mkdir(parents=True)
    (machine.upload("/srv/x") / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        UploadFailed, match=r": \S+/srv/x/a is a symlink there and a directory here: it is not followed$"
    ):
        host.put(tree, "/srv/x")
    assert names(tmp_path / "elsewhere") == []
    assert names(machine.upload("/srv/x")) == ["a"]  # nothing of the rest is there


def test_a_path_with_braces(host: SSHHost, machine: LoopbackMachine, tree: Path) -> None:
    for _ in range(2):
        host.put(tree, "/srv/{}/a{}b")
    assert listing(machine.upload("/srv/{}/a{}b")) == listing(tree)


def test_a_file_that_changes_while_it_is_read(
    host: SSHHost, tmp_path: Path, machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big"
    real = os.pread
    changes: list[Callable[[], object]] = [
        lambda: os.truncate(big, 300_000),
        lambda: big.write_bytes(bytes(2 << 20)),
    ]
    for change in changes:
        big.write_bytes(os.urandom(1 << 20))
        pending = [change]

        def pread(descriptor: int, size: int, at: int, pending: list[Callable[[], object]] = pending) -> bytes:
            if at >= 1 << 19 and pending:
                pending.pop()()
            return real(descriptor, size, at)

        monkeypatch.setattr("amibake.ssh.local.os.pread", pread)
        with pytest.raises(UploadFailed, match="/big changed while it was being uploaded"):
            host.put(big, "/tmp/big")
    monkeypatch.undo()
    host.put(b"x", "/tmp/other")
    assert names(machine.upload("/tmp")) == ["other"]


def test_a_device_takes_the_place_of_a_file(host: SSHHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"")
    real = os.open

    def opened(path: str, *arguments: int) -> int:
        return real("/dev/null" if path.endswith("/tree/file") else path, *arguments)

    monkeypatch.setattr("amibake.ssh.local.os.open", opened)
    with pytest.raises(UploadFailed, match="changed while"):
        host.put(tmp_path / "tree", "/tmp/x")


def test_permission_denied_has_a_hint(host: SSHHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(tmp_path, monkeypatch, "mkdir", "echo mkdir: Permission denied >&2; exit 1")
    with pytest.raises(UploadFailed, match="Permission denied") as caught:
        host.put(b"x", "/etc/conf")
    assert "sudo=True" in caught.value.hint
    with pytest.raises(UploadFailed, match="Permission denied") as caught:
        host.put(b"x", "/etc/conf", sudo=True)
    assert caught.value.hint == ""
