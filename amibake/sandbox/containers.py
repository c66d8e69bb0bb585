"""podman by its command line: a container with a real init as PID 1 over a root file system of our own.

Each cloud has a podman storage of its own below its directory, so that it meets no container of the user's, is met by
no `podman prune`, and goes away with its directory. podman's short-lived state lies under /run, where paths are short
enough for it (it refuses a run root of more than 50 characters).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from amibake.errors import AmibakeError
from amibake.sandbox.commands import CommandFailed, run
from amibake.sandbox.syscalls import write_profile

Init = Literal["systemd", "sysvinit"]

_log = logging.getLogger(__name__)
_CAPABILITIES = "AUDIT_WRITE,MKNOD,NET_ADMIN,NET_RAW,SYS_BOOT"
_TMPFS = "rw,nosuid,nodev,notmpcopyup"
_CGROUPS = Path("/sys/fs/cgroup")
RESOLVERS = [Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")]
_SYS_RESOURCE = 1 << 24
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
_FAREWELL = 5.0
_STUBBORN = 30


@dataclass(frozen=True)
class Boot:
    """What one boot of a machine is made of.

    Attributes:
        rootfs: Its mounted disk.
        namespace: Its network namespace.
        seed: What the first-boot service reads, mounted read-only at /run/amibake/seed; has `boot_id` too.
        console: The file that gets what init writes to the console.
    """

    instance_id: str
    hostname: str
    rootfs: Path
    namespace: Path
    seed: Path
    console: Path
    init: Init


class Containers:
    """The containers of one cloud."""

    def __init__(self, cloud_id: str, directory: Path) -> None:
        self._id = cloud_id
        self._directory = directory
        self._state = state_directory(cloud_id)
        self._environment = {"CONTAINERS_CONF": str(directory / "containers.conf")}
        self._syscalls: list[str] = []
        self._forgetting = ThreadPoolExecutor(1, "amibake-sandbox-forgetting")

    def open(self) -> None:
        """Write podman's configuration, and what it is to let programs ask the kernel for."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "containers.conf").write_text(_configuration())
        self._syscalls = write_profile(self._directory / "seccomp.json")

    def start(self, boot: Boot) -> int:
        """Switch a machine on; answers with a pidfd of its init."""
        name = self._name(boot.instance_id)
        pid_file = self._state / f"{boot.instance_id}.pid"
        hooks = self._hooks(boot)
        options = [
            f"--name={name}",
            f"--hostname={boot.hostname}",
            f"--label=amibake.cloud={self._id}",
            f"--pidfile={pid_file}",
            f"--network=ns:{boot.namespace}",
            f"--log-opt=path={boot.console}",
            f"--cgroup-parent=/amibake-{self._id}",
            f"--volume={boot.seed}:/run/amibake/seed:ro",
            f"--cap-add={_CAPABILITIES}",
            f"--tmpfs=/run:{_TMPFS},mode=755",  # pid files must not get into an image
            f"--tmpfs=/run/lock:{_TMPFS},mode=1777",
            "--tty",  # makes /dev/console
            "--env=TERM=dumb",
            "--cgroups=no-conmon",
            "--no-hosts",
            "--security-opt=label=disable",
            *_apparmor_options(),
            *self._syscalls,
            *_init_options(boot),
            *resolver_options(),
        ]
        # what is left of the boot before keeps its exit status until now
        self._podman(
            "--hooks-dir", hooks, "run", "--detach", "--replace", *options, "--rootfs", boot.rootfs, "/sbin/init"
        )
        return self._pidfd(int(pid_file.read_text()))

    def _pidfd(self, pid: int) -> int:
        """A pidfd of an init. One that has ended already may have left its number to a stranger."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError as error:
            raise AmibakeError("the machine went down as soon as it was switched on") from error
        if f"/amibake-{self._id}" not in Path(f"/proc/{pid}/cgroup").read_text():
            os.close(pidfd)
            raise AmibakeError("the machine went down as soon as it was switched on")
        return pidfd

    def exit_status(self, instance_id: str) -> int:
        """How a machine's init ended: 129 when it rebooted, 130 when it powered off (the signals by which the kernel
        ends a PID namespace in which reboot(2) was called)."""
        return int(self._podman("wait", "--interval=20ms", self._name(instance_id)))

    def remove(self, instance_id: str) -> None:
        """Kill and remove a container. Its absence is no error."""
        self._podman("rm", "--force", "--time=0", "--ignore", self._name(instance_id))

    def forget(self, instance_id: str) -> None:
        """Remove a container that has ended or never was, some time before `close`."""
        with contextlib.suppress(RuntimeError):  # it is about to be closed
            self._forgetting.submit(self._forget, instance_id)

    def _forget(self, instance_id: str) -> None:
        try:
            self.remove(instance_id)
        except CommandFailed:
            _log.warning("%s: its container goes with the sandbox only", instance_id, exc_info=True)

    def end_forgetting(self) -> None:
        """Leave the containers that are not forgotten yet to `close`."""
        self._forgetting.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Remove all containers of the cloud and end every process that belongs to them."""
        kill_cgroup(self._id)
        if (self._directory / "containers.conf").exists():
            with contextlib.suppress(CommandFailed):
                self._podman("rm", "--all", "--force", "--time=0")
        end_helpers(self._id)
        remove_cgroup(self._id)

    def _hooks(self, boot: Boot) -> Path:
        """What runc does for us in the container's mount namespace before its init runs.

        podman leaves /proc/sys read-only, so that nobody in the container changes this machine. Its net.* belong to
        the container and get a writable mount on top; and the boot id, which a container shares with the machine
        below, gets another file on top, which runc would refuse as a volume.
        """
        sysctls = boot.rootfs / "proc/sys"
        boot_id = sysctls / "kernel/random/boot_id"
        commands = (
            ("mount", "--no-mtab", "--bind", "--options", "ro", boot.seed / "boot_id", boot_id),
            ("mount", "--no-mtab", "--bind", sysctls / "net", sysctls / "net"),
        )
        directory = self._directory / "hooks" / boot.instance_id
        directory.mkdir(parents=True, exist_ok=True)
        for number, command in enumerate(commands):
            hook = {
                "version": "1.0.0",
                "hook": {"path": shutil.which("mount"), "args": [str(word) for word in command]},
                "when": {"always": True},
                "stages": ["createContainer"],
            }
            (directory / f"{number}.json").write_text(json.dumps(hook))
        return directory

    def _name(self, instance_id: str) -> str:
        return f"amibake-{self._id}-{instance_id}"

    def within(self, instance_id: str, *words: str, terminal: bool) -> list[str]:
        """The command line that runs something in a machine that is on, at this terminal or without one."""
        options = ["--interactive", *(["--tty", f"--env=TERM={os.environ.get('TERM', 'dumb')}"] if terminal else [])]
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        return ["env", *environment, "podman", *self._place(), "exec", *options, self._name(instance_id), *words]

    def _place(self) -> tuple[str, ...]:
        return (
            f"--root={self._directory / 'podman'}",
            f"--runroot={self._state / 'run'}",
            f"--tmpdir={self._state / 'tmp'}",
            "--storage-driver=vfs",
        )

    def _podman(self, *arguments: str | Path) -> str:
        return run("podman", *self._place(), *arguments, env=self._environment)


