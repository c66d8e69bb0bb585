"""What the tests of the container engine share: the base images, a key, engines of their own, and an ssh client."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from amibake.sandbox.base import Kind, ensure_base
from amibake.sandbox.cache import cache_directory
from amibake.sandbox.podman import PodmanEngine
from amibake.strict.machines import Ingress, Launch

KINDS: tuple[Kind, ...] = ("systemd", "sysvinit")
T = TypeVar("T")
SSH = Ingress("tcp", 22, 22, ("0.0.0.0/0",))


@dataclass(frozen=True)
class Key:
    private: Path
    public: str


@dataclass
class Cloud:
    """An engine with both bases, and what a test does with its machines."""

    id: str
    root: Path
    engine: PodmanEngine
    key: Key
    power_offs: list[tuple[str, bool]] = field(default_factory=list)
    launched: int = 0
    ssh_rules: tuple[Ingress, ...] = (SSH,)

    def run(
        self, image_id: str = "systemd", *, rules: tuple[Ingress, ...] = (SSH,), user_data: str | None = None
    ) -> str:
        """Launch the next instance: i-1, i-2, …; answers with its address."""
        self.launched += 1
        instance_id = f"i-{self.launched}"
        self.engine.set_ingress(instance_id, rules)
        return self.engine.run(self.launch(instance_id, image_id, user_data))

    def launch(self, instance_id: str, image_id: str, user_data: str | None = None) -> Launch:
        return Launch(
            instance_id=instance_id,
            image_id=image_id,
            instance_type="t3.micro",
            key_name="key",
            public_key=self.key.public,
            user_data=user_data,
            root_volume_gib=8,
        )

    def ssh(self, address: str, command: str, *, user: str = "admin", check: bool = True) -> str:
        """Run a command over ssh as soon as sshd answers; what it printed, or with check=False its errors too."""
        eventually(lambda: banner(address))
        options = ["-F", "none", "-i", str(self.key.private), "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", f"{user}@{address}"]
        done = subprocess.run(["ssh", *options, command], capture_output=True, text=True, timeout=60)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout.strip()
        return (done.stdout + done.stderr).strip()

    def wait_for_power_off(self) -> tuple[str, bool]:
        eventually(lambda: self.power_offs)
        return self.power_offs.pop()

    def answers(self, address: str, port: int = 22) -> bool:
        """Whether somebody answers there now."""
        return bool(banner(address, port))


def eventually(attempt: Callable[[], T], *, seconds: float = 30) -> T:
    """What `attempt` answers as soon as it is true; fails when that takes longer than any machine should need."""
    deadline = time.monotonic() + seconds
    while not (answer := attempt()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return answer


def banner(address: str, port: int = 22) -> bytes:
    """What a server says first; nothing while none answers."""
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            return connection.recv(100)
    except OSError:
        return b""


@pytest.fixture(scope="session")
def bases() -> dict[Kind, Path]:
    return {kind: ensure_base(kind, cache_directory() / "bases") for kind in KINDS}


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    private = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "engine-test", "-f", private], check=True)
    return Key(private, private.with_suffix(".pub").read_text())


def open_cloud(directory: Path, bases: dict[Kind, Path], key: Key, undo: ExitStack) -> Cloud:
    """An engine, open until `undo` closes it."""
    cloud_id = secrets.token_hex(4)
    root = directory / f"cloud-{cloud_id}"
    cloud = Cloud(cloud_id, root, PodmanEngine(cloud_id, root), key)
    undo.callback(cloud.engine.close)
    cloud.engine.on_power_off = lambda instance_id, rebooting: cloud.power_offs.append((instance_id, rebooting))
    cloud.engine.open()
    for kind, rootfs in bases.items():
        cloud.engine.add_base(kind, rootfs)
    return cloud


@pytest.fixture
def make_cloud(tmp_path: Path, bases: dict[Kind, Path], key: Key) -> Iterator[Callable[[], Cloud]]:
    with ExitStack() as undo:
        yield lambda: open_cloud(tmp_path, bases, key, undo)


@pytest.fixture
def cloud(make_cloud: Callable[[], Cloud]) -> Cloud:
    return make_cloud()
