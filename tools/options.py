"""Writes what follows from the model of the options: amibake/builder/keywords.py, the same as keywords for editors and
type checkers, and docs/reference.md, which has the provisioners' options too.

    python -m tools.options
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

import amibake
from amibake import builder
from amibake.builder import GROUPS, Builder
from amibake.builder.base import OneOrMore, Options, Part
from amibake.builder.descriptions import descriptions
from tools import provisioners

ROOT = Path(__file__).parent.parent
KEYWORDS = ROOT / "amibake" / "builder" / "keywords.py"
REFERENCE = ROOT / "docs" / "reference.md"

PARTS: tuple[type[Part], ...] = tuple(
    found
    for name in sorted(builder.__all__)
    if isinstance(found := getattr(builder, name), type) and issubclass(found, Part)
)

BY_RECIPE = ("app", "stage", "node_env")
"""What the recipes decide; `app` is a parameter of theirs."""
SOURCE = ("source_ami",)
"""What build_carnivore has as a parameter of its own."""


class Accepted(NamedTuple):
    """What an option takes: for type checkers, and in words."""

    type: str
    words: str


_SECONDS = Accepted("float | str | timedelta", 'a number of seconds, or text such as `"90s"` or `"1h30m"`')
_SECRET = Accepted("str | Secret | None", "text, or a `Secret`")
_FILTERS = Accepted("Mapping[str, str] | Mapping[str, Mapping[str, str]] | None", "a dict of texts")
_POLICY = Accepted("str | Mapping[str, Any] | None", "a dict, or JSON text")
MORE = {
    "ami_regions": Accepted(
        "str | Sequence[str] | Mapping[str, str | None]", "text, a list of texts, or a dict {region: KMS key}"
    ),
    "deprecate_after": Accepted("str | timedelta | None", 'text such as `"90d"`, or a `timedelta`'),
    "deprecate_at": Accepted("str | datetime | None", "text, or a `datetime`"),
    "deregistration_protection": Accepted(
        "bool | DeregistrationProtection | Mapping[str, Any]",
        "`True` or `False`, or a `DeregistrationProtection`, or its fields as a dict",
    ),
    "license_specifications": Accepted(
        "str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]",
        "text, or Packer's block as a dict, or a list of them",
    ),
    "max_build_time": _SECONDS,
    "policy": _POLICY,
    "region_kms_key_ids": Accepted("Mapping[str, str]", "a dict of texts"),
    "retry_timeout": _SECONDS,
    "security_group_filter": _FILTERS,
    "spot_price": Accepted("str | float | Decimal | None", "text, or a number"),
    "ssh_bastion_password": _SECRET,
    "ssh_keep_alive_interval": _SECONDS,
    "ssh_password": _SECRET,
    "ssh_timeout": _SECONDS,
    "subnet_filter": Accepted("SubnetFilter | Mapping[str, Any] | None", "a `SubnetFilter`, its fields, or filters"),
    "temporary_iam_instance_profile_policy_document": _POLICY,
    "vpc_filter": _FILTERS,
}
"""What is accepted where that is more than the field's own type."""

SYNONYMS = {"security_group_id": "str | Sequence[str]", "source_ami_filter": "ImageFilter | Mapping[str, Any]"}

HEAD = '''"""The builder's options as keywords, so that editors complete them and type checkers know them.

Written by tools/options.py from the model; a test keeps the two equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from amibake.builder.access import AssumeRole
from amibake.builder.devices import BlockDevice
from amibake.builder.instance import MetadataOptions, Placement
from amibake.builder.network import SubnetFilter
from amibake.builder.publication import DeregistrationProtection
from amibake.builder.source import ImageFilter
from amibake.secret import Secret
'''
CLASS = '''

class {name}({base}, total=False):
    """{doc}"""

'''
CARNIVORE = """What `build_carnivore` takes besides its own: the builder's options but the source image's, and those
    that the recipe itself decides."""
PAGE = """# The options

<!-- Written by tools/options.py from the model; a test keeps the two equal. -->

Everything that `amibake.Builder(...)` takes, and `build_primal(...)` and `build_carnivore(...)` as keywords besides
their own. All are optional but `ami_name`, for which the two recipes have a default as well. Names are Packer's where
Packer has the option; [Coming from Packer](coming-from-packer.md) has what differs. At the end are the options of
[the provisioners](#step).

Every mistake of a configuration is in one `InvalidOption`, and is found before anything is launched.
"""


