"""Times written as Go's `time.Format` and C's strftime write them, in UTC and English whatever the machine's locale."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_ELEMENT = re.compile(
    r"""January | Jan(?![a-z]) | Monday | Mon(?![a-z]) | MST
    | 0[1-6] | 002 | 15 | 1 | 2006 | 2 | _2(?!006) | __2 | [345] | PM | pm
    | [-Z]07(?: 0000 | :00:00 | 00 | :00 )?
    | [.,](?: 0+ | 9+ )(?![0-9])""",
    re.VERBOSE,
)
"""What Go takes for a part of the time, the longest first; everything else in a layout stands for itself."""

_WRITTEN: dict[str, Callable[[datetime], str]] = {
    "2006": lambda at: f"{at.year:04}",
    "06": lambda at: f"{at.year % 100:02}",
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "01": lambda at: f"{at.month:02}",
    "1": lambda at: f"{at.month}",
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "02": lambda at: f"{at.day:02}",
    "_2": lambda at: f"{at.day:2}",
    "2": lambda at: f"{at.day}",
    "002": lambda at: f"{at.timetuple().tm_yday:03}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3}",
    "15": lambda at: f"{at.hour:02}",
    "03": lambda at: f"{at.hour % 12 or 12:02}",
    "3": lambda at: f"{at.hour % 12 or 12}",
    "04": lambda at: f"{at.minute:02}",
    "4": lambda at: f"{at.minute}",
    "05": lambda at: f"{at.second:02}",
    "5": lambda at: f"{at.second}",
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
    "MST": lambda _: "UTC",
}

_DIRECTIVES = {
    "A": "Monday", "B": "January", "F": "2006-01-02", "H": "15", "I": "03", "M": "04", "S": "05", "T": "15:04:05",
    "Y": "2006", "Z": "MST", "a": "Mon", "b": "Jan", "d": "02", "e": "_2", "j": "002", "m": "01", "p": "PM", "y": "06",
    "z": "-0700",
}  # fmt: skip


def go_layout(layout: str, at: datetime) -> str:
    """`at`, which is in UTC, written as Go's layout shows it: `2006-01-02`, `Jan _2 15:04:05.000`, `Z07:00`.

    Raises:
        ValueError: nothing in the layout stands for a part of a time. Go would give it back as it is.
    """
    written, elements = _ELEMENT.subn(lambda element: _written(element[0], at), layout)
    if not elements:
        raise ValueError(
            f"nothing in the layout {layout!r} stands for a time; in Go's layouts it is the moment 2006-01-02 15:04:05"
        )
    return written


def strftime(format: str, at: datetime) -> str:  # noqa: A002 - C's own word
    """`at`, which is in UTC, with strftime's directives, as many as Packer has and %F, %T, %e, %j.

    Raises:
        ValueError: there is no such directive, or none at all.
    """

    def directive(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in _DIRECTIVES:
            known = " ".join(f"%{letter}" for letter in [*_DIRECTIVES, "%"])
            raise ValueError(f"unknown directive {match[0]!r} in the format {format!r}; there are {known}")
        return go_layout(_DIRECTIVES[match[1]], at)

    written, directives = re.subn(r"%(.?)", directive, format, flags=re.DOTALL)
    if not directives:
        raise ValueError(f"nothing in the format {format!r} stands for a time; %Y-%m-%d does")
    return written


def _written(element: str, at: datetime) -> str:
    if element in _WRITTEN:
        return _WRITTEN[element](at)
    if element[0] in ".,":
        digits = f"{at.microsecond:06}000"[: len(element) - 1]
        if element[1] == "9":
            digits = digits.rstrip("0")
        return element[0] + digits if digits else ""
    return "Z" if element[0] == "Z" else "+" + element[1:].replace("7", "0")
