"""Runs of continual learning: learners on a stream of tasks over seeds and a grid, and their comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ....base.schema import Schema
from ..frame.compared import RunsKind
from ..frame.folder import RunFolder
from ..frame.kind import HasEnergy, Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.settings import ConfigSource
from .config import configure, reconfigure, stored
from .measured import MeasuredLearners
from .result import ContinualResult
from .settings import ContinualConfig

if TYPE_CHECKING:
    from .run import Streams


@dataclass(frozen=True)
class ContinualKind(Kind[ContinualConfig, "Streams", ContinualResult]):
    """Runs of learners on a stream.

    Attributes:
        workers: processes that run the trials; 1 is this one.
        cluster: address of a dask scheduler, or the file it wrote with its address; it then runs all trials.
        learners: to run, whether the file names them or not; none: the learners of the file.
        file: with the settings, where --config gives none.
        data: settings of a dataset of which two classes are new in each task, by dotted key; none: as in the file.
    """

    name = "continual"
    title = "a continual run"
    result = ContinualResult
    heading = ("stream", "on", "seed")
    resumed_by = "continual run"

    workers: int = 1
    cluster: str | None = None
    learners: Sequence[str] = ()
    file: Path | None = None
    data: Mapping[str, object] = field(default_factory=dict)

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> ContinualConfig:
        # First, so that the user's own --set stream.kind wins.
        words = ("stream.kind=split", *sets) if self.data else sets
        return configure(self.file or file, words, {**self.data, **(values or {})}, self.learners)

    def settings(self, config: ContinualConfig) -> Mapping[str, object]:
        return config.tree()

    def stored(self, folder: RunFolder) -> ContinualConfig:
        return stored(folder)

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return reconfigure(folder, sources, changeable)

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {"continual": _schema}

    def again(self, folder: RunFolder) -> ContinualKind | LearnersKind:
        # A comparison notes the same kind, for its results have the same page.
        if "compared" in folder.manifest.facts:
            return LearnersKind()
        return self

    def comparison(self, runs: Sequence[Path]) -> LearnersKind:
        return LearnersKind(runs)

    def run_name(self, config: ContinualConfig) -> str:
        return f"continual-{config.stream['kind']}"

    def load(self, config: ContinualConfig, options: RunOptions) -> Inputs[Streams]:
        from .run import load

        return load(config, options.device)

    def remarks(self, config: ContinualConfig) -> Sequence[str]:
        from .run import remarks

        return remarks(config)

    def work(self, run: Run[ContinualConfig, Streams]) -> ContinualResult:
        from ..frame.executor import Executor
        from .run import run_learners

        # One thread each, or results could depend on the number of cores.
        executor = Executor(self.workers, run.options.threads or 1, run.options.device, self.cluster)
        return run_learners(run, executor)

    def so_far(self, folder: RunFolder) -> ContinualResult | None:
        from .run import finished_trials

        # A comparison has no trials.
        if "compared" in folder.manifest.facts:
            return None
        return finished_trials(folder.path, self.stored(folder))

    def measured(
        self, heading: Mapping[str, object], run: str, result: ContinualResult, profile: str
    ) -> MeasuredLearners:
        return MeasuredLearners.of(heading, run, result, profile)


class LearnersKind(RunsKind[Sequence[ContinualResult], ContinualResult]):
    """Runs that put the learners of others side by side."""

    name = "continual"
    title = "a comparison of continual runs"
    result = ContinualResult
    heading = ("stream", "on", "seed")

    def run_name(self, config: Sequence[Path]) -> str:
        return "continual-compared"

    def load(self, config: Sequence[Path], options: RunOptions) -> Inputs[Sequence[ContinualResult]]:
        from .compare import load

        return load(config)

    def work(self, run: Run[Sequence[Path], Sequence[ContinualResult]]) -> ContinualResult:
        from .compare import compare_runs

        return compare_runs(run)

    def export(self, run: Run[Sequence[Path], Sequence[ContinualResult]], result: ContinualResult) -> None:
        from .exports import write_tables
        from .page import write_pictures

        write_pictures(run.path, result)
        write_tables(run.path, result)


def _schema() -> Schema:
    from .schema import config_schema  # learners need torch

    return config_schema()


KIND = ContinualKind()
