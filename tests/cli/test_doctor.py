"""`amibake doctor`: what is looked at, and how it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amibake.cli.checks import Check
from amibake.cli.doctor import table
from amibake.ec2 import access
from amibake.ec2.clients import Clients
from amibake.ec2.quota import quota_code
from amibake.errors import AmibakeError, InvalidOption, NotAuthorized
from amibake.testing import Place
from tests.cli.conftest import Run
from tests.cli.test_schema import checked

Services = dict[str, Any]
Examine = Callable[..., dict[str, dict[str, str]]]


class Quotas:
    """Stands for Service Quotas."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.asked: list[str] = []

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803 - AWS's names
        self.asked.append(f"{ServiceCode} {QuotaCode}")
        return {"Quota": {"Value": self.limit, "QuotaName": "Running On-Demand Standard"}}


class Nobody:
    """Stands for STS where the credentials have expired."""

    def get_caller_identity(self) -> None:
        raise NotAuthorized("GetCallerIdentity: STS says ExpiredToken: expired", hint="The credentials have expired.")


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    """Clients of services that stand in for AWS's, by name."""
    found: Services = {"service-quotas": Quotas(8)}
    real = Clients.service
    monkeypatch.setattr(Clients, "service", lambda self, name, region: found.get(name) or real(self, name, region))
    return found


