"""How a command is brought to the far side: with its environment, as root if need be, and so that all of what it starts
can be found again."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amibake.errors import InvalidOption
from amibake.remote import LONGEST_VARIABLE, as_root, mistakes_of_variables, program, too_long
from amibake.secret import Secret, revealed
from amibake.ssh.command import Chunk

# `read` takes a pipe byte by byte, so what follows the marker is left for the command.
#
# What is said first is for killing it: the pid, when that was started (field 22 of proc_pid_stat(5)), its session, its
# login as the audit numbers it, and the boot, without which no pid means anything.
_RUN = """
amibake_stat() {
    [ "$#" -lt 20 ] || amibake_main="${20}:$4"
}
amibake_main=: amibake_line= amibake_login= amibake_boot=
IFS= read -r amibake_line 2>/dev/null <"/proc/$$/stat"
amibake_stat ${amibake_line##*) }
read -r amibake_login 2>/dev/null </proc/self/sessionid
read -r amibake_boot 2>/dev/null </proc/sys/kernel/random/boot_id
amibake_main="$$:$amibake_main:$amibake_login:$amibake_boot"
amibake_shell=${SHELL:-/bin/sh} amibake_exports= amibake_line=
while [ -n "$2" ] && [ "$amibake_line" != "$2" ]; do
    amibake_exports="$amibake_exports$amibake_line
"
    IFS= read -r amibake_line || { echo 'the environment did not arrive' >&2; exit 125; }
done
eval "$amibake_exports"
AMIBAKE_RUN=$1
export AMIBAKE_RUN
echo "$1 $amibake_main"
exec "$amibake_shell" -c "$3"
"""

# Without the token: a pattern for each run would drive the program's own out of the cache that `re` has.
_MAIN = re.compile(rb"(\d+(?::[-0-9a-f]*){4})\n")

_MOST = 1 << 16
"""Bytes of output, of a login shell's start-up files, among which a run's first line is looked for."""

ROOT = program(
    "root",
    """
if [ "$(id -u)" = 0 ]; then echo directly; exit; fi
if ! command -v sudo >/dev/null 2>&1; then echo 'there is no sudo' >&2; exit 1; fi
exec sudo -n -H -- sh -c 'echo sudo'
""",
)
"""Asks how to become root: prints "directly" when the user is, "sudo" when that does it, and else fails."""


@dataclass(frozen=True)
class Invocation:
    """A command line and its input; `token` is in the environment of all that it starts, as AMIBAKE_RUN."""

    command: str
    input: bytes
    token: str


class Beginning:
    """Takes the line out of the output with which a run begins, and has what that says of its first process as `main`:
    "" until then."""

    def __init__(self, token: str, receive: Callable[[Chunk], None]) -> None:
        self.main = ""
        self._token = f"{token} ".encode()
        self._receive = receive
        self._held = b""
        self._over = False

    def add(self, chunk: Chunk) -> None:
        """Some output, of which what is on standard output waits for the line."""
        if self._over or chunk.stream != "stdout":
            self._receive(chunk)
            return
        self._held += chunk.data
        start = self._held.find(self._token)
        found = _MAIN.match(self._held, start + len(self._token)) if start >= 0 else None
        if found:
            self.main = found[1].decode()
            self._held = self._held[:start] + self._held[found.end() :]
        if found or len(self._held) > _MOST:
            self.end()

    def end(self) -> None:
        """Pass on what still waits."""
        self._over = True
        if self._held:
            self._receive(Chunk("stdout", self._held))
            self._held = b""


def invocation(
    command: str, given: bytes, environment: Mapping[str, str | Secret] | None, *, sudo: bool = False
) -> Invocation:
    """How to run this with this input and environment, in the login shell of the user or, by `sudo`, of root.

    Raises:
        InvalidOption: a name in `environment` is no variable's name, or a value has a NUL or more than 128 KiB.
    """
    token, marker = secrets.token_hex(16), ""
    if environment:
        marker = f"amibake-{secrets.token_hex(8)}"
        given = _exports(environment) + f"{marker}\n".encode() + given
    line = program("run", _RUN, token, marker, command)
    return Invocation(as_root(line) if sudo else line, given, token)


def _exports(environment: Mapping[str, str | Secret]) -> bytes:
    mistakes = mistakes_of_variables(environment)
    for name, size in too_long(environment).items():
        mistakes.append(f"{name} has {size} bytes, and Linux takes {LONGEST_VARIABLE} at most (MAX_ARG_STRLEN)")
    if mistakes:
        raise InvalidOption(*(f"environment: {mistake}" for mistake in mistakes))
    lines = (f"export {name}={shlex.quote(revealed(value))}\n" for name, value in environment.items())
    return "".join(lines).encode("utf-8", "surrogateescape")
