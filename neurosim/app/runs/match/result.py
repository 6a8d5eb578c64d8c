"""The results of a run that matches two senses."""

from __future__ import annotations

from dataclasses import dataclass

from ..frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class ShotsResult:
    """Holds what was matched with some labelled recordings of the new classes.

    Attributes:
        shots: number of labelled recordings of each new class and sense.
        renamed: whether the names of what is heard were permuted at random: a control.
        mean: of `values`.
        values: share of right choices among the new classes, for each set of them.
    """

    shots: int
    renamed: bool = False
    mean: float | None = None
    values: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Name in tables."""
        if self.renamed:
            return "none, names of the second sense permuted"
        return str(self.shots) if self.shots else "none"


@dataclass(frozen=True, kw_only=True)
class MatchResult(RunResult):
    """The results of a run.

    Attributes:
        seen, heard: names of both sets of recordings.
        seed: key of every random draw.
        classes: names of the classes that both have.
        new: the sets of new classes, by name.
        learned: number of recordings of a class and sense that were learned.
        tested: numbers of recordings of the test, of each sense.
        known: share of right choices among the classes that were learned, mean over the sets, without labels of new
            ones.
        rows: with each number of labelled recordings.
    """

    kind: str = "match"
    seen: str = ""
    heard: str = ""
    seed: int | None = None
    classes: tuple[str, ...] = ()
    new: tuple[tuple[str, ...], ...] = ()
    learned: int = 0
    tested: tuple[int, ...] = ()
    known: float | None = None
    rows: tuple[ShotsResult, ...] = ()

    @property
    def chance(self) -> float | None:
        """Share of right choices by chance; None: nothing was matched."""
        return 1 / len(self.new[0]) if self.new else None
