"""How this library phrases what it runs on a builder: fixed shell programs with their values as arguments.

No value is ever pasted into shell text, so a path with spaces, quotes or a newline is just a path. A test's SSH server
knows our own programs by their names (`amibake-…`), and the arguments for what they are.
"""

from __future__ import annotations

import shlex


def program(name: str, script: str, *arguments: str) -> str:
    """The command line that runs `script` by the remote /bin/sh as `amibake-<name>`, with these as `$1` and on."""
    return "exec " + shlex.join(["sh", "-c", script, f"amibake-{name}", *arguments])


def relative_to_login(path: str) -> str:
    """The path as a remote program should get it: one that is not absolute starts with `./`, so that it can't be taken
    for an option; it counts from the directory in which a login starts, and a leading `~/` says the same."""
    if path.startswith("/"):
        return path
    return "./" + ("" if path == "~" else path.removeprefix("~/").removeprefix("./").lstrip("/"))


def shown(text: str) -> str:
    """A path fit for a message: what is not UTF-8 in it is replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
