"""A strict EC2 for programs in processes of their own, and what they send up."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from amibake.recipes import shipped
from tests.processes.moments import LARGE
from tests.processes.served import REGIONS, Refusing, Served, served


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A strict EC2 that is served on loopback."""
    with served(tmp_path_factory.mktemp("machines")) as cloud:
        cloud.machines.behaviours.update({region: Refusing() for region in REGIONS})
        yield cloud


@pytest.fixture(scope="module")
def mailtube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ships with amibake, and a large file."""
    directory = tmp_path_factory.mktemp("mailtube") / "mailtube"
    shutil.copytree(shipped("mailtube"), directory)
    (directory / "large").write_bytes(random.Random(1).randbytes(LARGE))
    return directory