def accepted(annotation: Any) -> Accepted:
    """What a field of this type takes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return accepted(arguments[0])
    if origin in (Union, types.UnionType):
        parts = [accepted(part) for part in arguments]
        known = dict.fromkeys(one for part in parts for one in part.type.split(" | "))
        return Accepted(" | ".join(known), ", or ".join(part.words for part in parts if part.type != "None"))
    if origin is tuple:
        inner = accepted(arguments[0])
        return Accepted(f"Sequence[{inner.type}]", f"a list of {_plural(inner.words)}")
    if origin is dict:
        return Accepted(f"Mapping[{', '.join(accepted(part).type for part in arguments)}]", "a dict of texts")
    if origin is Literal:
        quoted = [json.dumps(one) for one in arguments]
        return Accepted(f"Literal[{', '.join(quoted)}]", " or ".join(f"`{one}`" for one in quoted))
    if issubclass(annotation, Part):
        name = annotation.__name__
        return Accepted(f"{name} | Mapping[str, Any]", f"{_article(name)} `{name}`, or its fields as a dict")
    return _SIMPLE[annotation]


_SIMPLE = {
    type(None): Accepted("None", ""),
    Path: Accepted("str | os.PathLike[str]", "a path"),
    bool: Accepted("bool", "`True` or `False`"),
    float: Accepted("float", "a number"),
    int: Accepted("int", "a whole number"),
    str: Accepted("str", "text"),
}


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"


def _plural(words: str) -> str:
    return {"text": "texts"}.get(
        words, re.sub("^an? ", "", words).replace("`, or its", "`s, or their").replace("as a dict", "as dicts")
    )


def option(name: str, field: FieldInfo) -> Accepted:
    """What an option takes."""
    if name in MORE:
        return MORE[name]
    found = accepted(field.annotation)
    if OneOrMore not in field.metadata:
        return found
    one = found.words.removeprefix("a list of ")
    one = "text" if one == "texts" else one
    return Accepted(f"str | {found.type}", f"{one}, or a list of {'texts' if one == 'text' else 'them'}")


def keywords() -> str:
    """The module of keywords."""
    known = {name: option(name, field).type for name, field in Builder.model_fields.items()}
    known |= SYNONYMS
    text = HEAD
    for part in PARTS:
        text += CLASS.format(name=f"{part.__name__}Fields", base="TypedDict", doc=f"What `{part.__name__}` takes.")
        for name, field in part.model_fields.items():
            kind = option(name, field).type
            # a block device's name may stand by itself, in front of the others
            needed = field.is_required() and name != "device_name"
            text += f"    {name}: {f'Required[{kind}]' if needed else kind}\n"
    most = [name for name in known if name not in (*BY_RECIPE, *SOURCE, "source_ami_filter")]
    for name, base, doc, names in (
        (
            "CarnivoreOptions",
            "TypedDict",
            CARNIVORE,
            most,
        ),
        (
            "PrimalOptions",
            "CarnivoreOptions",
            "What `build_primal` takes besides its own.",
            [*SOURCE, "source_ami_filter"],
        ),
        ("BuilderOptions", "PrimalOptions", "All of the builder's options.", [*BY_RECIPE]),
    ):
        text += CLASS.format(name=name, base=base, doc=doc) + "".join(f"    {one}: {known[one]}\n" for one in names)
    return _formatted(text)


def _formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--no-cache", "--stdin-filename", str(KEYWORDS), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def reference() -> str:
    """The page of all options."""
    groups = [(*_heading(group), group, "") for group in GROUPS]
    parts = [(part.__name__, inspect.cleandoc(part.__doc__ or ""), part, f"{part.__name__}.") for part in PARTS]
    titles = [*(title for title, *_ in (*groups, *parts)), *(one.__name__ for one in provisioners.CLASSES)]
    contents = "".join(f"* [{title}](#{title.lower().replace(' ', '-')})\n" for title in titles)
    text = f"{PAGE}\n{contents}"
    for title, lead, model, prefix in (*groups, *parts):
        names = [name for name in model.__annotations__ if name in model.model_fields]
        text += f"\n## {title}\n\n{lead}\n" + "".join(
            f"\n### `{prefix}{name}`\n\n{_entry(name, model)}" for name in names
        )
    return text + "".join(map(_of_a_provisioner, provisioners.CLASSES))


def _of_a_provisioner(provisioner: type[amibake.Step]) -> str:
    name = provisioner.__name__
    return f"\n## {name}\n\n{provisioners.lead(provisioner)}\n" + "".join(
        f"\n### `{name}.{one.name}`\n\n*{_sentence(one.takes)}; default: {one.default}*\n\n{one.text}\n"
        for one in provisioners.options(provisioner)
    )


def _heading(group: type) -> tuple[str, str]:
    """ "Network: where the builder runs." as a title and a sentence."""
    title, _, lead = inspect.cleandoc(group.__doc__ or "").partition(": ")
    return title, lead[:1].upper() + lead[1:]


def _entry(name: str, model: type[Options]) -> str:
    field, description = model.model_fields[name], " ".join(descriptions(model).get(name, "").split())
    bracket = re.search(r" ?\[([^]]*)\]", description)
    if bracket:
        description = description.replace(bracket[0], "", 1)
    default = (
        "required" if field.is_required() else f"default: {bracket[1].rstrip('.') if bracket else _default(field)}"
    )
    return f"*{_sentence(option(name, field).words)}{_limits(field)}; {default}*\n\n{description.rstrip()}\n"


def _limits(field: FieldInfo) -> str:
    """ "0 to 9", where both are accepted; of a limit that is not, the words say so."""
    kinds = ("gt", "ge", "lt", "le")
    known = {kind: value for one in field.metadata for kind in kinds if (value := getattr(one, kind, None)) is not None}
    low = f"more than {known['gt']}" if "gt" in known else str(known["ge"]) if "ge" in known else ""
    high = f"less than {known['lt']}" if "lt" in known else f"{known['le']}" if "le" in known else ""
    if "ge" in known and "le" in known:
        return f", {low} to {high}"
    low = f"at least {low}" if "ge" in known else low
    high = f"at most {high}" if "le" in known else high
    return "".join(f", {limit}" for limit in [" and ".join(filter(None, [low, high]))] if limit)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, Part):
        return f"`{type(value).__name__}()`"
    return f"`{json.dumps(value)}`" if isinstance(value, str) else f"`{value}`"


def contents() -> Iterable[tuple[Path, str]]:
    """Every file that this writes, with what is to be in it."""
    yield KEYWORDS, keywords()
    yield REFERENCE, reference()


if __name__ == "__main__":
    for path, text in contents():
        path.write_text(text)
