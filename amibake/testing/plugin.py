"""The pytest plugin that `pip install amibake[testing]` brings: the fixture `bakery`.

It is loaded in every run of pytest, so it imports nothing of amibake's before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from amibake.testing.baking import Bakery

_BAKERY: pytest.StashKey[Bakery] = pytest.StashKey()


@pytest.fixture
def bakery(request: pytest.FixtureRequest) -> Iterator[Bakery]:
    """A whole EC2 for this test, in this process: see `amibake.testing.Bakery`."""
    try:
        from amibake.testing.baking import bakery as opened
    except ModuleNotFoundError as error:
        pytest.fail(f"the fixture bakery needs {error.name}: pip install amibake[testing]", pytrace=False)
    with opened() as here:
        request.node.stash[_BAKERY] = here
        yield here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails says what was baked in it."""
    report = yield
    if report.when == "call" and report.failed and _BAKERY in item.stash:
        report.sections.append(("bakery", item.stash[_BAKERY].story()))
    return report
