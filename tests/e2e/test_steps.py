"""What all provisioners have in common, and those that are no File or Shell, by their effect on a machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake import events
from amibake.sandbox import LocalCloud
from tests.e2e.support import Box

Launch = Callable[[amibake.Image | str], Box]
CLOUD_INIT = """#!/bin/sh
case $* in
*--help) echo "--wait" ;;
*--wait) echo waited >> /tmp/waited; echo "status: done" ;;
esac
"""


def test_what_every_provisioner_can_be_told(box: Launch, ec2: EC2Client, tmp_path: Path) -> None:
    (debian,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])["Images"]
    machine = box(debian["ImageId"])
    key = tmp_path / "key"
    key.write_bytes(machine.key.private)
    heard: list[events.Event] = []
    begun = time.monotonic()
    amibake.provision(
        machine.instance,
        [
            amibake.Shell(name="count", inline=["echo x >> ~/tries", 'test "$(wc -l < ~/tries)" = 3'], max_retries=2),
            amibake.Shell(inline=["echo paused > ~/paused"], pause_before="2s", timeout=30),
            amibake.Shell(inline=["sleep 7117"], pause_before=0.1, timeout=1, continue_on_error=True),
            amibake.Shell(inline=["touch ~/skipped"], only=["another-bake"]),
            amibake.Shell(inline=["touch ~/not-skipped"], except_=["another-bake"]),
            amibake.File(content=CLOUD_INIT, destination="/usr/local/bin/cloud-init", mode=0o755, sudo=True),
            amibake.WaitForCloudInit(timeout=60),
            amibake.ShellLocal(["sh", "-c", f'printf "%s %s" "$AMIBAKE_HOST" "$AMIBAKE_USER" > {tmp_path}/local']),
        ],
        key=key,
        on_event=heard.append,
    )
    assert time.monotonic() - begun >= 2
    assert machine.sh("cat ~/tries | wc -l; cat ~/paused /tmp/waited; ls ~ | grep skipped") == "\n".join(
        ["3", "paused", "waited", "not-skipped"]
    )
    assert machine.sh("pgrep -f 'sleep 711[7]' || echo none") == "none"
    assert (tmp_path / "local").read_text() == f"{machine.instance.public_ip} admin"
    warned = [event.message for event in heard if isinstance(event, events.Warned)]
    assert len([text for text in warned if text.startswith("count")]) == 2
    assert any("the bake goes on without it" in text for text in warned)
    assert [event.step for event in heard if isinstance(event, events.StepSkipped)] == ["run an inline script"]


def test_a_secret_is_in_no_file_of_the_image_and_in_nothing_that_is_said(
    cloud: LocalCloud, box: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = "correct-horse-battery"
    builder = amibake.Builder(
        ami_name="secret {{timestamp}} {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro"
    )
    shell = amibake.Shell(
        inline=['test "$TOKEN" = correct-"horse"-battery', "echo said $TOKEN"],
        environment_vars={"TOKEN": amibake.Secret(text)},
    )
    image = amibake.bake(builder, [shell], session=cloud.session)
    assert text not in caplog.text
    assert "said ***" in caplog.text
    found = box(image).sh(f"sudo grep -rlsI --exclude-dir=proc --exclude-dir=sys -e '{text[:14]}[-]battery' / || true")
    assert found == ""
