"""The command line, `amibake`. Needs the `cli` extra.

Nothing heavy is imported before it is used: `amibake --help` loads neither boto3 nor paramiko nor the options' model.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers with its exit status. `arguments` are by default those of the process."""
    _see_to_the_streams()
    try:
        from amibake.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print("amibake: the command line needs more: pip install 'amibake[cli]'", file=sys.stderr)
        return 1
    try:
        app(args=None if arguments is None else list(arguments), prog_name="amibake")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:
        return _unwritten(error)
    return 0


def _unwritten(error: OSError) -> int:
    """Tell that what was to be printed, the help say, could not be; answers with the exit status. A reader that has
    seen enough is no error. What is still to be written is given up."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    if error.errno == errno.EPIPE:
        return 0
    print(f"error: standard output can't be written to: {error.strerror}", file=sys.stderr)
    return 1


def _see_to_the_streams() -> None:
    """Let there be standard streams. Where one is closed, a file or a connection would get its number, and what is told
    there go into that."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for as long as we run
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # of what a terminal can't show, more than an error
