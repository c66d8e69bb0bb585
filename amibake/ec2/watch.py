"""One question for all that this process waits for: bakes side by side do not ask EC2 about each of their things alone.

Who waits for something looks at it when it is time to by its own clock, with its own client, and for its own errors.
Whoever finds that it is time asks about the things of all others, too, and what EC2 says is there for them; who comes
while somebody asks waits for that answer. So nobody works for others in a thread of its own, and when one is
interrupted, or is refused, the next one asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from amibake import waiting
from amibake.ec2.cloud import Cloud
from amibake.ec2.transient import THROTTLED, throttled
from amibake.errors import AmibakeError
from amibake.interrupts import held
from amibake.waiting import Pending

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef, InstanceTypeDef

    from amibake.ec2.refusals import Translating

Found = TypeVar("Found", bound=Mapping[str, Any])

_MOST = 200
"""Values that one filter of EC2's may have."""
_PATIENCE = 2.0
"""Seconds for which somebody else's question is waited for before another one is asked."""
_SLOWEST = 16.0


@dataclass(frozen=True)
class Kind(Generic[Found]):
    """A kind of things, and how EC2 is asked about many of them. By a filter, since one id that EC2 does not know yet
    would fail the whole call."""

    filter: str
    ask: Callable[[Cloud, Any], list[Found]]
    id: str

    def found(self, cloud: Cloud, ids: list[str]) -> dict[str, Found]:
        """Those that EC2 knows, by their ids."""
        parts = [ids[first : first + _MOST] for first in range(0, len(ids), _MOST)]
        answers = [self.ask(cloud, [{"Name": self.filter, "Values": part}]) for part in parts]
        return {one[self.id]: one for answer in answers for one in answer}


def _instances(cloud: Cloud, filters: Any) -> list[InstanceTypeDef]:
    reservations = cloud.ec2.describe_instances(Filters=filters)["Reservations"]
    return [instance for one in reservations for instance in one["Instances"]]


def _images(cloud: Cloud, filters: Any) -> list[ImageTypeDef]:
    return cloud.ec2.describe_images(Filters=filters)["Images"]


INSTANCES: Kind[InstanceTypeDef] = Kind("instance-id", _instances, "InstanceId")
IMAGES: Kind[ImageTypeDef] = Kind("image-id", _images, "ImageId")


@dataclass
class _Watch:
    """What is waited for of one kind, by one account, at one place. Whoever touches it holds `_lock`.

    Attributes:
        ids: What each waiter waits for.
        asking: Is set when the question that is under way has been answered or has failed; None when there is none.
        asked: The ids that the last answer is about.
        answer: What of them EC2 knows.
        at: When it was there.
        begun: How many questions there have been.
        number: Which of them that was the answer to.
        slower: By what factor less is to be asked: EC2 has throttled us.
    """

    ids: dict[object, str] = field(default_factory=dict)
    asking: threading.Event | None = None
    asked: frozenset[str] = frozenset()
    answer: Mapping[str, Any] = field(default_factory=dict)
    at: float = -inf
    begun: int = 0
    number: int = 0
    slower: float = 1.0

    @property
    def apart(self) -> float:
        """Seconds between an answer and the next question: each who begins to wait would look often at first."""
        return min(0.25 * (len(set(self.ids.values())) - 1), 1.0)


_lock = threading.Lock()
_watches: dict[tuple[object, ...], _Watch] = {}
"""Those for which somebody waits."""


class Sight(Generic[Found]):
    """How one waiter sees what it waits for; `alone` is how it asks about that alone."""

    def __init__(
        self, watch: _Watch, cloud: Cloud, kind: Kind[Found], name: str, alone: Callable[[], Found | None]
    ) -> None:
        self._watch = watch
        self._cloud = cloud
        self._kind = kind
        self._name = name
        self._alone = alone
        self._number = watch.begun  # what was asked before is not answered by what the waiter may just have done
        self._at = -inf

    def look(self) -> Found | None:
        """What EC2 says of it, since the last look or now; None where it does not know it. Raises AmibakeError."""
        watch, mine, asked, patience = self._watch, threading.Event(), None, _PATIENCE
        try:
            while True:
                with _lock:
                    if watch.number > self._number and self._name in watch.asked:
                        self._number, self._at = watch.number, watch.at
                        return cast("Found | None", watch.answer.get(self._name))
                    if watch.asking is not asked:  # each question is waited for
                        asked, patience = watch.asking, _PATIENCE
                    early = watch.at + watch.apart - waiting.clock.now()
                    waits = asked is not None and patience > 0
                    # less may be none to the clock; nobody else comes to this before it is said that we ask
                    if not waits and early <= 0.001:
                        watch.asking, watch.begun = mine, watch.begun + 1
                        number, ids = watch.begun, sorted(set(watch.ids.values()))
                        break
                if asked is not None and waits:
                    patience -= waiting.block(asked, min(patience, 0.25))
                else:
                    waiting.sleep(early)
            return self._ask(number, ids)
        finally:
            with held(), _lock:
                if watch.asking is mine:
                    watch.asking = None
            mine.set()

    def pending(self, seen: str) -> Pending:
        """What a probe answers that has seen this, and not what it waits for."""
        return Pending(seen, age=max(0.0, waiting.clock.now() - self._at), slower=self._watch.slower)

    def _ask(self, number: int, ids: list[str]) -> Found | None:
        watch, before = self._watch, throttled()
        try:
            found = self._found(ids)
        except AmibakeError as error:
            _slow_down(watch, error.code in THROTTLED or throttled() > before)
            raise
        _slow_down(watch, throttled() > before)
        with held(), _lock:
            self._number, self._at = number, waiting.clock.now()
            if number > watch.number:  # one that was asked later may have been answered before
                watch.number, watch.at = number, self._at
                watch.asked, watch.answer = frozenset(ids), found
        return found.get(self._name)

    def _found(self, ids: list[str]) -> dict[str, Found]:
        if ids != [self._name]:
            return self._kind.found(self._cloud, ids)
        found = self._alone()
        return {} if found is None else {self._name: found}


@contextmanager
def watching(cloud: Cloud, kind: Kind[Found], name: str, alone: Callable[[], Found | None]) -> Iterator[Sight[Found]]:
    """Wait for something: while the block lasts everybody who asks about things of its kind asks about it, too."""
    key = (_account(cloud), cast("Translating", cloud.ec2).endpoint, cloud.region, kind.id)
    waiter = object()
    try:
        with _lock:
            watch = _watches.setdefault(key, _Watch())
            watch.ids[waiter] = name
        yield Sight(watch, cloud, kind, name, alone)
    finally:  # wherever it was interrupted
        with held(), _lock:
            if (there := _watches.get(key)) is not None:
                there.ids.pop(waiter, None)
                if not there.ids:
                    del _watches[key]


def _account(cloud: Cloud) -> object:
    """By whose word is asked: never for those of another session that the user has given, nor of other credentials."""
    if cloud.given is not None:
        return cloud.given
    session = cloud.clients.session
    with suppress(Exception):  # the calls themselves say better what is wrong with them
        if found := session.get_credentials():
            return found.get_frozen_credentials()
    return session


def _slow_down(watch: _Watch, throttled: bool) -> None:
    watch.slower = min(watch.slower * 2, _SLOWEST) if throttled else max(watch.slower * 0.9, 1.0)
