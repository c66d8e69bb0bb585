"""Loading what amibake needs, in as little time as that takes, and so that the program that uses it does not notice."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

_resting: set[int] = set()
"""The threads for which the garbage collector rests; none, once one of them has it work again."""


def _wake() -> None:
    if _resting:
        _resting.clear()
        gc.enable()


os.register_at_fork(after_in_child=_wake)  # there only one thread goes on, which may be another


@contextmanager
def undisturbed() -> Iterator[None]:
    """For a block that makes a great many objects, which all stay: modules, or the description of a service. The
    garbage collector would look at them again and again and find nothing. Afterwards it works as it did before."""
    if not gc.isenabled():
        yield
        return
    try:
        _resting.add(threading.get_ident())
        gc.disable()
        yield
    finally:
        _wake()


@contextmanager
def meanwhile(name: str) -> Iterator[None]:
    """Load a module, in a thread, while the block does something that mostly waits: for EC2's answers, say. Where the
    block needs it, it imports it as ever, and waits for the rest of it; what is wrong with it is raised there only."""
    if name in sys.modules:
        yield
        return
    thread = threading.Thread(target=_load, args=(name,), name="amibake-loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _load(name: str) -> None:
    with suppress(Exception):
        import_module(name)


class Later:
    """A module that is loaded when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


@contextmanager
def later(name: str) -> Iterator[Later | None]:
    """For a block that imports a module which itself imports, by the way, another one: that finds none by this `name`.
    It has to put up with that, and gets what the block is given in its place; which is None where it is loaded already.
    What other threads import meanwhile does not change."""
    if name in sys.modules:
        yield None
        return
    absent = _Absent(name)
    sys.meta_path.insert(0, absent)
    try:
        yield Later(name)
    finally:
        # not by remove(): what is being looked for in another thread, in this very list, would skip a finder
        sys.meta_path = [finder for finder in sys.meta_path if finder is not absent]


class _Absent:
    """A finder that has one thread not find one module."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.get_ident()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name == self._name and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
