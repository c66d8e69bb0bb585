"""`--on-error ask`."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from amibake.cli import asking
from amibake.cli.app import app
from amibake.cli.baking import _baked
from amibake.cli.live import View
from amibake.cli.report import Plain
from amibake.errors import AmibakeError, ScriptFailed
from amibake.testing import Place, exits
from tests.account import temporary
from tests.cli.conftest import Run

NEEDED = ("--source-ami", "debian-12", "--instance-type", "t3.micro", "--app", "shop", "--node-version", "22")


@pytest.fixture
def answered(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a build whose script fails, at a terminal on which this is typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asking, "on_terminal", lambda: True)
    place.machines.behaviour.on("NODE_VERSION", exits(3, stderr="npm ERR!\n"))

    def run(typed: str, *words: str) -> Result:
        return CliRunner().invoke(app, ["build", "primal", *NEEDED, "--on-error", "ask", *words], input=typed)

    return run


@pytest.fixture
def ended(place: Place) -> Iterator[None]:
    """What was kept goes with the test."""
    yield
    ec2 = place.session.client("ec2")
    ec2.terminate_instances(InstanceIds=list(place.machines.launches))
    place.clock.sleep(60)
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    for pair in ec2.describe_key_pairs()["KeyPairs"]:
        ec2.delete_key_pair(KeyName=pair["KeyName"])


@pytest.mark.parametrize("how", ["-q", "--json", "--plain"])
def test_the_answer_clean_up_leaves_nothing(
    answered: Callable[..., Result], place: Place, tmp_path: Path, how: str
) -> None:
    done = answered("what?\nClean up\n", how)
    assert done.exit_code == 11
    assert done.stderr.count("Clean up, or keep it? [c/k]") == 2  # the first answer was none
    assert done.stderr.count("primal exited with status 3") == 2
    assert "ssh -i amibake-" in done.stderr
    after = done.stderr.rpartition("[c/k]")[2]
    assert "is kept" not in after
    assert "left behind" not in after
    assert "  | npm ERR!" in after
    assert temporary(place.session.client("ec2")) == set()
    assert list(tmp_path.glob("*.pem")) == []
    (log,) = tmp_path.glob("*.log")
    assert "[c/k] clean up" in log.read_text()


@pytest.mark.parametrize("typed", ["k\n", ""])
def test_the_answer_keep_or_none_keeps_the_builder(
    answered: Callable[..., Result], place: Place, ended: None, tmp_path: Path, typed: str
) -> None:
    done = answered(typed, "-q")
    assert done.exit_code == 11
    after = done.stderr.rpartition("[c/k]")[2]
    assert "is kept, until" in after
    assert "--resume" in after
    assert len(list(tmp_path.glob("*.pem"))) == 1
    (state,) = {
        one["State"]["Name"]
        for found in place.session.client("ec2").describe_instances()["Reservations"]
        for one in found["Instances"]
    }
    assert state == "running"


def test_what_can_not_be_cleaned_up_is_still_told(answered: Callable[..., Result], place: Place, ended: None) -> None:
    fault = place.ec2.refuse("DeleteKeyPair")
    done = answered("c\n", "-q")
    fault.lift()
    assert "left behind: key pair " in done.stderr.rpartition("[c/k]")[2]


@pytest.mark.parametrize(("problem", "status"), [(KeyboardInterrupt(), 130), (OSError("no"), 11)])
def test_a_clean_up_that_ends_early_is_told_with_what_is_left(
    answered: Callable[..., Result],
    place: Place,
    ended: None,
    monkeypatch: pytest.MonkeyPatch,
    problem: BaseException,
    status: int,
) -> None:
    def fail(**_: object) -> None:
        raise problem

    monkeypatch.setattr(asking, "sweep", fail)
    done = answered("c\n", "-q", "--no-log")
    after = done.stderr.rpartition("[c/k]")[2]
    assert done.exit_code == status
    assert "left behind: instance i-" in after
    assert re.search(r"^build: [0-9a-f]{16}$", after, re.MULTILINE)


def test_nothing_is_asked_where_nothing_was_kept(answered: Callable[..., Result], place: Place) -> None:
    fault = place.ec2.refuse("RunInstances")
    done = answered("", "-q")
    fault.lift()
    assert done.exit_code == 4
    assert "[c/k]" not in done.stderr


def test_without_a_terminal_nothing_is_launched(primal: Run, place: Place) -> None:
    done = primal("--on-error", "ask")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: --on-error: nobody can be asked here, since standard input and standard error are no terminal",
        "hint: Say what is to be done: --on-error cleanup or --on-error keep.",
    ]
    assert place.machines.launches == {}


def test_what_is_kept_in_a_sandbox_would_not_last(primal: Run, place: Place) -> None:
    done = primal("--on-error", "keep", "--sandbox")
    assert (done.exit_code, "--on-error: what is kept in the sandbox goes with it" in done.stderr) == (2, True)


def test_in_a_sandbox_the_builder_lives_until_enter_is_pressed(
    place: Place, ended: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    place.machines.behaviour.on("NODE_VERSION", exits(3))
    options: dict[str, Any] = {"source_ami": place.source_ami, "instance_type": "t3.micro", "on_error": "ask"}
    with pytest.raises(ScriptFailed) as caught:
        _baked("primal", options, place.session, Plain())
    assert "once you press Enter: " in capsys.readouterr().err
    assert (caught.value.leftovers, "is kept" in caught.value.hint) == ((), False)


def test_an_error_that_is_not_ours_is_asked_about_too(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("s3cr3t")
    for note in (
        "amibake build 0123456789abcdef",
        "left behind: instance i-1; …",
        "The builder i-1 is kept, until x:\n  ssh",
    ):
        error.add_note(note)
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\n"))

    def refuse(**_: object) -> None:
        raise AmibakeError("no")

    told: list[str] = []
    report = Plain()
    monkeypatch.setattr(report, "event", lambda event: told.append(str(event)))
    monkeypatch.setattr(asking, "sweep", refuse)
    asking.decide(error, {"region": "us-east-1"}, None, report)
    assert told == ["warning: it is still there: no"]
    assert any("i-1 is kept" in note for note in error.__notes__)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    asking.decide(error, {}, object(), report)  # type: ignore[arg-type]  # any session
    assert error.__notes__ == ["amibake build 0123456789abcdef"]


def test_on_a_terminal_the_view_stands_still_while_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.StringIO()
    view = View(Console(file=file, force_terminal=True, width=60), animated=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("K\n"))
    with view:
        assert view.ask(["error: it broke"], "or keep it?") == "k"
    assert "error: it broke" in file.getvalue()
    assert capsys.readouterr().err == "or keep it? "


def test_an_interrupt_is_no_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Impatient:
        def readline(self) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Impatient())
    assert Plain().ask([], "?") is None


def test_a_terminal_is_one_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert asking.on_terminal()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert not asking.on_terminal()
