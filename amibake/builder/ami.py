"""What the image is called, and what is written on it."""

from __future__ import annotations

from pydantic import Field

from amibake.builder.base import Options, Tags


class Ami(Options):
    """The image."""

    ami_name: str = Field(min_length=3)
    """The image's name, unique in the account and region, 3 to 128 characters; may hold template expressions such
    as {{timestamp}}."""

    ami_description: str = Field("", max_length=255)
    """The image's description; may hold template expressions [none]."""

    tags: Tags = Field(default_factory=dict)
    """Tags for the image and its snapshots; values may hold template expressions."""

    app: str | None = None
    """The application: the value of the tag `amibake:app`. The recipes set it."""

    stage: str | None = None
    """The stage, "primal" or "carnivore": the value of the tag `amibake:stage`. The recipes set it."""

    node_env: str | None = None
    """The environment: the value of the tag `amibake:node-env`. The recipes set it."""

    max_build_time: float = Field(4 * 3600, gt=0)
    """Seconds that the whole bake may take; half an hour later all its temporary things count as dead."""
