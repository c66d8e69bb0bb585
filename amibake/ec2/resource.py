"""How everything that a bake makes is made and removed: found again when an answer was lost, released in the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from amibake import waiting
from amibake.ec2.by_hand import look, removal
from amibake.ec2.cloud import CONSISTENCY, RELEASE, Cloud, missing
from amibake.errors import AmibakeError, WaitTimeout
from amibake.image import EXPIRES
from amibake.interrupts import check, creating, held
from amibake.waiting import Deadline, Pending, wait_for

T = TypeVar("T")

_TO_KNOW = "EC2 to know what it has just made"


@contextmanager
def resource(
    cloud: Cloud,
    kind: str,
    *,
    create: Callable[[], str],
    find: Callable[[], list[str]],
    release: Callable[[str], None],
    keep: Callable[[str], bool] = lambda _: False,
) -> Iterator[str]:
    """Make something and yield its id; in the end `release` it, unless it is to be `keep`t."""
    ids: list[str] = []
    try:
        yield make(cloud, kind, create=create, find=find, ids=ids)
    finally:
        for found in ids:
            if not keep(found):
                release(found)


def make(cloud: Cloud, kind: str, *, create: Callable[[], str], find: Callable[[], list[str]], ids: list[str]) -> str:
    """Make something; its id is the answer, and in `ids` by then, whatever is raised.

    `create` is not interrupted by a first signal. When its answer was lost, and when EC2 says that there is one
    already (the answer to a first try was lost, and the call repeated), `find` looks for what carries this build's tag.
    """
    made: list[str] = []
    if cloud.resumed and (there := find()):
        ids += there
        for one in there:
            cloud.ledger.owns(kind, one, removal(cloud, kind, one))
        _keep_alive(cloud, kind, there)
        return there[0]
    check()
    lost = True  # unless somebody says what became of it
    try:
        with creating(), cloud.ledger.making(kind, look(cloud, kind)):
            try:
                made.append(_create(cloud, kind, create, find))
            except AmibakeError as error:
                lost = error.lost
                raise
            ids.extend(made)
            cloud.made[made[0]] = waiting.clock.now()
            cloud.ledger.owns(kind, made[0], removal(cloud, kind, made[0]))
        cloud.ledger.created(kind, made[0])
    except BaseException:
        if not made and lost:
            _find(cloud, kind, find, ids)
        raise
    return made[0]


def _keep_alive(cloud: Cloud, kind: str, ids: list[str]) -> None:
    """What is taken up from another bake does not count as dead before this one is over."""
    resources = [found for found in ids if re.match("[a-z]+-[0-9a-f]{8}", found)]
    if kind == "key pair":
        pairs = cloud.ec2.describe_key_pairs(KeyNames=ids)["KeyPairs"]
        resources = [pair["KeyPairId"] for pair in pairs if "KeyPairId" in pair]
    if resources:
        cloud.ec2.create_tags(Resources=resources, Tags=[{"Key": EXPIRES, "Value": cloud.marks[EXPIRES]}])


def _create(cloud: Cloud, kind: str, create: Callable[[], str], find: Callable[[], list[str]]) -> str:
    try:
        return create()
    except AmibakeError as error:
        if not error.code.endswith((".Duplicate", ".AlreadyExistsException")):
            raise
        ours: list[str] = []
        _find(cloud, kind, find, ours)
        if not ours:
            raise
        return ours[0]


def _find(cloud: Cloud, kind: str, find: Callable[[], list[str]], ids: list[str]) -> None:
    """Add to `ids` what carries this build's tag; it may take a moment until EC2 shows it. A signal that arrives
    meanwhile is raised only once they are there to be released."""
    what, deadline = f"a lost {kind} to show", Deadline(CONSISTENCY)
    try:
        with held():
            found = wait_for(what, lambda: find() or Pending("none"), deadline=deadline, emit=cloud.ledger.emit)
            ids.extend(found)
            for one in found:
                cloud.ledger.owns(kind, one, removal(cloud, kind, one))
    except WaitTimeout:
        return  # so there is none
    except AmibakeError as error:
        cloud.ledger.left(f"perhaps a {kind} of build {cloud.build} ({error.message})", look(cloud, kind))


def eventually(cloud: Cloud, call: Callable[[], T], *codes: str, releasing: bool = False) -> T:
    """Make a call about something that has just been made, again for as long as EC2 does not know it yet; `codes` are
    its words for that. A release has time for it even where the bake has none left."""
    deadline = Deadline(CONSISTENCY, within=None if releasing else cloud.deadline)
    return patiently(cloud, _TO_KNOW, call, again=lambda error: error.code in codes, deadline=deadline)


def patiently(
    cloud: Cloud, what: str, call: Callable[[], T], *, again: Callable[[AmibakeError], bool], deadline: Deadline
) -> T:
    """Make a call, `again` after errors of which that says so; when the time is up the last of them is raised."""
    last: list[AmibakeError] = []

    def probe() -> tuple[T] | Pending:
        try:
            return (call(),)
        except AmibakeError as error:
            if not again(error):
                raise
            last[:] = [error]
            return Pending(error.code or error.message)

    try:
        (answer,) = wait_for(what, probe, deadline=deadline, emit=cloud.ledger.emit)
    except WaitTimeout as timeout:
        raise (last[0] if last else timeout) from None
    return answer


def unless_gone(cloud: Cloud, name: str, call: Callable[[], object]) -> None:
    """Call what removes something. That it is gone is as good; but what was made only just may not be known *yet*, so
    for that long nobody is believed who says so."""

    def is_not_known_yet(error: AmibakeError) -> bool:
        return missing(error) and not error.code.endswith(".Unavailable") and cloud.is_fresh(name)

    try:
        patiently(cloud, _TO_KNOW, call, again=is_not_known_yet, deadline=Deadline(RELEASE))
    except AmibakeError as error:
        if not missing(error):
            raise


def remove(
    cloud: Cloud,
    kind: str,
    name: str,
    call: Callable[[], object],
    *,
    busy: Collection[str] = (),
    held_by: Collection[str] = (),
    by_hand: str = "",
) -> bool:
    """Remove something, and answer with whether it is gone; what is not is a leftover.

    Args:
        call: What removes it.
        busy: EC2's words for that it is still in use: the call is made again, for five minutes.
        held_by: The kinds of what it is in use by. When one of those could not be removed, nothing is waited for.
        by_hand: The command that removes it, where it is not that of its kind.
    """
    gone = list[bool]()

    def attempt() -> None:
        wait_for(f"{kind} {name} to go", probe, deadline=Deadline(RELEASE), emit=cloud.ledger.emit)
        gone.append(True)

    def probe() -> Pending | None:
        try:
            unless_gone(cloud, name, call)
        except AmibakeError as error:
            if error.code in busy and cloud.stuck.isdisjoint(held_by):
                return Pending(error.code)
            raise
        return None

    try:
        cloud.ledger.release(kind, name, attempt, by_hand or removal(cloud, kind, name))
    finally:
        if not gone:
            cloud.stuck.add(kind)
    return bool(gone)
