"""What every group of options has in common."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from amibake.errors import InvalidOption

OURS = "amibake:"
MOST_TAGS = 40
"""EC2 takes 50 on a resource, and some are ours."""

Architecture = Literal["arm64", "x86_64", "i386"]


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


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


OneOrMore = BeforeValidator(_listed)
"""A list of texts, or one alone."""


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


class Part(Options):
    """Options that belong together and are the value of one option, given as a dict or as an object of this class."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """The object of a dict's keys; what is no dict is left for pydantic to judge."""
        if not isinstance(value, Mapping):
            return value
        try:
            return cls(**value)
        except InvalidOption as error:
            raise ValueError("; ".join(error.mistakes)) from None
        except TypeError as error:  # a key that is no text
            raise ValueError(str(error)) from None


def _mistakes(error: ValidationError, known: Mapping[str, FieldInfo]) -> list[str]:
    """Pydantic's findings in our words: the option, what is wrong, the nearest right name."""
    found: dict[str, str] = {}
    for mistake in error.errors(include_url=False, include_input=False):
        message = mistake["msg"].removeprefix("Value error, ")
        if not mistake["loc"]:  # mistakes of several options together name the first by themselves, one in each line
            found.update((line, line) for line in message.splitlines())
            continue
        name = str(mistake["loc"][0])
        if mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1:
            near = get_close_matches(name, known, n=1)
            text = f"{name}: no such option" + (f"; did you mean {near[0]}?" if near else "")
        elif mistake["type"] == "string_pattern_mismatch" and name in known:
            text = f"{name}: not the right form: {known[name].description}"
        else:
            text = f"{name}: {message}"
        found.setdefault(name, text)  # a union complains once for each of its branches
    return list(found.values())
