"""The plot: a bar for each contender of each row, as SVG. Each row has a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.rows import OURS, Results, Row

_WIDTH, _LEFT, _RIGHT = 860, 190, 110
_BAR, _GAP, _HEAD = 16, 4, 26
_OURS, _OTHERS, _FLOOR, _GOAL = "#1b6ca8", "#b9bec4", "#c0392b", "#2e7d32"


def plot(rows: Sequence[Row], results: Results) -> str:
    """One picture of all of them."""
    parts, y = list[str](), 34
    for row in rows:
        walls, floor, goal = results[row.name].walls(), results[row.name].floor, row.goal(results)
        if not walls:
            continue
        most = max(*walls.values(), floor, goal or 0.0)
        parts.append(_text(10, y + 16, row.title.replace("`", ""), weight="bold"))
        top = y = y + _HEAD
        for who, wall in walls.items():
            length = _length(wall, most)
            colour = _OURS if who == OURS else _OTHERS
            parts.append(_text(_LEFT - 8, y + 12, who, anchor="end"))
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>')
            parts.append(_text(_LEFT + length + 6, y + 12, f"{wall:.3g} s"))
            y += _BAR + _GAP
        parts += [_mark(floor, most, top, y, _FLOOR)] if floor else []
        parts += [_mark(goal, most, top, y, _GOAL, dashes="4 3")] if goal else []
        y += 10
    legend = [
        _text(10, 20, "seconds from exec to exit, medians; less is better"),
        _text(470, 20, "| floor: nobody can be faster", colour=_FLOOR),
        _text(680, 20, "¦ goal of amibake", colour=_GOAL),
    ]
    size = f'width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
    background = f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
    body = "\n".join([background, *legend, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'


def _length(value: float, most: float) -> float:
    return (_WIDTH - _LEFT - _RIGHT) * value / most


def _mark(value: float, most: float, top: int, bottom: int, colour: str, dashes: str = "") -> str:
    x = _LEFT + _length(value, most)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" y2="{bottom - 2}" stroke="{colour}" stroke-width="1.5" '
        f'stroke-dasharray="{dashes or "none"}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#222") -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(text)}</text>'
