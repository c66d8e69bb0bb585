"""A failed bake, kept on a machine with a real init, mended, and resumed to an image."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import amibake
from amibake.sandbox import LocalCloud


def test_a_failed_bake_is_kept_mended_and_resumed(
    cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    builder = amibake.Builder(
        ami_name="kept {{timestamp}} {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro"
    )
    look = amibake.Shell(inline=["test -e ~/mended"])
    with pytest.raises(amibake.ScriptFailed) as caught:
        amibake.bake(builder, [look], session=cloud.session, on_error="keep")
    command = next(line.split() for line in caught.value.hint.splitlines() if line.startswith("  ssh "))
    lenient = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    by_hand = subprocess.run([*command, *lenient, "id -un"], capture_output=True, text=True, timeout=60)
    assert by_hand.stdout == "admin\n", by_hand.stderr
    address, key = command[-1].partition("@")[2], command[command.index("-i") + 1]
    amibake.provision(address, [amibake.Shell(inline=["touch ~/mended"])], key=key)
    image = amibake.bake(builder, [look], session=cloud.session, resume=caught.value.build)
    assert (image.warnings, image.leftovers) == ((), ())
    assert list(tmp_path.iterdir()) == []
