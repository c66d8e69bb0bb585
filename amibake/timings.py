"""Where the time of a bake went: its steps, and what of each was waiting for EC2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TimedWait:
    """Waiting for EC2.

    Attributes:
        what: For what: "instance stopped", "image available" …
        start: Seconds after the bake began.
        seconds: For how long.
    """

    what: str
    start: float
    seconds: float


@dataclass(frozen=True)
class TimedStep:
    """A step of a bake.

    Attributes:
        name: What it is called in events.
        start: Seconds after the bake began.
        seconds: How long it took.
        waits: What of that was waiting for EC2, in order.
    """

    name: str
    start: float
    seconds: float
    waits: tuple[TimedWait, ...] = ()


class Timings(Mapping[str, float]):
    """{step: seconds} of a bake, in the order in which the steps began; those of one name add up.

    Attributes:
        steps: Each of them, with when it began and what it has waited for.
        total: Seconds from the beginning of the bake to the end of its last step; what is in none of the steps is in
            this.
    """

    def __init__(self, steps: Sequence[TimedStep] = ()) -> None:
        self.steps = tuple(sorted(steps, key=lambda step: step.start))
        self.total = max((step.start + step.seconds for step in steps), default=0.0)
        self._seconds: dict[str, float] = {}
        for step in self.steps:
            self._seconds[step.name] = self._seconds.get(step.name, 0.0) + step.seconds

    @property
    def waits(self) -> tuple[TimedWait, ...]:
        """All waiting for EC2, in order."""
        return tuple(wait for step in self.steps for wait in step.waits)

    def __getitem__(self, step: str) -> float:
        return self._seconds[step]

    def __iter__(self) -> Iterator[str]:
        return iter(self._seconds)

    def __len__(self) -> int:
        return len(self._seconds)

    def __repr__(self) -> str:
        return f"Timings({list(self.steps)!r})"
