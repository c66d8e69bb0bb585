"""Where the time of a bake went."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from amibake.timings import Timings

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


def timeline(timings: Timings, width: int) -> Table:
    """A line for each step, with a bar where it began and ended, and what all of them have waited for."""
    total = timings.total or 1.0
    bar = _BAR if width > _NARROW else min(_BAR // 2, width // 3)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(8, width - bar - 12))
    table.add_column(no_wrap=True, min_width=bar)
    table.add_column(justify="right", no_wrap=True)
    for step in timings.steps:
        start, end = (round(bar * at / total) for at in (step.start, step.start + step.seconds))
        drawn = Text(" " * min(start, bar - 1) + ("━" * (end - start) or "╸"), "cyan")
        table.add_row(f"  {step.name}", drawn, duration(step.seconds))
    table.add_row(Text("  in all", "bold"), "", Text(duration(timings.total), "bold"))
    for what, seconds in _waited(timings).items():
        table.add_row(Text(f"  of which until {what}", "dim"), "", Text(duration(seconds), "dim"))
    return table


def _waited(timings: Timings) -> dict[str, float]:
    waited: dict[str, float] = {}
    for one in timings.waits:
        waited[one.what] = waited.get(one.what, 0.0) + one.seconds
    return waited
