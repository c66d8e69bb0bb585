"""A strict EC2 in process, with machines that only note what they are told and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from amibake.strict import Delays, Ingress, Launch, StrictEC2

DEBIAN = "136693071363"


class NotingMachines:
    """Notes every call as a tuple; what is in `broken` raises."""

    def __init__(self) -> None:
        self.on_power_off: Callable[[str, bool], None] | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.launches: list[Launch] = []
        self.ingress: dict[str, list[Ingress]] = {}
        self.broken: set[str] = set()

    def told(self, *verbs: str) -> list[tuple[Any, ...]]:
        """The calls so far, or those of these names."""
        return [call for call in self.calls if not verbs or call[0] in verbs]

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.broken:
            raise RuntimeError(f"{call[0]} is broken")

    def run(self, launch: Launch) -> str:
        self.launches.append(launch)
        self._note("run", launch.instance_id)
        return f"10.1.0.{len(self.launches)}"

    def start(self, instance_id: str) -> str:
        self._note("start", instance_id)
        return f"10.2.0.{len(self.told('start'))}"

    def stop(self, instance_id: str, *, force: bool) -> None:
        self._note("stop", instance_id, force)

    def reboot(self, instance_id: str) -> None:
        self._note("reboot", instance_id)

    def terminate(self, instance_id: str) -> None:
        self._note("terminate", instance_id)

    def create_image(self, instance_id: str, image_id: str) -> int:
        self._note("create_image", instance_id, image_id)
        return 1

    def delete_image(self, image_id: str) -> None:
        self._note("delete_image", image_id)

    def console_output(self, instance_id: str) -> str:
        self._note("console_output", instance_id)
        return f"Debian GNU/Linux 12 {instance_id} hvc0 – login:"

    def set_ingress(self, instance_id: str, rules: Sequence[Ingress]) -> None:
        self.ingress[instance_id] = list(rules)
        self._note("set_ingress", instance_id)


class Workshop:
    """An executor that works at once, or, `closed`, only when told to `work`; and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.closed = False
        self._waiting: list[Callable[[], None]] = []

    def clock(self) -> float:
        return self.now

    def epoch(self) -> float:
        """1 January 2026 as the clock says 1000."""
        return 1_767_225_600 + self.now - 1000

    def submit(self, fn: Callable[[], None], /) -> None:
        self._waiting.append(fn)
        if not self.closed:
            self.work()

    def work(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class Cloud:
    """All of it, with the few calls that most tests make."""

    def __init__(self, strict: StrictEC2, machines: NotingMachines, shop: Workshop, ec2: Any) -> None:
        self.strict, self.machines, self.shop, self.ec2 = strict, machines, shop, ec2
        self.image = strict.add_image(name="debian-12-amd64-20260101", owner_id=DEBIAN)

    def run(self, **changes: Any) -> str:
        """RunInstances of one t3.micro from the base image; its id."""
        request = {"ImageId": self.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes
        instance_id: str = self.ec2.run_instances(**request)["Instances"][0]["InstanceId"]
        return instance_id

    def instance(self, instance_id: str) -> Any:
        """As DescribeInstances shows it."""
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    def state(self, instance_id: str) -> str:
        """The name of its state."""
        return str(self.instance(instance_id)["State"]["Name"])

    def describe_image(self, image_id: str) -> Any:
        """As DescribeImages shows it."""
        return self.ec2.describe_images(ImageIds=[image_id])["Images"][0]

    def stopped(self, **changes: Any) -> str:
        """An instance that was run and stopped; its id."""
        instance = self.run(**changes)
        self.shop.now += 1
        self.ec2.stop_instances(InstanceIds=[instance])
        return instance

    def bake(self, name: str = "img", instance: str | None = None, **changes: Any) -> str:
        """CreateImage, of a fresh instance by default; the image's id."""
        source = instance or self.stopped()
        image: str = self.ec2.create_image(InstanceId=source, Name=name, **changes)["ImageId"]
        return image

    def refusal(self, operation: str, **request: Any) -> tuple[str, str]:
        """Code and message of the error with which EC2 refuses this."""
        with pytest.raises(ClientError) as caught:
            getattr(self.ec2, operation)(**request)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


def client(service: str, region: str) -> Any:
    """One that can reach no real account, and that retries nothing."""
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x", config=config)


@pytest.fixture(scope="session")
def ec2() -> Any:
    """Made once, since that takes longer than a test."""
    return client("ec2", "us-east-1")


@pytest.fixture(scope="session")
def ireland() -> Any:
    """The same in another region."""
    return client("ec2", "eu-west-1")


@pytest.fixture
def delays() -> Delays:
    """EC2's own slowness; a test module or class replaces it by a fixture of this name."""
    return Delays()


@pytest.fixture
def cloud(delays: Delays, ec2: Any) -> Iterator[Cloud]:
    """A strict EC2 with one image in it."""
    machines, shop = NotingMachines(), Workshop()
    strict = StrictEC2(machines, clock=shop.clock, epoch=shop.epoch, delays=delays, executor=shop)
    with mock_aws(), strict:
        yield Cloud(strict, machines, shop, ec2)
