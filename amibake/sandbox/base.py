"""The disks of the sandbox's source AMIs: Debian 12 with systemd, and with sysvinit as in the article's time.

They are made by mmdebstrap from the mirrors that this machine's own apt uses, and hold what a Debian cloud image has
where a baker would miss it: sshd, sudo without a password for `admin`, iproute2, and a service that stands for
cloud-init (`firstboot/`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amibake.errors import SandboxUnavailable
from amibake.sandbox import trust
from amibake.sandbox.cache import hold, locked, remove_unheld
from amibake.sandbox.commands import CommandFailed, run
from amibake.sandbox.trees import remove_tree

Kind = Literal["systemd", "sysvinit"]

SUITE = "bookworm"
_FIRSTBOOT = Path(__file__).parent / "firstboot"
_COMMON = (
    "ca-certificates",
    "iproute2",
    "less",
    "libnss-myhostname",
    "netbase",
    "openssh-server",
    "procps",
    "sudo",
)
# Timers that would take apt's lock or wake the disks of a machine that lives for minutes, and prompts nobody sees.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    # what each boot waits for, one after the other, though a container has no devices and its users are made already
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)
_APT_SETTINGS = r"Acquire::(https?::Proxy\b|Check-|AllowInsecure).*"


@dataclass(frozen=True)
class Base:
    """What one base has besides the packages that all have."""

    description: str
    packages: tuple[str, ...]


BASES: Mapping[Kind, Base] = {
    "systemd": Base("Debian 12 (bookworm), systemd", ("dbus", "systemd-sysv")),
    "sysvinit": Base("Debian 12 (bookworm), sysvinit", ("ifupdown", "insserv", "sysvinit-core")),
}


def ensure_base(kind: Kind, cache: Path, *, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The root file system of a base, made now (about half a minute) unless `cache` has it.

    It is made again when its recipe, this machine's mirrors or its own certificates have changed, and those before it
    go once no process uses them: one that got a base from here uses it to its end. Two processes that need the same
    base make it once; one that is interrupted leaves nothing that is taken for a base.

    Args:
        kind: Which init is PID 1.
        cache: A directory of the user's, made if it is missing. Root owns what is in it, and only root may look in.
        progress: Called with a line of text for each step.

    Raises:
        SandboxUnavailable: No root, no mmdebstrap, no Debian mirror in apt's configuration, or the mirror failed.
    """
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise SandboxUnavailable(
            "a base image is made by root, with mmdebstrap", hint="Run as root, after: apt-get install mmdebstrap"
        )
    sources = debian_sources()
    certificates = trust.host_certificates()
    settings = _apt_settings()
    environment = trust.host_environment(has_certificates=bool(certificates))
    inputs = [kind, platform.machine(), repr(BASES[kind]), *sources, *settings, *certificates, *environment]
    recipe = [Path(__file__), Path(trust.__file__), *sorted(p for p in _FIRSTBOOT.iterdir() if p.is_file())]
    digest = hashlib.sha256("\0".join([*inputs, *(path.read_text() for path in recipe)]).encode()).hexdigest()[:12]
    # Not one name for all: what was killed may have left somebody who still writes there.
    target, draft = cache / f"{kind}-{digest}", cache / f"draft-{kind}-{secrets.token_hex(4)}"
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o700)  # its set-uid programs must not be within other users' reach
    with locked(cache / f"base-{kind}.lock"):
        for left in cache.glob(f"draft-{kind}*"):
            remove_tree(left, ignore_errors=True)
        if not target.exists():
            started = time.monotonic()
            progress(f"making the base image: {BASES[kind].description}")
            _debootstrap(draft, kind, sources, settings)
            _customize(draft, kind)
            trust.install(draft, certificates, environment)
            draft.rename(target)
            progress(f"made {target.name} in {time.monotonic() - started:.0f} s")
            for older in set(cache.glob(f"{kind}-*")) - {target}:
                # Half removed, it must not be taken for a base either.
                remove_unheld(older, by_way_of=draft)
        hold(target)
    return target


