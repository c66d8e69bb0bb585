"""A strict EC2 in this process, with nothing behind its instances, on a clock that needs no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from amibake import waiting
from amibake.ec2.cloud import Cloud, connect
from amibake.ec2.instance import Machine, run_instance
from amibake.ec2.network import Network
from amibake.ec2.source import SourceImage, find_source_image
from amibake.events import Event
from amibake.ledger import Ledger
from amibake.strict import Delays, StrictEC2
from amibake.testing.clock import FakeClock


class AtOnce:
    """Runs the machines' work in the call that causes it."""

    def submit(self, fn: Callable[[], None], /) -> None:
        fn()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


@pytest.fixture
def strict(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictEC2]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    delays = Delays(running=7, stopped=17, available=41, terminated=9)
    with mock_aws(), StrictEC2(clock=clock.now, epoch=clock.epoch, delays=delays, executor=AtOnce()) as strict:
        yield strict


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def cloud(strict: StrictEC2, events: list[Event]) -> Cloud:
    session = boto3.Session(region_name="us-east-1")
    return connect(session, build="b" * 16, ledger=Ledger(events.append), seconds=3600, tags={"amibake:app": "shop"})


@pytest.fixture
def debian(strict: StrictEC2) -> str:
    return strict.add_image(
        name="debian-12-amd64-20260101-1", owner_id="136693071363", creation_date="2026-01-01T00:00:00+00:00"
    )


@pytest.fixture
def source(cloud: Cloud, debian: str) -> SourceImage:
    """Debian, as a launch wants to know it."""
    return find_source_image(cloud, debian)


@pytest.fixture
def two(cloud: Cloud) -> Network:
    """Two subnets."""
    found = cloud.ec2.describe_subnets()["Subnets"][:2]
    return Network(found[0]["VpcId"], tuple(one["SubnetId"] for one in found))


@pytest.fixture
def machine(cloud: Cloud, debian: str, clock: FakeClock) -> Machine:
    """A stopped builder."""
    machine = run_instance(cloud, {"ImageId": debian, "InstanceType": "t3.micro"})
    clock.sleep(10)
    cloud.ec2.stop_instances(InstanceIds=[machine.id])
    clock.sleep(20)
    return machine


@pytest.fixture
def refuse(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """refuse("delete_key_pair", "UnauthorizedOperation"): from now on EC2 says that to this call."""
    from botocore.exceptions import ClientError

    def refuse(call: str, code: str, message: str = "no") -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def answer(**arguments: Any) -> None:
            asked.append(arguments)
            raise ClientError({"Error": {"Code": code, "Message": message}}, call)

        monkeypatch.setattr(cloud.ec2._client, call, answer)  # type: ignore[attr-defined]
        return asked

    return refuse
