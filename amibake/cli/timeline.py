"""Where the time of a bake went."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

_BAR = 30
"""The width of the longest bar, on a terminal of more than 100 columns."""
_NARROW = 100


def duration(seconds: float) -> str:
    """ "0.4 s", "12.3 s" or "2:05", for columns of them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def timeline(timings: Mapping[str, float], width: int) -> Table:
    """A line for each step, with a bar where it began and ended, one step after another."""
    total = sum(timings.values()) or 1.0
    bar = _BAR if width > _NARROW else min(_BAR // 2, width // 3)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(8, width - bar - 12))
    table.add_column(no_wrap=True, min_width=bar)
    table.add_column(justify="right", no_wrap=True)
    before = 0.0
    for step, seconds in timings.items():
        start, end = (round(bar * at / total) for at in (before, before + seconds))
        before += seconds
        table.add_row(
            f"  {step}", Text(" " * min(start, bar - 1) + ("━" * (end - start) or "╸"), "cyan"), duration(seconds)
        )
    table.add_row(Text("  in all", "bold"), "", Text(duration(sum(timings.values())), "bold"))
    return table
