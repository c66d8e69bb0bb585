"""The builder ends itself, and shows the host key that it was given: on machines with a real init and a real sshd."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake import flow, waiting
from amibake.events import Event, Output
from amibake.first_boot import first_boot
from amibake.host import Host
from amibake.ledger import Ledger
from amibake.sandbox import LocalCloud
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import make_key_pair
from amibake.timer import Timer
from tests.e2e.support import SYSVINIT, Box

INITS = pytest.mark.parametrize("source", [amibake.DEBIAN_12, SYSVINIT], ids=["systemd", "sysvinit"])

TIMERS = """
systemctl list-units --plain --no-legend amibake-timer.timer 2>/dev/null || true
ps -eo args | grep '^sh -c sleep ' || true
"""
"""Shows a line for each timer that is armed."""

NOTHING = """
set -e
test ! -e /run/amibake-timer
! sudo grep -s -l AMIBAKE_RUN=amibake-timer /proc/[0-9]*/environ
! ls -d /run/systemd/transient/amibake-timer* 2>/dev/null
! sudo find / -xdev -newer /proc/1 -name '*amibake-timer*' | grep .
"""


def builder(**options: Any) -> amibake.Builder:
    return amibake.Builder(
        **{
            "ami_name": "timer {{timestamp}} {{uuid}}",
            "source_ami": amibake.DEBIAN_12,
            "instance_type": "t3.micro",
            **options,
        }
    )


class Look:
    """Notes what a command prints, each time."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.seen: list[str] = []

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        done = host.run(self.command, capture=True)
        assert done.status == 0, done
        self.seen.append(done.stdout.strip())


@INITS
def test_it_is_armed_at_each_boot_once_and_nothing_of_it_gets_into_the_image(
    cloud: LocalCloud, box: Callable[[amibake.Image], Box], source: amibake.ImageFilter
) -> None:
    look = Look(TIMERS)
    image = amibake.bake(
        builder(source_ami=source), [look, amibake.Reboot(), look, amibake.Reboot(), look], session=cloud.session
    )
    assert [len(seen.splitlines()) for seen in look.seen] == [1, 1, 1]
    assert (image.warnings, image.leftovers) == ((), ())
    print(f"the stop took {image.timings['stop the builder']:.2f} s")
    made = box(image)
    assert made.sh(TIMERS) == ""
    assert made.sh(NOTHING) == ""


@INITS
def test_user_data_arms_it_before_anybody_logs_in(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, source: amibake.ImageFilter
) -> None:
    monkeypatch.setattr(Timer, "arm", lambda *_: None)
    look, ran = Look(TIMERS), Look("cat /tmp/ran")
    own = "#!/bin/sh\necho größe >/tmp/ran\n"
    steps: list[Any] = [
        look,
        amibake.Shell(inline=["until test -s /tmp/ran; do sleep 0.1; done"]),
        ran,
        amibake.Reboot(),
        look,
    ]
    amibake.bake(builder(source_ami=source, user_data=own), steps, session=cloud.session)
    assert [len(seen.splitlines()) for seen in look.seen] == [1, 1]
    assert ran.seen == ["größe"]


DEPLOY = """
import sys, amibake
from amibake import events, flow
flow.MARGIN = 1.0
source = amibake.ImageFilter(owners=["136693071363"], name=sys.argv[1])
builder = amibake.Builder(
    ami_name="killed {{uuid}}", source_ami=source, instance_type="t3.micro", max_build_time="25s"
)
def tell(event):
    if isinstance(event, (events.Created, events.Output)):
        print(event, flush=True)
amibake.bake(builder, [amibake.Shell(inline=["echo begun", "exec sleep 600"])], on_event=tell)
"""


def test_the_builder_of_a_killed_program_is_terminated(cloud: LocalCloud, ec2: EC2Client) -> None:
    environment = {**os.environ, **cloud.environment}
    instances, groups, keys = list[str](), list[str](), list[str]()
    with ExitStack() as programs:
        for name in ("debian-12-amd64-*", "debian-12-sysvinit-*"):
            command = [sys.executable, "-c", DEPLOY, name]
            program = programs.enter_context(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            )
            assert program.stdout is not None
            said = "".join(iter(program.stdout.readline, "begun\n"))
            program.send_signal(signal.SIGKILL)
            instances += re.findall(r"\bi-[0-9a-f]+", said)
            groups += re.findall(r"\bsg-[0-9a-f]+", said)
            keys += re.findall(r"\bamibake_[0-9a-f]+", said)

    def reasons() -> set[str]:
        found = ec2.describe_instances(InstanceIds=instances)["Reservations"]
        return {f"{one['State']['Name']} {one['StateReason']['Code']}" for each in found for one in each["Instances"]}

    until = time.monotonic() + 90
    while reasons() != {"terminated Client.InstanceInitiatedShutdown"}:
        assert time.monotonic() < until, reasons()
        waiting.clock.sleep(0.5)
    assert len(instances) == 2
    for name in dict.fromkeys(keys):
        ec2.delete_key_pair(KeyName=name)
    for group in groups:
        ec2.delete_security_group(GroupId=group)


