"""Measure and tell: `python -m benchmarks [--rows NAME …] [--rounds N] [--write]`, as root."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks import keeping, report
from benchmarks.bakes import BAKES
from benchmarks.base import require_root
from benchmarks.place import place
from benchmarks.rows import Result, Results, Row
from benchmarks.running import measure, summary
from benchmarks.starts import Start
from benchmarks.uploads import UPLOADS

ROWS: Sequence[Row] = (*BAKES, *UPLOADS, Start())


def main() -> int:
    """The command line; answers with 1 where something can't be right, or could not be measured."""
    rows = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows), metavar="ROW", help=", ".join(rows))
    parser.add_argument("--rounds", type=int, help="how often each contender does each row")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md's table and plot")
    given = parser.parse_args()
    require_root()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    machine, measured = keeping.this_machine(), dict[str, Result]()
    try:
        with place() as where:
            for name in given.rows:
                measured[name] = measure(where, rows[name], given.rounds)
    except KeyboardInterrupt:
        print("interrupted; everything is removed", file=sys.stderr)
        return 130
    results = {**keeping.load(machine), **measured}
    print(f"\nmedians, on {machine}")
    for name in measured:
        print(summary(rows[name], results))
    if given.write:
        _write(machine, results)
    return 1 if any(result.under_floor or result.failed for result in measured.values()) else 0


def _write(machine: str, results: Results) -> None:
    keeping.save(machine, results)
    for name in report.write(ROWS, results, machine):
        print(f"{report.PAGE.name} does not say yet why {name} is as it is: it needs a heading of that name")


if __name__ == "__main__":
    sys.exit(main())
