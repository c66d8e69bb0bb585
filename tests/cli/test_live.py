"""What people see on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console, ConsoleRenderable, RenderHook

from amibake import waiting
from amibake.cli import live
from amibake.cli.live import View
from amibake.cli.report import Failure, Outcome
from amibake.cli.timeline import duration, timeline
from amibake.events import (
    Created,
    Leftover,
    Output,
    Removed,
    StepFinished,
    StepSkipped,
    StepStarted,
    Uploading,
    Waiting,
    Warned,
)
from amibake.testing import FakeClock
from amibake.timings import TimedStep, TimedWait, Timings

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(waiting, "clock", clock)
    return clock


class Screen:
    """A view on a terminal of 60 columns, and what it has printed."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self._console = Console(file=self._file, force_terminal=True, width=60, highlight=False, color_system=None)
        self.view = View(self._console, animated=False)

    @property
    def text(self) -> str:
        """Everything printed so far, without what moves the cursor."""
        return CONTROL.sub("", self._file.getvalue()).replace("\r", "")

    @property
    def below(self) -> list[str]:
        """The lines that are shown below for the moment."""
        with self._console.capture() as capture:
            self._console.print(self.view.region())
        return [line.strip() for line in CONTROL.sub("", capture.get()).splitlines() if line.strip()]


@pytest.fixture
def screen(clock: FakeClock) -> Iterator[Screen]:
    screen = Screen()
    with screen.view:
        yield screen


def test_the_step_under_way_is_shown_with_its_time(screen: Screen, clock: FakeClock) -> None:
    screen.view.event(StepStarted("make the image"))
    clock.sleep(75)
    (line,) = screen.below
    assert re.fullmatch(r"\S make the image +1:15", line)


def test_what_is_awaited_is_shown_with_the_time_since_it_is(screen: Screen, clock: FakeClock) -> None:
    screen.view.event(StepStarted("make the image"))
    screen.view.event(Waiting("image ami-1 to be available", "pending", 20.0))
    clock.sleep(5)
    assert re.fullmatch(r"waiting for image ami-1 to be available: pending +25.0 s", screen.below[1])
    screen.view.event(StepFinished("make the image", 25.0))
    assert screen.below == []


def test_what_is_awaited_is_one_line_that_moves_no_cursor(screen: Screen, clock: FakeClock) -> None:
    screen.view.event(Waiting("SSH", "it said: \x1b[2Jgo\n\x1b]0;away\x07 on", 0.0))
    assert [re.sub(" +", " ", line) for line in screen.below] == ["waiting for SSH: it said: go on 0.0 s"]


def test_an_upload_is_shown_with_its_bytes_and_rate_until_it_is_through(screen: Screen, clock: FakeClock) -> None:
    screen.view.event(StepStarted("upload"))
    clock.sleep(4)
    screen.view.event(Uploading("/srv/app", 10_000_000, 40_000_000))
    assert screen.below[1] == "↑ ━━━━━─────────────── 10.0/40.0 MB, 2.5 MB/s to /srv/app"
    screen.view.event(Uploading("/srv/app", 40_000_000, 40_000_000))
    assert len(screen.below) == 1
    screen.view.event(Uploading("/srv/app", 1_000_000))
    assert screen.below[1] == "↑ 1.0 MB, 0.2 MB/s to /srv/app"


def test_what_happened_is_printed_above(screen: Screen) -> None:
    screen.view.event(StepStarted("run primal"))
    screen.view.event(Created("instance", "i-1"))
    screen.view.event(Removed("key pair", "k"))
    screen.view.event(StepSkipped("Reboot", "not wanted"))
    screen.view.event(Warned("look at this"))
    screen.view.event(Leftover("instance i-1", "aws ec2 …"))
    screen.view.event(StepFinished("run primal", 61.0, failed=True))
    for line in (
        "  + created instance i-1",
        "  - removed key pair k",
        "  · Reboot: left out: not wanted",
        "  ! warning: look at this",
        "  ! left behind: instance i-1; remove it with: aws ec2 …",
    ):
        assert line in screen.text
    assert re.search(r"^✗ run primal +1:01", screen.text, re.MULTILINE)


def test_every_line_of_output_is_printed_and_long_ones_keep_their_edge(screen: Screen) -> None:
    screen.view.event(StepStarted("run primal"))
    for number in range(500):
        screen.view.event(Output("stdout", f"line {number}"))
    screen.view.event(Output("stdout", "\x1b[31mword\x1b[0m " * 20))
    screen.view.event(StepFinished("run primal", 1.0))
    printed = re.findall(r"^  │ (line \d+)$", screen.text, re.MULTILINE)
    assert printed == [f"line {number}" for number in range(500)]
    assert all(len(line) <= 60 for line in screen.text.splitlines())
    assert screen.text.count("word") == 20
    assert "\x1b[31m" not in screen.text


