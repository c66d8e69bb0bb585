"""What the examples of a page find: files, and an account with what is in it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import amibake
from amibake import flow
from amibake.ec2 import access
from amibake.ssh import dial
from amibake.ssh.keys import make_key_pair
from amibake.strict.machines import Launch
from amibake.testing import Bakery, bakery, exits
from amibake.waiting import Deadline
from tests.docs.blocks import blocks

PROJECT = {
    "package.json": '{"name": "shop"}',
    "tmp/appserver/package.json": '{"name": "shop"}',
    "tmp/appserver/cluster.js": "// starts the application\n",
    "tmp/appserver/deploy/env/production.json": "{}",
    "tmp/appserver/deploy/env/staging.json": "{}",
    "dist/install.sh": "#!/bin/sh\n",
    "setup.sh": "#!/bin/sh\necho set up\n",
}
"""The files that everybody has."""
UBUNTU = "099720109477"
BASE = "ami-0123456789abcdef0"
BUILD = "0123456789abcdef"

World = Callable[[ExitStack, Bakery], Mapping[str, object]]
"""Adds what only one page needs, and answers with the names that its Python knows beforehand."""


def lay_out(page: str, directory: Path) -> None:
    """Write the files that a page finds."""
    for name, text in PROJECT.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    if page in WITH_DEPLOY_SCRIPT:
        (directory / "deploy.py").write_text(next(one.text for one in blocks(DEPLOY_SCRIPT) if one.file))


@contextmanager
def world(page: str, directory: Path) -> Iterator[dict[str, object]]:
    """Everything that a page finds, for as long as the block lasts. Answers with the names that its Python knows."""
    lay_out(page, directory)
    known = {"HOME": str(directory), "NPM_TOKEN": "hunter2", "GITHUB_SHA": "0" * 40}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, known))
        if page in WITHOUT_ACCOUNT:
            yield {}
            return
        here = stack.enter_context(bakery())
        here.add_image(name="ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-1", owner_id=UBUNTU)
        here.add_image(name="base", image_id=BASE)
        here.add_baked_image(app="shop", stage="primal", name="shop-primal 1749000000")
        here.add_baked_image(
            app="shop", stage="carnivore", node_env="production", name="shop-carnivore-production 1749000001"
        )
        yield dict(WORLDS[page](stack, here)) if page in WORLDS else {}


def _policies(_: ExitStack, __: Bakery) -> Mapping[str, object]:
    Path("policy.json").write_text("{}")
    return {"builder": amibake.Builder(ami_name="web", ami_regions=["eu-west-1"])}


def _tutorial(stack: ExitStack, here: Bakery) -> Mapping[str, object]:
    """An account as AWS makes them: a gateway leads out of its VPC."""
    ec2 = here.session.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    stack.enter_context(mock.patch.object(access, "_public_address", return_value="192.0.2.7"))
    return {}


def _encryption(_: ExitStack, here: Bakery) -> Mapping[str, object]:
    _key(here, "us-east-1", "alias/images")
    _key(here, "eu-west-1", "alias/images-eu")
    return {}


def _deploy_script(_: ExitStack, here: Bakery) -> Mapping[str, object]:
    here.script("./smoke-test").exits(1, stderr="no answer\n")
    return {}


def _coming_from_packer(stack: ExitStack, here: Bakery) -> Mapping[str, object]:
    """The second example has a builder that fails once, of a known bake, at a known address."""
    here.add_image(name="debian-12-amd64-1", region="eu-west-1")
    _subnet(here, "eu-west-1", "build")
    _profile(here, "builder")
    _key(here, "eu-west-1", "alias/images")
    _key(here, "us-east-1", "alias/images")
    machines, fails = here.place.machines, [True]
    machines.behaviour.on(lambda ran: "set up" in ran.script and bool(fails) and fails.pop(), exits(1))
    _names(stack, here, {"203.0.113.7": lambda: machines.newest.address})
    ids = SimpleNamespace(token_hex=mock.Mock(side_effect=["f" * 16, BUILD]))
    stack.enter_context(mock.patch.object(flow, "secrets", ids))
    return {}


def _private_subnets(stack: ExitStack, here: Bakery) -> Mapping[str, object]:
    """A bastion, who comes from elsewhere than this machine thinks, and an `aws` that leads into an instance."""
    _subnet(here, "us-east-1", "private")
    _profile(here, "ssm")
    key, home, machines = make_key_pair(), Path.home(), here.place.machines
    (home / ".ssh").mkdir()
    (home / ".ssh/bastion").write_bytes(key.private)
    bastion = machines.add_bastion([key.public], username="jump")
    _names(stack, here, {"bastion.example.com": lambda: bastion.address})
    (home / "bin").mkdir()
    (home / "bin/aws").write_text(_AWS)
    (home / "bin/aws").chmod(0o755)
    stack.enter_context(mock.patch.dict(os.environ, {"PATH": f"{home}/bin:{os.environ['PATH']}"}))
    really = machines.run

    def run(launch: Launch) -> str:
        address = really(launch)
        (home / launch.instance_id).write_text(f"{address} {machines[launch.instance_id].port}")
        return address

    stack.enter_context(mock.patch.object(machines, "run", run))
    return {}


_AWS = f"""#!{sys.executable} -IS
import os, socket, sys, threading
told = "ssm start-session --target %s --document-name AWS-StartSSHSession --parameters portNumber=22"
target = sys.argv[4]
assert " ".join(sys.argv[1:]) == told % target, sys.argv
address, port = open(os.path.expanduser("~/" + target)).read().split()
there = socket.create_connection((address, int(port)))
def up():
    while data := os.read(0, 1 << 16):
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := there.recv(1 << 16):
    os.write(1, data)
"""


def _secrets(_: ExitStack, here: Bakery) -> Mapping[str, object]:
    _profile(here, "shop-web")
    return {}


def _profile(here: Bakery, name: str) -> None:
    iam = here.session.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def _key(here: Bakery, region: str, alias: str) -> None:
    kms = here.session.client("kms", region_name=region)
    kms.create_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])


def _subnet(here: Bakery, region: str, tier: str) -> None:
    ec2 = here.session.client("ec2", region_name=region)
    first = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_tags(Resources=[first], Tags=[{"Key": "Tier", "Value": tier}])


def _names(stack: ExitStack, here: Bakery, names: Mapping[str, Callable[[], str]]) -> None:
    """Let these names lead to machines. Who is not let in comes from 10.0.0.7 as well."""

    def dialled(name: str, port: int, deadline: Deadline) -> socket.socket:
        address = names.get(name, lambda: name)()
        try:
            return here.place.machines.dial(address, port, deadline)
        except TimeoutError:
            return here.place.machines.dial(address, port, deadline, source="10.0.0.7")

    stack.enter_context(mock.patch.object(dial, "dial", dialled))


DEPLOY_SCRIPT = "docs/how-to/deploy-script.md"
WITHOUT_ACCOUNT = ("docs/how-to/testing.md",)
"""Whose examples bring an account of their own."""
WITH_DEPLOY_SCRIPT = ("README.md", *WITHOUT_ACCOUNT)
"""Whose examples test the deploy script of that page."""
WORLDS: Mapping[str, World] = {
    "docs/coming-from-packer.md": _coming_from_packer,
    DEPLOY_SCRIPT: _deploy_script,
    "docs/how-to/encryption.md": _encryption,
    "docs/how-to/private-subnets.md": _private_subnets,
    "docs/how-to/secrets.md": _secrets,
    "docs/iam-policy.md": _policies,
    "docs/tutorial.md": _tutorial,
}
