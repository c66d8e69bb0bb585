"""What sealing is told, and on which machines it does not happen. What the script does is in `test_seal_script`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amibake import own_machine, seal
from amibake.errors import ScriptFailed
from amibake.host import Completed
from amibake.ledger import Ledger

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIthekeyofthebake"
PUBLIC = f"ssh-ed25519 {KEY} amibake 0123456789abcdef"


@dataclass
class Here:
    """A host whose commands run on this machine, with `fakes` as the only programs; the script that seals is among what
    is faked."""

    fakes: Path
    given: bytes = b""
    command: str = ""

    def fake(self, name: str, body: str) -> None:
        (self.fakes / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.fakes / name).chmod(0o755)

    def seals(self, does: str) -> None:
        """What happens where the script would be run."""
        self.fake("sh", f'if [ "$1" = -c ]; then exec /bin/sh "$@"; fi\n{does}')

    def run(self, command: str, **options: Any) -> Completed:
        self.command, self.given = command, options["input"]
        words = ["/bin/sh", "-c", command]
        done = subprocess.run(words, input=self.given, capture_output=True, env={"PATH": str(self.fakes)}, check=False)
        said = done.stderr.decode()
        return Completed(done.returncode, done.stdout.decode(), said, tuple(said.splitlines()))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """Another machine than ours, whose user may sudo."""
    host = Here(tmp_path)
    host.fake("cat", "echo their-boot")
    host.fake("stat", "echo their-machine")
    host.fake("id", "echo 1000")
    host.fake("sudo", 'shift; [ "$1" != -- ] || shift; exec "$@"')
    host.fake("true", "")
    host.fake("sync", "")
    host.seals("echo was sealed")
    return host


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    known = {"boot": "our-boot", "machine": "our-machine"}
    monkeypatch.setattr(own_machine, "boot_id", lambda: known["boot"])
    monkeypatch.setattr(own_machine, "machine_identity", lambda: known["machine"])
    return known


def run(host: Here, public_key: str | None = PUBLIC) -> list[str]:
    ledger = Ledger(lambda _: None)
    seal.seal(host, public_key, ledger)  # type: ignore[arg-type]
    return ledger.warnings


def test_neither_the_key_nor_the_script_is_in_a_command_line_which_sudo_logs(here: Here) -> None:
    here.seals("")
    assert run(here) == []
    assert KEY not in here.command
    assert len(here.command) < 2000
    assert here.given.startswith(f"key={KEY}\n#!/bin/sh\n".encode())


def test_without_a_key_of_the_bake_there_is_none_to_remove(here: Here) -> None:
    run(here, None)
    assert here.given.startswith(b"key=\n")


def test_each_thing_that_could_not_be_done_is_a_warning(here: Here) -> None:
    here.seals("echo the host keys stay; echo noise >&2; echo a file stays")
    assert run(here) == ["sealing: the host keys stay", "sealing: a file stays"]


def test_a_key_that_stays_is_an_error_with_what_was_said(here: Here) -> None:
    here.seals("echo the disk is full >&2; exit 1")
    with pytest.raises(ScriptFailed, match="could not be sealed") as caught:
        run(here)
    assert (caught.value.status, caught.value.tail) == (1, ("the disk is full",))


def test_without_passwordless_sudo_nothing_is_changed_and_the_warning_names_what_is_left(here: Here) -> None:
    here.fake("sudo", "exit 1")
    (warning,) = run(here)
    assert warning == (
        "not sealed: no passwordless sudo on the builder; left in the image: the bake's key in authorized_keys, the "
        "SSH host keys, the machine id, cloud-init's state of the instance, random seeds, DHCP leases, shell histories "
        "and temporary files of amibake's"
    )
    (warning,) = run(here, None)
    assert "left in the image: the SSH host keys, the machine id" in warning


def test_root_needs_no_sudo(here: Here) -> None:
    here.fake("id", "echo 0")
    here.fake("sudo", "exit 127")
    assert run(here) == ["sealing: was sealed"]


def test_a_sudo_that_reads_its_input_when_it_is_asked_leaves_the_script_whole(here: Here) -> None:
    here.fake("sudo", 'if [ "$2" = true ]; then read -r line; exit 0; fi; shift 2; exec "$@"')
    here.seals('read -r first; echo "$first"')
    assert run(here) == [f"sealing: key={KEY}"]


@pytest.mark.parametrize(
    ("our_machine", "their_machine", "is_sealed"),
    [
        ("one", "one", False),
        ("one", "another", True),  # a container on this machine
        ("-", "another", False),  # may be the machine below the container that we are in
        ("one", "", False),
        ("-", "", False),
    ],
)
def test_a_machine_with_our_boot_id_is_sealed_only_if_it_is_known_for_another(
    here: Here, ours: dict[str, str], our_machine: str, their_machine: str, is_sealed: bool
) -> None:
    here.fake("cat", "echo our-boot")
    here.fake("stat", f"echo {their_machine}" if their_machine else "exit 1")
    ours["machine"] = our_machine
    (warning,) = run(here)
    if is_sealed:
        assert warning == "sealing: was sealed"
    else:
        assert warning.startswith("not sealed: the builder is the machine that this runs on, or can't be told from it;")
        assert "the bake's key in authorized_keys, the SSH host keys" in warning


def test_another_boot_id_is_another_machine_whatever_its_machine_id_is(here: Here, ours: dict[str, str]) -> None:
    here.fake("stat", f"echo {ours['machine']}")
    assert run(here) == ["sealing: was sealed"]


def test_where_neither_has_a_boot_id_nothing_is_sealed(here: Here, ours: dict[str, str]) -> None:
    ours.update(boot="-", machine="-")
    here.fake("cat", "exit 1")
    (warning,) = run(here)
    assert warning.startswith("not sealed: ")