def state_directory(cloud_id: str) -> Path:
    """Where the short-lived state of a cloud lies."""
    return Path(f"/run/amibake-{cloud_id}")


def find_init(rootfs: Path) -> Init:
    """Which init a root file system boots with."""
    init = rootfs / "sbin/init"
    return "systemd" if init.is_symlink() and init.readlink().name == "systemd" else "sysvinit"


def console_text(log: str) -> str:
    """What was written to a console, from conmon's log of it: `<time> stdout F|P <text>`, P for a part of a line."""
    parts = []
    for line in log.splitlines():
        _, _, kind, text = [*line.split(" ", 3), "", "", ""][:4]
        parts.append(text.rstrip("\r") + ("\n" if kind == "F" else ""))
    return "".join(parts)


def kill_cgroup(cloud_id: str) -> None:
    """Kill every process in a cloud's containers, whatever podman knows of them."""
    for members in _cgroup_directories(cloud_id):
        try:
            pids = (members / "cgroup.procs").read_text().split()
        except OSError:  # the group is gone already
            continue
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def remove_cgroup(cloud_id: str) -> None:
    """Remove the control groups of a cloud."""
    for directory in _cgroup_directories(cloud_id):
        with contextlib.suppress(OSError):
            directory.rmdir()


def end_helpers(cloud_id: str) -> None:
    """Wait for the processes that podman keeps beside a cloud's containers (conmon and its clean-up), for some seconds,
    then kill them. Raises AmibakeError for one that even that does not end."""
    deadline = time.monotonic() + _FAREWELL
    while helpers := list(_helpers(cloud_id)):
        if time.monotonic() > deadline + _STUBBORN:
            raise AmibakeError(f"podman's helpers {helpers} do not end")
        if time.monotonic() > deadline:
            for pid in helpers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _helpers(cloud_id: str) -> Iterator[int]:
    mark = f"{state_directory(cloud_id)}/".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if Path(os.fsdecode(words[0])).name in {"conmon", "podman"} and any(mark in word for word in words):
                yield int(process.name)


