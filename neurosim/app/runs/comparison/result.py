"""The results of a comparison of runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run of a comparison.

    Attributes:
        path: of its folder.
        label: its column: the name of the folder, or the whole path where two folders have the same name.
        status: how it ended.
        seed: of everything random.
        started: UTC, ISO 8601.
        seconds: wall-clock time of its parts together.
    """

    path: str
    label: str = ""
    status: str = ""
    seed: int | None = None
    started: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """A figure or a setting of every run.

    Attributes:
        name: the figure, or the dotted key of the setting.
        texts: as the pages of the runs show it, "" where a run has none.
        values: as numbers; None where it is no number, or not known.
    """

    name: str
    texts: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()

    @property
    def differs(self) -> bool:
        """Tell whether any two runs differ in it; figures that are shown alike may differ in further digits."""
        return len(set(self.texts)) > 1 or len(set(self.values)) > 1


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(RunResult):
    """The results of a comparison of runs.

    Attributes:
        of: the kind of the runs.
        compared: the runs, in the order of the columns.
        figures: of every run.
        settings: those in which the runs differ.
        origins: versions, commit, machine and data in which they differ.
    """

    kind: str = "comparison"
    of: str = ""
    compared: tuple[ComparedRun, ...] = ()
    figures: tuple[ComparedRow, ...] = ()
    settings: tuple[ComparedRow, ...] = ()
    origins: tuple[ComparedRow, ...] = ()
