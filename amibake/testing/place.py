"""A whole EC2 in this process: strict moto, machines on loopback, and a clock on which waiting takes no time."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import boto3
import moto

from amibake import waiting
from amibake.ssh import blocks, dial
from amibake.strict import Delays, StrictEC2
from amibake.testing.clock import FakeClock
from amibake.testing.data import read_once
from amibake.testing.machines import LoopbackMachines

_DEBIAN = "136693071363"

_NOBODY = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # moto would make 1,301 images when it empties its books, only to drop them
}
"""The AWS configuration of a user who has none."""


@dataclass(frozen=True)
class Place:
    """What a test gets.

    Attributes:
        session: A boto3.Session whose clients speak to it, for `session=`.
        machines: What stands behind the instances: what was uploaded and run, what they answer, and faults.
        clock: The library's clock meanwhile.
        ec2: The strict EC2, for more images.
        source_ami: The id of a Debian 12 that is there from the start, as `DEBIAN_12` finds it.
    """

    session: boto3.Session
    machines: LoopbackMachines
    clock: FakeClock
    ec2: StrictEC2
    source_ami: str


class _AtOnce:
    """Does the machines' work within the call that asks for it, so that no test depends on threads."""

    def submit(self, do: Callable[[], None], /) -> None:
        do()


@contextmanager
def in_process(*, region: str = "us-east-1", username: str = "admin", delays: Delays | None = None) -> Iterator[Place]:
    """Replace the AWS endpoint, `amibake.ssh.dial.dial` and `amibake.waiting.clock` while the block lasts.

    Of the caller's own AWS configuration nothing is seen meanwhile: neither `AWS_*` variables nor files nor boto3's
    default session. Without a session= too, everything leads here.

    Args:
        region: The session's.
        username: Who may log in to the machines, with the key pair of the launch.
        delays: EC2's own slowness, on the place's clock; by default some seconds for each change of state.

    Nothing is left: no thread, no socket, no file.
    """
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="amibake-")))
        clock = FakeClock()
        machines = undo.enter_context(closing(LoopbackMachines(directory, username=username)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {**_NOBODY, "AWS_DEFAULT_REGION": region}
        undo.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        undo.enter_context(read_once())
        undo.enter_context(moto.mock_aws())
        slow = delays or Delays(running=4.0, stopped=6.0, terminated=5.0, available=30.0)
        ec2 = undo.enter_context(
            StrictEC2(machines, clock=clock.now, epoch=clock.epoch, delays=slow, executor=_AtOnce())
        )
        undo.enter_context(mock.patch.object(waiting, "clock", clock))
        machines.boots = ec2.boots
        undo.enter_context(mock.patch.object(dial, "dial", machines.dial))
        undo.enter_context(mock.patch.object(blocks, "NEAR", math.inf))  # as it is, however busy this machine
        source = ec2.add_image(name="debian-12-amd64-20250316-2053", owner_id=_DEBIAN, region=region)
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)  # noqa: S106
        yield Place(session, machines, clock, ec2, source)