def _cgroup_directories(cloud_id: str) -> list[Path]:
    """A cloud's control groups, innermost first: one tree with cgroup v2, one for each controller with v1."""
    name = f"amibake-{cloud_id}"
    tops = [_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")]
    return [Path(found) for top in tops for found, _, _ in os.walk(top, topdown=False)]


def _configuration() -> str:
    """A containers.conf that replaces all others."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limits = ulimits(int(status["CapEff"], 16))
    return "\n".join(
        (
            "[containers]",
            f"default_ulimits = [{', '.join(limits)}]",
            'log_driver = "k8s-file"',
            "[engine]",
            'runtime = "runc"',
            'cgroup_manager = "cgroupfs"',  # needs no systemd on this machine, and is the faster one
            'events_logger = "none"',
            # the other type, shared memory, is one for all storages: opening a new one would free the user's locks
            'lock_type = "file"',
            "",
        )
    )


def ulimits(capabilities: int) -> list[str]:
    """The limits to ask podman for, given our own effective capabilities: left to itself it asks for more than it can
    have without CAP_SYS_RESOURCE."""
    if capabilities & _SYS_RESOURCE:
        return []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # podman itself comes down to pid_max
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], int(Path("/proc/sys/kernel/pid_max").read_text()))
    return [f'"nofile={min(files, 1024)}:{files}"', f'"nproc={processes}:{processes}"']


def _init_options(boot: Boot) -> list[str]:
    if boot.init == "sysvinit":
        return ["--systemd=false"]
    # podman would put a tmpfs on /tmp, but in an EC2 instance it is on the disk
    # systemd looks for the variable; podman sets it for images only
    return ["--systemd=always", "--env=container=podman", f"--volume={_own_tmp(boot.rootfs)}:/tmp"]


def _own_tmp(rootfs: Path) -> Path:
    """The /tmp of a disk. podman looks at it from this machine: a link there, which an image may well have, would open
    whatever it leads to here, so it has to be a directory."""
    tmp = rootfs / "tmp"
    if tmp.is_symlink() or not tmp.is_dir():
        tmp.unlink(missing_ok=True)
        tmp.mkdir()
        tmp.chmod(0o1777)
    return tmp


def _apparmor_options() -> list[str]:
    """podman's own profile lets nobody write to /proc/sys, net.* included; what may be written is what is mounted."""
    on = APPARMOR.exists() and APPARMOR.read_text().strip() == "Y"
    return ["--security-opt=apparmor=unconfined"] if on else []


def resolver_options() -> list[str]:
    """The name servers of this machine that an instance can reach too; one on loopback it cannot, so behind
    systemd-resolved's stub those are taken that it asks itself."""
    for source in RESOLVERS:
        lines = [line.split() for line in source.read_text().splitlines()] if source.exists() else []
        servers = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
        # one with a %zone is on a link that the instance does not have
        reachable = [server for server in servers if "%" not in server and not ip_address(server).is_loopback]
        if reachable:
            searched = [domain for line in lines if line[:1] == ["search"] for domain in line[1:]]
            return [*(f"--dns={server}" for server in reachable), *(f"--dns-search={domain}" for domain in searched)]
    _log.warning("this machine's name server listens on loopback only: names do not resolve in the sandbox's instances")
    return []
