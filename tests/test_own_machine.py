"""What tells our own machine from a builder. What the guard makes of that is in `test_seal` and `test_timer`."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibake import own_machine


def test_what_we_are_ourselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert own_machine.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    file = tmp_path / "machine-id"
    monkeypatch.setattr(own_machine, "Path", lambda _: file)
    assert (own_machine.boot_id(), own_machine.machine_identity()) == ("-", "-")
    file.write_text("")
    assert own_machine.machine_identity() == "-"
    file.write_text("6" * 32)
    assert own_machine.machine_identity() == f"{file.stat().st_dev}:{file.stat().st_ino}"
