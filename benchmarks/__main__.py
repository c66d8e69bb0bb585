"""Measure and tell: `python -m benchmarks [--rows NAME …] [--rounds N]`, as root; `make bench` is the same."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from statistics import median

from benchmarks.bakes import BAKES
from benchmarks.base import require_root
from benchmarks.measure import Failed
from benchmarks.place import Place, place
from benchmarks.rows import Row, Sample
from benchmarks.uploads import UPLOADS

ROWS: Sequence[Row] = (*BAKES, *UPLOADS)


def main() -> None:
    """The command line."""
    rows = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows), metavar="ROW", help=", ".join(rows))
    parser.add_argument("--rounds", type=int, help="how often each contender does each row")
    given = parser.parse_args()
    require_root()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with place() as where:
        for name in given.rows:
            _row(where, rows[name], given.rounds)


def _row(where: Place, row: Row, rounds: int | None) -> None:
    rounds = rounds or row.rounds
    print(f"{row.name}: {row.title}", flush=True)
    floor = row.floor(where)
    samples: dict[str, list[Sample]] = {contender: [] for contender in row.contenders}
    for number in range(-1 if row.warm else 0, rounds):
        for contender in row.contenders:
            try:
                sample = row.measure(where, contender)
            except Failed as error:
                print(f"  {contender}: {error}", flush=True)
                continue
            if number >= 0:
                samples[contender].append(sample)
                told = "".join(f", {value:.3g} {count}" for count, value in sample.counts.items())
                print(f"  {contender}: {sample.wall:.3f} s, CPU {sample.cpu:.3f} s{told}", flush=True)
                if sample.wall < floor:
                    print("    UNDER THE FLOOR: the bench is wrong", flush=True)
    print(f"  median of {rounds}; floor {floor:.3f} s, goal {row.goal} s")
    for contender, taken in samples.items():
        if taken:
            print(f"  {contender:20} {median(s.wall for s in taken):8.3f} s  CPU {median(s.cpu for s in taken):6.3f} s")


if __name__ == "__main__":
    main()
