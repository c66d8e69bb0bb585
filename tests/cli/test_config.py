"""Options from a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibake.cli.baking import values
from amibake.errors import InvalidOption
from amibake.testing import Place
from tests.cli.conftest import Run

CONFIG = """
source_ami = "debian-12"
app = "shop"
instance_type = ["t3.micro", "t3a.micro"]
ssh_timeout = "10m"
tags = { team = "web" }

[primal]
node_version = "22"

[carnivore]
source_ami = "ami-01234567"

[environments.production]
source_ami = "ami-76543210"
instance_type = "m7i.large"

[environments.production.carnivore]
node_env = "production"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mistakes(stage: str = "primal", environment: str | None = None) -> tuple[str, ...]:
    with pytest.raises(InvalidOption) as caught:
        values(stage, {}, environment)
    return caught.value.mistakes


def test_a_bake_takes_its_options_from_the_file(run: Run, place: Place) -> None:
    Path("amibake.toml").write_text(CONFIG)
    done = run("build", "primal", "-q", "--no-log")
    assert done.exit_code == 0, done.stderr
    (image,) = place.session.client("ec2").describe_images(Owners=["self"])["Images"]
    assert {"team": "web", "amibake:app": "shop"}.items() <= {tag["Key"]: tag["Value"] for tag in image["Tags"]}.items()
    assert place.machines.newest.ran[0].environment["NODE_VERSION"] == "22"


def test_what_is_more_special_wins() -> None:
    Path("amibake.toml").write_text(CONFIG)
    plain = values("carnivore", {"appserver": "tmp"})
    assert (plain["source_ami"], plain["instance_type"]) == ("ami-01234567", ["t3.micro", "t3a.micro"])
    assert "node_env" not in plain
    production = values("carnivore", {"appserver": "tmp"}, "production")
    assert (production["instance_type"], production["node_env"]) == ("m7i.large", "production")
    assert production["source_ami"] == "ami-76543210"
    assert values("carnivore", {"appserver": "tmp", "node_env": "test"}, "production")["node_env"] == "test"


def test_options_of_the_other_recipe_may_be_for_everything() -> None:
    Path("amibake.toml").write_text('appserver = "tmp"\nnode_version = "22"\n')
    assert values("primal", {}) == {"node_version": "22"}


def test_pyproject_has_the_same_in_a_table() -> None:
    Path("pyproject.toml").write_text('[project]\nname = "x"\n[tool.amibake]\napp = "shop"\n')
    assert values("primal", {}) == {"app": "shop"}
    Path("amibake.toml").write_text('app = "other"\n')
    assert values("primal", {}) == {"app": "other"}


def test_without_a_file_there_are_no_options() -> None:
    Path("pyproject.toml").write_text('[project]\nname = "x"\n')
    assert values("primal", {}) == {}


def test_what_is_missing_is_a_mistake() -> None:
    assert mistakes("carnivore") == ("source_ami: is missing", "appserver: is missing")


def test_every_wrong_name_is_a_mistake() -> None:
    Path("amibake.toml").write_text(
        'ap = "shop"\n[primal]\nappserver = "x"\n[environments.test]\nnonsense = 1\n[environments.test.primal]\nx = 1\n'
    )
    assert mistakes() == (
        "amibake.toml: ap: no such option; did you mean app?",
        "amibake.toml: primal: appserver: no such option",
        "amibake.toml: environments.test: nonsense: no such option",
        "amibake.toml: environments.test: primal: x: no such option",
    )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a = ", "amibake.toml: Invalid value"),
        ("primal = 1", "amibake.toml: primal has to be a table"),
        ("environments = 1", "amibake.toml: environments has to hold a table for each environment"),
        ("environments.x = 1", "amibake.toml: environments.x: has to be a table"),
        ('source_ami = "x"', "source_ami: an image's id, debian-12"),
    ],
)
def test_what_cannot_be_read_is_a_mistake(text: str, mistake: str) -> None:
    Path("amibake.toml").write_text(text)
    (said,) = mistakes()
    assert said.startswith(mistake)


def test_an_environment_that_is_not_there_is_a_mistake() -> None:
    assert mistakes(environment="x") == ("environment: no file here has no 'x'; there are: none",)
    Path("amibake.toml").write_text(CONFIG)
    assert mistakes(environment="x") == ("environment: amibake.toml has no 'x'; there are: production",)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('tool = "x"', "tool"),
        ('[tool]\namibake = "x"', "tool.amibake"),
        ("[tool]\namibake = 5", "tool.amibake"),
        ('[tool]\namibake = ["a", "b"]', "tool.amibake"),
    ],
)
def test_what_is_no_table_in_pyproject_is_said_to_be_none(text: str, where: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert mistakes() == (f"pyproject.toml: {where} has to be a table",)


def test_a_path_that_is_no_text_is_a_mistake_of_the_users(run: Run) -> None:
    Path("amibake.toml").write_text("package_json = 5\nmailtube = true\nscript = [1]\nuser_data_file = 7\n")
    assert mistakes() == (
        "package_json: has to be the text of a path, not 5",
        "mailtube: has to be the text of a path, not True",
        "script: has to be the text of a path, not [1]",
        "user_data_file: has to be the text of a path, not 7",
    )


def test_an_application_that_is_no_text_is_not_looked_up(run: Run, place: Place, appserver: Path) -> None:
    Path("amibake.toml").write_text(f'app = 5\nsource_ami = "latest-primal"\nappserver = "{appserver}"\n')
    done = run("build", "carnivore")
    assert (done.exit_code, place.ec2.requests) == (2, [])
    assert "--app: 5 is not text" in done.stderr
