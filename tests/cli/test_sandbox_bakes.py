"""`amibake build … --sandbox`: where node comes from, and that it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from amibake.testing import Place
from tests.cli.conftest import Run

MIRROR = "http://198.18.7.1/dist"


@pytest.fixture
def sandbox(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The EC2 in this process stands for the one in containers; answers with the regions that were asked for."""
    asked: list[str] = []

    @contextmanager
    def local(region: str, *, progress: object) -> Iterator[SimpleNamespace]:
        asked.append(region)
        progress("making a base")  # type: ignore[operator]  # a function
        yield SimpleNamespace(id="0123abcd", session=place.session, node_mirror=MIRROR)

    monkeypatch.setattr("amibake.sandbox.LocalCloud", local)
    return asked


def test_node_comes_from_the_sandboxs_mirror(primal: Run, place: Place, sandbox: list[str]) -> None:
    done = primal("--sandbox", "--plain")
    assert done.exit_code == 0, done.stderr
    assert place.machines.newest.ran[0].environment["NODE_MIRROR"] == MIRROR
    assert f"sandbox 0123abcd: everything happens on this machine; node comes from {MIRROR}\n" in done.stderr
    assert "making a base" in done.stderr
    assert sandbox == ["us-east-1"]


def test_another_mirror_can_be_named_and_that_is_what_is_said(primal: Run, place: Place, sandbox: list[str]) -> None:
    done = primal("--sandbox", "--node-mirror", "http://mirror.example/dist", "--plan")
    assert "    NODE_MIRROR=http://mirror.example/dist" in done.stdout
    assert "; node comes from http://mirror.example/dist\n" in done.stderr


def test_carnivore_takes_no_node_and_says_nothing_of_it(
    primal: Run, run: Run, place: Place, sandbox: list[str], appserver: Path
) -> None:
    primal("-q")
    words = ("--app", "shop", "--source-ami", "latest-primal", "--instance-type", "t3.micro", "--sandbox", "--no-log")
    done = run("build", "carnivore", "--appserver", appserver, *words)
    assert done.exit_code == 0, done.stderr
    assert "sandbox 0123abcd: everything happens on this machine\n" in done.stderr
