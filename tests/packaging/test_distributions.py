"""What is built and installed: the wheel, the source distribution, and a project that has only the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_A_USER = """
import amibake, deploy, pytest

def test_primal_installs_our_node(bakery):
    image = amibake.build_primal(app="shop", node_version="22")
    bake = bakery.last
    assert bake.instance_type == "t1.micro"
    assert bake.upload("/tmp/mailtube/package.json").json()["name"] == "shop"
    assert bake.script("primal").environment["NODE_VERSION"] == "22"
    assert image.name.startswith("shop-primal ")
    assert bakery.leftovers == []

def test_a_failing_script_leaves_nothing(bakery):
    bakery.script("carnivore").exits(3, stderr="npm ERR!")
    with pytest.raises(amibake.ScriptFailed, match="npm ERR!"):
        deploy.main(["production"])                  # their own deploy script
    assert bakery.images == [] and bakery.leftovers == []
"""
DEPLOY = """
import amibake

def main(words):
    (environment,) = words
    amibake.build_carnivore(amibake.DEBIAN_12, "tmp/appserver", app="shop", node_env=environment)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with both distributions. hatchling of this environment builds them, so nothing is downloaded."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    return directory


def the(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def test_the_wheel_has_what_it_needs_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(the(built, "*.whl")) as wheel:
        names = set(wheel.namelist())
        metadata = message_from_bytes(wheel.read(next(name for name in names if name.endswith("/METADATA"))))
        entry_points = wheel.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    assert {name.split("/")[0] for name in names} == {"amibake", f"amibake-{metadata['Version']}.dist-info"}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "amibake").rglob("*") if path.is_file()}
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "provisioning").rglob("*") if path.is_file()}
    wanted = {name for name in ours if "__pycache__" not in name}
    wanted |= {name.replace("provisioning", "amibake/_provisioning", 1) for name in shipped}
    assert {name for name in names if name.startswith("amibake/")} == wanted
    assert {"amibake/py.typed", "amibake/_provisioning/primal", "amibake/seal.sh"} <= names
    assert "amibake = amibake.testing.plugin" in entry_points
    assert "amibake = amibake.cli:main" in entry_points
    for field in (
        "Summary",
        "Requires-Python",
        "License-Expression",
        "Keywords",
        "Classifier",
        "Description-Content-Type",
    ):
        assert metadata[field], field
    assert set(metadata.get_all("Provides-Extra", [])) >= {"cli", "sandbox", "testing"}


def test_the_source_distribution_builds_and_tests(built: Path) -> None:
    with tarfile.open(the(built, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split("\n")
    wanted = {name for name in tracked if name and not name.startswith((".git", ".ci"))}
    assert wanted <= names, sorted(wanted - names)
    assert not [name for name in names if "__pycache__" in name]


def pip(python: Path, *words: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def project(directory: Path) -> None:
    (directory / "tmp/appserver").mkdir(parents=True)
    (directory / "tmp/appserver/package.json").write_text('{"name": "shop"}')
    (directory / "tmp/appserver/cluster.js").write_text("")
    (directory / "deploy.py").write_text(DEPLOY)
    (directory / "test_shop.py").write_text(OF_A_USER)


def run(python: Path, directory: Path, *words: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "PYTHONPATH"))}
    command = [str(python), "-m", *words]
    done = subprocess.run(command, cwd=directory, env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("oldest", [False, True], ids=["newest", "oldest"])
def test_a_project_that_has_only_the_wheel(built: Path, tmp_path: Path, oldest: bool) -> None:
    """With the newest dependencies, and with the oldest that amibake says it works with."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    extras = [one for extra in ("cli", "testing") for one in PROJECT["optional-dependencies"][extra]]
    floors = [
        re.sub(r"^([\w.-]+)(\[\w+\])?>=([\d.]+).*", r"\1==\3", one) for one in [*PROJECT["dependencies"], *extras]
    ]
    (tmp_path / "constraints").write_text("\n".join(floors) if oldest else "")
    wheel = the(built, "*.whl")
    pip(python, "-c", str(tmp_path / "constraints"), f"{wheel}[cli,testing]", *([] if oldest else ["pytest-xdist"]))
    project(tmp_path)
    assert "2 passed" in run(python, tmp_path, "pytest", "-q", "-W", "error")
    if not oldest:
        assert "2 passed" in run(python, tmp_path, "pytest", "-q", "-n", "4")
    assert "primal" in run(python, tmp_path, "amibake", "build", "--help")
