"""What the worker process does, in this one."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from amibake.errors import SandboxUnavailable
from amibake.sandbox import base, worker


def prepare(cache: Path) -> dict[str, object]:
    told = io.StringIO()
    worker._prepare(worker.Events(told), {"cache": str(cache), "bases": ["systemd", "sysvinit"], "node_versions": []})
    said: dict[str, object] = json.loads(told.getvalue())
    return said


def test_base_images_are_made_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def make(kind: str, cache: Path, *, progress: Callable[[str], None]) -> Path:
        both.wait(timeout=60)
        return cache / kind

    monkeypatch.setattr(base, "ensure_base", make)
    assert prepare(tmp_path)["values"] == {"bases": ["systemd", "sysvinit"], "releases": []}
    assert not both.broken


def test_a_base_image_that_cannot_be_made_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(kind: str, cache: Path, *, progress: Callable[[str], None]) -> Path:
        if kind == "sysvinit":
            raise SandboxUnavailable("the mirror is closed")
        return cache / kind

    monkeypatch.setattr(base, "ensure_base", make)
    with pytest.raises(SandboxUnavailable, match="the mirror is closed"):
        prepare(tmp_path)
