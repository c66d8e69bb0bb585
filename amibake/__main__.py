"""`python -m amibake` is the command `amibake`."""

from __future__ import annotations

import sys

from amibake.cli import main

if __name__ == "__main__":
    sys.exit(main())
