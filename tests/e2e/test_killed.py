"""Deploy scripts that are killed in the sandbox, and what the command `amibake sweep` makes of what they leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from mypy_boto3_ec2 import EC2Client

from amibake.sandbox import LocalCloud
from tests.account import temporary
from tests.e2e.support import ROOT

DEPLOY = """
import sys, time, amibake

def tell(event):
    print(repr(event), flush=True)
    if repr(event).startswith(sys.argv[1]):
        time.sleep(600)

builder = amibake.Builder(ami_name="killed {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro")
amibake.bake(builder, [amibake.File(sys.argv[2], "/tmp/sent/"), amibake.Shell(inline=["echo begun"])], on_event=tell)
"""
MOMENTS = {
    "the builder is launched": "Created(kind='instance'",
    "SSH is awaited": "StepStarted(step='connect to the builder'",
    "files are sent": "Uploading(",
    "a script runs": "Output(stream='stdout', line='begun'",
    "it is sealed": "StepStarted(step='seal the builder'",
    "it is stopped": "StepStarted(step='stop the builder'",
    "the image is made": "Created(kind='image'",
    "it is published": "StepStarted(step='publish the image'",
}


def sweep(cloud: LocalCloud, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "amibake", "sweep", "--plain", *words],
        env={**os.environ, **cloud.environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_what_a_killed_bake_leaves_is_swept_by_its_id(cloud: LocalCloud, ec2: EC2Client, moment: str) -> None:
    before = temporary(ec2)
    command, environment = (
        [sys.executable, "-c", DEPLOY, moment, str(ROOT / "amibake")],
        {**os.environ, **cloud.environment},
    )
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = []
        for line in program.stdout:
            said.append(line)
            if line.startswith(moment):
                program.send_signal(signal.SIGKILL)
                break
    assert program.returncode == -signal.SIGKILL, "".join(said)[-2000:]
    (build,) = re.findall(r"BuildStarted\(build='([0-9a-f]{16})'\)", "".join(said))
    left = temporary(ec2) - before
    assert left
    sweep(cloud)  # it has not expired
    assert temporary(ec2) - before == left
    dry = sweep(cloud, "--build", build, "--dry-run")
    assert temporary(ec2) - before == left
    assert build in dry
    sweep(cloud, "--build", build)
    assert temporary(ec2) - before == set()
