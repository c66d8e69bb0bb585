"""The options: what is accepted, what is refused, and how that reads."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import pytest

import amibake
from amibake.builder import WHEEZY
from amibake.builder.base import Options
from amibake.builder.descriptions import descriptions
from amibake.builder.keywords import BuilderOptions
from amibake.errors import InvalidOption
from tools.options import PARTS


def options(**given: Any) -> amibake.Builder:
    return amibake.Builder(**{"ami_name": "shop {{timestamp}}", **given})


def refusal(**given: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidOption) as caught:
        options(**given)
    return caught.value.mistakes


def test_with_no_option_it_is_the_articles_bake() -> None:
    builder = options()
    assert (builder.source_ami, builder.instance_type, builder.ssh_username, builder.region) == (
        WHEEZY,
        ("t1.micro",),
        "admin",
        None,
    )


def test_a_typo_is_refused_with_the_nearest_name() -> None:
    assert refusal(instance_typ="t3.micro") == ("instance_typ: no such option; did you mean instance_type?",)
    assert refusal(zzz=1) == ("zzz: no such option",)


def test_every_mistake_is_in_one_error() -> None:
    mistakes = refusal(ssh_port=0, source_ami="debian", temporary_security_group_source_cidrs=["me"], ami_name="x")
    assert sorted(line.split(":")[0] for line in mistakes) == [
        "ami_name",
        "source_ami",
        "ssh_port",
        "temporary_security_group_source_cidrs",
    ]


def test_some_options_have_another_name() -> None:
    assert options(source_ami_filter=amibake.DEBIAN_12).source_ami == amibake.DEBIAN_12
    assert options(security_group_id="sg-0").security_group_ids == ("sg-0",)
    assert "source_ami_filter" in refusal(source_ami=WHEEZY, source_ami_filter=amibake.DEBIAN_12)[0]


def test_expressions_are_checked_beforehand() -> None:
    assert "unknown 'now'" in refusal(ami_name="shop {{now}}")[0]
    assert "unknown 'Source'" in refusal(tags={"from": "{{ .Source }}"})[0]


def test_our_own_tags_cannot_be_set() -> None:
    assert refusal(tags={"amibake:state": "published"}) == (
        "tags: amibake:state: keys that begin with 'amibake:' or 'aws:' are taken",
    )


@pytest.mark.parametrize("option", ["tags", "run_tags"])
def test_tags_that_ec2_would_refuse_are_refused(option: str) -> None:
    assert "'aws:' are taken" in refusal(**{option: {"aws:x": "1"}})[0]
    assert "128 characters" in refusal(**{option: {"x" * 129: "1"}})[0]
    assert "256 characters" in refusal(**{option: {"x": "1" * 257}})[0]
    assert "more than 40" in refusal(**{option: {str(number): "" for number in range(41)}})[0]


def test_a_value_of_the_wrong_form_is_answered_with_what_the_option_is() -> None:
    (mistake,) = refusal(ssh_username="Not A User")
    assert mistake.startswith('ssh_username: not the right form: The user to log in as: "admin" on Debian')


def test_options_that_contradict_each_other_are_refused() -> None:
    assert refusal(ssh_interface="public_ip", associate_public_ip_address=False) == (
        'ssh_interface: "public_ip", but associate_public_ip_address is False',
    )


def test_no_value_shows_in_an_error_or_in_the_user_datas_repr() -> None:
    secret = "hunter2"
    assert all(secret not in line for line in refusal(user_data={"password": secret}))
    assert secret not in repr(options(user_data=secret))


def test_no_secret_shows_in_a_repr() -> None:
    holds = re.compile("password|secret|token|proxy_command|variables|user_data$")
    models: tuple[type[Options], ...] = (amibake.Builder, *PARTS)
    shown = [
        name for model in models for name, field in model.model_fields.items() if holds.search(name) and field.repr
    ]
    assert shown == ["http_tokens"]  # whether there are any
    given = options(
        variables={"key": "hunter2"}, ssh_proxy_command="nc --proxy-auth me:hunter2 %h %p", ssh_password="hunter2"
    )
    assert "hunter2" not in repr(given)


def test_an_image_filter_needs_an_owner_and_reads_well() -> None:
    with pytest.raises(InvalidOption, match="owners"):
        amibake.ImageFilter(owners=())
    wanted = amibake.ImageFilter(owners=("self", "amazon"), name="x-*", filters={"architecture": "arm64"})
    assert str(wanted) == "name 'x-*', architecture 'arm64', owned by self or amazon"


def test_the_keywords_are_the_models_fields() -> None:
    keywords = get_type_hints(BuilderOptions)
    assert keywords.keys() == amibake.Builder.model_fields.keys() | {"source_ami_filter", "security_group_id"}


def test_every_option_is_described() -> None:
    undescribed = [name for name in amibake.Builder.model_fields if not descriptions(amibake.Builder).get(name)]
    assert undescribed == []
