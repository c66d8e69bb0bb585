"""The releases of node: versions, release lines, and the npm that belongs to each."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

from amibake.errors import InvalidOption

DEFAULT_VERSIONS = ("20", "0.10")
"""What a mirror offers unless told otherwise: a line of today, and the article's."""


@dataclass(frozen=True)
class Line:
    """A release line: the npm that its releases ship with, its last release once it is closed, its LTS code name."""

    npm: str
    last: str | None = None
    lts: str | None = None


# The change log inside each package of node names its npm; code names are those of nodejs.org's release schedule.
LINES = {
    "0.10": Line("2.15.1", "0.10.48"),
    "0.12": Line("2.15.11", "0.12.18"),
    "4": Line("2.15.11", "4.9.1", "Argon"),
    "6": Line("3.10.10", "6.17.1", "Boron"),
    "8": Line("6.13.4", "8.17.0", "Carbon"),
    "10": Line("6.14.12", "10.24.1", "Dubnium"),
    "12": Line("6.14.16", "12.22.12", "Erbium"),
    "14": Line("6.14.18", "14.21.3", "Fermium"),
    "16": Line("8.19.4", "16.20.2", "Gallium"),
    "18": Line("10.8.2", "18.20.8", "Hydrogen"),
    "20": Line("10.8.2", lts="Iron"),
    "22": Line("10.9.4", lts="Jod"),
    "24": Line("11.6.2", lts="Krypton"),
}


@dataclass(frozen=True)
class Release:
    """One release of node, as an index of releases shows it. Versions are without the leading v."""

    version: str
    npm: str

    @property
    def lts(self) -> str | None:
        """The code name of the long-term support line that it belongs to, or None."""
        line = LINES.get(line_of(self.version))
        return line.lts if line else None

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts releases, older ones first."""
        return tuple(int(part) for part in self.version.split("."))

    def is_of(self, version: str) -> bool:
        """Whether `version` is this release's, or the beginning of it."""
        return f"{self.version}.".startswith(f"{version}.")


def parse_version(text: str) -> str:
    """A version of node or the beginning of one, without its v: "v20" is "20". Raises InvalidOption."""
    match = re.fullmatch(r"v?(\d+(?:\.\d+){0,2})", text)
    if not match:
        raise InvalidOption(f"node version: {text!r} is no version", hint="write it like 20, 20.18 or 0.10.48")
    return match[1]


def line_of(version: str) -> str:
    """The release line of a version: "20" of 20.18.0, "0.10" of 0.10.48."""
    return ".".join(version.split(".")[: 2 if version.startswith("0.") else 1])


def is_exact(version: str) -> bool:
    """Whether a version names one release, and not the newest of several."""
    return version.count(".") == 2


def known_release(version: str) -> Release | None:
    """The release that `version` means where that is known without asking a registry: in a closed line."""
    line = LINES.get(line_of(version))
    if line is None or line.last is None:
        return None
    if is_exact(version):
        return Release(version, line.npm)
    last = Release(line.last, line.npm)
    return last if last.is_of(version) else None


def architecture() -> str:
    """This machine's architecture in nodejs.org's words: "x64" or "arm64"."""
    machine = platform.machine()
    return {"x86_64": "x64", "aarch64": "arm64"}.get(machine, machine)
