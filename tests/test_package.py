"""What `import amibake` gives, and what it costs."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amibake
from amibake import errors

ROOT = Path(__file__).parent.parent


def test_importing_amibake_imports_no_third_party_module() -> None:
    listing = (
        "import sys, amibake; print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-I", "-c", listing]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, env=plain).stdout
    # The rest is the interpreter's own start-up: site hooks of an editable install.
    assert {name for name in loaded.split() if not name.startswith(("_", "sitecustomize", "usercustomize"))} == {
        "amibake"
    }


def test_every_public_name_is_there() -> None:
    assert all(getattr(amibake, name) is not None for name in amibake.__all__)
    assert dir(amibake) == sorted(amibake.__all__)


def test_the_names_can_be_imported_all_at_once_and_pickled() -> None:
    names = dict[str, object]()
    exec("from amibake import *", names)
    assert names.keys() - {"__builtins__"} == set(amibake.__all__)
    for public in (amibake.bake, amibake.Builder, amibake.Shell, amibake.Image, amibake.ScriptFailed):
        assert pickle.loads(pickle.dumps(public)) is public
    builder = amibake.Builder(ami_name="shop", tags={"a": "b"})
    assert pickle.loads(pickle.dumps(builder)) == builder


def test_public_names_stay_what_they_are_whatever_is_imported_first() -> None:
    listing = (
        "import amibake.recipes, amibake.images, amibake; assert callable(amibake.bake) and callable(amibake.launch)"
    )
    subprocess.run([sys.executable, "-c", listing], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'amibake' has no attribute 'bakery'"):
        amibake.bakery  # noqa: B018


def test_every_error_has_the_exit_code_that_its_tree_says() -> None:
    drawn = dict(re.findall(r"(\w+) (\d+)$", errors.__doc__ or "", re.MULTILINE))
    classes = {
        name: cls for name, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.AmibakeError)
    }
    assert {name: str(cls.exit_code) for name, cls in classes.items()} == drawn


def test_an_error_shows_its_hint_and_a_failed_script_its_last_lines() -> None:
    assert str(errors.AmibakeError("it broke", hint="mend it")) == "it broke\nmend it"
    assert str(errors.AmibakeError("it broke")) == "it broke"
    failed = errors.ScriptFailed("primal failed", status=3, tail=("one", "two"))
    assert str(failed) == "primal failed\n  one\n  two"
    assert errors.InvalidOption("a: bad", "b: bad").mistakes == ("a: bad", "b: bad")


def test_the_version_is_the_changelogs_newest() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[?([\d.]+)", changelog, re.MULTILINE)[1] == amibake.__version__  # type: ignore[index]
