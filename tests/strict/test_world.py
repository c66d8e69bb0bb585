"""Installing and leaving; the default threads; a server for other processes; and moto's hook points."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core import responses
from moto.ec2 import utils
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models import amis as amis_module
from moto.ec2.models import instances as instances_module
from moto.ec2.responses import EC2Response
from moto.server import ThreadedMotoServer

from amibake.errors import AmibakeError
from amibake.strict import Launch, StrictEC2
from amibake.strict.imaginary import ImaginaryMachines

MOVED = "moto's hook point moved: look at amibake/strict/world.py before widening the moto pin"


def client(region: str = "us-east-1", **options: Any) -> Any:
    return boto3.client("ec2", region, aws_access_key_id="x", aws_secret_access_key="x", **options)


@contextmanager
def in_process() -> Iterator[tuple[StrictEC2, Any]]:
    """A strict EC2 and a client in the same process."""
    with mock_aws(), StrictEC2() as strict:
        yield strict, client()


@contextmanager
def served() -> Iterator[tuple[StrictEC2, Any]]:
    """A strict EC2 and a client that comes over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with StrictEC2() as strict:
        server.start()
        try:
            host, port = server.get_host_and_port()
            with closing(client(endpoint_url=f"http://{host}:{port}")) as ec2:
                yield strict, ec2
        finally:
            server.stop()


def hooks() -> dict[str, Any]:
    """What a StrictEC2 swaps."""
    return {
        "dispatch": vars(EC2Response).get("_dispatch"),
        "actions": responses.method_names_from_class,
        "transformers": dict(EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER),
        "Instance": instances_module.Instance,
        "backend": ec2_backends.backend,
        "books": dict(ec2_backends),
        "filters": dict(utils.filter_dict_attribute_mapping),
    }


class TestHooks:
    """Canaries: they fail when moto changes what the strict EC2 hangs on."""

    def test_requests_go_through_dispatch(self) -> None:
        assert list(inspect.signature(EC2Response._dispatch).parameters) == [
            "self",
            "request",
            "full_url",
            "headers",
        ], MOVED
        for name in (
            "call_action",
            "parse_parameters",
            "serialized",
            "_enrich_response",
            "_parse_block_device_mapping",
        ):
            assert callable(getattr(EC2Response, name, None)), f"{MOVED}: {name}"
        assert " in method_names" in inspect.getsource(responses.BaseResponse.call_action), MOVED

    def test_instances_are_made_of_the_modules_class(self) -> None:
        run = inspect.getsource(instances_module.InstanceBackend.run_instances)
        assert "new_instance = Instance(" in run, MOVED
        assert '"block_device_mappings" in kwargs' in run, MOVED
        for name in ("_state", "state_reason", "public_ip", "private_ip", "nics"):
            source = inspect.getsource(instances_module.Instance)
            assert f"self.{name}" in source or f"def {name}" in source, f"{MOVED}: {name}"

    def test_books_are_made_of_the_dicts_class(self) -> None:
        assert ec2_backends.backend is EC2Backend, MOVED
        assert "self._load_amis()" in inspect.getsource(amis_module.AmiBackend.__init__), MOVED
        assert "self.ebs_snapshot" in inspect.getsource(amis_module.Ami.__init__), MOVED


class TestLeaving:
    def test_restores_everything(self) -> None:
        with mock_aws():
            before_client = client()
            kept = before_client.create_key_pair(KeyName="kept")["KeyPairId"]
            before = hooks()
            with StrictEC2() as strict:
                assert hooks() != before
                strict.add_image(name="image", owner_id="136693071363")
                assert client().describe_key_pairs()["KeyPairs"] == []
            assert hooks() == before
            assert [pair["KeyPairId"] for pair in client().describe_key_pairs()["KeyPairs"]] == [kept]

    def test_the_next_one_starts_clean(self) -> None:
        with mock_aws():
            for _ in range(2):
                with StrictEC2() as strict:
                    assert client().describe_images()["Images"] == []
                    image = strict.add_image(name="image", owner_id="136693071363", region="us-east-1")
                    client().run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
                    assert len(client().describe_instances()["Reservations"]) == 1

    def test_only_one_at_a_time(self, cloud: Any) -> None:
        assert cloud.machines.on_power_off
        with pytest.raises(AmibakeError, match="installed in this process already"), cloud.strict:
            pass
        assert cloud.state(cloud.run()) == "running"

    def test_also_after_an_error(self) -> None:
        before = hooks()
        with pytest.raises(RuntimeError, match="oops"), StrictEC2():
            raise RuntimeError("oops")
        assert hooks() == before

    def test_a_machine_that_powers_off_later_disturbs_nobody(self) -> None:
        machines = ImaginaryMachines()
        with mock_aws():
            launch = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
            plain = client().run_instances(**launch)["Instances"][0]["InstanceId"]
            with StrictEC2(machines):
                report = machines.on_power_off
            assert report
            report(plain, False)
            (reservation,) = client().describe_instances()["Reservations"]
            assert reservation["Instances"][0]["State"]["Name"] == "running"

    def test_waits_for_work_in_progress(self) -> None:
        finish, started = threading.Event(), threading.Event()

        class SlowMachines(ImaginaryMachines):
            finished = False

            def run(self, launch: Launch) -> str:
                started.set()
                assert finish.wait(60)
                self.finished = True
                return super().run(launch)

        machines = SlowMachines()
        with mock_aws(), StrictEC2(machines) as strict:
            image = strict.add_image(name="image", owner_id="136693071363")
            client().run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
            assert started.wait(60)
            finish.set()
        assert machines.finished
        assert machines.on_power_off is None


