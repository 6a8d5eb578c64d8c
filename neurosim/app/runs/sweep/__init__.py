"""Sweeps: a run of any kind for every point of a grid of settings, with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....base.schema import Schema
from ..frame.folder import RunFolder
from ..frame.kind import HasEnergy, Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.settings import ConfigSource
from .config import SweepConfig, stored_sweep
from .result import SweepResult

if TYPE_CHECKING:
    from .run import Cells


@dataclass(frozen=True)
class SweepKind(Kind[SweepConfig, "Cells", SweepResult]):
    """Sweeps.

    Attributes:
        sweep: settings of a new sweep; None for one that is read from its folder.
        workers: processes that run the cells; 1 is this one.
        cluster: address of a dask scheduler, or the file it wrote with its address; it then runs all cells.
    """

    name = "sweep"
    title = "a sweep"
    result = SweepResult
    heading = ("of", "runs")
    resumed_by = "sweep"

    sweep: SweepConfig | None = None
    workers: int = 1
    cluster: str | None = None

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> SweepConfig:
        if self.sweep is None:
            raise ValueError("a sweep is configured by its command")
        return self.sweep

    def settings(self, config: SweepConfig) -> Mapping[str, object]:
        return config.tree()

    def stored(self, folder: RunFolder) -> SweepConfig:
        return stored_sweep(folder)

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return None

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {}

    def run_name(self, config: SweepConfig) -> str:
        return f"sweep-{config.kind}"

    def load(self, config: SweepConfig, options: RunOptions) -> Inputs[Cells]:
        from .run import load

        return load(config)

    def work(self, run: Run[SweepConfig, Cells]) -> SweepResult:
        from ..frame.executor import Executor
        from .run import run_cells

        # One thread for each of several workers, so that they do not contend; a run alone has those that its kind
        # takes by itself, for the times that it measures.
        alone = self.workers == 1 and self.cluster is None
        threads = run.options.threads or (None if alone else 1)
        return run_cells(run, Executor(self.workers, threads, run.options.device, self.cluster))

    def export(self, run: Run[SweepConfig, Cells], result: SweepResult) -> None:
        from .run import write_csv

        write_csv(run.path, result)


KIND = SweepKind()
