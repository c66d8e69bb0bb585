"""The programs of shell examples. amibake, python and pytest are run; of all others it is checked that they can
be told this, as far as anybody knows here."""

from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
from botocore import xform_name
from typer.testing import CliRunner

from amibake.cli.app import app
from tests.docs.blocks import ROOT
from tests.docs.shell import Done, Program

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def as_told(environment: Mapping[str, str]) -> Any:
    """The environment of a program, but for the programs that examples know: machines on loopback need others."""
    return mock.patch.dict(os.environ, {**environment, "PATH": os.environ["PATH"]}, clear=True)


def amibake(arguments: list[str], environment: Mapping[str, str]) -> Done:
    """The command line, in this process."""
    with as_told(environment):
        done = CliRunner().invoke(app, arguments, prog_name="amibake")
    return Done(done.exit_code, done.stdout, done.stderr)


def python(arguments: list[str], environment: Mapping[str, str]) -> Done:
    """A script, in this process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        as_told(environment),
        mock.patch.object(sys, "argv", arguments),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return Done(status, out.getvalue(), err.getvalue())


def really_python(arguments: list[str], environment: Mapping[str, str]) -> Done:
    """A script, in a process of its own."""
    more = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-u", *arguments], env={**environment, **more}, capture_output=True, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)


def pytest_of_users(arguments: list[str], environment: Mapping[str, str]) -> Done:
    """Tests of a user's, in a process of their own with no plugin but ours, and without this repository's settings."""
    more = {"PYTHONPATH": f"{ROOT}:.", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "pytest", "-p", "amibake.testing.plugin", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True)
    return Done(done.returncode, done.stdout, done.stderr)


def pip(arguments: list[str], _: Mapping[str, str]) -> Done:
    """Installs amibake, with extras that there are."""
    [install, wanted] = arguments
    named = re.fullmatch(r"amibake(?:\[([\w,]+)\])?", wanted)
    assert install == "install"
    assert named, wanted
    assert set((named[1] or "cli").split(",")) <= EXTRAS.keys()
    return Done()


def make(arguments: list[str], _: Mapping[str, str]) -> Done:
    """Targets that there are."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(arguments) <= set(targets), arguments
    return Done()


def sudo(arguments: list[str], _: Mapping[str, str]) -> Done:
    """Installs what tools/system does."""
    needed = re.findall(r"^need \S+ (\S+)", (ROOT / "tools/system").read_text(), re.MULTILINE)
    assert arguments[:2] == ["apt-get", "install"]
    assert [one for one in arguments[2:] if one[0] != "-"] == needed
    return Done()


def npm(arguments: list[str], _: Mapping[str, str]) -> Done:
    """Builds an application, which is there already."""
    assert arguments in (["ci"], ["run", "build"])
    return Done()


def aws(arguments: list[str], _: Mapping[str, str]) -> Done:
    """Calls that AWS has, with parameters that they have, of files that are there."""
    service, command, *rest = arguments
    model = botocore.session.get_session().get_service_model(service)
    calls = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(calls[command]).input_shape
    members = shape.members if shape else {}
    options = [word for word in rest if word.startswith("--")]
    assert {option[2:] for option in options} <= {xform_name(name, "-") for name in members}
    assert all(Path(word.removeprefix("file://")).is_file() for word in rest if word.startswith("file://"))
    return Done()


RUN: Mapping[str, Program] = {"amibake": amibake, "python": python, "pytest": pytest_of_users}
CHECKED: Mapping[str, Program] = {"aws": aws, "make": make, "npm": npm, "pip": pip, "sudo": sudo}
