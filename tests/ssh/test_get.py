"""Downloads from a loopback machine, whose side is this machine's own sh, tar and sha256sum, and from hostile ones."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from amibake import waiting
from amibake.errors import ConnectionLost, UploadFailed, WaitTimeout
from amibake.events import Event, Warned
from amibake.ssh import download, tarstream, untar
from amibake.ssh.command import Chunk
from amibake.ssh.download import Download
from amibake.ssh.host import SSHHost
from amibake.ssh.programs import text
from amibake.testing.clock import FakeClock
from amibake.testing.sshd import LoopbackMachine
from tests.odd import NAMES, odd_tree, sparse_file, told


@pytest.fixture(autouse=True)
def _umask() -> None:
    os.umask(0o022)


@pytest.fixture
def got(tmp_path: Path) -> Path:
    (tmp_path / "got").mkdir()
    return tmp_path / "got"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    data = os.urandom(5 << 20)
    machine.upload("/tmp/log").write_bytes(data)
    machine.upload("/tmp/log").chmod(0o640)
    os.utime(machine.upload("/tmp/log"), (1_000_000, 1_000_000))
    (got / "old").write_text("older and longer")
    (got / "old").chmod(0o600)
    places: list[tuple[Path | str, str]] = [
        (got / "log", "log"),
        (f"{got}/", "log"),
        (f"{got}/new/parent/", "new/parent/log"),
        (f"{got}/new/other/name", "new/other/name"),
        (got / "old", "old"),
    ]
    for destination, where in places:
        host.get("/tmp/log", destination)
        assert (got / where).read_bytes() == data
        assert (got / where).stat().st_mode == 0o100640
        assert (got / where).stat().st_mtime == 1_000_000
    host.get("~/../../tmp/log", got / "from home")
    assert (got / "from home").read_bytes() == data
    assert names(got) == ["from home", "log", "new", "old"]


@pytest.mark.parametrize(
    ("source", "there", "destination", "where"),
    [
        ("/srv/app", False, "x", "x"),
        ("/srv/app", False, "x/", "x/app"),
        ("/srv/app", True, "x", "x/app"),
        ("/srv/app", True, "x/", "x/app"),
        ("/srv/app/", False, "x", "x"),
        ("/srv/app/", True, "x", "x"),
        ("/srv/app/", False, "x/", "x"),
        ("/srv/link", False, "x/", "x/link"),
        ("/srv/link/", False, "x", "x"),
        ("/srv/app/.", False, "x/", "x"),
        ("/srv/app", False, "a/b/c", "a/b/c"),
    ],
)
def test_where_a_directory_goes(
    host: SSHHost, machine: LoopbackMachine, got: Path, source: str, there: bool, destination: str, where: str
) -> None:
    (machine.upload("/srv/app") / "sub").mkdir(parents=True)
    (machine.upload("/srv/app") / "sub" / "file").write_text("x")
    machine.upload("/srv/link").symlink_to("app")
    if there:
        (got / "x").mkdir()
    host.get(source, f"{got}/{destination}")
    assert [path.relative_to(got) for path in got.rglob("*") if path.is_file()] == [Path(where, "sub/file")]


def test_the_home(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    (machine.home / "file").write_text("x")
    (got / "real").mkdir()
    (got / "link").symlink_to("real")
    for source in ("~", "~/", "."):
        host.get(source, f"{got}/{len(source)}{source.count('~')}/")
        host.get(source, got / "link")  # what is given as destination is followed
    assert {path.name for path in got.glob("*/*")} == {"file"}


def test_odd_trees_come_down_as_they_went_up(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, got: Path
) -> None:
    tree = odd_tree(tmp_path / "tree")
    host.put(tree, "/srv/tree")
    there = machine.upload("/srv/tree")
    assert told(there) == told(tree)
    for _ in range(2):  # the second time it is laid over itself
        host.get("/srv/tree/", got / "tree")
        assert told(got / "tree") == told(tree)
        host.put(tree, "/srv/tree")
        assert told(there) == told(tree)
    assert names(got) == ["tree"]
    for root in (there, got / "tree"):
        for sparse in ("sparse", "holes", "hole"):
            assert (root / sparse).stat().st_blocks <= 2 * (tree / sparse).stat().st_blocks + 8


@pytest.mark.parametrize("name", [name for name in NAMES if b"/" not in name], ids=repr)
def test_a_name_is_just_a_name(host: SSHHost, machine: LoopbackMachine, got: Path, name: bytes) -> None:
    name = name[:250]
    path = os.fsdecode(b"/srv/" + name + b"/" + name)
    host.put(name, path)
    host.get(path, got / "file")
    assert (got / "file").read_bytes() == name
    host.get(path, f"{got}/to/")
    assert os.listdir(os.fsencode(got / "to")) == [name]  # noqa: PTH208
    host.get(os.fsdecode(b"/srv/" + name), f"{got}/dir/")
    assert os.listdir(b"%s/dir/%s" % (os.fsencode(got), name)) == [name]  # noqa: PTH208


def test_what_a_pattern_matches(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    log = machine.upload("/var/log")
    (log / "b.log").mkdir(parents=True)
    for name in ("a.log", "b.log/c", "new\nline.log", "-x.log", "other", ".hidden.log", "a[1].log"):
        (log / name).write_text(name)
    (log / "link.log").symlink_to("other")
    host.get("/var/log/*.log", got / "new")
    assert names(got / "new") == ["-x.log", "a.log", "a[1].log", "b.log", "link.log", "new\nline.log"]
    assert (got / "new" / "b.log" / "c").read_text() == "b.log/c"
    assert (got / "new" / "link.log").readlink() == Path("other")
    host.get("/var/log/*/", f"{got}/directories/")
    assert names(got / "directories") == ["b.log"]
    host.get("/var/log/a[1].log", got / "itself")  # one of this very name comes first
    assert (got / "itself").read_text() == "a[1].log"
    host.get("/var/log/[ab].log", f"{got}/two")
    assert names(got / "two") == ["a.log", "b.log"]
    host.get("/var/*/?.log", f"{got}/two")
    assert names(got / "two") == ["a.log", "b.log"]


@pytest.mark.parametrize("source", ["/tmp/$(touch here)*", "/tmp/`touch here`*", "/tmp/x*;touch here", "/tmp/*' 'x"])
def test_a_pattern_is_no_shell_text(host: SSHHost, machine: LoopbackMachine, got: Path, source: str) -> None:
    with pytest.raises(UploadFailed, match="nothing matches"):
        host.get(source, got)
    assert names(machine.home) == names(machine.upload("/tmp")) == []


def test_two_matches_of_one_name(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    for directory in ("a", "b"):
        machine.upload(f"/srv/{directory}").mkdir(parents=True)
        (machine.upload(f"/srv/{directory}") / "log").write_text("x")
    with pytest.raises(UploadFailed, match="logs/log can't be written: File exists"):
        host.get("/srv/*/log", got / "logs")
    assert names(got / "logs") == []


def test_what_is_not_there(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    with pytest.raises(UploadFailed, match=r"/tmp/none can't be downloaded from 127\.78\.0\.1: ls: .*No such file"):
        host.get("/tmp/none", got / "a" / "log")
    with pytest.raises(UploadFailed, match=r"/tmp/\*\.log can't be downloaded from .*: nothing matches"):
        host.get("/tmp/*.log", got / "b")
    machine.upload("/tmp/dangling").symlink_to("/no/such")
    with pytest.raises(UploadFailed, match=r"it is a symlink that leads nowhere|it is neither a file nor a directory"):
        host.get("/tmp/dangling", got / "c")
    os.mkfifo(machine.upload("/tmp/pipe"))
    with pytest.raises(UploadFailed, match="it is neither a file nor a directory"):
        host.get("/tmp/pipe", got / "d")
    machine.upload("/tmp/log").write_text("x")
    with pytest.raises(UploadFailed, match=r"/tmp/log/ can't be downloaded from .*: it is no directory"):
        host.get("/tmp/log/", got / "e")
    assert names(got) == []


def test_what_can_not_be_written(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    machine.upload("/tmp/log").write_text("x")
    (got / "log").mkdir()
    with pytest.raises(UploadFailed, match="/got/log can't be written: it is a directory"):
        host.get("/tmp/log", got / "log")
    (got / "file").write_text("as it was")
    with pytest.raises(UploadFailed, match=r"/got/file/log can't be written: (Not a directory|File exists)"):
        host.get("/tmp/log", f"{got}/file/")
    machine.upload("/tmp/dir").mkdir()
    with pytest.raises(UploadFailed, match="/got/file can't be written: Not a directory"):
        host.get("/tmp/dir", got / "file")
    assert (got / "file").read_text() == "as it was"
    assert names(got) == ["file", "log"]


def test_a_download_cut_leaves_what_was_there(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    (got / "log").write_text("as it was")
    machine.upload("/tmp/log").write_text("x")
    machine.behaviour.drop_instead, machine.behaviour.drop_times = "amibake-get", 4
    with pytest.raises(ConnectionLost, match=f"^download /tmp/log to {got}/log: the SSH connection"):
        host.get("/tmp/log", got / "log")
    assert (got / "log").read_text() == "as it was"
    assert names(got) == ["log"]
    machine.behaviour.drop_instead = "amibake-get"
    host.get("/tmp/log", got / "log")
    assert (got / "log").read_text() == "x"


def test_a_directory_is_merged_into_one_that_is_there(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    there = machine.upload("/srv/app")
    (there / "sub" / "new").mkdir(parents=True)
    (there / "sub" / "file").write_text("newer")
    (there / "link").symlink_to("sub")
    there.chmod(0o711)
    (got / "sub").mkdir()
    (got / "sub").chmod(0o700)
    (got / "sub" / "file").symlink_to("/etc/passwd")
    (got / "sub" / "kept").write_text("kept")
    (got / "link").write_text("a file")
    host.get("/srv/app/", got)
    assert (got / "sub" / "file").read_text() == "newer"
    assert not (got / "sub" / "file").is_symlink()
    assert names(got / "sub") == ["file", "kept", "new"]
    assert (got / "link").readlink() == Path("sub")
    assert (got / "sub").stat().st_mode == 0o40700


def test_a_local_symlink_is_not_followed_to_elsewhere(host: SSHHost, machine: LoopbackMachine, got: Path) -> None:
    (machine.upload("/srv/app") / "sub").mkdir(parents=True)
    (machine.upload("/srv/app") / "sub" / "file").write_text("x")
    (got / "elsewhere").mkdir()
    (got / "app").mkdir()
    (got / "app" / "sub").symlink_to("../elsewhere")
    with pytest.raises(UploadFailed, match="can't be written: Not a directory"):
        host.get("/srv/app/", got / "app")
    assert names(got / "elsewhere") == []
    assert names(got / "app") == ["sub"]


def test_what_is_no_file_is_left_out_with_a_warning(
    host: SSHHost, machine: LoopbackMachine, got: Path, events: list[Event]
) -> None:
    there = machine.upload("/srv/app")
    there.mkdir(parents=True)
    (there / "file").write_text("x")
    (there / "file").chmod(0o6755)
    os.link(there / "file", there / "same")
    os.mkfifo(there / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(there / "socket"))
    host.get("/srv/app", got / "app")
    assert names(got / "app") == ["file", "same"]
    assert (got / "app" / "file").stat().st_mode == 0o100755  # nothing from there gets anybody's rights here
    assert (got / "app" / "same").read_text() == "x"
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert warnings == [
        f"{there}/pipe: a pipe or a device is not downloaded",
        f"{there}/socket: a socket is not downloaded",
    ]


def between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have the machine do this after it has looked at its files and before it sends them."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tar").write_text(f'#!/bin/sh\n{script}\nexec /usr/bin/tar "$@"\n')
    (tmp_path / "bin" / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")


def test_a_log_that_grows_comes_as_it_was_at_some_moment(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, got: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = machine.upload("/tmp/lo\ng")
    log.write_text("one\n")
    between(tmp_path, monkeypatch, f"echo two >>'{log}'")
    host.get("/tmp/lo\ng", got / "log")
    assert (got / "log").read_text() == "one\ntwo\n"


REWRITE = """
change() {{ echo $1 | dd of={} conv=notrunc 2>/dev/null; }}
change X; /usr/bin/tar "$@"; change Y; exit
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            'change() {{ echo $1 | dd of={} conv=notrunc 2>/dev/null; }}\nchange X; /usr/bin/tar "$@"; change Y; exit',
            "changed while",
        ),
        ("rm {}", "No such file|vanished while"),
    ],
    ids=["is rewritten", "vanishes"],
)
def test_a_file_that_changes_meanwhile(
    host: SSHHost,
    machine: LoopbackMachine,
    tmp_path: Path,
    got: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: str,
) -> None:
    machine.upload("/tmp/dir").mkdir()
    log = machine.upload("/tmp/dir/log")
    log.write_text("one\n")
    between(tmp_path, monkeypatch, script.format(log))
    (got / "log").write_text("as it was")
    with pytest.raises(UploadFailed, match=said):
        host.get("/tmp/dir/", got)
    assert (got / "log").read_text() == "as it was"
    assert names(got) == ["log"]


