"""What a user's own tests get: machines, a clock, and a whole EC2 in this process."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

import amibake.testing
from amibake import waiting
from amibake.errors import SSHTimeout
from amibake.provisioners import Shell
from amibake.ssh import dial
from amibake.ssh.connect import connect
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.strict import Delays, Ingress, Launch
from amibake.testing import Answer, FakeClock, LoopbackMachine, LoopbackMachines, exits, in_process
from amibake.waiting import Deadline


@pytest.fixture(autouse=True)
def _no_thread_left(no_thread_left: None) -> None:
    """Around every test here."""


@pytest.fixture
def key() -> KeyPair:
    return make_key_pair()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackMachines]:
    machines = LoopbackMachines(tmp_path / "machines")
    monkeypatch.setattr(waiting, "clock", FakeClock())
    monkeypatch.setattr(dial, "dial", machines.dial)
    yield machines
    machines.close()


def launch(number: int, key: KeyPair | None, image_id: str = "ami-1") -> Launch:
    return Launch(
        instance_id=f"i-{number}",
        image_id=image_id,
        instance_type="t3.micro",
        key_name="k",
        public_key=key.public if key else None,
        user_data=None,
        root_volume_gib=8,
    )


def enter(address: str, key: KeyPair) -> amibake.ssh.host.SSHHost:
    return connect(address, username="admin", key=key, deadline=Deadline(600), timeout=20, emit=lambda _: None)


def test_the_clock() -> None:
    clock = FakeClock(epoch=1000)
    clock.sleep(2.5)
    clock.sleep(-1)
    clock.waited(0.5)
    assert (clock.now(), clock.epoch()) == (3.0, 1003.0)


def test_a_machine_through_its_life(machines: LoopbackMachines, key: KeyPair) -> None:
    address = machines.run(launch(1, key))
    machine = machines["i-1"]
    with enter(address, key) as host:
        host.put(b"x", "/tmp/file")
        machines.reboot("i-1")
        host.reconnect()
        assert host.run("anything at all").status == 0
    machines.stop("i-1", force=False)
    with pytest.raises(SSHTimeout, match="refused"):
        enter(address, key)
    assert machines.create_image("i-1", "ami-2") >= 1
    assert machines.start("i-1") == address
    enter(address, key).close()
    machines.terminate("i-1")
    machines.terminate("i-1")
    assert machine.upload("/tmp/file").read_bytes() == b"x"
    assert [ran.command for ran in machine.ran] == ["anything at all"]
    assert address in machines.console_output("i-1")


def test_an_image_carries_over_what_was_uploaded(machines: LoopbackMachines, key: KeyPair) -> None:
    with enter(machines.run(launch(1, key)), key) as host:
        host.put(b"x", "/tmp/file")
    machines.create_image("i-1", "ami-2")
    with enter(machines.run(launch(2, key, "ami-2")), key) as host:
        host.put(b"y", "/tmp/other")
    assert machines.newest is machines["i-2"]
    assert machines.newest.upload("/tmp/file").read_bytes() == b"x"
    assert not machines["i-1"].upload("/tmp/other").exists()
    machines.delete_image("ami-2")
    assert machines.images == {}


def test_without_a_key_pair_nobody_gets_in(machines: LoopbackMachines, key: KeyPair) -> None:
    with pytest.raises(amibake.errors.AuthenticationFailed):
        connect(machines.run(launch(1, None)), username="admin", key=key, deadline=Deadline(600), emit=lambda _: None)


@pytest.mark.parametrize(
    ("rules", "in_"),
    [
        ([], False),
        ([Ingress("tcp", 22, 22, ("127.0.0.1/32",))], True),
        ([Ingress("-1", -1, -1, ("10.0.0.0/8", "127.0.0.0/8"))], True),
        ([Ingress("tcp", 80, 80, ("0.0.0.0/0",))], False),
        ([Ingress("tcp", 22, 22, ("10.0.0.0/8",))], False),
        ([Ingress("udp", 22, 22, ("0.0.0.0/0",))], False),
    ],
)
def test_security_groups_hold(machines: LoopbackMachines, key: KeyPair, rules: list[Ingress], in_: bool) -> None:
    address = machines.run(launch(1, key))
    machines.set_ingress("i-1", rules)
    if in_:
        enter(address, key).close()
    else:
        with pytest.raises(SSHTimeout, match="no security group lets this in"):
            enter(address, key)


def test_other_addresses_are_dialled_as_ever(machines: LoopbackMachines, key: KeyPair) -> None:
    machines.run(launch(1, key))
    machines.dial("127.77.0.1", 22, Deadline(5)).close()
    with machines.dial(machines["i-1"].address, machines["i-1"].port, Deadline(5)):
        pass
    with pytest.raises(ConnectionRefusedError):
        machines.dial("127.99.99.99", 1, Deadline(5))


def test_what_commands_answer(machines: LoopbackMachines, key: KeyPair) -> None:
    called: list[int] = []
    machines.behaviour.on("one", exits(1, stdout="o", stderr="e"))
    machines.behaviour.on("one two", Answer(2, does=lambda: called.append(2)))
    with enter(machines.run(launch(1, key)), key) as host:
        done = host.run("one", capture=True)
        assert (done.status, done.stdout, done.stderr) == (1, "o", "e")
        assert host.run("one two 'unbalanced").status == 2
        assert called == [2]
        machines.behaviour.on("stay", Answer(stays=True))
        with pytest.raises(amibake.errors.WaitTimeout):
            host.run("stay", timeout=0)


def test_a_whole_ec2() -> None:
    with in_process(delays=Delays(running=10), region="eu-west-1") as place:
        ec2 = place.session.client("ec2")
        key = make_key_pair()
        ec2.import_key_pair(KeyName="k", PublicKeyMaterial=key.public.encode())
        images = ec2.describe_images(Owners=["136693071363"])["Images"]
        assert [image["ImageId"] for image in images] == [place.source_ami]
        [instance] = ec2.run_instances(
            ImageId=place.source_ami, InstanceType="t3.micro", KeyName="k", MinCount=1, MaxCount=1
        )["Instances"]
        waiting.clock.sleep(10)
        [reservation] = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"]
        assert reservation["Instances"][0]["State"]["Name"] == "running"
        assert place.clock is waiting.clock
        assert place.machines.launches[instance["InstanceId"]].public_key is not None
        assert dial.dial == place.machines.dial
    assert waiting.clock is not place.clock
    assert dial.dial != place.machines.dial


def test_a_timeout_of_a_command_in_process_ends(key: KeyPair, machines: LoopbackMachines) -> None:
    machines.behaviour.on("stay", Answer(stays=True))
    with enter(machines.run(launch(1, key)), key) as host, pytest.raises(amibake.errors.WaitTimeout) as caught:
        Shell(inline=["stay"], timeout=0.5).provision(host)
    assert caught.value.message == "the inline script: not ended after 0.5 s; it was killed"


def test_nothing_of_the_callers_aws_configuration_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:9\n"
        "[profile mine]\nendpoint_url = http://127.0.0.1:9\n"
    )
    theirs = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_REGION": "eu-north-1",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    for profile in ("mine", "zzz"):
        monkeypatch.setenv("AWS_PROFILE", profile)
        before = dict(os.environ)
        with in_process(region="eu-west-1") as place:
            for session in (place.session, boto3.Session()):
                ec2 = session.client("ec2")
                assert ec2.meta.region_name == "eu-west-1"
                assert ec2.describe_images(ImageIds=[place.source_ami])["Images"]
            assert not set(os.environ.items()) & set(theirs.items())
        assert dict(os.environ) == before


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    check = "import sys, amibake.testing; print({'moto', 'paramiko', 'boto3', 'pytest'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert all(getattr(amibake.testing, name) for name in amibake.testing.__all__)
    with pytest.raises(AttributeError):
        amibake.testing.nonsense  # noqa: B018


def test_what_a_command_is_given_arrives_also_while_signals_do(key: KeyPair, tmp_path: Path) -> None:
    """They cut what a process writes into a pipe, between what was taken and what was not."""
    content = random.Random(1).randbytes(4 << 20)
    over = threading.Event()

    def signals() -> None:
        while not over.wait(0.001):
            for thread in threading.enumerate():
                if "_pump_in" in thread.name and thread.ident is not None:
                    with suppress(ProcessLookupError):
                        signal.pthread_kill(thread.ident, signal.SIGUSR1)

    with (
        LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public], execute=True) as machine,
        connect(machine.address, machine.port, username="admin", key=key, deadline=Deadline(99), emit=print) as host,
    ):
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        thread = threading.Thread(target=signals)
        thread.start()
        try:
            said = host.run("dd bs=64 2>/dev/null | sha256sum", input=content, capture=True).stdout
        finally:
            over.set()
            thread.join()
            signal.signal(signal.SIGUSR1, before)
    assert said.split()[0] == hashlib.sha256(content).hexdigest()
