"""What a row of the table is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from benchmarks.place import Place

OURS = "amibake"


@dataclass(frozen=True)
class Sample:
    """One run of one contender: seconds of wall-clock and of CPU time, and what else was counted."""

    wall: float
    cpu: float
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row(ABC):
    """One line of the table: the same work, done by several.

    Attributes:
        name: What it is called on the command line.
        title: What is done.
        goal: Seconds that amibake may take.
        contenders: Who does it, amibake first.
        rounds: How often each does, in turn.
        warm: Whether a first round is thrown away.
    """

    name: str
    title: str
    goal: float
    contenders: tuple[str, ...]
    rounds: int = 3
    warm: bool = False

    @abstractmethod
    def measure(self, place: Place, contender: str) -> Sample:
        """Let one of them do it once, and look at the result.

        Raises:
            Failed: it did not do it.
        """

    @abstractmethod
    def floor(self, place: Place) -> float:
        """Seconds that nobody can do with less than; 0 where that says nothing."""
