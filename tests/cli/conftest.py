"""Fixtures for tests of the command line, whose bakes go to an EC2 in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from amibake.cli.app import app
from amibake.testing import Place

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Runs a command line: answers with exit_code, stdout and stderr."""
    return lambda *words: CliRunner().invoke(app, list(map(str, words)), prog_name="amibake")


@pytest.fixture
def primal(run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `amibake build primal` in an empty directory, with what every bake here needs, and more words."""
    monkeypatch.chdir(tmp_path)
    needed = ("--source-ami", "debian-12", "--instance-type", "t3.micro", "--app", "shop", "--node-version", "22")
    return lambda *words: run("build", "primal", *needed, *words)


@pytest.fixture
def appserver(tmp_path: Path) -> Path:
    """The smallest application that can be baked."""
    tree = tmp_path / "appserver"
    tree.mkdir()
    (tree / "package.json").write_text(json.dumps({"name": "shop"}))
    (tree / "cluster.js").write_text("// starts the application\n")
    return tree
