"""Deadlines, polling, retries and the clock: the only place that waits, and the only one that imports tenacity."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from amibake import interrupts
from amibake.errors import WaitTimeout
from amibake.events import Emit, Waiting

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

_TICK = 0.25

_SHARE = 0.025
"""Between two looks, of the time that has passed: so much later than it is there what is awaited is seen."""

_EARLY = 4.0
"""Seconds between two looks, at most, while it is early."""
_SLOWEST = 60.0
"""Seconds between two looks where answers ask for slowness."""

_NUMBER = r"([0-9]+(?:\.[0-9]*)?)"
_DURATION = re.compile(rf"([-+]?)(?=[0-9])(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")


class Clock(Protocol):
    """Time as this library sees it: `now()` in seconds from anywhere, `sleep(seconds)`, the date as `epoch()`, and
    `waited(seconds)`, which tells it of real time that was spent blocked on something that is no clock."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def epoch(self) -> float: ...
    def waited(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(interrupts.sleep)
    epoch = staticmethod(time.time)

    def waited(self, seconds: float) -> None:
        """It has seen that by itself."""


clock: Clock = SystemClock()
"""A documented seam: a test puts its own clock here, and every wait of this library is instant."""


def sleep(seconds: float) -> None:
    """Wait for so long, by the clock, and for no longer than it takes until an interrupt arrives."""
    with interrupts.opened():
        clock.sleep(seconds)


def block(event: threading.Event, seconds: float) -> float:
    """Wait for another thread, for so long at most; answers with the seconds that it took. An interrupt is raised."""
    began = time.monotonic()
    with interrupts.opened():
        event.wait(seconds)
    spent = time.monotonic() - began
    clock.waited(spent)
    interrupts.check()
    return spent


def _pause(seconds: float) -> None:
    """Wait between two tries, but no longer for what is given up."""
    until = Deadline(seconds)
    while (rest := until.remaining()) > 0 and not interrupts.gives_up():
        sleep(min(rest, _TICK))


class Deadline:
    """A point in time that is `seconds` away, and never later than `within`."""

    def __init__(self, seconds: float, *, within: Deadline | None = None) -> None:
        self._whole = seconds
        self._within = within
        self.begin()

    def begin(self) -> None:
        """Begin anew: so many seconds from now."""
        self.seconds = self._whole if self._within is None else min(self._whole, self._within.remaining())
        self._at = clock.now() + self.seconds

    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self._at - clock.now())


@dataclass(frozen=True)
class Pending:
    """What a probe answers while the thing is not there yet.

    Attributes:
        seen: What it saw instead.
        pause: For how many seconds at least it is not to be asked again.
        age: How many seconds ago that was.
        slower: By what factor less often than otherwise it is to be asked.
    """

    seen: str
    pause: float = 0.0
    age: float = 0.0
    slower: float = 1.0


def together(pending: Sequence[Pending]) -> Pending:
    """Several answers as one, for who waits until there are none."""
    return Pending(
        ", ".join(one.seen for one in pending),
        pause=max(one.pause for one in pending),
        age=min(one.age for one in pending),
        slower=max(one.slower for one in pending),
    )


def wait_for(
    what: str,
    probe: Callable[[], T | Pending],
    *,
    deadline: Deadline,
    emit: Emit,
    first: float = 0.25,
    early: float = 0.0,
    steady: float = 1.5,
    most: float = 15.0,
    hint: str = "",
) -> T:
    """Call `probe` until it answers something other than `Pending`, and return that.

    The first pause is `first` seconds, each later one half as long again, up to `steady`, or to 2.5 % of the time that
    has passed by then where that is more, and never more than `most`. For `early` seconds, in which it hardly ever
    comes, the pauses go on growing, up to 4 seconds. An answer may ask for other ones. What the probe raises goes
    through. Whenever what was seen changes, and at least every 15 seconds, a `Waiting` event says so.

    Raises:
        WaitTimeout: the deadline has passed; the message carries what was seen last.
    """
    from tenacity import Retrying, retry_if_result

    started = clock.now()
    told: tuple[str, float] = ("", -1.0)

    def pause(state: RetryCallState) -> float:
        answer, passed = _answer(state), clock.now() - started
        bound = min(_EARLY, max(early - passed, first)) if passed < early else min(max(steady, _SHARE * passed), most)
        usual = min(first * 1.5 ** min(state.attempt_number - 1, 99), bound)  # more is no float at some time
        rest = min(usual * answer.slower, _SLOWEST) - answer.age
        return min(max(rest, answer.pause, 0.0), max(deadline.remaining(), 0.01))

    def tell(state: RetryCallState) -> None:
        nonlocal told
        seen, now = _answer(state).seen, clock.now()
        if seen != told[0] or now - told[1] >= 15:
            told = (seen, now)
            emit(Waiting(what, seen, now - started))

    def open_probe() -> T | Pending:
        with interrupts.opened():
            return probe()

    def give_up(state: RetryCallState) -> T:
        message = f"{what}: not after {duration(clock.now() - started)}; last seen: {_answer(state).seen}"
        raise WaitTimeout(message, hint=hint)

    return Retrying(
        retry=retry_if_result(lambda answer: isinstance(answer, Pending)),
        wait=pause,
        stop=lambda _: deadline.remaining() <= 0,
        sleep=sleep,
        before_sleep=tell,
        retry_error_callback=give_up,
    )(open_probe)  # type: ignore[return-value]


