"""A program on this machine, run to its end: its output line by line, and nothing of it left when its time is up."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from amibake import interrupts, waiting
from amibake.errors import AmibakeError, WaitTimeout
from amibake.lines import Lines
from amibake.veil import Veil
from amibake.waiting import Deadline

_TAIL = 20
_TICK = 0.1
_CHUNK = 1 << 16
_STOP_WITHIN = 3.0
"""Seconds between SIGTERM and SIGKILL."""
_HURRY = 0.3
"""The same where an interrupt ends the bake, whose builder waits to be terminated."""
_GRACE = 1.0
"""Seconds for which output is still awaited once the program has ended, while a child of its holds the stream open."""

_MARK = "AMIBAKE_RUN"
"""What in the environment of a program tells it, and whatever it starts, from all others."""

_STREAMS: tuple[Literal["stdout"], Literal["stderr"]] = ("stdout", "stderr")


@dataclass(frozen=True)
class Ended:
    """How it ended: the exit `status`, or minus the signal's number, and the last lines that it printed."""

    status: int
    tail: tuple[str, ...]


def run(
    words: Sequence[str],
    *,
    name: str,
    environment: Mapping[str, str],
    directory: Path | None,
    deadline: Deadline,
    tell: Callable[[Literal["stdout", "stderr"], str], object],
    veil: Veil | None = None,
) -> Ended:
    """Run it, with nothing to read, in a process group of its own; the group ends with a timeout or an interrupt. On
    Linux so does what it has started in other groups, but for what has cleared its environment or is somebody else's.

    Args:
        words: The program and its arguments.
        name: What errors call it.
        environment: All of its environment.
        directory: Where it starts; None is where we are.
        deadline: When it has to have ended.
        tell: Gets each line as it comes.
        veil: What is hidden in the lines.

    Raises:
        AmibakeError: it can't be started.
        WaitTimeout: it had not ended in time.
    """
    with _started(words, name, environment, directory) as process, selectors.DefaultSelector() as selector:
        cut, tail = {stream: Lines(veil) for stream in _STREAMS}, deque[str](maxlen=_TAIL)

        def take(stream: Literal["stdout", "stderr"], data: bytes, *, final: bool) -> None:
            for line in cut[stream].feed(data, final=final):
                tail.append(line)
                tell(stream, line)

        for stream in _STREAMS:
            selector.register(_pipe(process, stream), selectors.EVENT_READ, stream)
        last: Deadline | None = None
        while selector.get_map() and not (last and last.remaining() <= 0):
            _in_time(name, deadline)
            for key, _ in _ready(selector):
                data = os.read(key.fd, _CHUNK)
                take(key.data, data, final=not data)
                if not data:
                    selector.unregister(key.fileobj)
            if last is None and process.poll() is not None:
                last = Deadline(_GRACE)
        for stream in _STREAMS:
            take(stream, b"", final=True)
        while process.poll() is None:
            _in_time(name, deadline)
            _wait(process, _TICK)
        return Ended(process.returncode, tuple(tail))


@contextmanager
def _started(
    words: Sequence[str], name: str, environment: Mapping[str, str], directory: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    mark = secrets.token_hex(16)
    process: subprocess.Popen[bytes] | None = None
    try:
        with interrupts.held():  # until it is known what there is to be ended
            process = _start(words, name, {**environment, _MARK: mark}, directory)
        yield process
    except BaseException:
        if process is not None:
            _end(process, mark)
        raise
    finally:
        if process is not None:
            for stream in _STREAMS:
                _pipe(process, stream).close()


def _start(
    words: Sequence[str], name: str, environment: Mapping[str, str], directory: Path | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise AmibakeError(f"{name} can't be started: {error.strerror or error}") from error


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End it with all of its group, and all others that it has started: those that ignore SIGTERM too, and those that
    outlive it."""
    interrupted = interrupts.watch()
    with interrupts.held():
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            for stray in _marked(mark):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(stray, number)
            began = waiting.clock.now()
            while _group_lives(process) or _marked(mark):
                if waiting.clock.now() - began >= (_HURRY if interrupted() else _STOP_WITHIN):
                    break
                _wait(process, _TICK)


def _marked(mark: str) -> list[int]:
    """The processes that have the mark in their environment, where the system says so: Linux does, of our own."""
    entry, found = f"{_MARK}={mark}".encode(), list[int]()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _ready(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    ready = selector.select(_TICK)
    if not ready:
        waiting.clock.waited(_TICK)
    return ready


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    if process.returncode is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        waiting.clock.waited(seconds)
    else:
        waiting.clock.sleep(seconds)


def _in_time(name: str, deadline: Deadline) -> None:
    interrupts.check()
    if deadline.remaining() <= 0:
        raise WaitTimeout(f"{name}: not ended after {waiting.duration(deadline.seconds)}")


def _pipe(process: subprocess.Popen[bytes], stream: Literal["stdout", "stderr"]) -> IO[bytes]:
    pipe = process.stdout if stream == "stdout" else process.stderr
    assert pipe is not None  # noqa: S101 - it was asked for
    return pipe
