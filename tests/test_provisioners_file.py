"""What File makes of its options: several sources, downloads, rights, and what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amibake.errors import ConnectionLost, InvalidOption, UploadFailed
from amibake.events import Event, Output
from amibake.provisioners import File, Shell
from amibake.secret import Secret
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.testing.behaviour import exits
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline


@pytest.fixture
def key() -> KeyPair:
    return make_key_pair()


@pytest.fixture
def machine(tmp_path: Path, key: KeyPair) -> Iterator[LoopbackMachine]:
    with LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public]) as machine:
        yield machine


@pytest.fixture
def host(machine: LoopbackMachine, key: KeyPair) -> Iterator[SSHHost]:
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=lambda _: None
    ) as host:
        yield host


def done(host: SSHHost, file: File) -> None:
    file.check()
    file.provision(host)


def below(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_several_sources_all_go(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "in").write_text("in")
    (tmp_path / "one").write_text("1")
    done(host, File(sources=[tmp_path / "one", str(tmp_path / "tree"), f"{tmp_path}/tree/"], destination="/srv/"))
    assert below(machine.upload("/srv")) == {"one": "1", "tree/in": "in", "in": "in"}
    done(host, File(sources=[tmp_path / "one"], destination="/srv/other"))
    assert machine.upload("/srv/other").read_text() == "1"


def test_several_sources_all_come(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    """Packer stops after the first directory or pattern."""
    for name in ("log/a.log", "log/b.log", "app/x", "one"):
        machine.upload(f"/srv/{name}").parent.mkdir(parents=True, exist_ok=True)
        machine.upload(f"/srv/{name}").write_text(name)
    sources = ["/srv/log/*.log", "/srv/app", "/srv/app/", "/srv/one"]
    done(host, File(sources=sources, destination=f"{tmp_path}/got/", direction="download"))
    assert below(tmp_path / "got") == {
        "a.log": "log/a.log",
        "b.log": "log/b.log",
        "app/x": "app/x",
        "x": "app/x",
        "one": "one",
    }
    done(host, File("/srv/one", tmp_path / "path", direction="download", sudo=True))
    assert (tmp_path / "path").read_text() == "one"


def test_a_download_is_tried_again_when_the_connection_is_lost(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path
) -> None:
    machine.upload("/srv").mkdir()
    machine.upload("/srv/one").write_text("1")
    machine.behaviour.drop_instead = "amibake-get"
    done(host, File("/srv/one", f"{tmp_path}/got/", direction="download"))
    assert below(tmp_path / "got") == {"one": "1"}
    assert machine.logins == 2


def test_a_machine_that_is_none_knows_no_owners(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    """In process a user's test runs as whoever runs it, and where there is no such user."""
    done(host, File(content="x", destination="/etc/conf", owner="no-such-user", group="none-either", mode=0o640))
    (tmp_path / "tree").mkdir()
    done(host, File(tmp_path / "tree", "/srv/tree", owner="no-such-user"))
    done(host, File(content="y", destination="/etc/root", sudo=True))
    assert machine.upload("/etc/conf").stat().st_uid == os.geteuid()
    assert machine.upload("/etc/conf").stat().st_mode == 0o100640
    assert machine.upload("/srv/tree").is_dir()
    assert machine.ran == []


