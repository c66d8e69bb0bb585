"""The remote programs of this package that are long enough for a file of their own: those named `*.sh`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources


@cache
def text(name: str) -> str:
    """What is in this file beside us, without the lines that are only a comment: it travels with each call."""
    script = resources.files("amibake.ssh").joinpath(name).read_text()
    return re.sub(r"(?m)^ *#.*\n", "", script)
