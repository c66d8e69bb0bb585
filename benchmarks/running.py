"""Measuring rows, and saying what is measured as it is."""

from __future__ import annotations

from benchmarks.measure import Failed
from benchmarks.place import Place
from benchmarks.rows import OURS, Result, Results, Row, Sample


def measure(place: Place, row: Row, rounds: int | None = None) -> Result:
    """All contenders, one after another, so many times round [as often as the row says]."""
    print(f"\n{row.name}: {row.title}", flush=True)
    floor = row.floor(place)
    samples: dict[str, list[Sample]] = {contender: [] for contender in row.contenders}
    for number in range(-1 if row.warm else 0, rounds or row.rounds):
        for contender in row.contenders:
            try:
                sample = row.measure(place, contender)
            except Failed as error:
                print(f"  {contender}: {error}", flush=True)
                continue
            if number >= 0:
                samples[contender].append(sample)
                counted = "".join(f", {value:.4g} {what}" for what, value in sample.counts.items())
                print(f"  {contender:16} {sample.wall:8.3f} s, CPU {sample.cpu:6.3f} s{counted}", flush=True)
    return Result(floor, samples)


def summary(row: Row, results: Results) -> str:
    """The medians and ratios of one row, for people at a terminal."""
    result = results[row.name]
    walls, cpus, goal = result.walls(), result.cpus(), row.goal(results)
    ours = walls.get(OURS)
    lines = [f"\n{row.title}", f"  {'floor':28} {result.floor:8.3f} s"]
    if goal is not None:
        met = "" if ours is None else "  met" if ours <= goal else "  MISSED"
        lines.append(f"  {'goal':28} {goal:8.3f} s{met}")
    for who, wall in walls.items():
        ratio = "" if who == OURS or not ours or not row.rivals else f"  {wall / ours:.2f} × amibake's"
        lines.append(f"  {who:28} {wall:8.3f} s  CPU {cpus[who]:6.3f} s{ratio}")
    for count in row.counts(results):
        met = "met" if count.value <= count.goal else "MISSED"
        lines.append(f"  {count.title}: {count.value:.3g}, goal {count.goal:.3g}  {met}")
    lines += [f"  {who} was UNDER THE FLOOR: the bench is wrong" for who in result.under_floor]
    return "\n".join(lines)
