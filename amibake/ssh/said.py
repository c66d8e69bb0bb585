"""What a remote program of ours said when it failed, as the reason in an error."""

from __future__ import annotations

import re

from amibake.ssh.command import Chunk, Ended

_MOST = 1 << 16


class Said:
    """The beginning of what it printed."""

    def __init__(self) -> None:
        self._data = {"stdout": b"", "stderr": b""}

    def add(self, chunk: Chunk) -> None:
        """Some more of it."""
        data = self._data[chunk.stream]
        self._data[chunk.stream] = data + chunk.data[: _MOST - len(data)]

    def lines(self) -> list[str]:
        """What it said on its standard error, or where that is nothing, otherwise."""
        data = self._data["stderr"].strip() or self._data["stdout"].strip()
        return data.decode("utf-8", "replace").splitlines()

    def why(self, ended: Ended) -> str:
        """Why it failed: tar says what it could not write before it says why, so there are some lines."""
        if ended.signal:
            return f"killed there by signal {ended.signal}"
        return "; ".join(self.lines()[:3]) or f"exit status {ended.status}"


def hint(why: str, *, sudo: bool) -> str:
    """What can be done about it, if anything is known."""
    if re.search("No space left|Wrote only|write error", why):
        return "the builder's disk is full, or nearly: give it a bigger root volume"
    if "Permission denied" in why and not sudo:
        return "the user who logs in may not do that: sudo=True does it as root"
    return ""
