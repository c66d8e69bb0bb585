"""What an image has of the builder that it was made of, read from its layers on the disk, and what its instances make
of that. With sealing switched off, each of the checks reports something."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake import flow
from amibake.events import Event, StepStarted
from amibake.host import Host
from amibake.sandbox import LocalCloud
from tests.e2e.support import SYSVINIT, Box

Launch = Callable[[amibake.Image | str], Box]
SOURCES = {"systemd": amibake.DEBIAN_12, "sysvinit": SYSVINIT}

# What is left by people and by bakes that were not so lucky. The shell at a terminal has its history in memory, until
# the stop.
LEAVE = """
set -e
echo 'mysql -p hunter2' > ~/.bash_history
sudo sh -c 'echo reboot > /root/.bash_history'
mkfifo /tmp/typed
export HISTFILE=$HOME/.zsh_history
setsid sh -c 'exec script -qc "exec bash --norc -i" /dev/null <>/tmp/typed' >/dev/null 2>&1 &
echo 'mysql -p hunter3; touch /tmp/has-run' > /tmp/typed
for try in 1 2 3 4 5 6 7 8 9; do [ -e /tmp/has-run ] || sleep 1; done
test -e /tmp/has-run
touch /tmp/amibake-left ~/.amibake-left
sudo touch /var/tmp/amibake-left
cp ~/.ssh/authorized_keys ~/.ssh/authorized_keys.old
sudo mkdir -p /var/lib/systemd
sudo sh -c 'echo seed > /var/lib/systemd/random-seed'
sudo mkdir -p /run/amibake-timer
sudo setsid sh -c 'sleep 3600; :' amibake-timer >/dev/null 2>&1 </dev/null &
! [ -d /run/systemd/system ] || sudo systemd-run --unit=amibake-timer --on-active=3600 true || : one is there already
"""


class Leave:
    """Leaves all sorts of things on the builder, and notes what tells it from other machines."""

    def __init__(self) -> None:
        self.key = ""
        self.identity = ("", "")

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        assert host.run(LEAVE, capture=True).status == 0
        self.key = _said(host, "cut -d' ' -f2 ~/.ssh/authorized_keys")
        self.identity = (_said(host, "cat /etc/machine-id"), _said(host, "cat /etc/ssh/ssh_host_ed25519_key.pub"))


def _said(host: Host, command: str) -> str:
    done = host.run(command, capture=True)
    assert done.status == 0, done
    return done.stdout.strip()


@dataclass
class Baked:
    """A bake of such a builder. `running` is what ran, and was below its /run, at the beginning of the stop."""

    cloud: LocalCloud
    init: str
    leave: Leave = field(default_factory=Leave)
    running: list[str] = field(default_factory=list)
    _image: amibake.Image | None = None

    @property
    def image(self) -> amibake.Image:
        assert self._image is not None
        return self._image

    def bake(self) -> Baked:
        builder = amibake.Builder(
            ami_name="sealed {{timestamp}} {{uuid}}",
            source_ami=SOURCES[self.init],
            instance_type="t3.micro",
            user_data="#!/bin/sh\necho the password is hunter4\n",
        )
        self._image = amibake.bake(builder, [self.leave], session=self.cloud.session, on_event=self._heard)
        return self

    def _heard(self, event: Event) -> None:
        if event == StepStarted("stop the builder"):
            for process in _processes(self.cloud):
                words = (process / "cmdline").read_bytes().decode().replace("\0", " ")
                units = (process / "root/run/systemd/transient").glob("*amibake*")
                self.running += [words, *(path.name for path in units)]


def _processes(cloud: LocalCloud) -> Iterator[Path]:
    """What runs in the containers of a cloud."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/amibake-{cloud.id}" in (process / "cgroup").read_text():
                yield process
        except OSError:  # it has ended
            continue


@pytest.fixture(scope="module", params=list(SOURCES))
def sealed(cloud: LocalCloud, request: pytest.FixtureRequest) -> Baked:
    return Baked(cloud, request.param).bake()