def test_the_end_says_where_the_time_went_and_what_came_of_it(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    made = TimedWait("image available", 7.0, 90.0)
    timings = Timings([TimedStep("launch the builder", 0.0, 5.0), TimedStep("make the image", 5.0, 95.0, (made,))])
    screen.view.done(Outcome({}, ["shop: ami-1 in us-east-1"], ["baked from ami-2"], timings=timings))
    assert "Where the time went" in screen.text
    assert re.search(r"launch the builder .*━ .* 5.0 s", screen.text)
    assert re.search(r"make the image .*━{14} +1:35", screen.text)
    assert re.search(r"in all +1:40", screen.text)
    assert re.search(r"of which until image available +1:30", screen.text)
    assert "baked from ami-2" in screen.text
    assert capsys.readouterr().out == "shop: ami-1 in us-east-1\n"  # that is no terminal here


def test_what_is_printed_above_and_what_moves_below_do_not_tear_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich says how many lines to erase first, and prints then: nobody else may print between the two."""
    monkeypatch.setattr(live, "_REFRESHES", 2000)
    monkeypatch.setattr(live, "_TOGETHER", 0.0)
    told: list[str] = []

    class File(io.StringIO):
        def write(self, text: str) -> int:
            told.append(threading.current_thread().name)
            return len(text)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            told.append(threading.current_thread().name)
            return renderables

    console = Console(file=File(), force_terminal=True, width=60)
    console.push_render_hook(Hook())
    view = View(console)
    with view:
        told.clear()
        view.event(StepStarted("run primal"))
        while told.count("live-view") < 100:
            view.event(Output("stdout", "line"))
    pairs = list(zip(told[::2], told[1::2], strict=False))
    assert {first == second for first, second in pairs} == {True}
    assert {first for first, _ in pairs} == {"MainThread", "live-view"}


def test_long_news_keep_their_indent_but_a_command_stays_in_one_piece(screen: Screen) -> None:
    screen.view.event(Warned("word " * 30))
    screen.view.event(Leftover("instance i-1", "aws ec2 terminate-instances --instance-ids i-1 --region us-east-1"))
    warning, *more = [line for line in screen.text.splitlines() if "word" in line]
    assert warning.startswith("  ! warning: word")
    assert all(line.startswith("    word") for line in more)
    assert "aws ec2 terminate-instances --instance-ids i-1 --region us-east-1" in screen.text


def test_an_error_is_told_on_the_terminal(screen: Screen) -> None:
    screen.view.failed(Failure({}, ["error: it broke [red]", "hint: mend it"]))
    assert "error: it broke [red]\nhint: mend it\n" in screen.text


def test_durations_of_all_lengths() -> None:
    assert [duration(one) for one in (0.04, 59.9, 60, 3725)] == ["0.0 s", "59.9 s", "1:00", "1:02:05"]


def test_a_timeline_fits_wherever_it_is_shown() -> None:
    names = [f"upload something with a long name to /tmp/{number}" for number in range(12)]
    timings = Timings([TimedStep(name, 1.5 * number, 1.5) for number, name in enumerate(names)])
    for width in (40, 80, 120):
        console = Console(file=io.StringIO(), width=width)
        with console.capture() as capture:
            console.print(timeline(timings, width))
        lines = capture.get().splitlines()
        assert len(lines) == 13
        assert all(len(line.rstrip()) <= width for line in lines)


PROGRAM = """
import sys
from amibake.cli import main
from amibake.testing import in_process
with in_process():
    code = main(sys.argv[1:])
sys.exit(code)
"""


def test_on_a_terminal_there_is_a_live_view_and_the_cursor_stays(tmp_path: Path) -> None:
    words = ("build", "primal", "--app", "shop", "--source-ami", "debian-12", "--instance-type", "t3.micro")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # what Linux says at the end
            break
        if not read:
            break
        text += read
    os.close(ours)
    assert process.wait(60) == 0
    assert b"\x1b[?25l\x1b[?25h" in text  # at once: a signal may end the program at any moment
    shown = CONTROL.sub("", text.decode())
    assert re.search(r"✓ launch the builder", shown)
    assert "Where the time went" in shown
    assert re.search(r"shop-primal \d+: ami-[0-9a-f]+ in us-east-1", shown)
    assert [path.name for path in tmp_path.iterdir()] == [f"amibake-{re.search('as build ([0-9a-f]+)', shown)[1]}.log"]  # type: ignore[index]
