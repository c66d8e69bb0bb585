"""The pages of the site: whether they have all that they are to have."""

from __future__ import annotations

import inspect
import re

import amibake
from amibake import errors, events, testing
from tests.docs.blocks import PAGES, ROOT
from tools.site.commands import commands

API = "".join(path.read_text() for path in sorted((ROOT / "docs/api").glob("*.md")))


def test_every_public_name_is_on_one_page_of_the_api() -> None:
    shown = re.findall(r"^\.\. auto(?!module)\w+:: ([\w.]+)", API, re.MULTILINE)
    public = [f"amibake.{name}" for name in amibake.__all__ if name != "__version__"]
    assert sorted(shown) == sorted([*public, *(f"amibake.testing.{name}" for name in testing.__all__)])


def test_every_error_is_public() -> None:
    raised = [name for name, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.AmibakeError)]
    assert set(raised) <= set(amibake.__all__)


def test_every_event_says_what_it_is() -> None:
    for name, one in inspect.getmembers(events, inspect.isclass):
        if issubclass(one, events.Event):
            assert not (one.__doc__ or name).startswith(name), "a dataclass without a docstring of its own"


def test_every_command_is_on_its_page_with_what_only_it_has() -> None:
    page = commands()
    headings = re.findall(r"^## `(.*)`$", page, re.MULTILINE)
    assert headings[:2] == ["amibake build primal", "amibake build carnivore"]
    assert {words.split()[1] for words in headings} >= {"build", "images", "launch", "sweep", "policy", "sandbox"}
    for option in ("--package-json", "--appserver", "--manifest PATH", "--dry-run", "--json", "--kms-keys"):
        assert f"`{option}" in page
    assert page.count("[`--source-ami`](../reference.md#source_ami)") > 0


def test_every_page_is_in_the_contents() -> None:
    listed = set(re.findall(r"^[\w/-]+$", (ROOT / "docs/index.md").read_text() + API, re.MULTILINE))
    pages = {page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if page not in listed and page.removeprefix("api/") not in listed} == {"index"}
