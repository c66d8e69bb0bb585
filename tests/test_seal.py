"""The script that seals, run for real with stand-ins for what it asks of root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import amibake
from amibake import seal

SCRIPT = Path(amibake.__file__).parent / "seal.sh"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIthekeyofthebake"


class Machine:
    """A directory with a fake root in front of PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        for user in ("admin", "root"):
            (root / user / ".ssh").mkdir(parents=True)
        self.fake("sudo", 'shift; exec "$@"')
        self.user("admin", 1000)
        self.fake("getent", f'echo "$2:x:0:0::{root}/$2:/bin/sh"')
        self.fake("rm", f'echo "$@" >>{root}/removed')  # whatever it is, not on this machine
        self.fake("sync", "")

    def fake(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def user(self, name: str, uid: int) -> None:
        """Who the script finds itself to be."""
        self.fake("id", f"case $1 in -u) echo {uid} ;; -un) echo {name} ;; esac")

    def keys(self, user: str) -> Path:
        return self.root / user / ".ssh/authorized_keys"

    def seal(self, boot_id: str = "other", identity: str = "other") -> int:
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        with SCRIPT.open("rb") as script:
            return subprocess.run(["sh", "-s", boot_id, identity, KEY], stdin=script, env=environment).returncode


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_key_goes_and_the_others_stay(machine: Machine) -> None:
    machine.keys("admin").write_text(f"ssh-ed25519 MINE me@home\nssh-ed25519 {KEY} amibake\n")
    machine.keys("admin").chmod(0o600)
    machine.keys("root").write_text(f'command="echo no" ssh-ed25519 {KEY} amibake\n')
    assert machine.seal() == 0
    assert machine.keys("admin").read_text() == "ssh-ed25519 MINE me@home\n"
    assert machine.keys("admin").stat().st_mode & 0o777 == 0o600
    assert machine.keys("root").read_text() == ""
    assert "/tmp/" in (machine.root / "removed").read_text()


def test_a_user_without_keys_is_no_trouble(machine: Machine) -> None:
    assert machine.seal() == 0


def test_our_own_machine_is_left_alone(machine: Machine) -> None:
    machine.keys("admin").write_text(f"ssh-ed25519 {KEY} amibake\n")
    assert machine.seal(seal._boot_id(), seal._machine_identity()) == seal._OUR_OWN_MACHINE
    assert KEY in machine.keys("admin").read_text()
    assert not (machine.root / "removed").exists()


def test_without_passwordless_sudo_nothing_is_changed(machine: Machine) -> None:
    machine.fake("sudo", "exit 1")
    machine.keys("admin").write_text(f"ssh-ed25519 {KEY} amibake\n")
    assert machine.seal() == seal._NO_SUDO
    assert KEY in machine.keys("admin").read_text()


def test_root_needs_no_sudo(machine: Machine) -> None:
    machine.user("root", 0)
    machine.fake("sudo", "exit 127")
    machine.keys("root").write_text(f"ssh-ed25519 {KEY} amibake\nssh-ed25519 MINE me@home\n")
    assert machine.seal() == 0
    assert machine.keys("root").read_text() == "ssh-ed25519 MINE me@home\n"


def test_a_machine_without_identity_is_never_taken_for_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert seal._read(tmp_path / "absent") == "-"
    monkeypatch.setattr(seal, "Path", lambda _: tmp_path / "absent")
    assert seal._machine_identity() == "-"
