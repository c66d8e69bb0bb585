"""How a remote program of ours becomes root, with a sudo and an id that a test makes up."""

from __future__ import annotations

import subprocess
from pathlib import Path

from amibake.remote import program


def ran(tmp_path: Path, uid: int, sudo: str | None) -> tuple[int, str, str]:
    (tmp_path / "id").write_text(f'#!/bin/sh\n[ "$1" = -u ] && echo {uid} || echo admin\n')
    if sudo is not None:
        (tmp_path / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    (tmp_path / "cat").symlink_to("/bin/cat")
    (tmp_path / "sh").symlink_to("/bin/sh")
    command = program("test", 'echo "$0|$1|$(cat)"', "it's $HOME", sudo=True)
    done = subprocess.run(
        ["/bin/sh", "-c", command], input="given", capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    return done.returncode, done.stdout, done.stderr


def test_root_needs_no_sudo(tmp_path: Path) -> None:
    assert ran(tmp_path, 0, None) == (0, "amibake-test|it's $HOME|given\n", "")


def test_others_become_root_by_sudo_which_does_not_get_the_input_when_it_is_only_asked(tmp_path: Path) -> None:
    sudo = '[ "$*" = "-n true" ] && exec cat; shift 2; echo root >&2; exec "$@"'
    assert ran(tmp_path, 1000, sudo) == (0, "amibake-test|it's $HOME|given\n", "root\n")


def test_without_sudo_it_is_said_why(tmp_path: Path) -> None:
    status, out, said = ran(tmp_path, 1000, "echo sudo: a password is required >&2; exit 1")
    assert (status, out) == (1, "")
    assert said == "admin is not root and has no sudo without a password: sudo: a password is required\n"


def test_without_the_command_it_is_said_too(tmp_path: Path) -> None:
    status, out, said = ran(tmp_path, 1000, None)
    assert (status, out) == (1, "")
    assert "admin is not root and has no sudo without a password: " in said
    assert "not found" in said
