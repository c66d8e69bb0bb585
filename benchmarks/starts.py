"""The row that imports: whole processes, from exec to exit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.place import Place
from benchmarks.rows import OURS, Results, Row, Sample

_BARE, _BAKE = "bare Python", "import and name amibake.bake"
_MORE = 0.06


@dataclass(frozen=True, kw_only=True)
class Start(Row):
    """Importing amibake; what a bake needs is imported when it is first named."""

    name: str = "import"
    title: str = "`import amibake`"
    contenders: tuple[str, ...] = (OURS, _BARE, _BAKE)
    rounds: int = 15
    warm: bool = True
    rivals: bool = False

    _SCRIPTS: ClassVar[dict[str, str]] = {OURS: "import_amibake", _BARE: "nothing", _BAKE: "import_bake"}

    def measure(self, place: Place, contender: str) -> Sample:
        """Start it, once."""
        took = place.run_script(self._SCRIPTS[contender])
        return Sample(took.wall, took.cpu)

    def floor(self, place: Place) -> float:
        """None that could be told beforehand."""
        del place
        return 0.0

    def goal(self, results: Results) -> float | None:
        """60 ms more than bare Python."""
        bare = results[self.name].walls().get(_BARE) if self.name in results else None
        return bare + _MORE if bare is not None else None
