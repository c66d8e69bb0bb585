"""What type checkers and editors accept: mypy checks this file, and what it accepts is accepted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.builder import BuilderOptions, CarnivoreOptions

FUTURE = datetime.now(UTC) + timedelta(days=90)


def the_bake_of_a_shop() -> None:
    amibake.bake(
        amibake.Builder(
            region="eu-west-1",
            source_ami=amibake.ImageFilter(owners=["136693071363"], name="debian-12-amd64-*"),
            instance_type=["t3.micro", "t3a.micro"],
            subnet_filter={"tag:Tier": "build"},
            iam_instance_profile="builder",
            launch_block_device_mappings=[amibake.BlockDevice("root", volume_size=16, volume_type="gp3")],
            encrypt_boot=True,
            kms_key_id="alias/images",
            ami_name="shop-web {{isotime | clean_resource_name}}",
            ami_regions={"us-east-1": "alias/images-us"},
            ami_users=["210987654321"],
            deprecate_after="90d",
            tags={"app": "shop", "source": "{{ .SourceAMIName }}"},
        ),
        [amibake.File("dist/", "/srv/app"), amibake.Shell(inline=["cd /srv/app && ./install.sh"])],
    )


def a_primal_with_parts_as_dicts() -> None:
    amibake.build_primal(
        app="shop",
        source_ami={"owners": "136693071363", "name": "debian-12-{arch}-*"},
        instance_type="t3.micro",
        assume_role={"role_arn": "arn:aws:iam::123456789012:role/baker", "policy_arns": ["arn:aws:iam::aws:policy/X"]},
        subnet_filter={"filters": {"tag:Tier": "build"}, "most_free": True},
        vpc_filter={"filters": {"tag:Name": "build"}},
        security_group_filter={"tag:Name": "build"},
        metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 2},
        placement={"tenancy": "dedicated"},
        launch_block_device_mappings=[{"device_name": "root", "volume_size": 16}, amibake.BlockDevice("/dev/sdf")],
        temporary_iam_instance_profile_policy_document={"Version": "2012-10-17", "Statement": []},
        deregistration_protection=True,
        ssh_timeout="10m",
        max_build_time=timedelta(hours=1),
        ssh_private_key_file=None,
        ami_regions=["us-east-1"],
        deprecate_at=FUTURE,
    )


def a_primal_with_parts_as_objects() -> None:
    amibake.build_primal(
        source_ami_filter=amibake.DEBIAN_12,
        assume_role=amibake.AssumeRole(
            role_arn="arn:aws:iam::123456789012:role/baker", policy={"Version": "2012-10-17", "Statement": []}
        ),
        subnet_filter=amibake.SubnetFilter(filters={"tag:Tier": "build"}, random=True),
        metadata_options=amibake.MetadataOptions(http_put_response_hop_limit=2),
        placement=amibake.Placement(group_name="together"),
        deregistration_protection=amibake.DeregistrationProtection(with_cooldown=True),
        security_group_id=["sg-0a1b2c3d", "sg-0a1b2c3e"],
        spot_price=0.02,
        spot_instance_types=["t3.micro", "t3a.micro"],
        ssh_bastion_host="bastion.example.com",
        ssh_bastion_password="p",
        user_data_file=Path(__file__),
        deprecate_after=timedelta(days=90),
    )


def a_carnivore(appserver: Path) -> None:
    amibake.build_carnivore(
        "ami-22de994a",
        appserver,
        app="shop",
        node_env="production",
        instance_type=("t3.micro",),
        imds_support="v2.0",
        run_tags={"team": "web"},
        variables={"version": "1"},
    )


@pytest.mark.parametrize("write", [the_bake_of_a_shop, a_primal_with_parts_as_dicts, a_primal_with_parts_as_objects])
def test_what_type_checkers_accept_is_accepted(write: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    baked: list[Any] = []
    monkeypatch.setattr(amibake, "bake", lambda builder, *_: baked.append(builder))
    monkeypatch.setattr("amibake.recipes.bake", lambda builder, *_, **__: baked.append(builder))
    write()
    assert isinstance(baked[0], amibake.Builder)


def test_a_deploys_options_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "cluster.js").touch()
    baked: list[Any] = []
    monkeypatch.setattr("amibake.recipes.bake", lambda builder, *_, **__: baked.append(builder))
    a_carnivore(tmp_path)
    assert baked[0].imds_support == "v2.0"


def test_options_can_be_prepared_as_typed_dicts() -> None:
    common: CarnivoreOptions = {"instance_type": "t3.micro", "ssh_timeout": 60}
    whole: BuilderOptions = {"ami_name": "shop", "app": "shop", "source_ami": amibake.DEBIAN_12}
    assert amibake.Builder(ami_name="shop", **dict[str, Any](common)).instance_type == ("t3.micro",)
    assert amibake.Builder(**whole).app == "shop"


WRONG = """
import amibake
amibake.Builder(ami_name="shop", instance_typ="t3.micro")
amibake.Builder(ami_name="shop", ssh_port="http")
amibake.Builder(ami_name="shop", shutdown_behavior="hibernate")
amibake.ImageFilter(name="debian-*")
amibake.BlockDevice("root", volume_sise=16)
amibake.AssumeRole(role_arn="a", policy_arns=["b"])
amibake.ImageFilter(owners=["self"])
"""


def test_users_without_pydantics_plugin_get_the_same_answers(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary", "wrong.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.splitlines()
    assert [line.partition(":")[2].partition(":")[0] for line in said if ": error:" in line] == [
        "3",
        "4",
        "5",
        "6",
        "7",
    ]
