"""The machine that amibake itself runs on, which is nobody's builder: what must never be done to it."""

from __future__ import annotations

import shlex
from pathlib import Path

OUR_OWN_MACHINE = 3
"""The exit status of what is `guarded` where it was not run, since it would have been on our own machine."""
NO_SUDO = 4
"""Likewise, since there is no becoming root."""

# Our own machine is that with our boot id, unless we know of both that their /etc/machine-id is not the same file: a
# container has the boot id of the machine below it. An empty file tells nobody from anybody.
#
# sudo is asked first without the standard input, which a password prompt or a pty of sudo's would eat. What is run
# comes by standard input, and is no argument of its, since those are logged on the builder.
_GUARD = """
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=-
machine=-
if [ -s /etc/machine-id ]; then machine=$(stat -L -c %d:%i /etc/machine-id 2>/dev/null) || machine=-; fi
if [ "$boot" = "$1" ] && { [ "$machine" = "$2" ] || [ "$machine" = - ] || [ "$2" = - ]; }; then exit 3; fi
shift 2
if [ "$(id -u)" = 0 ]; then exec sh -s "$@"; fi
if sudo -n true >/dev/null 2>&1 </dev/null; then exec sudo -n -- sh -s "$@"; fi
"""


def guarded(name: str, *arguments: str, without_sudo: str = "") -> str:
    """The command line that runs, as root and with these arguments, the shell script that comes by standard input; but
    not on our own machine, nor on one that can't be told from it. `name` is what the remote shell is called meanwhile.
    `without_sudo` is a line of shell for who can't become root."""
    program = f"{_GUARD}{without_sudo}\nexit {NO_SUDO}\n"
    return "exec " + shlex.join(["sh", "-c", program, name, boot_id(), machine_identity(), *arguments])


def boot_id() -> str:
    """What Linux calls this boot of our own machine, or "-"."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def machine_identity() -> str:
    """Which file our own /etc/machine-id is, or "-" where there is none. It is not what it says, which is confidential
    as machine-id(5) has it."""
    try:
        found = Path("/etc/machine-id").stat()
    except OSError:
        return "-"
    return f"{found.st_dev}:{found.st_ino}" if found.st_size else "-"