@pytest.mark.parametrize("place", [in_process, served])
def test_a_bake_with_the_default_threads_and_no_machines(place: Any) -> None:
    quick = {"Delay": 0.01, "MaxAttempts": 3000}
    with place() as (strict, ec2):
        image = strict.add_image(name="debian", owner_id="136693071363")
        launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 2, "MaxCount": 2}
        ids = [each["InstanceId"] for each in ec2.run_instances(**launch)["Instances"]]
        ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=quick)
        reservations = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        addresses = {each["PublicIpAddress"] for r in reservations for each in r["Instances"]}
        assert len(addresses) == 2
        assert ec2.get_console_output(InstanceId=ids[0])["Output"] == ""
        ec2.reboot_instances(InstanceIds=ids)
        ec2.stop_instances(InstanceIds=ids)
        ec2.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig=quick)
        made = ec2.create_image(InstanceId=ids[0], Name="baked")["ImageId"]
        ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig=quick)
        ec2.start_instances(InstanceIds=ids)
        ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=quick)
        ec2.terminate_instances(InstanceIds=ids)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=quick)
        ec2.deregister_image(ImageId=made, DeleteAssociatedSnapshots=True)


def test_many_clients_at_once(cloud: Any) -> None:
    failures: list[BaseException] = []

    def live() -> None:
        try:
            instance = cloud.run()
            cloud.ec2.stop_instances(InstanceIds=[instance])
            cloud.ec2.terminate_instances(InstanceIds=[instance])
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=live) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    shown = cloud.ec2.describe_instances()["Reservations"]
    assert len(shown) == 8
    assert cloud.ec2.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize(
    "date",
    [
        "2026-01-02T03:04:05Z",
        datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - a date without a zone is what this is about
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_creation_dates(cloud: Any, date: datetime | str) -> None:
    image = cloud.strict.add_image(name="dated", owner_id="136693071363", creation_date=date)
    assert cloud.describe_image(image)["CreationDate"] == "2026-01-02T03:04:05.000Z"


def test_power_off_of_a_machine_in_another_region(cloud: Any) -> None:
    image = cloud.strict.add_image(name="there", owner_id="136693071363", region="eu-west-1")
    there = client("eu-west-1")
    launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    instance = there.run_instances(**launch)["Instances"][0]["InstanceId"]
    cloud.machines.on_power_off(instance, False)
    (reservation,) = there.describe_instances()["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "stopped"


def test_a_first_request_to_a_region_disturbs_none_that_is_under_way(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = ["eu-west-1"]
    real = instances_module.InstanceBackend.all_instances

    def meanwhile(books: Any, *given: Any) -> Any:
        if regions:
            assert ec2_backends[cloud.strict.account_id][regions.pop()]  # which makes its books
        return real(books, *given)

    monkeypatch.setattr(instances_module.InstanceBackend, "all_instances", meanwhile)
    assert client().describe_vpcs()["Vpcs"]
    assert regions == []


def test_nor_does_it_disturb_who_asks_whether_an_instance_still_boots(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client().describe_vpcs()["Vpcs"]
    real = instances_module.InstanceBackend.get_instance_by_id

    def meanwhile(books: Any, *given: Any) -> Any:
        assert ec2_backends[cloud.strict.account_id]["eu-west-1"]
        return real(books, *given)

    monkeypatch.setattr(instances_module.InstanceBackend, "get_instance_by_id", meanwhile)
    assert not cloud.strict.boots("i-0123456789abcdef0")
