"""No wrong configuration gets as far as a call to EC2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import amibake
from amibake.testing import Place
from tests.builder.refused import REFUSED

ALREADY_ITS_OWN = ("session", "self")
"""Names that are parameters of a recipe, or of Python's."""


@pytest.fixture
def calls(place: Place) -> Iterator[list[str]]:
    """Every AWS operation that is asked for, whether it gets an answer or not."""
    asked: list[str] = []
    events = place.session.events

    def record(model: Any, **_: Any) -> None:
        asked.append(model.name)

    events.register("before-parameter-build.*.*", record)
    yield asked
    events.unregister("before-parameter-build.*.*", record)


def test_calls_are_seen(place: Place, calls: list[str]) -> None:
    amibake.bake(
        amibake.Builder(ami_name="shop", source_ami=place.source_ami, instance_type="t3.micro"), session=place.session
    )
    assert {"RunInstances", "CreateImage", "DescribeImages"} <= set(calls)


def test_no_wrong_configuration_gets_as_far_as_a_call(place: Place, calls: list[str]) -> None:
    for options, name, _ in REFUSED:
        with pytest.raises(amibake.InvalidOption) as caught:
            amibake.bake(amibake.Builder(**{"ami_name": "shop", **options}), session=place.session)
        assert name in str(caught.value)
        if name in ALREADY_ITS_OWN:
            continue
        with pytest.raises(amibake.InvalidOption) as caught:
            amibake.build_primal(**{"session": place.session, **options})
        assert [line for line in caught.value.mistakes if line.startswith(f"{name}:")]
    assert calls == []


def test_neither_does_a_wrong_one_of_the_recipe_for_deploys(place: Place, calls: list[str], tmp_path: Any) -> None:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "cluster.js").touch()
    for options, name, _ in REFUSED:
        if name in ALREADY_ITS_OWN or "source_ami" in options:
            continue
        with pytest.raises(amibake.InvalidOption) as caught:
            amibake.build_carnivore(
                **{"source_ami": place.source_ami, "appserver": tmp_path, "session": place.session, **options}
            )
        assert name in str(caught.value)
    assert calls == []
