"""A shell on an instance of a sandbox, by its container."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amibake.builder import DEBIAN_12
from amibake.sandbox import LocalCloud
from tests.cli.test_process import environment

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """One that runs containers."""
    with LocalCloud() as cloud:
        yield cloud


def test_a_command_runs_on_the_instance_as_its_user_and_its_status_is_the_commands(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    ec2 = cloud.session.client("ec2")
    filters = [{"Name": "name", "Values": [DEBIAN_12.on("x86_64").name]}]
    (image,) = ec2.describe_images(Owners=list(DEBIAN_12.owners), Filters=filters)["Images"]
    launched = ec2.run_instances(ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1)
    (instance,) = launched["Instances"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1})

    def ssh(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "amibake", "sandbox", "ssh", instance["InstanceId"], *words],
            input="",
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(),
        )

    deadline = time.monotonic() + 120
    while (done := ssh("-l", "root", "whoami")).stdout != "root\n":  # it may be on its way up still
        assert time.monotonic() < deadline, done.stderr
    done = ssh("--", "sh", "-c", "id -un; exit 7")
    assert (done.returncode, done.stdout) == (7, "admin\n"), done.stderr
