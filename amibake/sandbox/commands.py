"""The one place in which the sandbox runs another program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from amibake.errors import AmibakeError

_GRACE = 5.0


class CommandFailed(AmibakeError):
    """A program exited with another status than 0.

    Attributes:
        status: Its exit status; -1 when it did not end in time.
        output: What it wrote to its standard error, or to its standard output if that was empty.
    """

    def __init__(self, command: tuple[str, ...], status: int, output: str) -> None:
        ending = "did not end in time" if status == -1 else f"exited with status {status}"
        words = [word for word in command if not word.startswith("-")][:4]
        super().__init__(f"`{' '.join(words)} …` {ending}: {output.strip()[-2000:]}")
        self.status = status
        self.output = output


def run(
    *command: str | Path,
    stdin: str = "",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: float = 60.0,
) -> str:
    """Run a program to its end and answer with what it wrote to its standard output.

    It gets a session of its own, so that Ctrl-C reaches us only and what it has begun can be undone in order; when we
    are interrupted, it and its children are asked to end, and killed five seconds later.

    Args:
        env: What is added to our own environment.
        timeout: In seconds.

    Raises:
        CommandFailed: It exited with another status than 0, or did not end in time.
    """
    words = tuple(map(str, command))
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        _end(process)
        raise CommandFailed(words, -1, f"{timeout:g} s have passed") from error
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        raise CommandFailed(words, process.returncode, stderr or stdout)
    return stdout


def interact(*command: str) -> int:
    """Run a program at the user's own terminal, with the user's own streams; answers with its exit status. Ctrl-C is
    for the program."""
    with subprocess.Popen(command) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
