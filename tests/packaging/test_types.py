"""What type checkers say of programs that use amibake, by what it says of itself (py.typed)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MISTAKES = {
    number
    for number, line in enumerate((HERE / "untyped.py").read_text().splitlines(), start=1)
    if line.endswith("# wrong")
}
CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
}


def check(checker: str, name: str, directory: Path) -> tuple[int, str]:
    """Its exit status, and what it says of a copy of this file in a project of its own."""
    (directory / name).write_text((HERE / name).read_text())
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*CHECKERS[checker], name], cwd=directory, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_program_that_is_right(checker: str, tmp_path: Path) -> None:
    status, said = check(checker, "typed.py", tmp_path)
    assert status == 0, said


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_mistake_is_found(checker: str, tmp_path: Path) -> None:
    status, said = check(checker, "untyped.py", tmp_path)
    assert status == 1, said
    assert {int(line) for line in re.findall(r"untyped\.py:(\d+)", said)} == MISTAKES, said
