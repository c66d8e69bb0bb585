"""A local EC2 with real instances: that they are there, and that nothing of them stays, however the cloud ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amibake.errors import SandboxUnavailable
from amibake.sandbox import LocalCloud
from tests.sandbox.host_state import traces, unchanged_host

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

pytestmark = pytest.mark.sandbox

Eventually = Callable[[Callable[[], object]], object]

OWNER = """
import signal
from amibake.sandbox import LocalCloud
with LocalCloud() as cloud:
    ec2 = cloud.session.client("ec2")
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12-a*"]}])["Images"]
    ec2.run_instances(ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=2, MaxCount=2)
    ec2.get_waiter("instance_running").wait(WaiterConfig={"Delay": 1})
    print(cloud.id, cloud._worker._process.pid, flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module", autouse=True)
def _podman_has_been_used() -> None:
    """Podman makes some directories the first time, which stay; they are not ours."""
    with LocalCloud() as cloud:
        launch(cloud)


def launch(cloud: LocalCloud, name: str = "debian-12-a*", *, user_data: str = "") -> tuple[EC2Client, str]:
    """Launch an instance that lets everybody in and wait until it runs."""
    ec2 = cloud.session.client("ec2")
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": [name]}])["Images"]
    group = ec2.create_security_group(GroupName="open", Description="open")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=0, ToPort=65535, CidrIp="0.0.0.0/0")
    if not ec2.describe_key_pairs()["KeyPairs"]:
        ec2.create_key_pair(KeyName="key", KeyType="ed25519")
    (instance,) = ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType="t3.micro",
        KeyName="key",
        MinCount=1,
        MaxCount=1,
        SecurityGroupIds=[group],
        UserData=user_data,
    )["Instances"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1})
    return ec2, instance["InstanceId"]


@pytest.mark.parametrize("name", ["debian-12-a*", "debian-12-sysvinit-*"])
def test_instances_boot_from_both_bases(cache: Path, eventually: Eventually, name: str) -> None:
    with unchanged_host():
        with LocalCloud() as cloud:
            ec2, instance_id = launch(cloud, name)
            (described,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
            keyscan = ["ssh-keyscan", "-t", "ed25519", described["PublicIpAddress"]]
            eventually(lambda: subprocess.run(keyscan, capture_output=True).stdout)
            assert traces(cloud.id)
        assert traces(cloud.id) == []
    assert list(cache.glob("clouds/*/")) == []


def test_instances_reach_the_mirror_of_node_at_port_80(cache: Path, tmp_path: Path) -> None:
    with LocalCloud() as cloud:
        assert cloud.node_mirror == f"http://{cloud.node_mirror.split('/')[2]}/dist"
        ec2 = cloud.session.client("ec2")
        key = tmp_path / "key"
        key.touch(0o600)
        key.write_text(ec2.create_key_pair(KeyName="key", KeyType="ed25519")["KeyMaterial"])
        _, instance_id = launch(cloud)
        (described,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
        host = cloud.node_mirror.split("/")[2]
        ask = rf"exec 3<>/dev/tcp/{host}/80; printf 'GET /dist/index.tab HTTP/1.0\r\n\r\n' >&3; cat <&3"
        options = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ConnectionAttempts=30", "-i", str(key), f"admin@{described['PublicIpAddress']}"]
        answer = subprocess.run(["ssh", *options, ask], capture_output=True, text=True, timeout=300)
        assert "\nv0.10.48\t" in answer.stdout, answer.stderr


def test_an_exception_inside_leaves_nothing(cache: Path) -> None:
    seen: list[str] = []

    def fail() -> None:
        with LocalCloud() as cloud:
            seen.append(cloud.id)
            launch(cloud)
            _ = 1 / 0

    with unchanged_host():
        with pytest.raises(ZeroDivisionError):
            fail()
        assert traces(seen[0]) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_its_owners_end_leaves_nothing(cache: Path, eventually: Eventually, signum: int) -> None:
    with unchanged_host():
        owner, cloud_id, pid = start_owner()
        assert traces(cloud_id)
        owner.send_signal(signum)
        owner.communicate(timeout=60)
        eventually(lambda: not Path("/proc", str(pid)).exists())
        assert traces(cloud_id) == []
    assert list(cache.glob("clouds/*/")) == []


def start_owner() -> tuple[subprocess.Popen[str], str, int]:
    """A program that has a cloud with two instances: itself, the cloud's id, the serving process's."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert owner.stdout
    cloud_id, pid = owner.stdout.readline().split()
    return owner, cloud_id, int(pid)


def clean() -> str:
    command = [sys.executable, "-m", "amibake.sandbox", "clean"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_what_killed_ones_leave_is_removed_by_clean_and_nothing_else_is(cache: Path) -> None:
    with unchanged_host():
        with LocalCloud() as alive:
            launch(alive)
            owner, cloud_id, pid = start_owner()
            for victim in (owner.pid, pid):
                os.kill(victim, signal.SIGKILL)
            owner.communicate(timeout=60)
            assert traces(cloud_id)
            before = traces(alive.id)
            said = clean()
            assert f"removed {cloud_id}" in said
            assert alive.id not in said
            assert traces(cloud_id) == []
            assert traces(alive.id) == before
            assert alive.session.client("ec2").describe_instances()["Reservations"]
        assert traces(alive.id) == []
        assert "nothing to remove" in clean()
    assert list(cache.glob("clouds/*/")) == []


def test_two_at_once_do_not_touch_each_other(cache: Path) -> None:
    with unchanged_host(), LocalCloud() as one:
        with LocalCloud() as two:
            assert one.node_mirror != two.node_mirror
            launch(one)
            launch(two)
            before = traces(one.id)
        assert traces(two.id) == []
        assert traces(one.id) == before


def test_prepare_makes_all_that_is_slow(cache: Path) -> None:
    command = [sys.executable, "-m", "amibake.sandbox", "prepare", "--base", "systemd", "--node", "0.10"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert "ready: systemd, node 0.10.48" in done.stderr
    assert list(cache.glob("bases/systemd-*"))
    assert list(cache.glob("node/v0.10.48/*.tar.gz"))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(small))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs", small], check=True)
    try:
        with pytest.raises(SandboxUnavailable, match="No space left on device") as caught:
            LocalCloud(engine="none").open()
    finally:
        subprocess.run(["umount", small], check=True)
    assert "free some space" in caught.value.hint
