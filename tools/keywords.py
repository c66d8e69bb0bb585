"""Writes amibake/builder/keywords.py: the builder's options as keywords, from the model."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from amibake.builder import Builder
from amibake.builder.base import Part

TARGET = Path(__file__).parent.parent / "amibake" / "builder" / "keywords.py"

BY_RECIPE = ("app", "stage", "node_env")
"""What the recipes decide; `app` is a parameter of theirs."""
SOURCE = ("source_ami",)
"""What build_carnivore has as a parameter of its own."""

# what is accepted where that is more than the field's own type
MORE = {
    "ami_regions": "str | Sequence[str] | Mapping[str, str | None]",
    "deprecate_after": "str | timedelta | None",
    "deprecate_at": "str | datetime | None",
    "deregistration_protection": "bool | DeregistrationProtection | Mapping[str, Any]",
    "spot_price": "str | float | None",
    "subnet_filter": "SubnetFilter | Mapping[str, Any] | None",
    "temporary_iam_instance_profile_policy_document": "str | Mapping[str, Any] | None",
}
SYNONYMS = {"security_group_id": "str", "source_ami_filter": "ImageFilter | Mapping[str, Any]"}

HEAD = '''"""The builder's options as keywords, so that editors complete them and type checkers know them.

Written by tools/keywords.py from the model; a test keeps the two equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from amibake.builder.access import AssumeRole
from amibake.builder.devices import BlockDevice
from amibake.builder.instance import MetadataOptions, Placement
from amibake.builder.network import SubnetFilter
from amibake.builder.publication import DeregistrationProtection
from amibake.builder.source import ImageFilter


class CarnivoreOptions(TypedDict, total=False):
    """What `build_carnivore` takes besides its own: the builder's options but the source image's, and those that the
    recipe itself decides."""

'''
PRIMAL = '''

class PrimalOptions(CarnivoreOptions, total=False):
    """What `build_primal` takes besides its own."""

'''
ALL = '''

class BuilderOptions(PrimalOptions, total=False):
    """All of the builder's options."""

'''


def accepted(annotation: Any) -> str:
    """The type of what an option takes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return accepted(arguments[0])
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(one for part in arguments for one in accepted(part).split(" | ")))
    if origin is tuple:
        return f"Sequence[{accepted(arguments[0])}]"
    if origin is dict:
        return f"Mapping[{', '.join(accepted(part) for part in arguments)}]"
    if origin is Literal:
        return f"Literal[{', '.join(json.dumps(one) for one in arguments)}]"
    if annotation is type(None):
        return "None"
    if annotation is Path:
        return "str | os.PathLike[str]"
    if issubclass(annotation, Part):
        return f"{annotation.__name__} | Mapping[str, Any]"
    return str({datetime: "datetime", timedelta: "timedelta"}.get(annotation, annotation.__name__))


def keywords() -> dict[str, str]:
    """{option: the type of what it takes}."""
    from amibake.builder.base import OneOrMore

    found = {}
    for name, field in Builder.model_fields.items():
        text = MORE.get(name) or accepted(field.annotation)
        found[name] = f"str | {text}" if OneOrMore in field.metadata and name not in MORE else text
    return found


def render() -> str:
    """The whole module."""
    known = keywords()

    def lines(names: Iterator[str]) -> str:
        return "".join(f"    {name}: {({**known, **SYNONYMS})[name]}\n" for name in names)

    most = (name for name in [*known, "security_group_id"] if name not in (*BY_RECIPE, *SOURCE))
    return "".join(
        [HEAD, lines(most), PRIMAL, lines(iter([*SOURCE, "source_ami_filter"])), ALL, lines(iter(BY_RECIPE))]
    )


if __name__ == "__main__":
    TARGET.write_text(render())
