"""The command as a process of its own: signals, pipes, and where something is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import amibake

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import os, sys
from amibake.cli import main
from amibake.testing import Answer, in_process
from tests.account import temporary

number = int(sys.argv[1])
with in_process() as place:
    if number:
        place.machines.behaviour.on("NODE_VERSION", Answer(does=lambda: os.kill(os.getpid(), number), stays=True))
    status = main(sys.argv[2:])
    left = temporary(place.session.client("ec2"))
sys.exit("left: " + str(left) if left else status)
"""
BUILD = ("build", "primal", "--app", "shop", "--source-ami", "debian-12", "--instance-type", "t3.micro", "--no-log")


def command(number: int, *words: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(number), *BUILD, *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_as_a_shell_expects_with_nothing_left(number: signal.Signals, tmp_path: Path) -> None:
    done = subprocess.run(command(number), capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=300)
    ended = 128 - done.returncode if done.returncode < 0 else done.returncode  # by the signal, or by an exit
    assert ended == 128 + number, done.stderr
    assert "removed instance " in done.stderr
    assert "removed key pair " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(0, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(300) == 0
    assert "Broken" not in said
    assert "publish the image: done" in said


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>&-"])
def test_a_standard_stream_that_is_closed_is_no_error_and_nothing_else_gets_its_number(
    tmp_path: Path, streams: str
) -> None:
    words = command(0, "--log-dir", str(tmp_path))
    words.remove("--no-log")
    script = f'"$@" {streams}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=300
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    (log,) = tmp_path.glob("*.log")
    assert all(line[:2] == "20" for line in log.read_text().splitlines())
    assert "shop-primal" in log.read_text().splitlines()[-1]


def test_a_closed_standard_input_is_no_terminal_and_no_fault(tmp_path: Path) -> None:
    words = command(0, "--on-error", "ask")
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *words], capture_output=True, text=True, cwd=tmp_path, env=environment()
    )
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "error: --on-error: nobody can be asked here, since standard input and standard error are no terminal",
    )


def test_a_terminal_that_can_not_show_a_sign_gets_its_number(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "amibake", "build", "primal", "--help"],
        capture_output=True,
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--node-version" in done.stdout


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['typer'] = None; from amibake.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "amibake: the command line needs more: pip install 'amibake[cli]'\n"


def test_the_version_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "amibake", "--version"], capture_output=True, text=True, cwd=tmp_path, env=environment()
    )
    assert (done.returncode, done.stdout) == (0, f"amibake {amibake.__version__}\n")


def test_the_sandboxs_own_commands_are_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "amibake", "sandbox", "up", "--port", "x"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.returncode == 2
    assert "invalid int value: 'x'" in done.stderr
