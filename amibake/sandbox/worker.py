"""The process in which a local EC2 lives, apart from the program that uses it.

Its standard input is its life line: the first line, JSON, says what to do; when anything more arrives, or it ends
because its owner did (however that came about), the process undoes what it has done and ends. On its standard output
it tells of events, a line of JSON each: {"event": "progress" | "result" | "error", …}. Signals end it in order too.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from amibake.errors import AmibakeError, SandboxUnavailable
from amibake.sandbox.children import end_children

if TYPE_CHECKING:
    from amibake.sandbox.serving import Addresses

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = logging.getLogger("amibake.sandbox")


class _Ended(BaseException):
    """Somebody wants this process to end."""


class Events:
    """Tells the owner what happens. That nobody listens any more is no error."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def progress(self, text: str) -> None:
        """Something takes its time, or deserves a line."""
        self._tell(event="progress", text=text)

    def result(self, values: Mapping[str, Any]) -> None:
        """The task is done, or what it set up can be used."""
        self._tell(event="result", values=values)

    def error(self, error: AmibakeError) -> None:
        """The task failed, or something could not be undone."""
        self._tell(event="error", message=error.message, hint=error.hint)

    def _tell(self, **event: Any) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()


def work() -> None:
    """Do the task that standard input names, and leave the process, with status 0 if all went well or was undone."""
    control, events = _take_over_streams()
    line = control.readline()
    status = 0
    if line:
        task = json.loads(line)
        _enter(task.pop("environment"))
        threading.Thread(target=_watch, args=(control,), name="life-line", daemon=True).start()
        status = _perform(task, events)
    # Not by way of the interpreter's own end, which would wait for threads that wait for packages.
    os._exit(status)


def _perform(task: dict[str, Any], events: Events) -> int:
    try:
        for signum in _SIGNALS:
            signal.signal(signum, _end)
        _TASKS[task.pop("task")](events, task)
    except _Ended:
        pass
    except AmibakeError as error:
        events.error(error)
        return 1
    except ModuleNotFoundError as error:
        events.error(SandboxUnavailable(f"{error.name} is not installed here", hint="pip install 'amibake[sandbox]'"))
        return 1
    except OSError as error:
        _log.exception("not foreseen")
        full = error.errno == errno.ENOSPC
        hint = "free some space; `python -m amibake.sandbox clean` removes what killed clouds left" if full else ""
        events.error(SandboxUnavailable(f"the local EC2 cannot run: {error}", hint=hint))
        return 1
    finally:
        end_children()
    return 0


def _serve(events: Events, task: dict[str, Any]) -> None:
    gc.disable()  # moto's megabytes of JSON load in two thirds of the time
    from amibake.sandbox.serving import CloudOptions, serve

    # A signal may land in any thread, and between a look and a sleep; what it writes here wakes this one all the same.
    wakened, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())

    def wait(addresses: Addresses) -> None:
        gc.enable()
        events.result(asdict(addresses))
        while True:
            wakened.recv(1)

    serve(CloudOptions(**task), events.progress, wait, _ignore_signals)


def _prepare(events: Events, task: dict[str, Any]) -> None:
    from amibake.sandbox.base import ensure_base
    from amibake.sandbox.mirror.store import NodeStore

    cache = Path(task["cache"])
    pool = ThreadPoolExecutor()
    try:  # side by side: most of it keeps one processor busy
        making = [pool.submit(ensure_base, kind, cache / "bases", progress=events.progress) for kind in task["bases"]]
        for base in making:
            base.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # what they wait for is ended together with this process
    store = NodeStore(cache / "node", events.progress)
    releases = [store.find(version) for version in task["node_versions"]]
    for release in releases:
        store.directory(release)
    events.result({"bases": task["bases"], "releases": [release.version for release in releases]})


def _clean(events: Events, task: dict[str, Any]) -> None:
    from amibake.sandbox.clean import clean

    events.result({"removed": clean(Path(task["cache"]), events.progress)})


def _list(events: Events, task: dict[str, Any]) -> None:
    from amibake.sandbox.living import look

    events.result({"clouds": look(Path(task["cache"]))})


_TASKS: dict[str, Callable[[Events, dict[str, Any]], None]] = {
    "serve": _serve,
    "prepare": _prepare,
    "clean": _clean,
    "list": _list,
}


def _take_over_streams() -> tuple[IO[str], Events]:
    """The streams to the owner, kept from the programs that are run here: what those print goes to the log."""
    control = os.fdopen(os.dup(0), "r", encoding="utf-8")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:  # noqa: PTH123 - for its file descriptor
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return control, Events(events)


def _enter(environment: Mapping[str, str]) -> None:
    """Take the owner's environment over, which sudo has withheld, so that pip and npm find their configuration."""
    os.environ.clear()
    os.environ.update(environment)
    os.environ["PATH"] = f"{environment.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    os.chdir("/")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")


def _watch(control: IO[str]) -> None:
    control.read(1)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _end(*_: object) -> None:
    _ignore_signals()
    raise _Ended


def _ignore_signals() -> None:
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # the undoing is not to be interrupted
