"""{{timestamp}} and its like, in names, descriptions and tags: the part of Packer's template language that names need.

`{{timestamp}}`, `{{isotime}}`, `{{uuid}}`, fields of the build such as `{{ .SourceAMIName }}`, and the pipes
`| clean_resource_name`, `| lower`, `| upper`. The time is the bake's start, the same wherever it is used.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

FIELDS = ("BuildRegion", "SourceAMI", "SourceAMICreationDate", "SourceAMIName", "SourceAMIOwner")
"""What `{{ .Field }}` can name."""

_EXPRESSION = re.compile(r"{{(.*?)}}", re.DOTALL)

_FUNCTIONS: dict[str, Callable[[float], str]] = {
    "timestamp": lambda epoch: str(int(epoch)),
    "isotime": lambda epoch: datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "uuid": lambda _: str(uuid.uuid4()),
}
_PIPES: dict[str, Callable[[str], str]] = {
    "clean_resource_name": lambda text: re.sub(r"[^A-Za-z0-9()\[\] ./'@_-]", "-", text),
    "lower": str.lower,
    "upper": str.upper,
}


def render(text: str, *, epoch: float, fields: Mapping[str, str]) -> str:
    """Fill in every expression; `epoch` is the bake's start in seconds since 1970, `fields` has all of FIELDS.

    Raises:
        ValueError: an expression that is not one of this module's; the message lists those.
    """

    def fill(match: re.Match[str]) -> str:
        head, *pipes = (part.strip() for part in match[1].split("|"))
        try:
            value = fields[head[1:]] if head.startswith(".") else _FUNCTIONS[head](epoch)
            for pipe in pipes:
                value = _PIPES[pipe](value)
        except KeyError as error:
            known = ", ".join([*_FUNCTIONS, *(f".{name}" for name in FIELDS), *(f"| {name}" for name in _PIPES)])
            raise ValueError(f"{match[0]}: unknown {error.args[0]!r}; there are {known}") from error
        return value

    return _EXPRESSION.sub(fill, text)


def check(text: str) -> None:
    """Raises ValueError when `render` would."""
    render(text, epoch=0, fields=dict.fromkeys(FIELDS, ""))
