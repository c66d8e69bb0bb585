"""docs/coming-from-packer.md against the inventory of Packer's options, and against the model of ours."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import amibake
from amibake.builder.base import Part
from amibake.builder.packer import ELSEWHERE
from tests.docs.packer_forms import FORMS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "coming-from-packer.md").read_text()
LACKS = "## What Packer lacks"
PARTS: dict[str, type[Part]] = {
    "assume_role": amibake.AssumeRole,
    "block_device": amibake.BlockDevice,
    "deregistration_protection": amibake.DeregistrationProtection,
    "metadata_options": amibake.MetadataOptions,
    "placement": amibake.Placement,
    "source_ami_filter": amibake.ImageFilter,
    "subnet_filter": amibake.SubnetFilter,
}
OURS = (
    amibake.Builder.model_fields.keys()
    | {"source_ami_filter", "security_group_id"}
    | {f"{name}.{field}" for name, part in PARTS.items() for field in part.model_fields}
)
"""Every option that there is here, by the page's names."""
PROVISIONERS: dict[str, type[amibake.Step]] = {
    "provisioner": amibake.Step,
    "file": amibake.File,
    "shell": amibake.Shell,
    "shell-local": amibake.ShellLocal,
    "breakpoint": amibake.Breakpoint,
}
WITHOUT_PACKERS = {"Reboot", "WaitForCloudInit"}
"""Provisioners that Packer has nothing like."""


def fields(prefix: str) -> set[str]:
    """The options of one of these, without what all of them have."""
    common = set() if prefix == "provisioner" else {field.name for field in dataclasses.fields(amibake.Step)}
    return {field.name for field in dataclasses.fields(PROVISIONERS[prefix])} - common


OURS_OF_PROVISIONERS = {f"{prefix}.{name}" for prefix in PROVISIONERS for name in fields(prefix)}


class Option(NamedTuple):
    """A line of the inventory."""

    name: str
    mark: str
    group: str


class Row(NamedTuple):
    """A row of the page."""

    name: str
    verdict: str
    text: str


def inventory() -> list[Option]:
    lines = (ROOT / "tests" / "data" / "packer-options.txt").read_text().splitlines()
    return [Option(*line.split("\t")) for line in lines if not line.startswith("#")]


def rows(text: str) -> list[Row]:
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| `"]
    return [Row(cells[0].strip("`"), *cells[1:]) for cells in (line + [""] * (3 - len(line)) for line in found)]


VERDICTS = rows(PAGE.partition(LACKS)[0])
OF_PROVISIONERS = {one.name for one in inventory() if one.group in PROVISIONERS}
OF_THE_BUILDER = {
    one.name for one in inventory() if one.group not in ("field", "build data", "function", *PROVISIONERS)
}


def of_the_builder(*verdicts: str) -> list[Any]:
    return with_verdict(OF_THE_BUILDER, *verdicts)


def with_verdict(names: set[str], *verdicts: str) -> list[Any]:
    found = [row for row in VERDICTS if row.name in names and row.verdict in verdicts]
    return [pytest.param(row, id=row.name) for row in found]


def is_no_option(row: Row) -> bool:
    return row.verdict == "out" or row.text.startswith("No option: ")


def test_the_inventory_is_whole() -> None:
    options = inventory()
    assert len(options) == len({(one.name, one.group) for one in options}) > 200
    assert {one.mark for one in options} == {"M", "n", "x", "-"}
    assert {"ami_name", "assume_role.role_arn", "block_device.iops", "ssh_bastion_host"} <= OF_THE_BUILDER


def test_every_option_of_packers_is_there_once_and_nothing_else() -> None:
    assert Counter(row.name for row in VERDICTS) == Counter(one.name for one in inventory())


def test_every_option_that_matters_to_most_has_a_verdict() -> None:
    verdicts = {row.name: row.verdict for row in VERDICTS}
    assert {
        one.name: verdicts.get(one.name) for one in inventory() if one.mark == "M" and not verdicts.get(one.name)
    } == {}
    assert {row.verdict for row in VERDICTS} == {"same", "better", "renamed", "out"}


def test_every_verdict_but_the_same_has_its_reason() -> None:
    assert [row.name for row in VERDICTS if row.verdict != "same" and len(row.text) < 8] == []


@pytest.mark.parametrize("row", of_the_builder("same", "better"))
def test_what_is_the_same_or_better_is_an_option(row: Row) -> None:
    if row.name in ("vpc_filter", "security_group_filter"):
        builder = amibake.Builder(ami_name="web", **{row.name: {"filters": {"tag:a": "b"}}})  # type: ignore[arg-type]
        assert getattr(builder, row.name) == {"tag:a": "b"}
    assert (row.name in OURS) is not is_no_option(row)


