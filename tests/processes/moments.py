"""Moments of a bake at which something is done to it from outside: each is prepared before the bake begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from amibake.testing import Answer, LoopbackMachine
from tests.processes.served import Call, Served

Do = Callable[[], object]

Undo = Callable[[], object]

PROGRAM = "NVM_VERSION"
"""What the script of the primal image has in it."""

RETRIED = "again and again"
"""What the script has in it that is run again when the connection is lost."""

_MANY = 1 << 30

LARGE = 3 << 20
"""Bytes of the file that is uploaded."""


@dataclass(frozen=True)
class Moment:
    """When something is done; `prepare` sees to it for one bake, and answers with what undoes that."""

    name: str
    prepare: Callable[[Served, str, Do], Undo]

    @contextmanager
    def of(self, served: Served, region: str, do: Do) -> Iterator[threading.Event]:
        """While the block lasts `do` is called when the moment comes, once; the event says whether it has come. What is
        still under way of an earlier bake is no moment of this one."""
        served.ec2.settle(region)
        come, lock = threading.Event(), threading.Lock()

        def once() -> None:
            with lock:
                first = not come.is_set()
                come.set()
            if first:
                do()

        undo = self.prepare(served, region, once)
        try:
            yield come
        finally:
            undo()


def before(action: str, number: int = 1) -> Moment:
    """When the n-th such call has arrived and is not done yet."""
    return Moment(f"before {action} {number}", lambda *given: _at(given[0].ec2.arrived, action, number, *given[1:]))


def after(action: str, number: int = 1) -> Moment:
    """When the answer to the n-th such call has been sent."""
    return Moment(f"after {action} {number}", lambda *given: _at(given[0].ec2.answered, action, number, *given[1:]))


def _at(calls: dict[str, Call], action: str, number: int, region: str, do: Do) -> Undo:
    seen = [0]

    def tell(_: str, arrived: str) -> None:
        seen[0] += arrived == action
        if arrived == action and seen[0] == number:
            do()

    calls[region] = tell
    return partial(calls.pop, region)


def uploaded(fraction: float, *, stalls: bool = False) -> Moment:
    """When so much of the upload has arrived; the machine `stalls` when it reads no more then."""

    def prepare(served: Served, region: str, do: Do) -> Undo:
        over, earlier = threading.Event(), list(served.machines.all.values())

        def tell(machine: LoopbackMachine, received: int) -> None:
            if machine not in earlier and received >= fraction * LARGE:
                do()
                while stalls and machine.port and not over.wait(0.05):
                    pass

        served.machines.on_input[region] = tell

        def undo() -> None:
            del served.machines.on_input[region]
            over.set()

        return undo

    return Moment(f"{fraction:.0%} uploaded{', to a machine that reads no more' if stalls else ''}", prepare)


def _nobody_is_let_in(served: Served, region: str, do: Do) -> Undo:
    behaviour = served.machines.behaviours[region]
    behaviour.tell = lambda left: _MANY - left == 2 and do()
    behaviour.refuse_connections = _MANY

    def undo() -> None:
        behaviour.tell = lambda _: None
        behaviour.refuse_connections = 0

    return undo


def _runs(served: Served, region: str, do: Do) -> Undo:
    return _answering(served, region, PROGRAM, Answer(does=do, stays=True))


def _is_lost(served: Served, region: str, do: Do) -> Undo:
    undone = []

    def lose() -> None:
        undone.append(_nobody_is_let_in(served, region, do))
        served.machines.newest_of[region].drop()

    undo = _answering(served, region, RETRIED, Answer(does=lose))

    def undo_both() -> None:
        undo()
        for one in undone:
            one()

    return undo_both


def _answering(served: Served, region: str, text: str, answer: Answer) -> Undo:
    behaviour = served.machines.behaviours[region]
    behaviour.on(text, answer)
    return lambda: behaviour.answers.remove((text, answer))


def throttled(action: str) -> Moment:
    """In the pause after such a call has been throttled for the second time."""

    def prepare(served: Served, region: str, do: Do) -> Undo:
        refusal = served.ec2.refuse(action, "RequestLimitExceeded", region=region)

        def stop() -> None:
            refusal.lift()
            do()

        return _at(served.ec2.answered, action, 2, region, stop)

    return Moment(f"{action} throttled", prepare)


CONNECTING = Moment("nobody is let in", _nobody_is_let_in)
RUNNING = Moment("the script runs", _runs)
RECONNECTING = Moment("the connection is lost", _is_lost)

OF_EVERY_BAKE = (
    before("DescribeImages"),
    before("ImportKeyPair"),
    after("ImportKeyPair"),
    before("CreateSecurityGroup"),
    after("CreateSecurityGroup"),
    before("RunInstances"),
    after("RunInstances"),
    throttled("RunInstances"),
    after("DescribeInstances"),
    throttled("DescribeInstances"),
    before("AuthorizeSecurityGroupIngress"),
    after("AuthorizeSecurityGroupIngress"),
    CONNECTING,
    uploaded(0.1),
    uploaded(0.7),
    uploaded(0.4, stalls=True),
    RUNNING,
    before("StopInstances"),
    after("StopInstances"),
    before("CreateImage"),
    after("CreateImage"),
    after("DescribeImages", 4),
    before("TerminateInstances"),
    after("TerminateInstances"),
    before("DeleteKeyPair"),
    before("CreateTags"),
    after("CreateTags"),
)
"""Those that every bake of the primal image has."""
