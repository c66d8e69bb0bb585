"""What the image is called, and what is written on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from amibake.builder.base import Options

OURS = "amibake:"


def _not_ours(tags: dict[str, str]) -> dict[str, str]:
    if taken := [key for key in tags if key.startswith((OURS, "aws:"))]:
        raise ValueError(f"{', '.join(taken)}: keys that begin with {OURS!r} or 'aws:' are taken")
    return tags


class Ami(Options):
    """The image."""

    ami_name: str = Field(min_length=3)
    """The image's name, unique in the account and region, 3 to 128 characters; may hold template expressions such
    as {{timestamp}}."""

    ami_description: str = Field("", max_length=255)
    """The image's description; may hold template expressions [none]."""

    tags: Annotated[dict[str, str], AfterValidator(_not_ours)] = Field(default_factory=dict)
    """Tags for the image and its snapshots; values may hold template expressions."""

    app: str | None = None
    """The application: the value of the tag `amibake:app`. The recipes set it."""

    stage: str | None = None
    """The stage, "primal" or "carnivore": the value of the tag `amibake:stage`. The recipes set it."""

    node_env: str | None = None
    """The environment: the value of the tag `amibake:node-env`. The recipes set it."""

    max_build_time: float = Field(4 * 3600, gt=0)
    """Seconds that the whole bake may take; half an hour later all its temporary things count as dead."""
