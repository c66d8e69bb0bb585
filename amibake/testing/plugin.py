"""The pytest plugin that `pip install amibake[testing]` brings: the fixture `bakery`.

It is loaded in every run of pytest, so it imports nothing of amibake's before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from amibake.sandbox import LocalCloud
    from amibake.testing.baking import Bakery
    from amibake.testing.looking import Looking

_BAKERY: pytest.StashKey[Looking] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option of pytest's configuration."""
    told = "the versions of node that the containers of @pytest.mark.sandbox can have"
    parser.addini("amibake_node_versions", told, type="args", default=["22", "20", "0.10"])


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known."""
    config.addinivalue_line("markers", "sandbox: the fixture bakery is in containers; needs root or sudo, and podman")


@pytest.fixture
def bakery(request: pytest.FixtureRequest) -> Iterator[Bakery]:
    """A whole EC2 for this test, in this process: see `amibake.testing.Bakery`.

    With `@pytest.mark.sandbox` its machines are containers, and everything really runs there.
    """
    try:
        opened: AbstractContextManager[Any] = _in_sandbox(request) if _is_marked(request) else _in_process()
    except ModuleNotFoundError as error:
        pytest.fail(f"the fixture bakery needs {error.name}: pip install amibake[testing,sandbox]", pytrace=False)
    with opened as here:
        request.node.stash[_BAKERY] = here
        yield here
        del request.node.stash[_BAKERY]  # pytest keeps it as long as the run lasts, and with it all that was baked


@pytest.fixture(scope="session")
def _amibake_cloud(pytestconfig: pytest.Config) -> Iterator[LocalCloud]:
    from amibake.sandbox import LocalCloud

    with LocalCloud(node_versions=pytestconfig.getini("amibake_node_versions")) as cloud:
        yield cloud


def _is_marked(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("sandbox") is not None


def _in_process() -> AbstractContextManager[Any]:
    from amibake.testing.data import read_once

    with read_once():  # moto as it is imported asks three sessions which regions there are
        from amibake.testing.baking import bakery

    return bakery()


def _in_sandbox(request: pytest.FixtureRequest) -> AbstractContextManager[Any]:
    from amibake.testing.contained import in_sandbox

    return in_sandbox(request.getfixturevalue("_amibake_cloud"))


@pytest.hookimpl(hookwrapper=True)  # which a pytest knows too that is too old for the rest, and loads this
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """A test that fails says what was baked in it."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed and _BAKERY in item.stash:
        report.sections.append(("bakery", _told(item.stash[_BAKERY])))


def _told(here: Looking) -> str:
    try:
        return here.story()
    except Exception as error:  # noqa: BLE001 - what the test has replaced may be what this needs
        return f"what was baked cannot be told: {type(error).__name__}: {error}"
