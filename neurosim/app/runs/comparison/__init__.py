"""Runs that put others of one kind side by side: their figures, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....base.schema import Schema
from ..frame.compared import runs_settings, stored_runs
from ..frame.folder import RunFolder
from ..frame.kind import HasEnergy, Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.settings import ConfigSource
from .result import ComparisonResult

if TYPE_CHECKING:
    from .run import RunRead


@dataclass(frozen=True)
class ComparisonKind(Kind[Sequence[Path], Sequence["RunRead"], ComparisonResult]):
    """Comparisons of runs; the settings are the folders of these.

    Attributes:
        runs: folders of runs of one kind.
    """

    name = "comparison"
    title = "a comparison of runs"
    result = ComparisonResult
    heading = ("of",)

    runs: Sequence[Path] = ()

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> Sequence[Path]:
        return [path.resolve() for path in self.runs]

    def settings(self, config: Sequence[Path]) -> Mapping[str, object]:
        return runs_settings(config)

    def stored(self, folder: RunFolder) -> Sequence[Path]:
        return stored_runs(folder)

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return None

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {}

    def run_name(self, config: Sequence[Path]) -> str:
        return "compared"

    def load(self, config: Sequence[Path], options: RunOptions) -> Inputs[Sequence[RunRead]]:
        from .run import load

        return load(config)

    def export(self, run: Run[Sequence[Path], Sequence[RunRead]], result: ComparisonResult) -> None:
        from .run import write_csv

        write_csv(run.path, result)


KIND = ComparisonKind()
