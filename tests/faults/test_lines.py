"""Lost connections: in every phase of a bake, after every tenth of its bytes, in both directions."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake import events
from amibake.ssh import dial
from amibake.ssh.options import Options
from amibake.ssh.transport import Patience
from amibake.strict import Delays
from amibake.testing import Place, exits, in_process
from tests.account import temporary
from tests.relay import Direction, How, Relay

pytestmark = pytest.mark.usefixtures("no_thread_left")

SCRIPT = "echo the script of the bake"
PRINTED = "".join(f"line {number} of what it prints\n" for number in range(3_000))
PHASES = {
    "handshake": "connect to the builder",
    "upload": "send the file",
    "script": "run the script",
    "download": "fetch the file",
}

BOUND = 30.0
"""Seconds of real time that a bake may take whatever is cut; one takes about half a second."""

SILENCE = 0.5
"""Seconds after which a peer is taken for dead here, in place of 24."""


@dataclass
class Bench:
    """Bakes through a relay, and what became of them."""

    place: Place
    relay: Relay
    directory: Path
    spans: dict[tuple[str, Direction], tuple[int, int]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.content = os.urandom(1_000_000)
        (self.directory / "big").write_bytes(self.content)
        self.place.machines.behaviour.on(SCRIPT, exits(0, stdout=PRINTED))

    def bake(self) -> tuple[amibake.Image, list[events.Event]]:
        told: list[events.Event] = []
        begun: dict[str, dict[Direction, int]] = {}
        self.relay.bytes |= {"up": 0, "down": 0}

        def tell(event: events.Event) -> None:
            told.append(event)
            if isinstance(event, events.StepStarted):
                begun[event.step] = dict(self.relay.bytes)
            elif isinstance(event, events.StepFinished):
                for direction, count in self.relay.bytes.items():
                    self.spans.setdefault((event.step, direction), (begun[event.step][direction], count))

        builder = amibake.Builder(
            ami_name="shop {{timestamp}} {{uuid}}",
            source_ami=self.place.source_ami,
            instance_type="t3.micro",
            ssh_keep_alive_interval=0.1,
        )
        steps: list[Any] = [
            amibake.File(self.directory / "big", "/srv/big", name=PHASES["upload"]),
            amibake.Shell(inline=[SCRIPT], name=PHASES["script"]),
            amibake.File("/srv/big", self.directory / "back", direction="download", name=PHASES["download"]),
        ]
        return amibake.bake(builder, steps, session=self.place.session, on_event=tell), told

    def cut(self, phase: str, direction: Direction, tenth: float, how: How) -> str:
        """A bake that is cut there, which must be true to what it says; what became of it."""
        first, last = self.spans[PHASES[phase], direction]
        before = len(self.place.machines.all), self.relay.cuts
        (self.directory / "back").unlink(missing_ok=True)
        self.relay.cut(direction, first + int((last - first) * tenth / 10), how)
        started = time.monotonic()
        try:
            image, told = self.bake()
        except amibake.ConnectionLost as error:
            self.check_loss(error)
            became = "ConnectionLost"
        else:
            self.check(image, told)
            became = "image"
        assert time.monotonic() - started < BOUND
        assert (len(self.place.machines.all), self.relay.cuts) == (before[0] + 1, before[1] + 1)
        self.outcomes[f"{phase}: {became}"] += 1
        return became

    def check_loss(self, error: amibake.ConnectionLost) -> None:
        """Only a script that has begun is an error, which says what may be done."""
        assert error.started
        assert self.ran() == 1
        assert "max_retries" in error.hint

    def check(self, image: amibake.Image, told: list[events.Event]) -> None:
        """A success is none unless all is in the image, and the script ran once and to its end."""
        root = self.place.machines.images[image.id]
        assert (root / "srv/big").read_bytes() == self.content
        assert (self.directory / "back").read_bytes() == self.content
        assert [path.name for path in root.rglob("*amibake*")] == []
        assert self.ran() == 1
        lines = [event.line for event in told if isinstance(event, events.Output)]
        assert lines == PRINTED.splitlines()

    def ran(self) -> int:
        return sum(SCRIPT in ran.script for ran in self.place.machines.newest.ran)


@pytest.fixture
def place() -> Iterator[Place]:
    """One whose EC2 is quick, for many bakes."""
    with in_process(delays=Delays()) as place:
        yield place
        assert temporary(place.session.client("ec2"), place.session.client("iam")) == set()


@pytest.fixture
def bench(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    relay = Relay(place.machines.dial)
    monkeypatch.setattr(dial, "dial", relay.dial)
    try:
        bench = Bench(place, relay, tmp_path)
        bench.check(*bench.bake())
        assert relay.cuts == 0
        yield bench
    finally:
        relay.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only for what is silent: else a machine that pauses would be taken for one."""
    monkeypatch.setattr("amibake.login.Options", partial(Options, answers_within=SILENCE))
    silent = Patience(tcp=5, banner=SILENCE, handshake=2 * SILENCE, auth=2 * SILENCE)
    monkeypatch.setattr("amibake.ssh.connect.Patience", lambda: silent)


Tell = Callable[[str, object], None]
POINTS = range(10)
CUTS: list[How] = ["FIN", "RST"]


def told(tell: Tell, bench: Bench) -> None:
    tell("told", f"lines cut: {', '.join(f'{what} {count}' for what, count in sorted(bench.outcomes.items()))}")


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("phase", ["handshake", "upload", "download"])
def test_what_can_be_repeated_is_and_makes_its_image(
    bench: Bench, phase: str, direction: Direction, record_property: Tell
) -> None:
    for point in POINTS:
        assert bench.cut(phase, direction, point, CUTS[point % 2]) == "image"
    assert bench.outcomes == {f"{phase}: image": 10}
    told(record_property, bench)


@pytest.mark.parametrize("how", CUTS)
def test_a_script_that_was_cut_is_neither_a_success_nor_run_again(
    bench: Bench, how: How, record_property: Tell
) -> None:
    for point in POINTS:
        bench.cut("script", "down", point, how)
    assert bench.outcomes["script: ConnectionLost"] >= 8  # it is sent before, and removed afterwards
    told(record_property, bench)


def test_what_becomes_silent_is_noticed(bench: Bench, impatient: None, record_property: Tell) -> None:
    for phase in ("handshake", "upload", "download"):
        for direction, tenth in (("up", 5), ("down", 5)):
            assert bench.cut(phase, direction, tenth, "blackhole") == "image"  # type: ignore[arg-type]
    assert bench.cut("script", "down", 5, "blackhole") == "ConnectionLost"
    told(record_property, bench)
