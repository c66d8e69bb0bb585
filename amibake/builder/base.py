"""What every group of options has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from amibake.builder.wording import character_mistake, mistakes
from amibake.errors import InvalidOption
from amibake.secret import Secret

OURS = "amibake:"
MOST_TAGS = 40
"""EC2 takes 50 on a resource, and some are ours."""

_FREE = {"user_data"}
"""Options that may hold any text."""
_SEVERAL_LINES = {"policy", "temporary_iam_instance_profile_policy_document"}

Architecture = Literal["arm64", "x86_64", "i386"]


def tags_mistake(tags: Mapping[str, str]) -> str | None:
    """What EC2 would refuse of these tags, or None. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html"""
    if taken := [key for key in tags if key.lower().startswith((OURS, "aws:"))]:
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


def _is_tags(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        raise ValueError('has to be a dict {"name": "value"}, not a list of {"Key": …, "Value": …}')
    return value


Tags = Annotated[dict[str, str], BeforeValidator(_is_tags), AfterValidator(_possible)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, (str, int)) else value


OneOrMore = BeforeValidator(_listed)
"""A list of texts, or one alone."""


class Options(BaseModel):
    """A group of options: frozen, strict about names, and silent about values (one may be a secret)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    def __init__(self, /, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise InvalidOption(*mistakes(error, type(self), options)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value: Any, info: ValidationInfo) -> Any:
        """What holds for every option, whatever its own type."""
        name = info.field_name or ""
        if isinstance(value, Secret) and not cls.model_fields[name].repr:
            value = value.reveal()
        if name not in _FREE and (mistake := character_mistake(value, several_lines=name in _SEVERAL_LINES)):
            raise ValueError(mistake)
        kind = cls.model_fields[name].annotation
        if isinstance(value, bool) and {int, float} & {kind, *get_args(kind)}:
            raise ValueError("has to be a number")  # Python and pydantic take True for 1
        return value


class Group(Options, defer_build=True):
    """Options of one subject. Most are given values only together, as `Builder`, so pydantic does not prepare each for
    that by itself; those that are say so. (To prepare one when it first is, is not safe in several threads.)"""


class Part(Options):
    """Options that belong together and are the value of one option, given as a dict or as an object of this class."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """The object of a dict's keys; what is no dict is left for pydantic to judge."""
        if not isinstance(value, Mapping):
            return value
        if not all(isinstance(key, str) for key in value):
            raise ValueError("its keys have to be text")
        try:
            return cls(**value)
        except InvalidOption as error:
            raise ValueError("\n".join(error.mistakes)) from None
