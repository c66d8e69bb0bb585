"""The command line, `amibake`. Needs the `cli` extra.

Nothing heavy is imported before it is used: `amibake --help` loads neither boto3 nor paramiko nor the options' model.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers with its exit status. `arguments` are by default those of the process."""
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
    return 0
