"""What the tests of a whole local cloud share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from amibake.sandbox.cache import cache_directory

T = TypeVar("T")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own, with the base images and releases of node that the user's has."""
    kept, own = cache_directory(), tmp_path / "cache/amibake"
    own.mkdir(parents=True)
    for name in ("bases", "node"):
        (kept / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(kept / name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(own.parent))
    return own


@pytest.fixture
def eventually() -> Callable[[Callable[[], T]], T]:
    """Waits for something that another process does: what the attempt answers as soon as that is true."""

    def wait(attempt: Callable[[], T], seconds: float = 60) -> T:
        deadline = time.monotonic() + seconds
        while not (answer := attempt()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)
        return answer

    return wait
