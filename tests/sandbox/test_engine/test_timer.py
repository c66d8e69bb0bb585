"""A machine with the power-off timer armed still goes down cleanly when it is told to, and otherwise by itself."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from amibake.errors import WaitTimeout
from amibake.ledger import Ledger
from amibake.sandbox.base import Kind
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import load_key_pair
from amibake.timer import Timer
from amibake.waiting import Deadline
from tests.sandbox.test_engine.conftest import KINDS, Cloud, eventually

pytestmark = pytest.mark.sandbox
POWERED_OFF = 130
GENEROUSLY = 15
"""Seconds; the engine pulls the plug after 20."""


@pytest.fixture(params=KINDS)
def host(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[SSHHost]:
    kind: Kind = request.param
    address, key = cloud.run(kind), load_key_pair(cloud.key.private)
    with connect(address, username="admin", key=key, deadline=Deadline(300), emit=lambda _: None) as host:
        yield host


def timers(host: SSHHost) -> int:
    """How many are armed."""
    listed = "systemctl list-units --plain --no-legend amibake-timer.timer 2>/dev/null; ps -eo args"
    said = host.run(listed, capture=True).stdout
    return len(re.findall(r"^amibake-timer\.timer |^sh -c sleep .* amibake-timer ", said, re.MULTILINE))


def status(cloud: Cloud) -> int:
    """With what the machine's init has ended."""
    return cloud.engine._containers.exit_status("i-1")


@pytest.mark.parametrize("armed", [True, False], ids=["armed", "cancelled"])
def test_a_stop_is_clean(cloud: Cloud, host: SSHHost, armed: bool) -> None:
    timer = Timer(Deadline(3600), Ledger(lambda _: None))
    for _ in range(2):
        timer.arm(host)
    assert timers(host) == 1
    if not armed:
        timer.cancel(host)
        assert timers(host) == 0
    began = time.monotonic()
    cloud.engine.stop("i-1", force=False)
    took = time.monotonic() - began
    print(f"stopped in {took:.2f} s")
    assert status(cloud) == POWERED_OFF
    assert took < GENEROUSLY


def test_when_it_goes_off_the_machine_is_off(cloud: Cloud, host: SSHHost) -> None:
    timer = Timer(Deadline(0), ledger := Ledger(lambda _: None), margin=3600)
    timer.arm(host)
    Timer(Deadline(0), ledger, margin=1).arm(host)
    eventually(lambda: cloud.power_offs)
    assert cloud.power_offs == [("i-1", False)]
    assert status(cloud) == POWERED_OFF
    assert ledger.warnings == []


def test_what_kills_a_run_spares_it(cloud: Cloud, host: SSHHost) -> None:
    Timer(Deadline(3600), Ledger(lambda _: None)).arm(host)
    for sudo in (False, True):
        with pytest.raises(WaitTimeout):
            host.run("sleep 600 & exec sleep 600", timeout=1, sudo=sudo)
    assert timers(host) == 1