def test_a_machine_without_sudo_refuses(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    machine.behaviour.refuse_sudo = True
    with pytest.raises(UploadFailed, match=r"/etc/conf on .*: sudo: a password is required"):
        done(host, File(content="x", destination="/etc/conf", sudo=True))
    with pytest.raises(UploadFailed, match=r"/etc/conf can't be downloaded from .*: sudo: a password is required"):
        done(host, File("/etc/conf", tmp_path / "conf", direction="download", sudo=True))


def test_what_is_generated_may_come_later(host: SSHHost, machine: LoopbackMachine, tmp_path: Path) -> None:
    file = File(tmp_path / "built", "/srv/app", generated=True)
    file.check()
    with pytest.raises(UploadFailed, match="built can't be read: No such file"):
        file.provision(host)
    (tmp_path / "built").write_text("x")
    file.provision(host)
    assert machine.upload("/srv/app").read_text() == "x"
    slash = File(f"{tmp_path}/later/", "/srv/app", generated=True)
    slash.check()
    (tmp_path / "later").write_text("a file after all")
    with pytest.raises(UploadFailed, match="/later/ can't be uploaded: it is no directory"):
        slash.provision(host)


def test_a_directory_that_a_failed_try_left_decides_nothing(
    host: SSHHost, machine: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a step is tried again: all is placed, and only that it was is not heard."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "x").write_text("x")
    put = host.put

    def unheard(*given: Any, **options: Any) -> None:
        put(*given, **options)
        raise UploadFailed("not heard")

    file = File(tmp_path / "app", "/srv/app", max_retries=1)
    monkeypatch.setattr(host, "put", unheard)
    for _ in range(2):
        with pytest.raises(UploadFailed, match="not heard"):
            done(host, file)
    monkeypatch.setattr(host, "put", put)
    done(host, file)
    assert below(machine.upload("/srv/app")) == {"x": "x"}
    done(host, file)  # that one found it there
    assert below(machine.upload("/srv/app")) == {"x": "x", "app/x": "x"}
    assert file == File(tmp_path / "app", "/srv/app", max_retries=1)


def test_a_secret_content_is_hidden_in_what_is_printed(machine: LoopbackMachine, key: KeyPair) -> None:
    events: list[Event] = []
    machine.behaviour.on("cat it", exits(0, stdout="pw=hunter2-hunter2\n"))
    with connect(
        machine.address, machine.port, username="admin", key=key, deadline=Deadline(300), emit=events.append
    ) as host:
        done(host, File(content=Secret("hunter2-hunter2"), destination="/srv/conf"))
        Shell(inline=["cat it"]).provision(host)
    assert [event.line for event in events if isinstance(event, Output)] == ["pw=***"]
    assert machine.upload("/srv/conf").read_text() == "hunter2-hunter2"


@pytest.mark.parametrize("content", ["s3cr3t é", "s3cr3t é".encode(), Secret("s3cr3t é")])
def test_a_content_shows_nowhere(host: SSHHost, machine: LoopbackMachine, content: Any) -> None:
    file = File(content=content, destination="/srv/conf")
    done(host, file)
    assert machine.upload("/srv/conf").read_text() == "s3cr3t é"
    assert "s3cr3t" not in f"{file} {file!r}"
    with pytest.raises(UploadFailed) as failed:
        done(host, File(content=content, destination="/srv"))
    with pytest.raises(InvalidOption) as refused:
        File("source", content=content, destination="", mode=-1, exclude=["x"], direction="download").check()
    machine.behaviour.drop_after, machine.behaviour.drop_times = 1, 4
    host_put = host.put
    with pytest.raises(ConnectionLost) as lost:
        host_put(b"s3cr3t", "/srv/x")
    for error in (failed.value, refused.value, lost.value):
        assert "s3cr3t" not in f"{error} {error!r} {error.__dict__}"


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        (
            {"source": "/etc", "sources": ["/etc"], "destination": "x"},
            ["give exactly one of source, sources and content, not source and sources"],
        ),
        ({"sources": [], "destination": "x"}, ["sources: must be a list, and not empty"]),
        ({"sources": "/etc", "destination": "x"}, ["sources: must be a list, and not empty"]),
        (
            {"sources": ["/etc", "/no/such", "/etc/passwd/"], "destination": "x/"},
            ["sources: '/no/such': No such file or directory", "sources: /etc/passwd/ is no directory"],
        ),
        (
            {"sources": ["/etc", "/usr"], "destination": "x"},
            ["destination: x/ is where several sources can go: it must end in /"],
        ),
        (
            {"source": "/etc", "destination": "x", "direction": "up"},
            ['direction: \'up\' is neither "upload" nor "download"'],
        ),
        ({"content": 5, "destination": "x"}, ["content: must be a str, bytes or a Secret, not int"]),
        (
            {"content": "\ud800", "destination": "x"},
            ["content: has characters that are not text, which UTF-8 can't encode"],
        ),
        (
            {"source": "~bob/x", "destination": "a\0", "direction": "download"},
            ["source: ~bob/x is another user's home; give its path", "destination: has a NUL"],
        ),
        (
            {"sources": ["", "a\0"], "destination": "x/", "direction": "download"},
            ["sources: is empty", "sources: has a NUL"],
        ),
        (
            {
                "source": "/no/such",
                "destination": "x",
                "direction": "download",
                "generated": True,
                "mode": 0o600,
                "owner": "a",
                "group": "b",
                "exclude": ["c"],
            },
            [f"{name}: is for uploads only" for name in ("generated", "mode", "owner", "group", "exclude")],
        ),
        (
            {"content": "x", "destination": "x", "direction": "download"},
            ["content: is for uploads only"],
        ),
        (
            {"content": "x", "destination": "x", "owner": "-rf", "group": "a b"},
            [
                "owner: '-rf' is neither a name nor a number of a user",
                "group: 'a b' is neither a name nor a number of a group",
            ],
        ),
        ({"content": "x", "destination": "x", "owner": -1}, ["owner: -1 is neither a name nor a number of a user"]),
        ({"content": "x", "destination": "x", "owner": True}, ["owner: True is neither a name nor a number of a user"]),
        (
            {"content": "x", "destination": "x", "group": "a:b"},
            ["group: 'a:b' is neither a name nor a number of a group"],
        ),
        ({"content": "x", "destination": "x", "owner": ""}, ["owner: '' is neither a name nor a number of a user"]),
        ({"source": "", "destination": "x", "generated": True}, ["source: is empty"]),
        (
            {"content": "x", "destination": "x", "mode": "0644", "sudo": "no", "generated": 1, "exclude": 5},
            [
                "exclude: must be a list of patterns",
                "exclude: is for directories only",
                "mode: '0644' is no permission bits, such as 0o644",
                "sudo: 'no' is neither True nor False",
                "generated: 1 is neither True nor False",
            ],
        ),
        (
            {"source": 5, "destination": None, "mode": True, "direction": ["up"]},
            [
                "source: 5 is no path: it must be a str or a Path, not int",
                "destination: None is no path: it must be a str or a Path, not NoneType",
                "mode: True is no permission bits, such as 0o644",
                'direction: [\'up\'] is neither "upload" nor "download"',
            ],
        ),
        (
            {"sources": [b"/etc", "/no/such", 5], "destination": "x/"},
            [
                "sources: b'/etc' is no path: it must be a str or a Path, not bytes",
                "sources: '/no/such': No such file or directory",
                "sources: 5 is no path: it must be a str or a Path, not int",
            ],
        ),
        ({"sources": 5, "destination": "x/"}, ["sources: must be a list, and not empty"]),
        (
            {"content": [], "destination": b"x"},
            [
                "content: must be a str, bytes or a Secret, not list",
                "destination: b'x' is no path: it must be a str or a Path, not bytes",
            ],
        ),
    ],
)
def test_mistakes(given: dict[str, Any], mistakes: list[str]) -> None:
    file = File(**given)
    assert str(file)  # what it is called is asked for also where it is wrong
    with pytest.raises(InvalidOption) as caught:
        file.check()
    assert list(caught.value.mistakes) == [f"File: {mistake}" for mistake in mistakes]


@pytest.mark.parametrize("owner", ["www-data", "_apt", "systemd-network", "Bob.2", "machine$", 0, 33, "1000"])
def test_owners(owner: str | int) -> None:
    File(content="x", destination="x", owner=owner, group=owner).check()


def test_what_it_calls_itself() -> None:
    assert str(File("dist/", "/srv/app")) == "upload dist/ to /srv/app"
    assert str(File(sources=["a", Path("b")], destination="/srv/")) == "upload a, b to /srv/"
    assert str(File("/var/log/*.log", Path("logs"), direction="download")) == "download /var/log/*.log to logs"
    assert str(File(content=Secret("s3cr3t"), destination="x")) == "upload a text to x"
