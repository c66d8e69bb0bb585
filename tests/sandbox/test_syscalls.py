"""Which system calls instances may make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amibake.sandbox import syscalls

PODMANS: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "syscalls": [
        {"names": ["fsync", "sync", "syncfs"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["reboot"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {"caps": ["CAP_SYS_BOOT"]}},
    ],
}


def test_sync_succeeds_without_being_done_and_all_else_is_podmans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "podmans.json").write_text(json.dumps(PODMANS))
    monkeypatch.setattr(syscalls, "PROFILES", [tmp_path / "missing.json", tmp_path / "podmans.json"])
    assert syscalls.write_profile(tmp_path / "ours.json") == [f"--security-opt=seccomp={tmp_path}/ours.json"]
    ours = json.loads((tmp_path / "ours.json").read_text())
    assert ours == PODMANS | {
        "syscalls": [
            PODMANS["syscalls"][0] | {"names": ["fsync", "syncfs"]},
            PODMANS["syscalls"][2],
            {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [], "errnoRet": 0},
        ]
    }


def test_where_podman_has_no_profile_there_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "PROFILES", [tmp_path / "missing.json"])
    assert syscalls.write_profile(tmp_path / "ours.json") == []
    assert not (tmp_path / "ours.json").exists()
