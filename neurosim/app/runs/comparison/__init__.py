"""Runs that put others of one kind side by side: their figures, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..frame.compared import RunsKind
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from .result import ComparisonResult

if TYPE_CHECKING:
    from .run import RunRead


class ComparisonKind(RunsKind[Sequence["RunRead"], ComparisonResult]):
    name = "comparison"
    title = "a comparison of runs"
    result = ComparisonResult
    heading = ("of",)

    def run_name(self, config: Sequence[Path]) -> str:
        return "compared"

    def load(self, config: Sequence[Path], options: RunOptions) -> Inputs[Sequence[RunRead]]:
        from .run import load

        return load(config)

    def export(self, run: Run[Sequence[Path], Sequence[RunRead]], result: ComparisonResult) -> None:
        from .run import write_csv

        write_csv(run.path, result)


KIND = ComparisonKind()