@pytest.mark.parametrize("row", [row for row in VERDICTS if row.name in OURS and row.verdict == "same"])
def test_what_packer_takes_for_an_option_that_is_the_same_is_taken(row: Row, tmp_path: Path) -> None:
    for file in ("key", "key-cert.pub"):
        (tmp_path / file).touch()
    for form in FORMS[row.name]:
        files = {name: tmp_path / value[1:] for name, value in form.items() if str(value).startswith("~key")}
        amibake.Builder(**{"ami_name": "web", **form, **files})


def test_there_are_no_other_forms() -> None:
    assert {row.name for row in VERDICTS if row.name in OURS and row.verdict == "same"} == FORMS.keys()


@pytest.mark.parametrize("row", of_the_builder("renamed"))
def test_what_is_renamed_leads_to_an_option(row: Row) -> None:
    target = re.match(r"`(\w+)`: .", row.text)
    assert target, row.text
    assert target[1] in amibake.Builder.model_fields
    # the one that has kept its name, but means less
    assert row.name not in OURS or row.name == "disable_stop_instance"


@pytest.mark.parametrize("row", of_the_builder("out"))
def test_what_is_out_is_no_option(row: Row) -> None:
    assert row.name not in OURS


@pytest.mark.parametrize("row", with_verdict(OF_PROVISIONERS, "same", "better", "renamed", "out"))
def test_what_is_said_of_a_provisioners_option_is_so(row: Row) -> None:
    prefix, _, name = row.name.partition(".")
    if row.verdict == "out" and row.name in OURS_OF_PROVISIONERS:
        # it is there to say why it is not
        options: dict[str, Any] = {"inline": ["true"], name: "x"}
        refused: Any = PROVISIONERS[prefix](**options)
        with pytest.raises(amibake.InvalidOption, match=rf"{name}: .*"):
            refused.check()
        return
    assert (row.name in OURS_OF_PROVISIONERS) is (row.verdict in ("same", "better"))
    if name and row.verdict == "renamed":
        target = re.match(r"`(\w+)`: .", row.text)
        assert target, row.text
        assert target[1] in fields(prefix)


def test_every_option_of_our_provisioners_is_on_the_page() -> None:
    lacks = {row.name for row in rows(PAGE.partition(LACKS)[2])}
    renamed = {"provisioner.except_"}
    assert OURS_OF_PROVISIONERS - renamed - OF_PROVISIONERS == {name for name in lacks if "." in name} & (lacks - OURS)
    assert {name for name in lacks if name in amibake.__all__} == WITHOUT_PACKERS


def test_who_writes_an_option_that_is_called_otherwise_is_told_so() -> None:
    elsewhere = {row.name for row in VERDICTS if row.name in OF_THE_BUILDER and (row.name not in OURS)}
    known = {"winrm_*" if name.startswith("winrm_") else name for name in ELSEWHERE}
    assert known - {"session"} == {name for name in elsewhere if "." not in name}
    with pytest.raises(amibake.InvalidOption, match=r"aws_polling: no such option; max_build_time") as caught:
        amibake.Builder(ami_name="web", aws_polling={"delay_seconds": 1}, ssh_pty=True)  # type: ignore[call-arg]
    assert len(caught.value.mistakes) == 2


def test_what_is_said_of_a_renamed_option_names_the_page_s_target() -> None:
    for row in VERDICTS:
        target = re.match(r"`(\w+)`", row.text)
        if row.verdict == "renamed" and target and row.name in ELSEWHERE:
            assert target[1] in ELSEWHERE[row.name], row.name


def test_every_option_of_ours_is_on_the_page() -> None:
    named = {row.name for row in VERDICTS} | {row.name for row in rows(PAGE.partition(LACKS)[2])}
    assert OURS - named == set()


def test_what_packer_lacks_is_here_and_not_in_the_inventory() -> None:
    lacks = {row.name for row in rows(PAGE.partition(LACKS)[2])}
    assert lacks
    assert lacks <= OURS | OURS_OF_PROVISIONERS | WITHOUT_PACKERS
    assert lacks & (OF_THE_BUILDER | OF_PROVISIONERS) == set()


def test_the_example_is_a_bake(monkeypatch: pytest.MonkeyPatch) -> None:
    baked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(amibake, "bake", lambda *what: baked.append(what))
    example, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    ((builder, provisioners),) = baked
    assert builder.ami_regions == ("us-east-1",)
    assert builder.region_kms_key_ids == {"us-east-1": "alias/images-us"}
    assert [type(one).__name__ for one in provisioners] == ["File", "Shell"]


def test_the_example_of_a_failed_bake_calls_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []

    def bake(builder: amibake.Builder, steps: list[amibake.Provisioner], **options: str) -> None:
        called.append(options)
        if "on_error" in options:
            raise amibake.ScriptFailed("no", status=1)

    monkeypatch.setattr(amibake, "bake", bake)
    monkeypatch.setattr(amibake, "provision", lambda *_, **options: called.append(options))
    _, example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    assert called == [{"on_error": "keep"}, {"key": "amibake-0123456789abcdef.pem"}, {"resume": "0123456789abcdef"}]