@pytest.fixture
def online(place: Place, services: Services, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An account as AWS makes them, with a default VPC from which an internet gateway leads out; its EC2 client."""
    ec2 = place.session.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table_of_it,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=table_of_it["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    monkeypatch.setattr(access, "our_address", lambda *_: "192.0.2.7/32")
    return ec2


@pytest.fixture
def examine(run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Runs `amibake doctor --json`; answers with {check: check}, of several of a name the last."""
    monkeypatch.chdir(tmp_path)

    def examined(*words: str, status: int = 0) -> dict[str, dict[str, str]]:
        small = () if "--instance-type" in words else ("--instance-type", "t3.micro")
        done = run("doctor", "--source-ami", "debian-12", *small, "--json", *words)
        found = checked(done.stdout)[-1]["doctor"]
        assert (done.exit_code, found["ok"]) == (status, status == 0), done.stdout
        assert place.machines.launches == {}
        return {f"{one['check']} {one['state']}": one for one in found["checks"]}

    return examined


def test_an_account_in_which_nothing_is_wrong(run: Run, place: Place, online: Any, examine: Examine) -> None:
    found = examine()
    assert {"credentials ok", "region ok", "instance type ok", "source image ok", "network ok", "our address ok"} <= (
        found.keys()
    )
    assert {"quota ok", "options ok", "SSH unknown", "permissions ok", "permissions unknown"} <= found.keys()
    assert "account 123456789012" in found["credentials ok"]["said"]
    assert found["source image ok"]["said"].startswith(f"{place.source_ami} debian-12-amd64-")
    assert found["quota ok"]["said"].startswith("0 of 8 vCPUs run, t3.micro takes 2")
    assert "ec2:RunInstances" in found["permissions ok"]["said"]
    assert "ec2:TerminateInstances" in found["permissions unknown"]["said"]
    assert ", out by igw-" in found["network ok"]["said"]
    assert (online.describe_key_pairs()["KeyPairs"], len(online.describe_security_groups()["SecurityGroups"])) == (
        [],
        1,
    )
    done = run("doctor", "--source-ami", "debian-12", "--instance-type", "t3.micro")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓ credentials    arn:aws:sts::")
    assert lines[-1] == "Nothing is wrong, as far as can be told beforehand."
    assert run("doctor", "--source-ami", "debian-12", "--instance-type", "t3.micro", "-q").output == ""


def test_what_the_articles_own_defaults_come_to_is_told(run: Run, online: Any) -> None:
    done = run("doctor")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert "✗ source image   --source-ami: no image ami-22de994a in us-east-1" in lines
    assert any("--source-ami debian-12, --instance-type t3.micro, --node-version 22" in line for line in lines)
    assert lines[-1].startswith("1 of ")
    assert run("doctor", "-q").stdout == "source image: --source-ami: no image ami-22de994a in us-east-1\n"


def test_without_credentials_nothing_else_is_looked_at(services: Services, place: Place, examine: Examine) -> None:
    services["sts"] = Nobody()
    found = examine(status=1)
    assert found.keys() == {"credentials wrong", "the rest unknown"}
    assert found["credentials wrong"]["hint"] == "The credentials have expired."


def test_a_region_that_the_account_has_not_is_wrong(place: Place, services: Services, examine: Examine) -> None:
    place.ec2.refuse("DescribeAvailabilityZones", "AuthFailure", "not opted in")
    assert examine(status=1).keys() == {"credentials ok", "region wrong", "the rest unknown"}


@pytest.mark.parametrize("call", ["ImportKeyPair", "CreateSecurityGroup", "RunInstances"])
def test_a_call_that_is_not_allowed_is_named_with_the_permission(
    place: Place, online: Any, examine: Examine, call: str
) -> None:
    place.ec2.refuse(call, message="You are not authorized to perform this operation.")
    found = examine(status=1)
    assert found["permissions wrong"]["said"].startswith(f"{call}: EC2 says UnauthorizedOperation")
    assert f"ec2:{call}" in found["permissions wrong"]["hint"]
    assert f"ec2:{call}" not in found["permissions ok"]["said"]


def test_what_ec2_says_else_of_a_call_settles_nothing(place: Place, online: Any, examine: Examine) -> None:
    place.ec2.refuse("RunInstances", "InvalidParameterCombination", "no")
    found = examine()["permissions unknown"]
    assert found["said"].startswith("ec2:RunInstances was refused, though not for want of a permission: RunInstances: ")
    assert "InvalidParameterCombination" in found["said"]
    assert found["hint"]


def test_spot_and_copies_are_tried_too(online: Any, services: Services, examine: Examine) -> None:
    found = examine("--spot-price", "auto", "--ami-regions", "eu-west-1")
    assert {"ec2:CreateLaunchTemplate", "ec2:CopyImage"} <= set(
        found["permissions ok"]["said"].split(": ")[1].split(", ")
    )
    assert services["service-quotas"].asked == ["ec2 L-34B43A08"]
    assert online.describe_launch_templates()["LaunchTemplates"] == []


def test_where_dry_runs_are_really_run_nothing_else_is_tried(
    online: Any, services: Services, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Clients.ec2, list[str]()

    class Heedless:
        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            if name.startswith(("describe_", "get_")):
                return getattr(self.client, name)
            return lambda **_: asked.append(name)

    monkeypatch.setattr(Clients, "ec2", lambda self, region: Heedless(real(self, region)))
    assert "ec2:ImportKeyPair" in examine()["permissions unknown"]["said"]
    assert asked == ["import_key_pair"]


def test_a_quota_that_is_used_up_is_wrong(online: Any, services: Services, place: Place, examine: Examine) -> None:
    services["service-quotas"] = Quotas(5)
    online.run_instances(ImageId=place.source_ami, InstanceType="m5.xlarge", MinCount=1, MaxCount=1)
    quota = examine_and_end(online, place, examine)["quota wrong"]
    assert quota["said"].startswith("4 of 5 vCPUs run, t3.micro takes 2")
    assert "--quota-code L-1216C47A" in quota["hint"]


def examine_and_end(ec2: Any, place: Place, examine: Examine) -> dict[str, dict[str, str]]:
    """With instances that were launched before, and go again."""
    before, place.machines.launches = dict(place.machines.launches), {}
    found = examine(status=1)
    place.machines.launches = before
    ec2.terminate_instances(InstanceIds=list(before))
    place.clock.sleep(60)
    return found


def test_what_service_quotas_does_not_say_is_unknown(online: Any, services: Services, examine: Examine) -> None:
    class Silent:
        def get_service_quota(self, **_: object) -> None:
            raise AmibakeError("GetServiceQuota: no")

    services["service-quotas"] = Silent()
    assert examine()["quota unknown"]["said"] == "Service Quotas does not say: GetServiceQuota: no"


@pytest.mark.parametrize(
    ("instance_type", "codes"),
    [
        ("t3.micro", ("L-1216C47A", "L-34B43A08")),
        ("im4gn.large", ("L-1216C47A", "L-34B43A08")),
        ("inf1.xlarge", ("L-1945791B", "L-B5D1601B")),
        ("g5.xlarge", ("L-DB2E81BA", "L-3819A6DF")),
        ("u-6tb1.metal", ("L-43DA4232", "")),
        ("mac1.metal", ("", "")),
        ("9x", ("", "")),
    ],
)
def test_types_count_against_the_quota_of_their_family(instance_type: str, codes: tuple[str, str]) -> None:
    assert (quota_code(instance_type, spot=False), quota_code(instance_type, spot=True)) == codes


def test_a_type_without_a_quota_is_said(online: Any, examine: Examine) -> None:
    assert "no quota" in examine("--instance-type", "mac1.metal", status=1)["quota unknown"]["said"]


def test_a_network_from_which_no_route_leads_out_is_wrong_but_for_who_has_a_way(
    place: Place, services: Services, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "our_address", lambda *_: "192.0.2.7/32")
    assert "no route leads out" in examine(status=1)["network wrong"]["said"]
    found = examine("--ssh-interface", "private_ip")
    assert "no route leads out" in found["network unknown"]["said"]
    assert found["our address ok"]["said"] == "the builder is not reached by its public address"


def test_a_builder_without_a_public_address_is_told(online: Any, examine: Examine) -> None:
    found = examine("--no-associate-public-ip-address")["network unknown"]
    assert "has no public address" in found["said"]
    assert found["hint"].startswith("--associate-public-ip-address gives it one")


def test_routes_that_may_not_be_looked_at_are_unknown(place: Place, online: Any, examine: Examine) -> None:
    place.ec2.refuse("DescribeRouteTables")
    assert "its routes can't be looked at" in examine()["network unknown"]["said"]


def test_a_subnet_is_looked_at_by_its_own_routes(online: Any, examine: Examine) -> None:
    subnet = online.describe_subnets()["Subnets"][0]
    private = online.create_route_table(VpcId=subnet["VpcId"])["RouteTable"]["RouteTableId"]
    online.associate_route_table(RouteTableId=private, SubnetId=subnet["SubnetId"])
    found = examine("--subnet-id", subnet["SubnetId"], status=1)
    assert found["network wrong"]["said"].startswith(subnet["SubnetId"])


def test_without_a_default_subnet_one_is_to_be_named(online: Any, examine: Examine) -> None:
    for subnet in online.describe_subnets()["Subnets"]:
        online.delete_subnet(SubnetId=subnet["SubnetId"])
    found = examine("--availability-zone", "us-east-1b", status=1)["network wrong"]
    assert found["said"] == "--subnet-id: us-east-1 has no default VPC with a subnet in us-east-1b"


def test_an_address_that_is_not_known_is_wrong_unless_the_options_name_one(
    online: Any, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> str:
        raise InvalidOption("x: y", hint="Name the blocks: temporary_security_group_source_cidrs=[…].") from OSError(
            "no"
        )

    monkeypatch.setattr(access, "our_address", unknown)
    found = examine(status=1)["our address wrong"]
    assert found["said"] == "our public address can't be found out: no"
    assert found["hint"] == "Name the blocks: --temporary-security-group-source-cidrs …."
    assert "our address ok" in examine("--temporary-security-group-source-cidrs", "192.0.2.0/24")
    assert "not reached by its public" in examine("--no-associate-public-ip-address")["our address ok"]["said"]
    assert "nobody is let in" in examine("--communicator", "none")["our address ok"]["said"]
    by_our_address = "--temporary-security-group-source-public-ip"
    for way in (("--ssh-proxy-command", "nc %h %p"), ("--ssh-interface", "private_ip")):
        assert "our address ok" in examine(*way)
        assert "our address wrong" in examine(*way, by_our_address, status=1)


def test_a_primal_image_that_is_not_there_is_wrong(online: Any, run: Run) -> None:
    done = run("doctor", "carnivore", "--app", "shop", "--source-ami", "latest-primal", "--instance-type", "t3.micro")
    assert done.exit_code == 1
    assert "✗ source image   --source-ami: there is no primal image of shop in us-east-1" in done.stdout
    assert "amibake build primal --app shop" in done.stdout


def test_a_deployment_image_needs_a_primal_one_and_not_just_any_system(online: Any, run: Run, place: Place) -> None:
    done = run("doctor", "carnivore", "--app", "shop", "--instance-type", "t3.micro")
    assert done.exit_code == 1
    assert "✗ source image   --source-ami: is missing" in done.stdout
    assert "--source-ami latest-primal" in done.stdout
    assert "Wheezy" not in done.stdout
    assert "ami-00000000" not in done.stdout


def test_who_may_look_at_nothing_gets_the_table_too(services: Services, place: Place, examine: Examine) -> None:
    services["sts"] = Nobody()
    fault = place.ec2.refuse("DescribeImages")
    found = examine("carnivore", "--source-ami", "latest-primal", status=1)
    fault.lift()
    assert found.keys() == {"credentials wrong", "the rest unknown"}


def test_the_name_that_is_free_is_one_that_a_bake_gives(online: Any, examine: Examine) -> None:
    assert re.match(r"'shop-primal \d{10}' is free", examine("--app", "shop")["options ok"]["said"])


def test_options_come_from_the_configuration_file(
    online: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "amibake.toml").write_text(
        'source_ami = "debian-12"\n[primal]\nnode_version = "22"\n[environments.big]\ninstance_type = "m5.large"\n'
    )
    done = run("doctor", "-e", "big", "--json")
    (types,) = [one for one in json.loads(done.stdout)["doctor"]["checks"] if one["check"] == "instance type"]
    assert types["said"] == "m5.large (x86_64)"
    assert run("doctor", "-e", "small").exit_code == 2


def test_there_are_two_recipes_and_no_other(run: Run, place: Place) -> None:
    done = run("doctor", "dinner")
    assert (done.exit_code, done.stderr) == (2, "error: stage: 'dinner' is neither 'primal' nor 'carnivore'\n")


def test_a_table_keeps_its_columns_in_any_width() -> None:
    checks = [Check("a", "ok", "word " * 40, "not shown"), Check("bcd", "wrong", "no", "hint " * 40)]
    for width in (40, 80):
        lines = list(table(checks, width))
        assert all(len(line) <= width for line in lines)
        assert lines[0].startswith("✓ a    word")
        assert all(line.startswith((" " * 7, "✓ ", "✗ ")) for line in lines)
        assert "not shown" not in "".join(lines)
