"""A local EC2 for the whole session, and primal images in it: baked once, as every test's starting point."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import deploy
import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake.sandbox import LocalCloud
from amibake.ssh.keys import make_key_pair
from tests.account import temporary
from tests.e2e.support import SYSVINIT, Box, login, primal


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.sandbox)


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(progress=lambda text: print(text, file=sys.stderr)) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def ec2(cloud: LocalCloud) -> EC2Client:
    client: EC2Client = cloud.session.client("ec2")
    return client


@pytest.fixture(scope="session")
def appserver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example application, as the example's deploy script builds it."""
    return deploy.fill_appserver(tmp_path_factory.mktemp("built") / "appserver", text="baked by a test")


@pytest.fixture(scope="session")
def systemd_primal(cloud: LocalCloud) -> amibake.Image:
    return primal(cloud, amibake.DEBIAN_12, "20", app="shop")


@pytest.fixture(scope="session")
def sysvinit_primal(cloud: LocalCloud) -> amibake.Image:
    """The article's own node, on an init of its time."""
    return primal(cloud, SYSVINIT, "0.10", app="ponyfoo")


@pytest.fixture
def debian(ec2: EC2Client) -> str:
    images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])["Images"]
    return images[0]["ImageId"]


@pytest.fixture
def box(cloud: LocalCloud, ec2: EC2Client) -> Iterator[Callable[[amibake.Image | str], Box]]:
    """Launches instances that this machine may reach on ports 22 and 80; afterwards they are gone."""
    key = make_key_pair("ed25519", comment="e2e")
    with ExitStack() as undo:
        name = f"e2e-{time.monotonic_ns()}"
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=key.public.encode())
        undo.callback(ec2.delete_key_pair, KeyName=name)
        group = ec2.create_security_group(GroupName=name, Description="e2e")["GroupId"]
        undo.callback(ec2.delete_security_group, GroupId=group)
        for port in (22, 80):
            ec2.authorize_security_group_ingress(
                GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
            )

        def launch(image: amibake.Image | str) -> Box:
            instance = undo.enter_context(
                amibake.launch(
                    image, instance_type="t3.micro", key_name=name, security_group_ids=[group], session=cloud.session
                )
            )
            return Box(instance, undo.enter_context(login(instance.public_ip, key)), key)

        yield launch


@pytest.fixture(autouse=True)
def _nothing_temporary_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around every test: what a bake makes only for a while is gone afterwards."""
    ec2: EC2Client = request.getfixturevalue("ec2")
    before = temporary(ec2)
    yield
    assert temporary(ec2) - before == set()
