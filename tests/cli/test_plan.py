"""`amibake build … --plan`: everything is told, and nothing is made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amibake.testing import Place
from tests.cli.conftest import Run
from tests.cli.test_schema import checked


def test_a_plan_tells_what_a_bake_would_be_and_launches_nothing(primal: Run, place: Place) -> None:
    done = primal("--plan", "--tags", "made={{isotime `2006`}}", "--ami-regions", "eu-west-1")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"'shop-primal {int(place.clock.epoch())}' in us-east-1, eu-west-1"
    assert lines[1].startswith(f"  from     {place.source_ami} debian-12-amd64-")
    assert lines[2] == "  builder  t3.micro, on demand, in EC2's choice in the default VPC"
    assert any(line.split(None, 1) == ["tags", '{"made": "2025"}'] for line in lines)
    assert any("/mailtube/ to /tmp/mailtube/ (5 files, " in line for line in lines)
    assert "    NODE_VERSION=22" in lines
    assert [line.split()[0] for line in lines if "ec2:RunInstances" in line] == ["ec2:RunInstances"]
    assert any(line.endswith("a draft (eu-west-1)") for line in lines)
    assert lines[-1] == "Nothing was launched."
    assert place.machines.launches == {}
    assert place.session.client("ec2").describe_images(Owners=["self"])["Images"] == []


def test_a_plan_for_programs_is_as_the_schema_says(primal: Run, place: Place) -> None:
    plan = checked(primal("--plan", "--json").stdout)[-1]["plan"]
    assert (plan["region"], plan["source_ami"]["id"]) == ("us-east-1", place.source_ami)
    assert plan["options"]["instance_type"] == ["t3.micro"]
    assert [call["call"] for call in plan["calls"]][:3] == [
        "ec2:ImportKeyPair",
        "ec2:CreateSecurityGroup",
        "ec2:RunInstances",
    ]
    assert primal("--plan", "-q").stdout == f"{plan['name']}\n"


def test_secrets_are_not_in_a_plan(primal: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_TOKEN", "s3cr3t-t0k3n")
    monkeypatch.setenv("AMIBAKE_SSH_PASSWORD", "s3cr3t-w0rd")
    for how in ("--plain", "--json"):
        done = primal("--plan", "--environment-vars", "NPM_TOKEN", "--user-data", "s3cr3t", how)
        assert done.exit_code == 0, done.stderr
        assert "s3cr3t" not in done.output
        assert "***" in done.stdout


def test_a_plan_of_carnivore_counts_what_is_sent(run: Run, place: Place, appserver: Path, tmp_path: Path) -> None:
    tree = appserver / "deploy" / "env"
    tree.mkdir(parents=True)
    for name in ("staging", "production"):
        (tree / f"{name}.json").write_text("{}")
    words = ("--app", "shop", "--source-ami", place.source_ami, "--instance-type", "t3.micro")
    done = run("build", "carnivore", "--appserver", appserver, *words, "--plan", "--json")
    plan = json.loads(done.stdout.splitlines()[-1])["plan"]
    sent = sum(path.stat().st_size for path in appserver.rglob("*") if path.is_file()) - 2
    assert [(step["files"], step["bytes"]) for step in plan["provisioners"]] == [(3, sent), (0, 0)]
    assert plan["provisioners"][1]["variables"]["NAME"] == "shop-staging"


def test_a_plan_sends_a_file_alone_where_one_is_laid_over(primal: Run, place: Place, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    assert "package.json to /tmp/mailtube/package.json (1 files, 2 bytes)" in (
        primal("--plan", "--package-json", tmp_path / "package.json").stdout
    )


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("--resume", "0123456789abcdef"), "error: --resume: a plan is of a bake from its beginning"),
        (("--instance-type", "t9.huge"), "error: --instance-type: t9.huge: not to be had in us-east-1"),
        (("--script", "nowhere"), "error: Shell: script: "),
    ],
)
def test_what_a_bake_would_refuse_a_plan_refuses(
    primal: Run, place: Place, words: tuple[str, ...], mistake: str
) -> None:
    done = primal("--plan", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert next(line for line in done.stderr.splitlines() if line.startswith("error: ")).startswith(mistake)
