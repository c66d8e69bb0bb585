"""Names, descriptions and tags with expressions in them."""

from __future__ import annotations

import uuid

import pytest

from amibake import template

FIELDS = {name: f"<{name}>" for name in template.FIELDS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ponyfoo-primal {{timestamp}}", "ponyfoo-primal 1700000000"),
        ("{{ isotime }}", "2023-11-14T22:13:20Z"),
        ("{{isotime | clean_resource_name}}", "2023-11-14T22-13-20Z"),
        ("from {{ .SourceAMI }} in {{.BuildRegion}}", "from <SourceAMI> in <BuildRegion>"),
        ("{{ .SourceAMIName | clean_resource_name | lower }}", "-sourceaminame-"),
        ("{{ .SourceAMI | upper }}", "<SOURCEAMI>"),
        ("no expression } { here", "no expression } { here"),
    ],
)
def test_expressions_are_filled_in(text: str, expected: str) -> None:
    assert template.render(text, epoch=1_700_000_000.9, fields=FIELDS) == expected


def test_every_uuid_is_another() -> None:
    one, other = template.render("{{uuid}} {{uuid}}", epoch=0, fields=FIELDS).split()
    assert uuid.UUID(one) != uuid.UUID(other)


@pytest.mark.parametrize("text", ["{{timestmp}}", "{{ .SourceAmi }}", "{{ timestamp | shout }}", "{{}}"])
def test_what_is_not_known_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown '.*'; there are timestamp, .*\.SourceAMIName, .*\| lower"):
        template.check(text)
