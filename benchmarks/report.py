"""The table and the plot of docs/performance.md. Whatever stands outside the markers stays, the reasons above all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plot import plot
from benchmarks.rows import OURS, Results, Row

PAGE = Path(__file__).parents[1] / "docs/performance.md"
PLOT = PAGE.with_suffix(".svg")
_BEGIN, _END = "<!-- table: written by `make bench` -->", "<!-- end of the table -->"
_HEAD = "| work | amibake | goal | others | floor |\n|---|---|---|---|---|"


def write(rows: Sequence[Row], results: Results, machine: str, page: Path = PAGE) -> list[str]:
    """Put what was measured into the page and beside it; answers with the rows that lack a reason there.

    Raises:
        ValueError: the page has no markers.
    """
    text = page.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{page} has no place for the table: {_BEGIN} … {_END}")
    measured = [row for row in rows if row.name in results]
    page.write_text(f"{before}{_BEGIN}\n\n{table(measured, results)}\n\nMeasured on {machine}.\n\n{_END}{after}")
    page.with_suffix(".svg").write_text(plot(measured, results))
    reasons = set(re.findall(r"(?m)^#+ (\S+)\n+(?=[^\s#])", before + after))
    return [row.name for row in measured if loses(row, results) and row.name not in reasons]


def table(rows: Sequence[Row], results: Results) -> str:
    """In Markdown; where amibake misses its goal or others are faster, with a link to why."""
    lines = [_HEAD]
    for row in rows:
        result = results[row.name]
        walls, goal = result.walls(), row.goal(results)
        ours = walls.pop(OURS, None)
        told = "failed" if ours is None else f"**{seconds(ours)}**"
        if loses(row, results):
            told += f" ([why](#{row.name}))"
        others = "<br>".join(
            f"{_cell(who)} {seconds(wall)}{_ratio(wall, ours if row.rivals else None)}" for who, wall in walls.items()
        )
        floor = seconds(result.floor) if result.floor else ""
        if result.under_floor:
            floor += f" — the bench is wrong: {', '.join(map(_cell, result.under_floor))}"
        lines.append(f"| {row.title} | {told} | {'' if goal is None else seconds(goal)} | {others} | {floor} |")
        lines += [f"| {one.title} | **{one.value:.3g}** | {one.goal:.3g} | | |" for one in row.counts(results)]
    return "\n".join(lines)


def loses(row: Row, results: Results) -> bool:
    """Whether amibake misses its goal, or somebody else is faster at the same work."""
    walls, goal = results[row.name].walls(), row.goal(results)
    ours = walls.pop(OURS, float("inf"))
    missed = (goal is not None and ours > goal) or any(count.value > count.goal for count in row.counts(results))
    return missed or (row.rivals and any(wall < ours for wall in walls.values()))


def seconds(value: float) -> str:
    """As people read it."""
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def _ratio(wall: float, ours: float | None) -> str:
    return f" ({wall / ours:.2f} ×)" if ours else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
