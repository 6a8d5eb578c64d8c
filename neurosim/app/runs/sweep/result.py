"""The results of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class SweepCell:
    """One run of a sweep.

    Attributes:
        run: the path of its folder, below that of the sweep.
        point: its value of each key of the grid, as text.
        seed: of everything random.
        status: how it ended.
        reason: of a cell that failed.
        figures: the numbers that its page shows, by label; None where one is not known.
        texts: the same as its page shows them.
    """

    run: str
    point: tuple[str, ...] = ()
    seed: int = 0
    status: str = ""
    reason: str = ""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SweepResult(RunResult):
    """The results of a sweep.

    Attributes:
        of: the kind of the runs.
        keys: that vary.
        levels: the values of each of them.
        seeds: of every point.
        headline: labels of the figures that the pages of the cells show in large type, those that vary first.
        cells: the runs, point by point.
    """

    kind: str = "sweep"
    of: str = ""
    keys: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    seeds: tuple[int, ...] = ()
    headline: tuple[str, ...] = ()
    cells: tuple[SweepCell, ...] = ()

    @property
    def runs(self) -> int:
        """Number of the cells."""
        return len(self.cells)

    @property
    def failed(self) -> tuple[SweepCell, ...]:
        """Cells without results."""
        return tuple(cell for cell in self.cells if cell.status != "done")

    def at(self, point: tuple[str, ...]) -> tuple[SweepCell, ...]:
        """Return the cells of a point that have results."""
        return tuple(cell for cell in self.cells if cell.point == point and cell.status == "done")

    def failure(self) -> str | None:
        failed = self.failed
        if not failed:
            return None
        first = failed[0]
        return f"{len(failed)} of {self.runs} runs failed; {first.run}: {first.reason}"
