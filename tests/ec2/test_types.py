"""What the builder's instance types run, and that the region has them."""

from __future__ import annotations

import pytest

from amibake.ec2.cloud import Cloud
from amibake.ec2.source import find_source_image
from amibake.ec2.types import check_architecture, common_architecture, find_types
from amibake.errors import InvalidOption
from amibake.strict import StrictEC2
from tests.ec2.support import builder


def test_types_say_what_they_run(cloud: Cloud) -> None:
    types = find_types(cloud, builder(instance_type=["t3.micro", "t4g.micro"]))
    assert types == {"t3.micro": {"x86_64"}, "t4g.micro": {"arm64"}}


@pytest.mark.parametrize(
    ("names", "architecture"),
    [(["t3.micro", "t3a.micro"], "x86_64"), (["t4g.micro"], "arm64"), (["t2.micro", "t3.micro"], "x86_64")],
)
def test_an_image_follows_what_all_types_run(cloud: Cloud, names: list[str], architecture: str) -> None:
    assert common_architecture(find_types(cloud, builder(instance_type=names))) == architecture


def test_types_without_a_common_architecture_are_refused(cloud: Cloud) -> None:
    types = find_types(cloud, builder(instance_type=["t3.micro", "t4g.micro"]))
    with pytest.raises(
        InvalidOption, match=r"t3\.micro \(x86_64\), t4g\.micro \(arm64\) have no architecture in common"
    ):
        common_architecture(types)


@pytest.mark.parametrize("option", ["instance_type", "spot_instance_types"])
def test_a_type_that_the_region_does_not_have_is_the_mistake_of_its_option(cloud: Cloud, option: str) -> None:
    given = {"instance_type": ["t3.micro", "t9.nano"]}
    if option == "spot_instance_types":
        options = builder(**given).model_copy(
            update={"spot_price": "auto", "instance_type": ("t1.micro",), option: ("t3.micro", "t9.nano")}
        )
    else:
        options = builder(**given)
    with pytest.raises(InvalidOption, match=rf"^{option}: t9\.nano: not to be had in us-east-1") as caught:
        find_types(cloud, options)
    assert "t3.micro" in caught.value.hint


def test_when_none_is_there_that_is_said_too(cloud: Cloud) -> None:
    with pytest.raises(InvalidOption, match=r"^instance_type: t9\.nano: not to be had"):
        find_types(cloud, builder(instance_type="t9.nano"))


def test_a_type_that_cannot_run_the_source_image_is_refused(cloud: Cloud, strict: StrictEC2, debian: str) -> None:
    types = find_types(cloud, builder(instance_type=["t3.micro", "t4g.micro"]))
    arm = find_source_image(cloud, strict.add_image(name="arm", owner_id="1", architecture="arm64"))
    with pytest.raises(InvalidOption, match=rf"^instance_type: t3\.micro \(x86_64\) can't run {arm.id}, .* arm64\n"):
        check_architecture(types, arm)
    check_architecture({"t4g.micro": types["t4g.micro"]}, arm)
    check_architecture({"t3.micro": types["t3.micro"]}, find_source_image(cloud, debian))
