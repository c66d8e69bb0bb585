"""`amibake sweep`: what it asks the library for, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

import amibake
from amibake.errors import InvalidOption
from amibake.events import StepStarted
from amibake.testing import Place
from tests.cli.conftest import Run
from tests.cli.test_schema import checked


@dataclass(frozen=True)
class Thing:
    id: str

    def __str__(self) -> str:
        return f"instance {self.id}"


@dataclass(frozen=True)
class Swept:
    removed: tuple[Thing, ...] = ()
    finished: tuple[Thing, ...] = ()
    spared: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("us-east-1",)
    dry_run: bool = False


class Library:
    """Stands for `amibake.sweep`."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.answer = Swept()

    def __call__(self, **asked: Any) -> Swept:
        self.asked = asked
        asked.pop("on_event")(StepStarted("look for what bakes have left"))
        return self.answer


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(amibake, "sweep", library, raising=False)
    return library


def test_the_options_reach_the_library(run: Run, library: Library) -> None:
    done = run("sweep", "--region", "eu-west-1", "--region", "us-east-1", "--build", "0123456789abcdef", "--dry-run")
    assert done.exit_code == 0
    assert library.asked == {"regions": ["eu-west-1", "us-east-1"], "build": "0123456789abcdef", "dry_run": True}
    assert "look for what bakes have left" in done.stderr
    run("sweep")
    assert library.asked == {"regions": None, "build": None, "dry_run": False}


def test_what_was_removed_is_listed(run: Run, library: Library) -> None:
    library.answer = Swept(removed=(Thing("i-1"),), finished=(Thing("ami-1"),))
    assert run("sweep").stdout.splitlines() == ["removed: instance i-1", "marked as published: instance ami-1"]
    assert run("sweep", "-q").output == "i-1\n"
    library.answer = Swept(removed=(Thing("i-1"),), dry_run=True)
    assert run("sweep", "--dry-run").stdout == "would be removed: instance i-1\n"
    last = json.loads(run("sweep", "--json").stdout.splitlines()[-1])
    assert (last["event"], last["sweep"]["removed"]) == ("result", [{"id": "i-1"}])


def test_nothing_to_remove_is_said(run: Run, library: Library) -> None:
    assert run("sweep").stdout == "nothing to remove in us-east-1\n"


def test_what_could_not_be_removed_is_told_by_the_exit_status_too(run: Run, library: Library) -> None:
    library.answer = Swept(leftovers=("instance i-1; remove it with: aws ec2 …",))
    done = run("sweep")
    assert (done.exit_code, done.stdout) == (1, "left behind: instance i-1; remove it with: aws ec2 …\n")
    quiet = run("sweep", "-q")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (1, "", done.stdout)


def test_a_wrong_option_is_named_as_on_the_command_line(
    run: Run, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise InvalidOption("build: the id of a bake, 16 hex digits, not 'x'")

    monkeypatch.setattr(amibake, "sweep", refuse)
    done = run("sweep", "--build", "x")
    assert (done.exit_code, done.stderr) == (2, "error: --build: the id of a bake, 16 hex digits, not 'x'\n")


def test_what_a_killed_bake_has_left_is_removed_once_it_has_expired(run: Run, place: Place) -> None:
    ec2 = place.session.client("ec2")
    tags = [{"Key": "amibake:build", "Value": "0123456789abcdef"}]
    tags.append({"Key": "amibake:expires", "Value": str(int(place.clock.epoch()) + 3600)})
    group = ec2.create_security_group(
        GroupName="amibake",
        Description="amibake",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    assert run("sweep").stdout == "nothing to remove in us-east-1\n"
    place.clock.sleep(3 * 3600)
    assert run("sweep", "--dry-run").stdout.startswith(f"would be removed: security group {group} ")
    done = run("sweep", "--json")
    assert done.exit_code == 0, done.stderr
    assert [one["id"] for one in checked(done.stdout)[-1]["sweep"]["removed"]] == [group]
    assert run("sweep", "-q").output == ""
