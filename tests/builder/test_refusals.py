"""Wrong configurations, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.errors import InvalidOption
from tests.builder.refused import KEY, REFUSED

NOT_WITH_OTHERS = ("self", "source_ami_filter", "security_group_id", "ssh_bastion_host")
"""Other names of options, and what is no mistake beside some other option."""


def mistakes(options: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InvalidOption) as caught:
        amibake.Builder(**{"ami_name": "shop", **options})
    return caught.value.mistakes


@pytest.mark.parametrize(("options", "name", "words"), REFUSED)
def test_a_mistake_is_said_once_with_the_options_name_and_what_is_allowed(
    options: dict[str, Any], name: str, words: str
) -> None:
    (line,) = mistakes(options)
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "\n" not in line
    assert not any(english in line for english in ("Input should", "should have", "Field required", "Value error"))


def test_many_mistakes_are_in_one_error() -> None:
    alone: dict[str, str] = {}
    together: dict[str, Any] = {}
    for options, name, _ in REFUSED:
        if options.keys() == {name} and name not in {*together, *NOT_WITH_OTHERS}:
            together |= options
            (alone[name],) = mistakes(options)
    # What mentions another option that is wrong would follow from that one's mistake, so it is not said as well.
    by_itself = [line for name, line in alone.items() if not set(re.findall(r"\w+", line)) & (alone.keys() - {name})]
    assert len(by_itself) > 45
    assert [line for line in by_itself if line not in mistakes(together)] == []


def test_several_mistakes_of_one_option_are_all_said() -> None:
    devices = [{"device_name": "root", "volume_size": 0, "iops": 1}, {"device_name": "sdb", "volume_typ": "gp3"}]
    assert mistakes({"launch_block_device_mappings": devices, "tags": {"a": 1, "b": 2}}) == (
        "launch_block_device_mappings: number 1: volume_size: has to be at least 1",
        "launch_block_device_mappings: number 1: iops: has to be at least 100",
        "launch_block_device_mappings: number 2: volume_typ: no such option; did you mean volume_type?",
        "tags: a: has to be text",
        "tags: b: has to be text",
    )


def test_what_follows_from_a_mistake_is_not_said_as_well() -> None:
    assert [line.partition(":")[0] for line in mistakes({"spot_price": "cheap", "spot_tags": {"a": "b"}})] == [
        "spot_price"
    ]
    assert [line.partition(":")[0] for line in mistakes({"ami_nam": "shop", "ami_name": "x"})] == [
        "ami_name",
        "ami_nam",
    ]
    with pytest.raises(InvalidOption) as caught:
        amibake.Builder(ami_nam="shop")  # type: ignore[call-arg]
    assert caught.value.mistakes == ("ami_nam: no such option; did you mean ami_name?",)


def test_a_mistake_does_not_hide_another_whose_name_merely_resembles_it() -> None:
    said = mistakes({"tags": 1, "spot_tags": {"a": "b"}, "region": 1, "region_kms_key_ids": {"us-east-1": ""}})
    assert [line.partition(":")[0] for line in said] == ["region", "tags", "spot_tags", "region_kms_key_ids"]


def test_no_secret_is_in_an_error() -> None:
    for name in ("ssh_password", "ssh_bastion_password", "secret_key", "token", "ssh_private_key_file", "user_data"):
        for value in ({"secret": "hunter2"}, ["hunter2"], f"{KEY}\nhunter2\0", f"{KEY}hunter2"):
            said = mistakes({name: value, "ssh_port": 0})
            assert "hunter2" not in str(said)


def test_durations_may_be_written_as_packer_writes_them() -> None:
    builder = amibake.Builder(
        ami_name="shop", ssh_timeout="1h30m", ssh_keep_alive_interval="2.5s", max_build_time="90m"
    )
    assert (builder.ssh_timeout, builder.ssh_keep_alive_interval, builder.max_build_time) == (5400, 2.5, 5400)


@pytest.mark.parametrize(
    ("text", "seconds"), [("-5s", -5), ("1.5h", 5400), ("+1h0.5m", 3630), ("1500ms", 1.5), ("1h1ms", 3600.001)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    builder = amibake.Builder(ami_name="shop", ssh_keep_alive_interval=text)
    assert builder.ssh_keep_alive_interval == seconds


def test_several_ways_to_log_in_may_be_given_together(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    for prefix in ("ssh", "ssh_bastion"):
        ways: dict[str, Any] = {
            f"{prefix}_private_key_file": tmp_path / "key",
            f"{prefix}_agent_auth": True,
            f"{prefix}_password": "p",
        }
        builder = amibake.Builder(ami_name="shop", ssh_bastion_host="bastion", **{"ssh_agent_auth": True, **ways})
        assert not builder.has_temporary_key


def test_a_fast_gp3_volume_of_the_right_size_is_one() -> None:
    for device in (
        amibake.BlockDevice("root", volume_type="gp3", volume_size=1, iops=3000, throughput=750),
        amibake.BlockDevice("root", volume_type="gp3", volume_size=160, iops=80000, throughput=2000),
        amibake.BlockDevice("root", volume_type="gp3", iops=16000),
    ):
        assert device.volume_type == "gp3"


def test_filters_may_be_written_as_packer_writes_them() -> None:
    filters = {"tag:Tier": "build"}
    builder = amibake.Builder(
        ami_name="shop",
        vpc_filter={"filters": filters},
        subnet_filter={"filters": filters, "most_free": True},
        security_group_filter=filters,
    )
    assert builder.vpc_filter == builder.security_group_filter == filters
    assert builder.subnet_filter == amibake.SubnetFilter(filters=filters, most_free=True)


def test_a_region_is_copied_to_once() -> None:
    assert amibake.Builder(ami_name="shop", ami_regions=["us-east-1", "us-east-1"]).ami_regions == ("us-east-1",)


def test_user_data_from_a_file_is_text(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\xff")
    assert mistakes({"user_data_file": tmp_path / "data"}) == (f"user_data_file: {tmp_path}/data is not UTF-8 text",)
    assert "is not UTF-8" not in mistakes({"user_data_file": tmp_path})[0]
