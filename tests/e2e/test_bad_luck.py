"""What goes wrong, in the sandbox: each a clear error with its exit code, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake import flow
from amibake.sandbox import LocalCloud
from tests.e2e.support import ROOT


def builder(**options: Any) -> amibake.Builder:
    return amibake.Builder(
        **{
            "ami_name": "trial {{timestamp}} {{uuid}}",
            "source_ami": amibake.DEBIAN_12,
            "instance_type": "t3.micro",
            **options,
        }
    )


def test_a_script_that_fails_says_how(cloud: LocalCloud) -> None:
    with pytest.raises(amibake.ScriptFailed, match="exited with status 3") as caught:
        amibake.bake(builder(), [amibake.Shell(inline=["echo on the way", "exit 3"])], session=cloud.session)
    assert (caught.value.status, caught.value.exit_code) == (3, 11)
    assert "on the way" in caught.value.tail


def test_without_the_ingress_rule_the_bake_fails(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the firewall of the sandbox is known to be one."""
    monkeypatch.setattr(flow, "admit_ssh", lambda *_: None)
    with pytest.raises(amibake.SSHTimeout, match=r"SSH at .* not after"):
        amibake.bake(builder(ssh_timeout=6), session=cloud.session)


def test_a_full_disk_is_the_uploads_error(cloud: LocalCloud, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"\1" * (80 << 20))  # no hole, which would stay one
    # what a container has there is 64 MB
    for source in (tmp_path / "large", f"{tmp_path}/"):
        with pytest.raises(amibake.UploadFailed, match="the builder's disk is full") as caught:
            amibake.bake(builder(), [amibake.File(source, "/dev/shm/large")], session=cloud.session)
        assert caught.value.exit_code == 10


def test_the_wrong_user_is_refused(cloud: LocalCloud) -> None:
    with pytest.raises(amibake.AuthenticationFailed, match="refuses the key for the user ubuntu"):
        amibake.bake(builder(ssh_username="ubuntu"), session=cloud.session)


def test_a_source_image_that_is_not_there_has_a_hint(cloud: LocalCloud) -> None:
    with pytest.raises(amibake.SourceImageNotFound, match="withdrawn long ago"):  # its stand-in is not in this region
        amibake.build_primal(session=cloud.session, region="eu-west-1")


def test_the_bakes_key_and_temporary_files_are_not_in_the_image(cloud: LocalCloud) -> None:
    first = amibake.bake(builder(), [amibake.Shell(inline=["true"])], session=cloud.session)
    look = amibake.Shell(
        inline=[
            # one key each: the key of the bake that looks
            'test "$(grep -c . ~/.ssh/authorized_keys)" = 1',
            'test "$(sudo grep -c . /root/.ssh/authorized_keys)" = 1',
            'test "$(ls -A /tmp | grep -c amibake)" = 1',
        ]
    )
    second = amibake.bake(builder(source_ami=first.id), [look], session=cloud.session)
    assert (first.warnings, second.warnings) == ((), ())


INTERRUPTED = """
import sys, amibake
from amibake import events
def tell(event):
    if isinstance(event, (events.Output, events.Removed)):
        print(event, flush=True)
amibake.build_primal(source_ami=amibake.DEBIAN_12, instance_type="t3.micro", script=sys.argv[1], on_event=tell)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_primal_leaves_nothing(
    cloud: LocalCloud, ec2: EC2Client, tmp_path: Path, number: signal.Signals
) -> None:
    """And the program ends as it would have by the signal."""
    script = tmp_path / "primal"
    script.write_text("#!/bin/sh\necho begun\nexec sleep 600\n")
    environment = {**os.environ, **cloud.environment}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        begun = time.monotonic()
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        took = time.monotonic() - begun
    assert process.returncode == -number
    assert [line.split()[1] for line in said.splitlines()] == ["instance", "security", "key"]
    assert took < 15
    assert "amibake" not in [one["GroupName"].split("_")[0] for one in ec2.describe_security_groups()["SecurityGroups"]]


WHEEL = """
import amibake
from amibake.recipes import shipped
from amibake.sandbox import LocalCloud
assert shipped("primal").is_file() and shipped("mailtube").joinpath("nginx/nginx.conf").is_file(), shipped("primal")
with LocalCloud() as cloud:
    builder = amibake.Builder(ami_name="wheel {{timestamp}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro")
    image = amibake.bake(builder, [amibake.Shell(script=shipped("mailtube") / "../check")], session=cloud.session)
    print(image.name, amibake.__file__)
"""


def test_the_wheel_bakes_outside_the_checkout(tmp_path: Path) -> None:
    def run(*command: str | Path, **options: Any) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, **options)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "fresh")
    python = tmp_path / "fresh/bin/python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[sandbox]")
    check = tmp_path / "check"
    check.write_text("test -x /usr/sbin/sshd\n")
    program = WHEEL.replace('shipped("mailtube") / "../check"', repr(str(check)))
    said = run(python, "-I", "-c", program)
    assert said.startswith("wheel ")
    assert str(tmp_path) in said
