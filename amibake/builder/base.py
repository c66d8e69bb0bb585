"""What every group of options has in common."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from amibake.errors import InvalidOption


class Options(BaseModel):
    """A group of options: frozen, strict about names, and silent about values (one may be a secret)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=True
    )

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise InvalidOption(*_mistakes(error, type(self).model_fields)) from None


def _mistakes(error: ValidationError, known: Mapping[str, object]) -> list[str]:
    """Pydantic's findings in our words: the option, what is wrong, the nearest right name."""
    found: dict[str, str] = {}
    for mistake in error.errors(include_url=False, include_input=False):
        name = str(mistake["loc"][0]) if mistake["loc"] else "options"
        if mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1:
            near = get_close_matches(name, known, n=1)
            text = f"{name}: no such option" + (f"; did you mean {near[0]}?" if near else "")
        else:
            text = f"{name}: {mistake['msg'].removeprefix('Value error, ')}"
        found.setdefault(name, text)  # a union complains once for each of its branches
    return list(found.values())
