"""The options of `amibake build`: one for each of the model's fields, and how their values are written."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amibake import recipes
from amibake.builder import GROUPS, Builder
from amibake.cli.baking import values
from amibake.cli.options import options_of
from amibake.errors import InvalidOption
from tests.cli.conftest import Run

RECIPES: dict[str, Callable[..., Any]] = {"primal": recipes.build_primal, "carnivore": recipes.build_carnivore}
FIXED = {"primal": {"stage", "node_env"}, "carnivore": {"stage"}}


@pytest.mark.parametrize("stage", RECIPES)
def test_every_field_of_the_model_has_exactly_one_option(stage: str) -> None:
    names = Counter(option.name for option in options_of(RECIPES[stage]))
    assert set(names.values()) == {1}
    assert Builder.model_fields.keys() - FIXED[stage] <= names.keys()
    own = set(inspect.signature(RECIPES[stage]).parameters) & names.keys()
    assert names.keys() == (Builder.model_fields.keys() - FIXED[stage]) | own


def test_every_option_has_a_help_of_its_own() -> None:
    assert all(len(option.help) > 10 for option in options_of(recipes.build_carnivore))


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("ssh_port", "2222", 2222),
        ("ssh_timeout", "90", 90.0),
        ("ssh_timeout", "1h30m", "1h30m"),
        ("encrypt_boot", False, False),
        ("temporary_key_pair_bits", "4096", 4096),
        ("communicator", "none", "none"),
        ("instance_type", ["t3.micro", "t3.small"], ["t3.micro", "t3.small"]),
        ("tags", ["a=b", "c="], {"a": "b", "c": ""}),
        ("launch_block_device_mappings", ['{"device_name": "root"}'], [{"device_name": "root"}]),
        ("metadata_options", '{"http_tokens": "required"}', {"http_tokens": "required"}),
        ("deregistration_protection", "true", True),
        ("ami_regions", ["eu-west-1"], ["eu-west-1"]),
        ("vpc_filter", ["tag:Name=build"], {"tag:Name": "build"}),
        ("source_ami", '{"owners": "self", "name": "x-*"}', {"owners": "self", "name": "x-*"}),
        ("source_ami", "ami-0123abcd", "ami-0123abcd"),
        ("user_data_file", "data.sh", "data.sh"),
        ("nginx_workers", "2", 2),
    ],
)
def test_values_are_read_by_the_kind_of_the_option(name: str, given: Any, value: Any) -> None:
    needed = {"source_ami": "ami-01234567", "appserver": "tmp"}
    assert values("carnivore", {**needed, name: given}) == {**needed, name: value}


def test_a_value_in_place_of_a_name_is_not_shown() -> None:
    with pytest.raises(InvalidOption) as caught:
        values("primal", {"environment_vars": ["A=b", "s3cr3t"]})
    assert caught.value.mistakes == (
        "environment_vars: number 2 has no value here, and is not in the environment: give KEY=VALUE",
    )


def test_the_model_takes_what_is_read() -> None:
    """A number as text, say: where a value can't be read as what the model wants, the model says so."""
    given: dict[str, Any] = {
        "ssh_keep_alive_interval": "10s",
        "max_build_time": "7200",
        "spot_price": "0.02",
        "ssh_port": "2222",
    }
    given |= {"placement": '{"tenancy": "dedicated"}', "license_specifications": ["arn:aws:license-manager:x"]}
    builder = Builder(ami_name="shop", **values("primal", given))
    assert (builder.ssh_keep_alive_interval, builder.max_build_time, builder.ssh_port) == (10.0, 7200.0, 2222)
    assert builder.placement is not None
    assert builder.placement.tenancy == "dedicated"


def test_secrets_can_come_from_the_environment() -> None:
    found = {option.variable for option in options_of(recipes.build_primal) if option.variable}
    assert found == {
        "AMIBAKE_SECRET_KEY",
        "AMIBAKE_TOKEN",
        "AMIBAKE_SSH_PASSWORD",
        "AMIBAKE_SSH_BASTION_PASSWORD",
    }


@pytest.mark.parametrize("stage", RECIPES)
def test_the_help_has_every_group_at_80_columns(run: Run, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run("build", stage, "--help").stdout
    assert all(len(line) <= 80 for line in text.splitlines())
    for group in GROUPS:
        title = inspect.cleandoc(group.__doc__ or "").partition(":")[0]
        assert re.search(rf"^╭─ {title}", text, re.MULTILINE) or title == "Source image"


def test_the_help_of_all_commands_loads_nothing_heavy() -> None:
    listing = (
        "import sys\nfrom amibake.cli import main\nmain(['--help'])\n"
        "print(sorted({'boto3', 'botocore', 'paramiko', 'pydantic', 'moto', 'tenacity'} & set(sys.modules)))"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, env=plain)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_shell_completes_options_and_values(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        environment = {
            **os.environ,
            "_AMIBAKE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-m", "amibake"], capture_output=True, text=True, env=environment, timeout=60
        )
        return done.stdout.split()

    assert completed("amibake build ") == ["primal", "carnivore"]
    assert completed("amibake build primal --ssh-bastion-h") == ["--ssh-bastion-host"]
    assert completed("amibake build primal --communicator n") == ["none"]
    assert completed("amibake build primal --source-ami ubu") == ["ubuntu-24.04"]
