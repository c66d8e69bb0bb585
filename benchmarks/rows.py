"""What a row of the table is, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.place import Place

OURS = "amibake"


@dataclass(frozen=True)
class Sample:
    """One run of one contender: seconds of wall-clock and of CPU time, and what else was counted."""

    wall: float
    cpu: float
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """All runs of a row, by contender, and its floor in seconds."""

    floor: float
    samples: dict[str, list[Sample]]

    def walls(self) -> dict[str, float]:
        """The median of each contender that did it."""
        return {who: median(one.wall for one in samples) for who, samples in self.samples.items() if samples}

    def cpus(self) -> dict[str, float]:
        """Likewise of CPU time."""
        return {who: median(one.cpu for one in samples) for who, samples in self.samples.items() if samples}

    def count(self, what: str) -> float | None:
        """The median of what was counted of ours, or None."""
        counted = [one.counts[what] for one in self.samples.get(OURS, []) if what in one.counts]
        return median(counted) if counted else None

    @property
    def failed(self) -> list[str]:
        """Who has not done it even once."""
        return [who for who, samples in self.samples.items() if not samples]

    @property
    def under_floor(self) -> list[str]:
        """Who was faster than is possible: there the bench is wrong."""
        return [who for who, samples in self.samples.items() if any(one.wall < self.floor for one in samples)]


@dataclass(frozen=True)
class Count:
    """Something else that was counted of amibake, and how much it may be."""

    title: str
    value: float
    goal: float


Results = Mapping[str, Result]
"""By the row's name."""


@dataclass(frozen=True, kw_only=True)
class Row(ABC):
    """One line of the table: the same work, done by several.

    Attributes:
        name: What it is called on the command line.
        title: What is done.
        contenders: Who does it, amibake first.
        rounds: How often each does, in turn.
        warm: Whether a first round is thrown away.
        rivals: Whether the others do the same work, so that it is a matter of who is faster.
    """

    name: str
    title: str
    contenders: tuple[str, ...]
    rounds: int = 3
    warm: bool = False
    rivals: bool = True

    @abstractmethod
    def measure(self, place: Place, contender: str) -> Sample:
        """Let one of them do it once, and look at the result.

        Raises:
            Failed: it did not do it.
        """

    @abstractmethod
    def floor(self, place: Place) -> float:
        """Seconds that nobody can do with less than; 0 where that says nothing."""

    @abstractmethod
    def goal(self, results: Results) -> float | None:
        """Seconds that amibake may take; None where that is not known without other results."""

    def counts(self, results: Results) -> list[Count]:
        """What else there is to tell."""
        del results
        return []
