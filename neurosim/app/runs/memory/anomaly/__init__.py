"""Runs of an anomaly detector on a table of values over time: what was unusual, and how well the next was predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .....base.errors import NeurosimInputError
from ...frame.folder import RunFolder
from ...frame.kind import Inputs, Kind, Run
from ...frame.options import RunOptions
from .config import STDIN, AnomalyConfig
from .result import AnomalyResult

if TYPE_CHECKING:
    from .run import AnomalyInputs


@dataclass(frozen=True)
class AnomalyKind(Kind[AnomalyConfig, "AnomalyInputs", AnomalyResult]):
    """Runs of an anomaly detector.

    Attributes:
        on_record: is called with the line of each record of standard input; None: the lines go to scores.csv alone.
    """

    name = "anomaly"
    title = "a run of an anomaly detector"
    result = AnomalyResult
    heading = ("table", "watched", "records", "seed", "digest")
    # Nothing is `unfinished`: the detector that a resumed run reads is a result.
    resumed_by = "memory anomaly"

    on_record: Callable[[str], None] | None = None

    def run_name(self, config: AnomalyConfig) -> str:
        name = config.table.file
        return "anomaly-stdin" if name == STDIN else f"anomaly-{Path(name).stem}"

    def again(self, folder: RunFolder) -> AnomalyKind:
        if self.stored(folder).table.file == STDIN:
            raise NeurosimInputError(
                f"{folder.path}: read standard input, which no file holds; give the records as a file to a new run"
            )
        return self

    def work(self, run: Run[AnomalyConfig, AnomalyInputs]) -> AnomalyResult:
        from .run import work

        return work(run, self.on_record)

    def load(self, config: AnomalyConfig, options: RunOptions) -> Inputs[AnomalyInputs]:
        from .run import load

        return load(config)


KIND = AnomalyKind()