@pytest.fixture(scope="module", params=list(SOURCES))
def unsealed(cloud: LocalCloud, request: pytest.FixtureRequest) -> Baked:
    """With sealing switched off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "seal", lambda *_: None)
        return Baked(cloud, request.param).bake()


@contextmanager
def disk(instance: amibake.Instance, place: Path) -> Iterator[tuple[Path, list[Path]]]:
    """What the image of this instance holds, whatever the instance has written since, and its layers but for the
    base."""
    (mounted,) = re.findall(rf" (\S+)/machines/{instance.id}/disk .* - overlay .*lowerdir=([^,]+)", MOUNTS.read_text())
    layers = [Path(mounted[0]) / "layers" / name for name in mounted[1].split(":")]
    subprocess.run(
        ["mount", "-t", "overlay", "-o", f"ro,lowerdir={':'.join(map(str, layers))}", "image", place], check=True
    )
    try:
        yield place, layers[:-1]
    finally:
        subprocess.run(["umount", place], check=True)


MOUNTS = Path("/proc/self/mountinfo")
Check = Callable[[Baked, Path, list[Path]], object]


def host_keys(_baked: Baked, root: Path, _layers: list[Path]) -> object:
    return list(root.glob("etc/ssh/ssh_host_*"))


def machine_id(_baked: Baked, root: Path, _layers: list[Path]) -> object:
    files = [root / "etc/machine-id", *root.glob("var/lib/dbus/machine-id")]
    return [path for path in files if not path.is_symlink() and path.exists() and path.read_bytes()]


def key_of_the_bake(baked: Baked, root: Path, _layers: list[Path]) -> object:
    assert baked.leave.key.startswith("AAAA")
    return subprocess.run(["grep", "-rlF", "-e", baked.leave.key, root], stdout=subprocess.PIPE, check=False).stdout


def timer(baked: Baked, root: Path, _layers: list[Path]) -> object:
    assert any("sshd" in words for words in baked.running)
    return [one for one in baked.running if "amibake-timer" in one] + list(root.glob("**/systemd/**/amibake-timer*"))


def file_of_amibakes(_baked: Baked, _root: Path, layers: list[Path]) -> object:
    return [path for layer in layers for path in _walk(layer) if "amibake" in path.name]


def history(_baked: Baked, root: Path, _layers: list[Path]) -> object:
    return [path for home in (root / "root", root / "home/admin") for path in home.glob(".*history")]


def state_of_the_instance(_baked: Baked, root: Path, _layers: list[Path]) -> object:
    return [*root.glob("var/lib/cloud/instance*"), *root.glob("var/lib/cloud/data"), *root.glob("var/log/cloud-init*")]


def random_seed(_baked: Baked, root: Path, _layers: list[Path]) -> object:
    return [*root.glob("var/lib/*/random-seed")]


def _walk(layer: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(layer):
        yield from (Path(directory) / name for name in (*directories, *files))


CHECKS: list[Check] = [
    host_keys,
    machine_id,
    key_of_the_bake,
    timer,
    file_of_amibakes,
    history,
    state_of_the_instance,
    random_seed,
]


def identity(box: Box) -> tuple[str, str]:
    """The machine id and a host key of an instance, which this has logged in to by its own key."""
    return box.sh("cat /etc/machine-id"), box.sh("cat /etc/ssh/ssh_host_ed25519_key.pub")


def looked_at(baked: Baked, box: Box, place: Path) -> dict[str, object]:
    """What each check reports of the image that this is an instance of, where it reports something."""
    with disk(box.instance, place) as (root, layers):
        found = {check.__name__: check(baked, root, layers) for check in CHECKS}
    return {name: reported for name, reported in found.items() if reported}


def test_an_image_has_nothing_of_its_builder_and_each_of_its_instances_is_another_machine(
    sealed: Baked, box: Launch, tmp_path: Path
) -> None:
    first, second = box(sealed.image), box(sealed.image)
    assert (sealed.image.warnings, sealed.image.leftovers) == ((), ())
    assert looked_at(sealed, first, tmp_path) == {}
    identities = [identity(first), identity(second), sealed.leave.identity]
    for kind in zip(*identities, strict=True):
        assert len(set(kind)) == 3
        assert all(len(one) >= 32 for one in kind)


def test_with_sealing_switched_off_each_check_reports_something(unsealed: Baked, box: Launch, tmp_path: Path) -> None:
    first, second = box(unsealed.image), box(unsealed.image)
    assert list(looked_at(unsealed, first, tmp_path)) == [check.__name__ for check in CHECKS]
    assert identity(first) == identity(second) == unsealed.leave.identity


def test_without_passwordless_sudo_the_bake_succeeds_and_says_what_is_left_in_the_image(
    cloud: LocalCloud, box: Launch, ec2: EC2Client
) -> None:
    builder = amibake.Builder(
        ami_name="no sudo {{timestamp}} {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro"
    )
    no_sudo = amibake.Shell(inline=["touch ~/.amibake-left", "sudo rm -r /etc/sudoers.d"])
    image: Any = amibake.bake(builder, [no_sudo], session=cloud.session)
    timer, warning = image.warnings
    assert timer == "the builder's timer could not be cancelled: no passwordless sudo on it"
    assert warning.startswith("not sealed: no passwordless sudo on the builder; left in the image: the bake's key in")
    assert box(image).sh("ls -A ~ | grep amibake; grep -c . ~/.ssh/authorized_keys") == ".amibake-left\n2"