def test_a_builder_that_is_shut_down_from_within_is_said_to_be(cloud: LocalCloud) -> None:
    with pytest.raises(amibake.AmibakeError) as caught:
        amibake.bake(builder(), [amibake.Shell(inline=["sudo poweroff; sleep 60"])], session=cloud.session)
    assert "Instance initiated shutdown" in caught.value.hint
    assert "It was shut down from within" in caught.value.hint


def test_without_sudo_it_is_a_warning_and_the_bake_goes_on(cloud: LocalCloud) -> None:
    lock = amibake.Shell(inline=["sudo rm /etc/sudoers.d/90-cloud-init-users"])
    source = amibake.bake(builder(), [lock], session=cloud.session)
    image = amibake.bake(builder(source_ami=source.id), session=cloud.session)
    warning = "the builder will not end itself when this program is killed: no passwordless sudo on it"
    assert warning in image.warnings


def test_never_on_the_machine_that_this_runs_on(
    box: Callable[[str], Box], debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, ledger = box(debian), Ledger(lambda _: None)
    monkeypatch.setattr("amibake.own_machine.boot_id", lambda: made.sh("cat /proc/sys/kernel/random/boot_id"))
    monkeypatch.setattr("amibake.own_machine.machine_identity", lambda: made.sh("stat -L -c %d:%i /etc/machine-id"))
    Timer(waiting.Deadline(600), ledger).arm(made.host)
    assert "it is the machine that this runs on" in ledger.warnings[0]
    assert made.sh(TIMERS) == ""


@INITS
def test_the_host_key_is_the_one_that_was_given_from_the_first_connection_on(
    cloud: LocalCloud, source: amibake.ImageFilter
) -> None:
    events: list[Event] = []
    shown = Look("ssh-keyscan -T 30 127.0.0.1 2>/dev/null | cut -d' ' -f2-; sudo sh -c 'ls /etc/ssh/ssh_host_*_key'")
    printed = amibake.Shell(inline=["sudo cat /etc/ssh/ssh_host_ed25519_key /var/lib/cloud/instance/user-data.txt"])
    given: list[Any] = []

    def note(*arguments: Any) -> Any:
        given.append(arguments[-1])
        return real(*arguments)

    real = first_boot
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "first_boot", note)
        amibake.bake(
            builder(source_ami=source, ssh_host_key="inject"),
            [shown, amibake.Reboot(), shown, printed],
            session=cloud.session,
            on_event=events.append,
        )
    (key,) = given
    one = f"{' '.join(key.public.split()[:2])}\n/etc/ssh/ssh_host_ed25519_key"
    assert shown.seen == [one, one]
    bodies = key.private.decode().splitlines()[1:-1]
    said = "\n".join(event.line for event in events if isinstance(event, Output))
    assert "***" in said
    assert not any(line in f"{said}{events!r}" for line in bodies)


@INITS
def test_the_given_host_key_is_in_no_image(
    cloud: LocalCloud, box: Callable[[amibake.Image], Box], source: amibake.ImageFilter
) -> None:
    look = Look("sudo cat /etc/ssh/ssh_host_ed25519_key")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SSHHost, "conceal", lambda *_: None)
        image = amibake.bake(builder(source_ami=source, ssh_host_key="inject"), [look], session=cloud.session)
    (private,) = look.seen
    made = box(image)
    # a line that not every key has; not as an argument, which sudo would write to the journal
    search = "sudo grep -r -l -F -f - /etc /var/lib /var/log /root /home || true"
    assert made.sh(search, given=f"{private.splitlines()[2]}\n") == ""
    assert made.sh("sudo cat /etc/ssh/ssh_host_ed25519_key") != private


def test_another_host_key_than_the_demanded_one_is_nobody_to_log_in_to(cloud: LocalCloud) -> None:
    other = make_key_pair().public
    with pytest.raises(amibake.HostKeyChanged, match="shows the SSH host key") as caught:
        amibake.bake(builder(ssh_host_key=other, ssh_timeout=8), session=cloud.session)
    assert "it went on doing so" in caught.value.hint
