"""Events, images and errors as what fits into JSON."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from amibake.events import Event
from amibake.image import Image


def of_event(event: Event) -> dict[str, Any]:
    """The event's name ("step_started") as `event`, and its attributes."""
    return {"event": name_of(type(event)), **{key: _simple(value) for key, value in asdict(event).items()}}


def name_of(kind: type[Event]) -> str:
    """ "step_started" of StepStarted."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def of_image(image: Image) -> dict[str, Any]:
    """All that an image says of itself, its mappings as plain ones."""
    plain = {key: getattr(image, key) for key in image.__dataclass_fields__}
    return {key: _simple(value) for key, value in plain.items()}


def _simple(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "items"):
        return {str(key): _simple(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_simple(one) for one in value]
    return str(value)
