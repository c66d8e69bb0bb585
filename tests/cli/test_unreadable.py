"""Command lines that can't be read, and results that can't be written."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from amibake import cli
from amibake.cli.report import Lines, Outcome, Plain, Quiet
from amibake.errors import AmibakeError
from tests.cli.conftest import Run
from tests.cli.test_process import environment
from tests.cli.test_schema import checked


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ("build", "primal", "--nod-version", "22"),
            [
                "error: No such option: --nod-version",
                "hint: did you mean --node-version? `amibake build primal --help` lists all that there is",
            ],
        ),
        (("biuld",), ["error: No such command 'biuld'. Did you mean 'build'?", "hint: `amibake --help` lists"]),
        (("launch",), ["error: Missing argument 'AMI'.", "hint: `amibake launch --help` lists"]),
        (("sweep", "--9999999"), ["error: No such option: --9999999", "hint: `amibake sweep --help` lists"]),
    ],
)
def test_a_wrong_word_is_told_with_the_right_one(run: Run, words: tuple[str, ...], lines: list[str]) -> None:
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    told = done.stderr.splitlines()
    assert [one.startswith(line) for one, line in zip(told, lines, strict=True)] == [True, True]


@pytest.mark.parametrize("words", [("build", "primal", "--jsn"), ("launch",), ("nothing",), ("--version-of-it",)])
def test_programs_get_a_line_of_json_for_it(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--json")
    (line,) = checked(done.stdout)
    assert (done.exit_code, line["event"], line["error"], line["exit_code"]) == (2, "error", "InvalidOption", 2)
    assert done.stderr.startswith(f"error: {line['message']}")


def test_without_a_command_there_is_help(run: Run) -> None:
    done = run()
    assert done.exit_code == 2
    assert "Usage: amibake" in done.output
    assert "doctor" in done.output
    (line,) = checked(run("build", "--json").stdout)
    assert line["message"] in ("a command is missing", "No such option: --json")


def test_the_end_of_the_input_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(**_: object) -> None:
        raise EOFError

    monkeypatch.setattr("amibake.images.find_images", end)
    assert run("images").exit_code == 1


@pytest.mark.parametrize("words", ["--help", "build primal --help", "--version", "policy"])
def test_a_reader_that_is_gone_is_no_error(tmp_path: Path, words: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "amibake", *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (0, b"")


class Full(io.StringIO):
    """Stands for standard output on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kind", [Plain, Quiet, Lines])
def test_a_result_that_can_not_be_written_is_an_error(kind: type[Plain], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    with kind() as report, pytest.raises(AmibakeError, match="standard output can't be written to: No space left"):
        report.done(Outcome({"policy": {}}, ["text"], brief=["brief"]))


def test_a_line_under_way_that_can_not_be_written_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from amibake.events import StepStarted

    with Lines() as report:
        with monkeypatch.context() as full:
            full.setattr(sys, "stdout", Full())
            report.event(StepStarted("launch"))
        with pytest.raises(AmibakeError):
            report.done(Outcome({}))


def test_help_that_can_not_be_written_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone: list[tuple[int, int]] = []
    monkeypatch.setattr("os.dup2", lambda *given: gone.append(given))
    assert cli._unwritten(OSError(errno.ENOSPC, "No space left on device")) == 1
    assert capsys.readouterr().err == "error: standard output can't be written to: No space left on device\n"
    assert cli._unwritten(OSError(errno.EPIPE, "Broken pipe")) == 0
    assert [to for _, to in gone] == [1, 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it stands for a full disk")
@pytest.mark.parametrize("words", ["policy", "policy --json", "--help", "--version"])
def test_a_full_disk_shows_in_the_exit_status(words: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "amibake", *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
        )
    assert done.returncode == 1
    assert "error: standard output can't be written to: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
