"""What a user's own tests import: machines, a clock and a whole EC2 in this process, without root or containers.

Needs the `testing` extra. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amibake.testing.accounts import Account
    from amibake.testing.baked import Bake, Prepared, Upload
    from amibake.testing.baking import Bakery, bakery
    from amibake.testing.behaviour import Answer, Behaviour, Ran, exits
    from amibake.testing.clock import FakeClock
    from amibake.testing.machines import LoopbackMachines
    from amibake.testing.place import Place, in_process
    from amibake.testing.sshd import LoopbackMachine

_HOMES = {
    "Account": "accounts",
    "Answer": "behaviour",
    "Bake": "baked",
    "Bakery": "baking",
    "bakery": "baking",
    "Behaviour": "behaviour",
    "FakeClock": "clock",
    "LoopbackMachine": "sshd",
    "LoopbackMachines": "machines",
    "Place": "place",
    "Prepared": "baked",
    "Ran": "behaviour",
    "Upload": "baked",
    "exits": "behaviour",
    "in_process": "place",
}

__all__ = [
    "Account",
    "Answer",
    "Bake",
    "Bakery",
    "Behaviour",
    "FakeClock",
    "LoopbackMachine",
    "LoopbackMachines",
    "Place",
    "Prepared",
    "Ran",
    "Upload",
    "bakery",
    "exits",
    "in_process",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
