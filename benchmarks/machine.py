"""The init of one machine: a root file system of its own in namespaces of its own, with an sshd that others can reach
only once it is told to listen. Run by `machines.Machine`, as root, within fresh namespaces; it ends with its standard
input, and everything of it ends with it.

machine.py LOWER DIRECTORY HOSTNAME, where LOWER is overlayfs's `lowerdir=` and DIRECTORY an empty one. Commands come as
lines: `key <line of authorized_keys>`, `listen <address> <port>`; each is answered with `ok`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_SSHD = "/usr/sbin/sshd"
_HOST_KEY = Path("/etc/ssh/ssh_host_ed25519_key")
_USER = 1000


def main() -> None:
    lower, directory, hostname = sys.argv[1:]
    socket.sethostname(hostname)
    _enter(lower, Path(directory))
    Path("/etc/hosts").write_text(f"127.0.0.1 localhost {hostname}\n")
    _tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(_HOST_KEY))
    Path("/run/sshd").mkdir(exist_ok=True)
    Path("/etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for orphans, nor for the sshds
    _say("ok")
    _serve()


def _enter(lower: str, directory: Path) -> None:
    """Make the root file system this process's own; what is written to it is in memory, and gone with us."""
    _tool("mount", "-t", "tmpfs", "-o", "mode=755,size=75%", "machine", str(directory))
    upper, work, root = (directory / name for name in ("upper", "work", "root"))
    for one in (upper, work, root):
        one.mkdir()
    _tool("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "machine", str(root))
    _tool("mount", "-t", "proc", "proc", str(root / "proc"))
    boot_id = directory / "boot_id"  # ours is the host's, and by it amibake knows the machine that it must not seal
    boot_id.write_text(f"{uuid.uuid4()}\n")
    _tool("mount", "--bind", str(boot_id), str(root / "proc/sys/kernel/random/boot_id"))
    _tool("mount", "-t", "tmpfs", "-o", "mode=755", "run", str(root / "run"))
    _tool("mount", "-t", "tmpfs", "-o", "mode=755", "dev", str(root / "dev"))
    for name, numbers in _DEVICES.items():
        os.mknod(root / "dev" / name, 0o20666, os.makedev(*numbers))
        (root / "dev" / name).chmod(0o666)
    (root / "dev/pts").mkdir()
    _tool("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", str(root / "dev/pts"))
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1")):
        (root / "dev" / name).symlink_to(target)
    os.chroot(root)
    os.chdir("/")


def _serve() -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        pending = b""
        while True:
            for key, _ in ready.select():
                if isinstance(key.fileobj, socket.socket):
                    _answer(key.fileobj)
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    _obey(line.decode().split(" "), ready)


def _obey(words: list[str], ready: selectors.BaseSelector) -> None:
    if words[0] == "key":
        home = Path("/home/admin/.ssh")
        home.mkdir(mode=0o700, exist_ok=True)
        keys = home / "authorized_keys"
        keys.write_text(" ".join(words[1:]) + "\n")
        keys.chmod(0o600)
        for path in (home, keys):
            os.chown(path, _USER, _USER)
    else:
        listener = socket.create_server((words[1], int(words[2])), backlog=128)
        ready.register(listener, selectors.EVENT_READ)
    _say("ok")


def _answer(listener: socket.socket) -> None:
    """sshd starts itself anew for each connection anyway; here it does so from the beginning."""
    connection, _ = listener.accept()
    number = connection.fileno()
    actions = [(os.POSIX_SPAWN_DUP2, number, 0), (os.POSIX_SPAWN_DUP2, number, 1)]
    log = os.open("/run/sshd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions.append((os.POSIX_SPAWN_DUP2, log, 2))
    os.posix_spawn(
        _SSHD,
        [_SSHD, "-i", "-e", "-h", str(_HOST_KEY)],
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        file_actions=actions,
        setsigdef=[signal.SIGCHLD],
        setsid=True,
    )
    os.close(log)
    connection.close()


def _tool(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
