"""What is written from the model: the keywords and the reference page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError, create_model

from amibake.builder import GROUPS, Builder
from amibake.builder.base import Options
from amibake.builder.descriptions import descriptions
from tools import options, provisioners


def test_the_files_are_what_the_tool_writes() -> None:
    for path, text in options.contents():
        assert path.read_text() == text, "run: python -m tools.options"


def test_every_option_and_every_field_of_a_part_is_described() -> None:
    models: tuple[type[Options], ...] = (Builder, *options.PARTS)
    undescribed = [
        f"{model.__name__}.{name}"
        for model in models
        for name in model.model_fields
        if not descriptions(model).get(name, "").strip()
    ]
    assert undescribed == []


def test_every_group_has_a_title_and_a_sentence() -> None:
    page = options.reference()
    for group in GROUPS:
        title, _, sentence = (group.__doc__ or "").partition(": ")
        assert sentence.endswith(".")
        assert f"\n## {title}\n" in page


def test_every_option_is_in_one_group_and_on_the_page_once() -> None:
    page = options.reference()
    for name in Builder.model_fields:
        assert page.count(f"\n### `{name}`\n") == 1, name
    for part in options.PARTS:
        for name in part.model_fields:
            assert page.count(f"\n### `{part.__name__}.{name}`\n") == 1, name


def test_types_and_defaults_are_in_words() -> None:
    page = options.reference()
    assert '### `instance_type`\n\n*Text, or a list of texts; default: the article\'s "t1.micro"' in page
    assert "### `BlockDevice.device_name`\n\n*Text; required*" in page
    assert "### `ssh_port`\n\n*A whole number, 1 to 65535; default: `22`*" in page
    assert (
        "### `launch_block_device_mappings`\n\n*A list of `BlockDevice`s, or their fields as dicts; default: none*"
        in page
    )


@pytest.mark.parametrize("model", [Builder, *options.PARTS])
def test_every_limit_on_the_page_is_accepted_and_what_is_beyond_is_not(model: type[Options]) -> None:
    page = options.reference()
    prefix = "" if model is Builder else f"{model.__name__}."
    for name, field in model.model_fields.items():
        _, _, entry = page.partition(f"### `{prefix}{name}`\n\n")
        alone: Any = create_model("Alone", value=(field.annotation or Any, field))
        for words, low, high, most in re.findall(
            r", (?:(more than|at least) ([\d.]+) and at most|(\d+) to) ([\d.]+);", entry.partition("\n")[0]
        ):
            alone(value=int(most))
            with pytest.raises(ValidationError):
                alone(value=int(most) + 1)
            with pytest.raises(ValidationError):
                alone(value=int(low) if words == "more than" else int(low or high) - 1)
            alone(value=int(low) + 1 if words == "more than" else int(low or high))
    assert 'text such as `"90s"` or `"1h30m"`, more than 0 and at most 86400;' in page
    assert "*A whole number, 900 to 43200;" in page


def test_the_parts_are_all_that_an_option_can_hold() -> None:
    assert [part.__name__ for part in options.PARTS] == [
        "AssumeRole",
        "BlockDevice",
        "DeregistrationProtection",
        "ImageFilter",
        "MetadataOptions",
        "Placement",
        "SubnetFilter",
    ]


def test_every_option_of_a_provisioner_is_described_and_on_the_page_once() -> None:
    page = options.reference()
    for one in provisioners.CLASSES:
        assert provisioners.lead(one).endswith("."), one
        for option in provisioners.options(one):
            assert option.text, f"{one.__name__}.{option.name}"
            assert page.count(f"\n### `{one.__name__}.{option.name}`\n") == 1


def test_a_provisioners_types_and_defaults_are_in_words() -> None:
    page = options.reference()
    assert '### `Step.pause_before`\n\n*A number of seconds, or text such as `"90s"` or `"1h30m"`; default: 0*' in page
    assert '### `Reboot.timeout`\n\n*A number of seconds, or text such as `"90s"` or `"1h30m"`; default: 300*' in page
    assert "### `ShellLocal.scripts`\n\n*A list of texts or paths; default: none*" in page
    assert "### `Breakpoint.disable`\n\n*`True` or `False`; default: `False`*" in page
