"""Writes docs/json-lines.schema.json: what `--json` prints, a JSON Schema for each of its lines.

python -m tools.schema
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from amibake import events
from amibake.cli.jsonlines import name_of
from amibake.cli.report import Note
from amibake.image import Image

SCHEMA = Path(__file__).parent.parent / "docs" / "json-lines.schema.json"

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_LOG = {"description": "The file with the complete log, null where there is none.", "type": ["string", "null"]}
_ERROR: dict[str, Any] = {
    "error": {"description": "The error's class in Python, or Interrupted.", **_TEXT},
    "message": _TEXT,
    "hint": {"description": "What to do about it, or empty.", **_TEXT},
    "exit_code": {"type": "integer"},
    "code": {"description": "EC2's own word for it, or empty.", **_TEXT},
    "build": {"description": "The bake's id, null where none had begun.", "type": ["string", "null"]},
    "leftovers": {"description": "What stays behind, with the commands that remove it.", **_TEXTS},
    "tail": {"description": "The last lines that the script printed.", **_TEXTS},
}


def _closed(**properties: Any) -> dict[str, Any]:
    """An object with these properties, all of them, and no others."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


_SANDBOX = _closed(
    id=_TEXT,
    region=_TEXT,
    endpoint_url=_TEXT,
    node_mirror=_TEXT,
    pid={"type": "integer"},
    since={"type": "number", "description": "Seconds since 1970."},
    instances={
        "type": "array",
        "items": _closed(
            id=_TEXT, state=_TEXT, instance_type=_TEXT, image=_TEXT, address=_TEXT, name=_TEXT, build=_TEXT
        ),
    },
)
_DOCTOR = _closed(
    ok={"type": "boolean", "description": "Whether nothing is wrong."},
    checks={
        "type": "array",
        "items": _closed(check=_TEXT, state={"enum": ["ok", "wrong", "unknown"]}, said=_TEXT, hint=_TEXT),
    },
)
_PLAN = _closed(
    name={"description": "What the image would be called now.", **_TEXT},
    region=_TEXT,
    regions={"description": "Where the image would be in the end.", **_TEXTS},
    source_ami={"type": "object", "description": "id, name, owner, architecture, creation_date and more."},
    options={"type": "object", "description": "Those that are not as they are by default, secrets hidden."},
    provisioners={
        "type": "array",
        "items": _closed(
            does=_TEXT,
            files={"type": "integer", "description": "How many are sent."},
            bytes={"type": "integer"},
            variables={"type": "object", "description": "What a script sees, secrets hidden."},
        ),
    },
    calls={
        "type": "array",
        "description": "Those that change something, in order.",
        "items": _closed(step=_TEXT, call=_TEXT, about=_TEXT, region={"description": "Empty for IAM.", **_TEXT}),
    },
)


@dataclass(frozen=True)
class _Plain(Image):
    """What JSON has of one."""

    timings: Mapping[str, float]  # type: ignore[assignment]


def schema() -> dict[str, Any]:
    """All of it."""
    kinds = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]
    never = (events.Event, events.OfBake)  # no command bakes several side by side
    lines = [_of_event(kind) for kind in [*kinds, Note] if kind not in never]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of amibake --json",
        "description": "The last line is a result or an error; readers should ignore events that they do not know.",
        "oneOf": [*lines, _result(), _line("error", "The command failed. The last line.", _ERROR, {"log": _LOG})],
    }


def _of_event(kind: type[events.Event]) -> dict[str, Any]:
    adapted: Any = TypeAdapter(kind)
    properties = adapted.json_schema().get("properties", {})
    for one in properties.values():
        one.pop("title", None)
        one.pop("default", None)
    return _line(name_of(kind), " ".join((inspect.getdoc(kind) or "").replace("`", "").split()), properties)


def _result() -> dict[str, Any]:
    adapted: Any = TypeAdapter(_Plain)
    image = adapted.json_schema()
    image["required"] = list(image["properties"])
    image.pop("title")
    image["description"] = "An image, as amibake.Image in Python."
    anything = {"type": "object"}
    more = {
        "log": _LOG,
        "image": {"anyOf": [image, {"type": "null"}], "description": "Of build; null with --skip-create-ami."},
        "images": {"type": "array", "items": image, "description": "Of images."},
        "instance": {**anything, "description": "Of launch: id, region, public_ip, private_ip."},
        "sweep": {**anything, "description": "Of sweep, as amibake.Sweep in Python."},
        "policy": {**anything, "description": "Of policy."},
        "doctor": {**_DOCTOR, "description": "Of doctor."},
        "sandboxes": {"type": "array", "items": _SANDBOX, "description": "Of sandbox list."},
        "console": {**_TEXTS, "description": "Of sandbox console: the lines."},
        "plan": {**_PLAN, "description": "Of build with --plan."},
    }
    return _line("result", "The command went well. The last line.", {}, more)


def _line(
    name: str, description: str, properties: dict[str, Any], optional: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {
            "event": {"const": name},
            "time": {"type": "number", "description": "Seconds since 1970."},
            **properties,
            **(optional or {}),
        },
        "required": ["event", "time", *properties],
        "additionalProperties": False,
    }


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text())
