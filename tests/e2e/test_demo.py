"""The demo, as `make demo` runs it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.e2e.support import EXAMPLES


def test_the_demo_serves_what_it_was_told_to_and_leaves_nothing() -> None:
    environment = {**os.environ, "DEMO_TEXT": "said by a test"}
    done = subprocess.run([sys.executable, EXAMPLES / "demo.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200: said by a test" in done.stdout
    assert "/css/site.css → 200" in done.stdout
    assert "left behind in the account: nothing" in done.stdout
    assert "where the time went" in done.stdout