def test_what_the_login_shell_says_first_is_no_part_of_it(
    host: SSHHost, machine: LoopbackMachine, got: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.upload("/tmp/log").write_text("x")
    get_sh = text("get.sh")
    monkeypatch.setattr("amibake.ssh.download.text", lambda _: f"echo Welcome!; {get_sh}")
    host.get("/tmp/log", got / "log")
    assert (got / "log").read_text() == "x"


Make = Callable[[tarfile.TarFile], None]


def entry(name: str, content: bytes = b"x", **attributes: object) -> Make:
    def make(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        archive.addfile(info, io.BytesIO(content))

    return make


def directory(name: str) -> Make:
    return entry(name, b"", type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Make:
    return entry(name, b"", type=kind, linkname=target)


def sent(*entries: Make, found: bytes = b"/srv/app", kind: bytes = b"path", digests: bytes = b"") -> bytes:
    """What a far side sends that makes it up."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for make in entries:
            make(tar)
    return kind + b"\0" + found + b"\0\0" + digests + b"\n" + archive.getvalue()


def receive(
    data: bytes,
    destination: str,
    *,
    step: int = 1 << 16,
    source: str = "/srv/app",
    deadline: waiting.Deadline | None = None,
) -> Download:
    under_way = Download(source, destination, deadline=deadline)
    marker = re.search(r"\bamibake-[0-9a-f]{16}\b", under_way.command)
    assert marker
    data = marker[0].encode() + b"\0" + data
    try:
        for at in range(0, len(data), step):
            under_way.add(Chunk("stdout", data[at : at + step]))
        assert under_way.doubts() is None
        under_way.place()
    finally:
        under_way.discard()
    return under_way


X = hashlib.sha256(b"x").hexdigest().encode()


@pytest.mark.parametrize("step", [1, 511, 1 << 16])
def test_it_does_not_matter_in_what_pieces_it_arrives(got: Path, step: int) -> None:
    data = sent(
        directory("/srv/app"),
        entry("/srv/app/" + "long" * 50),
        link("/srv/app/link", "far" * 99),
        digests=X + b"  /srv/app/" + b"long" * 50 + b"\n",
    )
    receive(data, f"{got}/app", step=step)
    assert names(got / "app") == ["link", "long" * 50]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry("/etc/cron.d/x")], "/etc/cron.d/x was not asked for"),
        ([directory("/srv/app"), entry("/srv/application")], "/srv/application was not asked for"),
        ([directory("/srv/app"), entry("/srv/app/../x")], "leads elsewhere"),
        ([directory("/srv/app"), entry("/srv/app/a/../../x")], "leads elsewhere"),
        ([directory("/srv/app"), entry("/srv/app/./x")], "leads elsewhere"),
        ([directory("/srv/app"), entry("/srv/app//x")], "leads elsewhere"),
        ([directory("/srv/app"), link("/srv/app/l", "/tmp"), entry("/srv/app/l/x")], "came without its directory"),
        ([link("/srv/app", "/tmp"), entry("/srv/app/x")], "it came as a symlink, which may lead anywhere"),
        ([entry("/srv/app/x")], "came without its directory"),
        ([directory("/srv/app"), link("/srv/app/l", "/x"), entry("/srv/app/l")], "can't be written: File exists"),
        ([directory("/srv/app"), link("/srv/app/l", "/x"), directory("/srv/app/l")], "can't be written: File exists"),
        ([directory("/srv/app"), directory("/srv/app")], "came twice"),
        ([directory("/srv/app"), link("/srv/app/l", "/etc/passwd", tarfile.LNKTYPE)], "type b'1' was not asked for"),
        ([directory("/srv/app"), entry("/srv/app/x", type=tarfile.XHDTYPE)], "type b'x' was not asked for"),
        ([entry("/srv/app", b"", type=tarfile.CHRTYPE)], "nothing in it is a file"),
        ([entry("/srv/app", b"y" * 70000, type=tarfile.GNUTYPE_LONGNAME)], "a name is too long"),
        ([], "nothing in it is a file"),
    ],
)
def test_a_hostile_far_side_writes_nothing_elsewhere(got: Path, entries: list[Make], said: str) -> None:
    (got / "app").mkdir()
    with pytest.raises(UploadFailed, match=re.escape(said)):
        receive(sent(*entries), f"{got}/app/x")
    assert names(got) == ["app"]
    assert names(got / "app") == []


@pytest.mark.parametrize("name", ["/srv/..", "..", "/srv/.", "/", "/srv/x/."])
def test_a_hostile_match(got: Path, name: str) -> None:
    data = sent(directory(name), entry(f"{name}/x"), found=name.encode(), kind=b"pattern")
    with pytest.raises(UploadFailed, match=r"leads elsewhere|was not asked for"):
        receive(data, f"{got}/app", source="/srv/*")
    assert [path for path in got.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("source", "kind", "found"),
    [
        ("/etc/motd", "pattern", ["/etc/motd"]),
        ("/etc/motd", "pattern", ["/x/.bashrc"]),
        ("/etc/motd", "path", ["/etc/motd", "/x/.bashrc"]),
        ("/etc/motd", "other", ["/etc/motd"]),
        ("/var/log/*.log", "pattern", ["/x/.bashrc"]),
        ("/var/log/*.log", "pattern", ["/var/log/a.log", "/var/log/.bashrc"]),
        ("/var/log/*", "pattern", ["/var/log/.bashrc"]),
        ("/var/log/?bashrc", "pattern", ["/var/log/.bashrc"]),
        ("/var/log/[.]bashrc", "pattern", ["/var/log/.bashrc"]),
        ("/var/log/[!a]bashrc", "pattern", ["/var/log/.bashrc"]),
        ("/var/*/log", "pattern", ["/var/.x/log"]),
        ("/var/log/[^a-c].log", "pattern", ["/var/log/b.log"]),
        ("/var/log/[[:digit:]].log", "pattern", ["/var/log/d.log"]),
        ("/var/log/*.log", "pattern", ["/var/log/a.log/.bashrc"]),
        ("/var/log/*", "pattern", ["/var/log/" + "x" * 256]),
        ("/var/log/*/..", "pattern", ["/var/log/x/.."]),
        ("*.log", "pattern", [".bashrc"]),
    ],
)
def test_what_was_not_asked_for(got: Path, source: str, kind: str, found: list[str]) -> None:
    """Whoever asks for a log into the home is not given a .bashrc."""
    (got / ".bashrc").write_text("mine")
    data = sent(*map(entry, found), found="\0".join(found).encode(), kind=kind.encode())
    with pytest.raises(UploadFailed, match=r"not asked for|not what was asked for|leads elsewhere"):
        receive(data, f"{got}/", source=source)
    assert [(path.name, path.read_text()) for path in got.iterdir()] == [(".bashrc", "mine")]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", ["1.log", "B.log", "[x", "^.log", "a*.log", "a.log", "a\\b", "ab.log", "b.log", "é"]),
        ("?.log", ["1.log", "B.log", "^.log", "a.log", "b.log"]),
        ("??", ["[x", "é"]),
        ("[a-c].log", ["a.log", "b.log"]),
        ("[!a-c].log", ["1.log", "B.log", "^.log"]),
        ("[[:digit:]].log", ["1.log"]),
        ("[[:alpha:]]*.log", ["B.log", "a*.log", "a.log", "ab.log", "b.log"]),
        ("[[:punct:]]*", ["[x", "^.log"]),
        ("[x*", ["[x"]),
        (".h*", [".hidden"]),
        ("./a?.log", ["a*.log", "ab.log"]),
    ],
)
def test_what_a_shell_matches_is_what_was_asked_for(
    host: SSHHost, machine: LoopbackMachine, got: Path, pattern: str, matches: list[str]
) -> None:
    there = machine.upload("/srv/log")
    there.mkdir(parents=True)
    for name in ("1.log", "B.log", "[x", "^.log", "a*.log", "a.log", "ab.log", "a\\b", "b.log", ".hidden", "é"):
        (there / name).write_text("x")
        (machine.home / name).write_text("x")
    for source in (f"/srv/log/{pattern}", f"/srv//l?g/{pattern}", pattern, f"~/{pattern}"):
        host.get(source, got / "matches")
        assert names(got / "matches") == matches
        shutil.rmtree(got / "matches")


@pytest.mark.parametrize("name", ["a*b.log", "a\\b.log"])
def test_a_backslash_quotes_in_some_shells_only(name: str) -> None:
    found = f"/srv/{name}".encode()
    assert untar.Names("/srv/a\\**.log", b"pattern", [found]).parts(found) == (name,)
    with pytest.raises(untar.Damaged, match="was not asked for"):
        untar.Names("/srv/a\\**.log", b"pattern", [b"/srv/ab.log"])


def test_a_symlink_from_an_earlier_download_is_not_followed(got: Path) -> None:
    (got / "home").mkdir()
    logs = got / "logs"
    with pytest.raises(UploadFailed, match="it came as a symlink"):
        receive(sent(link("/srv/app", f"{got}/home")), f"{logs}/")
    matched = sent(link("/srv/app", f"{got}/home"), found=b"/srv/app", kind=b"pattern")
    receive(matched, f"{logs}/", source="/srv/*")
    assert (logs / "app").is_symlink()
    data = sent(directory("/srv/app"), link("/srv/app/x", "x"))
    for destination in (logs, f"{logs}/"):
        with pytest.raises(UploadFailed, match="logs/app can't be written: it is a symlink, which is not followed"):
            receive(data, str(destination))
    with pytest.raises(UploadFailed, match="logs can't be written: Not a directory"):
        receive(sent(directory("/srv/app"), link("/srv/app/x", "x"), kind=b"pattern"), f"{logs}", source="/srv/*")
    assert names(got / "home") == []
    assert names(logs) == ["app"]


def test_a_file_where_only_a_directory_was_asked_for(got: Path) -> None:
    with pytest.raises(UploadFailed, match="it is no directory"):
        receive(sent(entry("/srv/app")), f"{got}/app", source="/srv/app/")
    assert names(got) == []


class SlowHash:
    """In place of hashlib and its digests: a second for each update."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def sha256(self) -> SlowHash:
        return self

    def update(self, _: bytes) -> None:
        self._clock.sleep(1)


def test_a_hole_takes_no_longer_than_there_is_time(got: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    deadline = waiting.Deadline(60)
    monkeypatch.setattr(download, "hashlib", SlowHash(clock))
    with pytest.raises(WaitTimeout, match=f"download /srv/app to {got}/app: not ended after 60 s"):
        receive(sparse(1 << 43, []), f"{got}/app", deadline=deadline)
    assert clock.now() < 70
    assert names(got) == []


def test_what_is_announced_is_bounded(got: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UploadFailed, match=f"/srv/app is said to have {1 << 50} bytes"):
        receive(sparse(1 << 50, []), f"{got}/app")
    monkeypatch.setattr(download, "_REMEMBERED", 1000)
    many = b"".join(b"/srv/%d\0" % number for number in range(20))
    for data in (
        b"pattern\0" + many,
        b"path\0/srv/app\0\0" + many.replace(b"\0", b"\n"),
        sent(directory("/srv/app"), *(entry(f"/srv/app/{number}", b"", type=tarfile.FIFOTYPE) for number in range(20))),
    ):
        with pytest.raises(UploadFailed, match="more files than can be kept track of"):
            receive(data, f"{got}/app")
    monkeypatch.setattr(untar, "_MOST_PLACES", 20)
    with pytest.raises(UploadFailed, match="too many holes"):
        receive(sparse(1 << 20, [(number * 1024, 512) for number in range(50)]), f"{got}/app")
    assert names(got) == []


def sparse(size: int, places: list[tuple[int, int]], claimed: int | None = None) -> bytes:
    info = tarfile.TarInfo("/srv/app")
    info.size = size
    header = tarstream.sparse_header(info, places)
    data = bytes(claimed if claimed is not None else sum(length for _, length in places))
    return b"path\0/srv/app\0\0\n" + header + data + bytes(-len(data) % 512) + bytes(1024)


@pytest.mark.parametrize(
    "data",
    [
        sparse(5, [(0, 512)]),
        sparse(5000, [(1024, 512), (0, 512)]),
        sparse(5000, [(0, 1024), (512, 512)]),
    ],
)
def test_holes_that_make_no_sense(got: Path, data: bytes) -> None:
    with pytest.raises(UploadFailed, match="the holes of a file make no sense"):
        receive(data, f"{got}/app")
    assert names(got) == []


def test_what_is_no_archive(got: Path) -> None:
    good = sent(entry("/srv/app"), digests=X + b"  /srv/app\n")
    receive(good, f"{got}/app")
    (got / "app").unlink()
    for wrong, said in [
        (good.replace(b"/srv/app\0" + bytes(50), b"/srv/bpp\0" + bytes(50)), "it is no tar archive"),
        (b"path\0/srv/app\0\0\n" + b"x" * 512, "it is no tar archive"),
        (good[:-9000], "the stream was cut"),
        (b"path\0" + b"x" * (3 << 16), "there is no end to a name"),
    ]:
        with pytest.raises(UploadFailed, match=said):
            receive(wrong, f"{got}/app")
    assert names(got) == []
    with pytest.raises(UploadFailed, match="/srv/gone vanished while it was being downloaded"):
        receive(good.replace(b"  /srv/app\n", b"  /srv/app\n" + X + b"  /srv/gone\n"), f"{got}/app")


def test_numbers_of_any_size() -> None:
    """9 GB of hole: larger than tar's octal numbers go; and a time before 1970."""
    place = 9 << 30
    info = tarfile.TarInfo("x")
    info.size, info.mtime = place + 3, -5
    header = tarstream.sparse_header(info, [(place, 3)])
    buffer = untar.Buffer()
    buffer.add(header)
    with pytest.raises(StopIteration) as caught:
        next(untar.next_member(buffer))
    member = caught.value.value
    assert (member.size, member.segments, member.mtime) == (place + 3, [(place, 3)], 0)
    with tarfile.open(fileobj=io.BytesIO(header + b"abc" + bytes(509 + 1024))) as archive:
        [same] = archive.getmembers()
        assert same.size == place + 3
        assert same.issparse()


def test_a_file_with_many_holes(host: SSHHost, machine: LoopbackMachine, tmp_path: Path, got: Path) -> None:
    sparse_file(tmp_path / "holes", 20 << 20, [number * 40_000 for number in range(500)])
    host.put(tmp_path / "holes", "/tmp/holes")
    host.get("/tmp/holes", got / "holes")
    data = (tmp_path / "holes").read_bytes()
    assert machine.upload("/tmp/holes").read_bytes() == data
    assert (got / "holes").read_bytes() == data
