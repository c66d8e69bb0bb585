"""Many bakes side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amibake.builder import Builder
from amibake.errors import AmibakeError, BakesFailed, InvalidOption
from amibake.events import Emit, Event, OfBake, to_logging
from amibake.image import Image
from amibake.interrupts import interruptible, opened

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

_TICK = 0.2


def bake_all(
    bakes: Iterable[Callable[..., Image]],
    *,
    session: Session | None = None,
    on_event: Emit | None = None,
    handle_signals: bool = True,
    cancel: threading.Event | None = None,
) -> list[Image]:
    """Make many images, side by side, each in a thread of its own.

        images = amibake.bake_all(
            partial(amibake.build_carnivore, primal.id, f"dist/{app}", app=app, node_env="production") for app in apps
        )

    Args:
        bakes: Calls of `build_primal`, `build_carnivore` or `bake` that are yet to be made, as functools.partial makes
            them, or anything else that can be called with `session`, `on_event` and `cancel` and makes an image.
        session: Whose account, for all of them; with None each has its own `session`, or boto3's own resolution.
        on_event: Receives what happens in any of them, each event in an `OfBake`, which says whose it is; one at a
            time, though in the bakes' threads. With None it goes to `logging`.
        handle_signals: As in `bake`: an interrupt in the main thread cancels all of them and waits until what is
            temporary of all of them is removed. A second signal tells what is left of all, and stops.
        cancel: Ends all of them soon after it is set, as in `bake`.

    Returns:
        The images, in the order of `bakes`.

    Raises:
        InvalidOption: one of `bakes` is no call; nothing was begun.
        BakesFailed: some have failed, which did not stop the others. It has all errors, and the images that were made.
            It is an AmibakeError as every other, and an ExceptionGroup, so that `except* ScriptFailed` works, and the
            traceback of each is shown.
        KeyboardInterrupt: as in `bake`; its notes say which images were made nevertheless.
    """
    stop, lock = threading.Event(), threading.Lock()
    running = [_Bake(name, call, on_event, lock) for name, call in _named(list(bakes)).items()]
    with interruptible(handle_signals=handle_signals, cancel=cancel, left=lambda: _left(running)):
        try:
            for one in running:
                one.start({"session": session} if session is not None else {}, stop)
            _await(running)
        except BaseException as error:
            stop.set()
            for one in running:
                one.see_off()
            _note(error, running)
            raise
    return _images(running)


class _Bake:
    """One of them; in the end it has an `image` or an `error`."""

    def __init__(self, name: str, call: Callable[..., Image], on_event: Emit | None, lock: threading.Lock) -> None:
        self.name = name
        self.image: Image | None = None
        self.error: BaseException | None = None
        self._call = call
        self._emit = on_event or to_logging
        self._lock = lock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, more: Mapping[str, Any], stop: threading.Event) -> None:
        """Begin. The program's end does not wait for the thread: by then somebody has said twice that it is to stop."""
        options = {**more, "on_event": self._told, "cancel": stop}
        self._thread = threading.Thread(target=self._run, args=(options,), name=f"amibake {self.name}", daemon=True)
        self._thread.start()

    def runs(self) -> bool:
        """Whether it has not ended yet, after waiting for that for a moment."""
        # Not by way of Thread.join, which takes the thread for ended once a signal has interrupted it.
        return not self._ended.wait(_TICK)

    def see_off(self) -> None:
        """Wait until it has ended, if it was begun."""
        if self._thread is not None and self._thread.ident is not None:
            self._ended.wait()
            self._thread.join()

    def _run(self, options: Mapping[str, Any]) -> None:
        try:
            self.image = self._call(**options)
        except BaseException as error:  # noqa: BLE001 - raised where they are awaited
            self.error = error
        finally:
            self._ended.set()

    def _told(self, event: Event) -> None:
        with self._lock:
            self._emit(OfBake(self.name, event))


def _named(bakes: Sequence[Any]) -> dict[str, Callable[..., Image]]:
    """The calls by the name that each goes by in events and errors."""
    mistakes = [
        f"bakes: number {number} is {type(call).__name__}, not a call that is yet to be made"
        for number, call in enumerate(bakes, start=1)
        if not callable(call)
    ]
    if mistakes:
        raise InvalidOption(*mistakes, hint="functools.partial(amibake.build_primal, app=…) is one")
    named: dict[str, Callable[..., Image]] = {}
    for number, call in enumerate(bakes, start=1):
        name = _app(call) or f"bake {number}"
        named[f"{name} ({number})" if name in named else name] = call
    return named


def _app(call: Callable[..., Image]) -> str:
    """What a partial call says of what it bakes, if anything."""
    given: dict[str, Any] = getattr(call, "keywords", {})
    builder = next(
        (one for one in (*getattr(call, "args", ()), given.get("builder")) if isinstance(one, Builder)), None
    )
    said = (builder.app, builder.node_env) if builder else (given.get("app"), given.get("node_env"))
    return " ".join(word for word in said if isinstance(word, str))


def _await(running: Sequence[_Bake]) -> None:
    for one in running:
        on = True
        while on:
            with opened():
                on = one.runs()


def _left(running: Sequence[_Bake]) -> list[str]:
    """What those have left that have ended; the others tell that by themselves."""
    return [line for one in running for line in getattr(one.error, "leftovers", ())]


def _made(running: Sequence[_Bake]) -> list[str]:
    return [f"{one.name}: {one.image.id} ({one.image.name})" for one in running if one.image is not None]


def _note(error: BaseException, running: Sequence[_Bake]) -> None:
    for line in _left(running):
        error.add_note(f"left behind: {line}")
    for line in _made(running):
        error.add_note(f"made nevertheless: {line}")


def _images(running: Sequence[_Bake]) -> list[Image]:
    failed = {one.name: one.error for one in running if one.error is not None}
    for error in failed.values():
        if not isinstance(error, Exception):
            _note(error, running)
            raise error
    errors = {name: error for name, error in failed.items() if isinstance(error, Exception)}
    if errors:
        said = [f"{len(errors)} of {len(running)} bakes failed"]
        said += [f"  {name}: {_said(error)}" for name, error in errors.items()]
        said += [f"  made: {note}" for note in _made(running)] or ["  no image was made"]
        raise BakesFailed(
            "\n".join(said),
            list(errors.values()),
            images={one.name: one.image for one in running if one.image is not None},
        )
    return [one.image for one in running]  # type: ignore[misc] # None is what skip_create_ami wants


def _said(error: Exception) -> str:
    """The text of an error that is not ours may show a secret."""
    return error.message.splitlines()[0] if isinstance(error, AmibakeError) else type(error).__name__