def again(
    call: Callable[[], T],
    *,
    after: type[Exception] | Callable[[BaseException], bool],
    first: Callable[[], None],
    times: int | None = None,
    within: Deadline | None = None,
) -> T:
    """Make a call that may be repeated, so many `times` at most, and not once the time `within` which is over: when it
    raises `after`, or what that says yes to, do something `first`, repeat.

    What else is raised goes through, as does the last error, and what `first` raises.
    """
    from tenacity import Retrying, retry_if_exception

    def is_over(state: RetryCallState) -> bool:
        return state.attempt_number == times or (within is not None and within.remaining() <= 0)

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, after) if isinstance(after, type) else after(error)),
        stop=is_over,
        sleep=sleep,
        before_sleep=lambda _: first(),
        reraise=True,
    )(call)


def persist(
    call: Callable[[], T],
    *,
    times: int,
    over: Callable[[BaseException], bool],
    failed: Callable[[BaseException, int, float], None],
    deadline: Deadline,
    first: float = 1.0,
    most: float = 30.0,
    jitter: float = 0.0,
) -> T:
    """Make a call so many `times` at most, as long as the deadline allows: when it raises something that is not `over`,
    `failed` is told of the error, the number of the try and the seconds until the next, and it is made again.

    The first pause is `first` seconds, each later one twice as long, up to `most`; up to the share `jitter` of each is
    left out at random, so that many who wait do not come back together. The last error goes through, as does what
    `failed` raises.
    """
    from tenacity import Retrying, retry_if_exception

    last: list[BaseException] = []

    def call_again() -> T:
        if last and interrupts.gives_up():  # since the pause
            raise last[0]
        return call()

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            last[:] = [error]
            failed(error, state.attempt_number, state.upcoming_sleep)

    def pause(state: RetryCallState) -> float:
        growing = min(first * 2.0 ** min(state.attempt_number - 1, 99), most)
        growing *= 1 - jitter * random.random()  # noqa: S311 - nobody is to be kept from guessing it
        return min(growing, deadline.remaining())

    return Retrying(
        retry=retry_if_exception(lambda error: not over(error) and not interrupts.gives_up()),
        wait=pause,
        stop=lambda state: state.attempt_number >= times or deadline.remaining() <= 0,
        sleep=_pause,
        before_sleep=tell,
        reraise=True,
    )(call_again)


def seconds(value: float | str | timedelta) -> float:
    """A duration as people give it: a number of seconds, "90s", "1.5h" or "1h30m" as Packer writes it, or a timedelta.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if not match:
            raise ValueError('has to be seconds, or text such as "90s", "5m" or "1h30m"')
        sign, *numbers = match.groups()
        found = sum(float(number or 0) * unit for number, unit in zip(numbers, (3600, 60, 1, 0.001), strict=True))
        return -found if sign == "-" else found
    return float(value)


def duration(seconds: float) -> str:
    """So many seconds as people say it: "0.5 s", "600 s", "4 h", "3 h 50 min"."""
    if seconds < 10:
        return f"{round(seconds, 2):g} s"
    if seconds < 1000:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0))


def _answer(state: RetryCallState) -> Pending:
    answer = state.outcome.result() if state.outcome else None
    return answer if isinstance(answer, Pending) else Pending("nothing")
