"""A machine of its own for a script that must not run on this one: a directory as its root, in namespaces."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import amibake

_SOURCE = Path(amibake.__file__).parent.parent
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", sys.prefix, sys.base_prefix, str(_SOURCE))

# Of this machine there is nothing below the new root but programs, read-only; and no process, no network, no socket.
_ENTER = """
root=$1
shift
for place in $PROGRAMS; do
    if [ -L "$place" ]; then
        [ -L "$root$place" ] || ln -s "$(readlink "$place")" "$root$place"
    elif [ -d "$place" ]; then
        mkdir -p "$root$place"
        mount --bind "$place" "$root$place" && mount -o remount,bind,ro "$root$place" || exit 120
    fi
done
mount -t proc proc "$root/proc" && mount -t tmpfs dev "$root/dev" || exit 120
mkdir "$root/dev/shm"
mknod -m 666 "$root/dev/null" c 1 3 || exit 120
exec chroot "$root" /bin/sh -c 'cd / && exec "$@"' enter "$@"
"""


class Apart:
    """The machine. `root` is its file system, `says` what the last command printed; `fake` puts programs in front of
    the real ones. It takes root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.says = ""
        for name in ("proc", "dev", "run", "tmp", "var/tmp", "root", "home", "etc/ssh", "fakes"):
            (root / name).mkdir(parents=True)
        self.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.write("/etc/group", "root:x:0:\n")
        self.write("/etc/machine-id", f"{'6' * 32}\n", mode=0o444)
        self.user("admin", 1000, "/home/admin")
        self.fake("sshd", "echo authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2")
        self.fake("sync", "")

    def __truediv__(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def user(self, name: str, uid: int, home: str) -> None:
        with (self / "/etc/passwd").open("a") as file:
            file.write(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n")
        (self / home).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, text: str = "x\n", *, mode: int = 0o644, owner: int = 0) -> Path:
        file = self / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, owner, owner)
        return file

    def fake(self, name: str, body: str) -> None:
        self.write(f"/fakes/{name}", f"#!/bin/sh\n{body}\n", mode=0o755)

    def there(self, path: str) -> bool:
        return os.path.lexists(self / path)

    def names(self, directory: str) -> list[str]:
        return sorted(path.name for path in (self / directory).iterdir())

    def run(self, *words: str, given: bytes = b"") -> int:
        """Run this there, as root, and answer with its exit status."""
        enter = ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "sh", "-c", _ENTER, "enter"]
        done = subprocess.run(
            [*enter, str(self.root), *words],
            input=given,
            stdout=subprocess.PIPE,
            env={"PATH": "/fakes:/usr/sbin:/usr/bin:/sbin:/bin", "PROGRAMS": " ".join(_PROGRAMS)},
            cwd="/",
            check=False,
            timeout=60,
        )
        assert done.returncode != 120, "the machine could not be set up"
        self.says = done.stdout.decode()
        return done.returncode

    def sh(self, script: str, given: bytes = b"") -> int:
        return self.run("sh", "-c", script, given=given)

    def python(self, program: str, *arguments: str) -> int:
        """Run this there with this very amibake."""
        return self.sh(f"PYTHONPATH={_SOURCE} exec {shlex.join([sys.executable, '-B', '-c', program, *arguments])}")
