"""The releases of node kept under the user's cache, each made once, by whoever asks for it first."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from amibake.errors import AmibakeError, SandboxUnavailable
from amibake.sandbox.cache import locked
from amibake.sandbox.mirror.packages import Packages, Registries
from amibake.sandbox.mirror.releases import LINES, Release, architecture, known_release, line_of
from amibake.sandbox.mirror.tarballs import npm_entries, wheel_entries, write_release


class NodeStore:
    """Releases of node below `root`: one directory each with its tarballs and their sums.

    A release appears complete or not at all. Stores of several processes may share a root.

    Args:
        root: Where the releases are kept.
        progress: Told in a sentence what takes its time.
        packages: Where they come from; the machine's own pip and npm unless given.
    """

    def __init__(self, root: Path, progress: Callable[[str], None], packages: Packages | None = None) -> None:
        self._root = root
        self._progress = progress
        self._packages = packages or Registries()

    def find(self, version: str) -> Release:
        """The release that `version` means: known, the newest kept one that it begins, or the newest there is.

        Only the last is downloaded here. Raises SandboxUnavailable when it cannot be had.
        """
        kept = [release for release in self.kept() if release.is_of(version)]
        if known := known_release(version):
            return next((release for release in kept if release.version == known.version), known)
        return kept[-1] if kept else self._make(version)

    def offered(self, versions: Sequence[str]) -> list[Release]:
        """The releases that `versions` mean and all that are kept, newest first.

        One that cannot be had is left out, and `progress` is told why; raises when nothing is left.
        """
        offered = {release.version: release for release in self.kept()}
        failure = None
        for version in versions:
            try:
                release = self.find(version)
                offered[release.version] = release
            except AmibakeError as error:
                failure = error
                self._progress(f"node {version} is not in the mirror: {error}")
        if failure and not offered:
            raise failure
        return sorted(offered.values(), key=lambda release: release.order, reverse=True)

    def released(self, version: str, versions: Sequence[str]) -> Release | None:
        """The release of exactly that version, if it is on disk or `versions` mean it without a registry's answer."""
        meant = [known_release(begin) or Release(begin, "-") for begin in versions]
        return next((release for release in (*self.kept(), *meant) if release.version == version), None)

    def kept(self) -> list[Release]:
        """The releases that are on disk, oldest first."""
        found = [Release(**json.loads(file.read_text("ascii"))) for file in self._root.glob("v*/release.json")]
        return sorted(found, key=lambda release: release.order)

    def directory(self, release: Release) -> Path:
        """Where its tarballs and sums are; they are made now if they are not there yet."""
        directory = self._directory(release)
        if not directory.exists():
            self._make(release.version)
        return directory

    def _directory(self, release: Release) -> Path:
        return self._root / f"v{release.version}"

    def _make(self, version: str) -> Release:
        with self._exclusive():
            made = next((release for release in reversed(self.kept()) if release.is_of(version)), None)
            return made or self._download(version)

    def _download(self, version: str) -> Release:
        self._progress(f"downloading node {version}")
        with tempfile.TemporaryDirectory(prefix="new-", dir=self._root) as scratch:
            downloads, dist = Path(scratch) / "downloads", Path(scratch) / "dist"
            downloads.mkdir()
            dist.mkdir()
            wheel = None if known_release(version) else self._packages.wheel(version, downloads)
            if wheel:
                found, entries = wheel.name.split("-")[1], wheel_entries(wheel)
            else:
                node, npm = self._npm_packages(version, downloads)
                found, entries = node.stem.rpartition("-")[2], npm_entries(node, npm)
            self._progress(f"packing node {found} as nodejs.org does")
            release = Release(found, write_release(entries, tarball_name(Release(found, "")), dist))
            facts = {"version": release.version, "npm": release.npm}
            (dist / "release.json").write_text(json.dumps(facts), encoding="ascii")
            dist.rename(self._directory(release))
            return release

    def _npm_packages(self, version: str, directory: Path) -> tuple[Path, Path]:
        line = LINES.get(line_of(version))
        if line is None:
            raise SandboxUnavailable(
                f"there is no node {version} on PyPI, and for npm's own package of it the right npm is not known",
                hint="choose one of the lines " + ", ".join(LINES),
            )
        node = f"node-linux-{architecture()}"
        packages = self._packages.npm_packages({node: version, "npm": line.npm}, directory)
        return packages[node], packages["npm"]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One thread of one process makes a release at a time; what a killed one left half made is removed."""
        self._root.mkdir(parents=True, exist_ok=True)
        with locked(self._root / "lock"):
            for unfinished in self._root.glob("new-*"):
                shutil.rmtree(unfinished)
            yield


def tarball_name(release: Release) -> str:
    """The name of its tarballs without their suffix, which is also that of their top directory."""
    return f"node-v{release.version}-linux-{architecture()}"
