"""How this library phrases what it runs on a builder: fixed shell programs with their values as arguments.

No value is ever pasted into shell text, so a path with spaces, quotes or a newline is just a path. A test's SSH server
knows our own programs by their names (`amibake-…`), and the arguments for what they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from amibake.secret import Secret, revealed

LONGEST_VARIABLE = 128 << 10
"""Bytes that Linux allows one variable to have, with its name, the `=` and a NUL (MAX_ARG_STRLEN of execve(2))."""

# sudo is asked first without the standard input, which a password prompt or a pty of sudo's would eat.
_AS_ROOT = """
if [ "$(id -u)" = 0 ]; then exec "$@"; fi
if ! why=$(LC_ALL=C sudo -n true 2>&1 </dev/null); then
    printf '%s\\n' "$(id -un) is not root and has no sudo without a password: $why" >&2
    exit 1
fi
exec sudo -n -- "$@"
"""


def program(name: str, script: str, *arguments: str, sudo: bool = False) -> str:
    """The command line that runs `script` by the remote /bin/sh as `amibake-<name>`, with these as `$1` and on.

    With `sudo` it is run as root: directly where root logs in, else by `sudo -n`, from the same directory.
    """
    words = ["sh", "-c", script, f"amibake-{name}", *arguments]
    return "exec " + shlex.join(["sh", "-c", _AS_ROOT, "amibake-as-root", *words] if sudo else words)


def as_root(program: str) -> str:
    """The command line that does the same as root, for a user who may sudo without a password."""
    return program.replace("exec ", "exec sudo -n -H -- ", 1)


def relative_to_login(path: str) -> str:
    """The path as a remote program should get it: one that is not absolute starts with `./`, so that it can't be taken
    for an option; it counts from the directory in which a login starts, and a leading `~/` says the same."""
    if path.startswith("/"):
        return path
    return "./" + ("" if path == "~" else path.removeprefix("~/").removeprefix("./").lstrip("/"))


def shown(text: str) -> str:
    """A path fit for a message: what is not UTF-8 in it is replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def shortened(command: str) -> str:
    """A command fit for a message: the beginning, on one line."""
    line = " ".join(shown(command).split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def too_long(given: Mapping[str, str | Secret]) -> dict[str, int]:
    """Those of these variables that are longer than Linux lets one be, and how many bytes each has."""
    sizes = {
        name: len(f"{name}={revealed(value)}\0".encode("utf-8", "surrogateescape")) for name, value in given.items()
    }
    return {name: size for name, size in sizes.items() if size > LONGEST_VARIABLE}


def mistakes_of_variables(given: Mapping[str, str | Secret]) -> list[str]:
    """What keeps these from being a command's environment. Of values nothing is said: one may be a secret."""
    mistakes = []
    for name, value in given.items():
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            mistakes.append(f"{name!r} is no name of a variable")
        if not isinstance(value, str | Secret):
            mistakes.append(f"{name} must be a str or a Secret, not {type(value).__name__}")
        elif "\0" in revealed(value):
            mistakes.append(f"the value of {name} has a NUL")
    return mistakes
