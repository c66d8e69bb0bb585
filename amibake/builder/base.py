"""What every group of options has in common."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from amibake.errors import InvalidOption

OURS = "amibake:"
MOST_TAGS = 40
"""EC2 takes 50 on a resource, and some are ours."""


def tags_mistake(tags: Mapping[str, str]) -> str | None:
    """What EC2 would refuse of these tags, or None. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html"""
    if taken := [key for key in tags if key.startswith((OURS, "aws:"))]:
        return f"{', '.join(taken)}: keys that begin with {OURS!r} or 'aws:' are taken"
    if wrong := [key for key in tags if not 1 <= len(key) <= 128]:
        return f"{wrong[0][:20]!r}…: a key has 1 to 128 characters"
    if long := [key for key, value in tags.items() if len(value) > 256]:
        return f"{', '.join(long)}: a value has at most 256 characters"
    return f"more than {MOST_TAGS}" if len(tags) > MOST_TAGS else None


def _possible(tags: dict[str, str]) -> dict[str, str]:
    if mistake := tags_mistake(tags):
        raise ValueError(mistake)
    return tags


Tags = Annotated[dict[str, str], AfterValidator(_possible)]


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


def _mistakes(error: ValidationError, known: Mapping[str, FieldInfo]) -> list[str]:
    """Pydantic's findings in our words: the option, what is wrong, the nearest right name."""
    found: dict[str, str] = {}
    for mistake in error.errors(include_url=False, include_input=False):
        message = mistake["msg"].removeprefix("Value error, ")
        # A mistake of several options together names the one to begin with by itself.
        name, _, message = message.partition(": ") if not mistake["loc"] else (str(mistake["loc"][0]), "", message)
        if mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1:
            near = get_close_matches(name, known, n=1)
            text = f"{name}: no such option" + (f"; did you mean {near[0]}?" if near else "")
        elif mistake["type"] == "string_pattern_mismatch" and name in known:
            text = f"{name}: not the right form: {known[name].description}"
        else:
            text = f"{name}: {message}"
        found.setdefault(name, text)  # a union complains once for each of its branches
    return list(found.values())
