"""Events, images and errors as what fits into JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from amibake.events import Event


def of_event(event: Event) -> dict[str, Any]:
    """The event's name ("step_started") as `event`, and its attributes."""
    return {"event": name_of(type(event)), **plain(event)}


def name_of(kind: type[Event]) -> str:
    """ "step_started" of StepStarted."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def plain(value: Any) -> Any:
    """The value with nothing in it but what JSON has; objects are their attributes, and what else there is is text."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return str(value)
