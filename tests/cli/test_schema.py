"""What `--json` prints is what docs/json-lines.schema.json says, and docs/cli.md says what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import amibake
from amibake import errors, recipes
from amibake.cli.app import app
from amibake.cli.baking import OPTIONS
from amibake.testing import Place, exits
from tests.cli.conftest import Run
from tools import schema

PAGE = (Path(__file__).parent.parent.parent / "docs" / "cli.md").read_text()


def checked(output: str) -> list[dict[str, Any]]:
    """The lines, each of which has been held against the schema."""
    validator = jsonschema.Draft202012Validator(json.loads(schema.SCHEMA.read_text()))
    lines = [json.loads(line) for line in output.splitlines()]
    for line in lines:
        validator.validate(line)
    ends = [line["event"] in ("result", "error") for line in lines]
    assert ends == [False] * (len(lines) - 1) + [True]
    return lines


def test_the_schema_is_what_the_tool_writes() -> None:
    assert schema.SCHEMA.read_text() == schema.text(), "run: python -m tools.schema"
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_the_lines_of_a_bake_are_as_the_schema_says(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(0, "installing\n"))
    seen = {line["event"] for line in checked(primal("--json").stdout)}
    assert {"build_started", "step_started", "step_finished", "waiting", "output", "uploading", "created"} <= seen


def test_a_result_without_an_image_is_as_the_schema_says(primal: Run, place: Place) -> None:
    assert checked(primal("--json", "--skip-create-ami").stdout)[-1]["image"] is None


@pytest.mark.parametrize(
    "error",
    [
        errors.ScriptFailed("x", status=3, tail=("a",), hint="b"),
        errors.InvalidOption("x: a", "y: b"),
        RuntimeError("x"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_as_the_schema_says(primal: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(recipes, "bake", fail)
    assert checked(primal("--json").stdout)[-1]["event"] == "error"


def test_results_of_other_commands_are_as_the_schema_says(
    primal: Run, run: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amibake, "policy", lambda *_: {"Statement": []}, raising=False)
    image = primal("-q").stdout.strip()
    assert "images" in checked(run("images", "--json").stdout)[-1]
    assert "policy" in checked(run("policy", "--json").stdout)[-1]
    launched = checked(run("launch", image, "--instance-type", "t3.micro", "--json").stdout)[-1]["instance"]
    place.session.client("ec2").terminate_instances(InstanceIds=[launched["id"]])
    place.clock.sleep(60)


def test_the_page_has_every_exit_code() -> None:
    listed = dict(re.findall(r"^\| (\d+) \| `(\w+)`", PAGE, re.MULTILINE))
    tree = {
        str(kind.exit_code): name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AmibakeError) and "exit_code" in vars(kind)
    }
    assert listed == tree


def test_the_page_has_every_command_and_only_options_that_there_are(run: Run) -> None:
    commands = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert commands <= set(re.findall(r"`amibake (\w+)", PAGE))
    texts = [run(*words, "--help").stdout for words in (["build", "primal"], ["build", "carnivore"], ["sweep"])]
    texts += [run(name, "--help").stdout for name in ("images", "launch", "doctor", "policy")]
    known = {flag for text in texts for flag in re.findall(r"--[a-z][a-z-]+", text)}
    known |= {f"--{option.name.replace('_', '-')}" for options in OPTIONS.values() for option in options}
    known |= {"--version", "--install-completion"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known
