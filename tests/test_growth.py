"""What a program that bakes again and again keeps of it: nothing."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.events import Event, Output, Waiting
from amibake.ledger import Ledger
from amibake.ssh.command import Chunk
from amibake.ssh.records import Streamed
from amibake.testing import Place
from amibake.veil import Veil

BEFORE, AFTER = 3, 12
"""Bakes before anything is counted, and those that are."""

LIBRARIES = ("amibake", "boto3", "botocore", "cryptography", "paramiko", "pydantic", "tenacity", "urllib3")
STANDS_IN = ("amibake.strict", "amibake.testing")
"""These keep the account, and what was done in it: that is what they are for."""


def bakes(place: Place, count: int, session: Any) -> None:
    builder = amibake.Builder(source_ami=place.source_ami, instance_type="t3.micro", ami_name="shop {{uuid}}")
    for _ in range(count):
        amibake.bake(builder, [amibake.Shell(inline=["true"])], session=session, on_event=lambda _: None)


def kept() -> Counter[str]:
    """How many objects there are of the classes of these libraries."""
    gc.collect()
    names = (f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects())
    ours = (name for name in names if name.partition(".")[0] in LIBRARIES and not name.startswith(STANDS_IN))
    # botocore remembers the last hundred endpoints
    return Counter(name for name in ours if not name.endswith(".RuleSetEndpoint"))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("own", [True, False])
def test_a_program_that_bakes_again_and_again_keeps_no_object_thread_or_file_of_it(place: Place, own: bool) -> None:
    session = place.session if own else None
    bakes(place, BEFORE, session)
    before, threads, files = kept(), threading.active_count(), open_files()
    bakes(place, AFTER, session)
    assert kept() - before == Counter({"paramiko.ed25519key.Ed25519Key": AFTER})  # the machines' own host keys
    assert threading.active_count() == threads
    assert open_files() == files


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_nor_does_it_keep_memory(place: Place, traced: None) -> None:
    bakes(place, 2, None)
    gc.collect()
    before = tracemalloc.take_snapshot()
    bakes(place, 3, None)
    gc.collect()
    after = tracemalloc.take_snapshot()
    root = Path(amibake.__file__).parent
    patterns = [f"{root}/{name}/*" for name in ("strict", "testing")] + [f"{root.parent}/tests/*"]
    filters = [tracemalloc.Filter(True, f"{root}/*"), *(tracemalloc.Filter(False, one) for one in patterns)]
    grown = after.filter_traces(filters).compare_to(before.filter_traces(filters), "filename")
    assert sum(one.size_diff for one in grown) < 3 * 1024, grown


def test_a_bake_does_not_take_the_place_of_the_programs_own_regular_expressions(place: Place) -> None:
    bakes(place, 2, place.session)
    compiled = re._compile  # type: ignore[attr-defined]
    asked: list[Any] = []

    def compiling(pattern: Any, flags: int) -> Any:
        asked.append(pattern)
        return compiled(pattern, flags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(re, "_compile", compiling)
        bakes(place, 1, place.session)
        first = [one for one in asked if isinstance(one, bytes)]
        asked.clear()
        bakes(place, 1, place.session)
    assert set(first) == {one for one in asked if isinstance(one, bytes)}


def test_what_a_long_bake_says_is_not_kept(traced: None) -> None:
    told = Counter[type[Event]]()
    ledger = Ledger(lambda event: told.update([type(event)]))
    veil = Veil()
    veil.add(["hunter2"])
    record = Streamed(ledger.emit, veil)
    chunk = Chunk("stdout", b"".join(b"%d %s\n" % (number, b"x" * 100) for number in range(500)))

    def minutes(count: int) -> int:
        for _ in range(count):
            with ledger.step("run"):
                record.add(chunk)
            ledger.emit(Waiting("the builder", "it runs", 1.0))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    before = minutes(2)
    tracemalloc.reset_peak()
    assert minutes(60) - before < 20_000
    assert tracemalloc.get_traced_memory()[1] - before < 20 * len(chunk.data)
    assert told[Output] == 62 * 500
    assert list(ledger.timings) == ["run"]
