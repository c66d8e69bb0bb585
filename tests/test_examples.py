"""The examples, in process: a script that a team copies has to work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import deploy
import pytest

import amibake
from amibake.testing import Place, exits


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place) -> Path:
    """An empty working directory, and credentials that boto3 finds by itself."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_deploying_bakes_primal_once_and_launches_what_it_baked(
    here: Path, place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_TEXT", "good morning")
    assert deploy.main(["staging"]) == 0
    assert "runs as i-" in capsys.readouterr().out
    place.clock.sleep(1)
    assert deploy.main(["production"]) == 0
    ec2 = place.session.client("ec2")
    names = sorted(image["Name"].split()[0] for image in ec2.describe_images(Owners=["self"])["Images"])
    assert names == ["ponyfoo-carnivore-production", "ponyfoo-carnivore-staging", "ponyfoo-primal"]
    running = place.machines.newest
    assert json.loads(running.upload("/tmp/appserver/build.json").read_text()) == {"text": "good morning"}
    assert running.upload("/tmp/appserver/.bin/public/css/site.css").is_file()
    assert [rule.cidrs for rule in place.machines.ingress[next(reversed(place.machines.all))]] == [("0.0.0.0/0",)]
    _end(place)


def test_a_failing_deploy_exits_as_its_error_says(here: Path, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3))
    assert deploy.main(["staging"]) == amibake.ScriptFailed.exit_code
    assert "exited with status 3" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["staging", "now"]])
def test_an_unknown_environment_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_the_demo_without_a_container_engine_says_so() -> None:
    environment = {**os.environ, "PATH": "/nonexistent"}
    demo = Path(deploy.__file__).parent / "demo.py"
    done = subprocess.run([sys.executable, demo], env=environment, capture_output=True, text=True)
    assert done.returncode == amibake.SandboxUnavailable.exit_code, done
    assert "Traceback" not in done.stderr


def _end(place: Place) -> None:
    ec2 = place.session.client("ec2")
    ec2.terminate_instances(InstanceIds=list(place.machines.all))
    place.clock.sleep(60)
    ec2.delete_security_group(GroupName="ponyfoo-web")