def debian_sources(suite: str = SUITE) -> list[str]:
    """Where this machine's apt gets Debian from, as one-line sources for `suite`.

    apt itself is asked, so that it does not matter in which form they are written. On another release of Debian the
    mirrors are taken to have `suite` too, as Debian's do.

    Raises:
        SandboxUnavailable: No source of Debian is configured.
    """
    try:
        listing = run(
            "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Identifier: Packages"
        )
        release = platform.freedesktop_os_release()
    except (CommandFailed, OSError) as error:
        raise SandboxUnavailable(f"apt's sources cannot be read: {error}", hint=_NO_SOURCE) from error
    here = release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else suite
    found = set()
    for line in listing.splitlines():
        uri, name, component = line.split()
        uri = _mirror(uri)
        if uri.startswith("http") and name in {here, f"{here}-updates", f"{here}-security"} and component == "main":
            found.add(f"deb {uri} {name.replace(here, suite, 1)} main")
    if not any(line.endswith(f" {suite} main") for line in found):
        raise SandboxUnavailable(f"no mirror of Debian {suite} is among this machine's apt sources", hint=_NO_SOURCE)
    return sorted(found)


def _mirror(uri: str) -> str:
    """Debian's own cloud images name a file with mirrors, best first."""
    if not uri.startswith("mirror+file:"):
        return uri
    listed = Path(uri.removeprefix("mirror+file:").rstrip("/")).read_text().splitlines()
    return next((line.split()[0] for line in listed if line.startswith("http")), uri)


_NO_SOURCE = f"Add a mirror that has {SUITE} main to /etc/apt/sources.list.d; the base images are made from it."


def _apt_settings() -> list[str]:
    """Proxies and the like, without which the mirror does not answer or is not believed."""
    return [line for line in run("apt-config", "dump").splitlines() if re.match(_APT_SETTINGS, line)]


def _debootstrap(target: Path, kind: Kind, sources: list[str], settings: list[str]) -> None:
    packages = ",".join([*_COMMON, *BASES[kind].packages])
    options = [f"--aptopt={setting}" for setting in [*settings, 'Acquire::Languages "none";']]
    # fsync after each file is for disks that must survive a power cut
    options += ["--dpkgopt=force-unsafe-io"]
    command = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--include={packages}",
        *options,
    ]
    try:
        run(*command, SUITE, target, *sources, timeout=1200)
    except CommandFailed as error:
        raise SandboxUnavailable(
            f"mmdebstrap failed: {error.output.strip()[-1500:]}", hint="Does `apt-get update` work on this machine?"
        ) from error


def _customize(root: Path, kind: Kind) -> None:
    for path in [*root.glob("etc/ssh/ssh_host_*"), root / "var/lib/dbus/machine-id", root / "run/initctl"]:
        path.unlink(missing_ok=True)
    _write(root / "etc/machine-id", "")
    _write(root / "etc/resolv.conf", "")
    _write(root / "etc/hostname", "debian\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    _write(root / "etc/default/locale", "LANG=C.UTF-8\n")
    run(
        "chroot", root, "useradd", "--create-home", "--uid", "1000", "--shell", "/bin/bash", "--groups", "sudo", "admin"
    )
    _write(root / "etc/sudoers.d/90-cloud-init-users", "admin ALL=(ALL) NOPASSWD:ALL\n", mode=0o440)
    _install(root, "amibake-firstboot", "usr/lib/amibake/amibake-firstboot", mode=0o755)
    if kind == "systemd":
        _install(root, "amibake-firstboot.service", "usr/lib/systemd/system/amibake-firstboot.service")
        run("chroot", root, "systemctl", "enable", "amibake-firstboot.service")
        run("chroot", root, "systemctl", "mask", *_MASKED)
        return
    _install(root, "amibake-firstboot.init", "etc/init.d/amibake-firstboot", mode=0o755)
    run("chroot", root, "update-rc.d", "amibake-firstboot", "defaults")
    # A container has no entropy of its own to save; systemd's service of the kind doesn't run in one either.
    run("chroot", root, "update-rc.d", "-f", "urandom", "remove")
    (root / "var/lib/urandom/random-seed").unlink(missing_ok=True)
    # `manual`: the address is given from outside; ifup still runs the if-up.d scripts for the interface
    _write(root / "etc/network/interfaces", "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet manual\n")
    inittab = root / "etc/inittab"
    text = re.sub(r"(?m)^(\d:\d+:respawn:.*getty)", r"#\1", inittab.read_text())
    # SIGINT to PID 1 is how the engine presses the power button
    text = re.sub(r"(?m)^ca:.*$", "ca:12345:ctrlaltdel:/sbin/shutdown -h now", text)
    _write(inittab, text)


def _install(root: Path, name: str, destination: str, *, mode: int = 0o644) -> None:
    _write(root / destination, (_FIRSTBOOT / name).read_text(), mode=mode)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # what lies there may be a link that leads out of the image
    path.write_text(text)
    path.chmod(mode)
