"""The results of a pipeline's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....base.measure.estimates import EnergyRange
from ..summary import RecordingsResult


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The cost of one stage over the test recordings; a mean a recording but for the name, model and units.

    Attributes:
        name, model: of the population.
        units: its size.
        operations: synaptic operations.
        spikes: of its units.
        parameter_bytes, state_bytes: bytes that it stores.
        energy: estimate with memory; None where it cannot be made.
    """

    name: str = ""
    model: str = ""
    units: int = 0
    operations: float | None = None
    spikes: float | None = None
    parameter_bytes: int = 0
    state_bytes: int = 0
    energy: EnergyRange | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineResult(RecordingsResult):
    """The results of a pipeline's run.

    Attributes:
        pipeline: its name.
        source: the population that plays the recordings.
        readout: the population that answers.
        unanswered: test recordings without an answer, which count as wrong.
        stages: the populations that did work, each after those that lead to it.
        windows: s, the window of each windowed population.
        tasks: the classes of each task; none without tasks.
        matrix: [tasks + 1, tasks] accuracies: row i after i tasks, column j on task j.
        measures_of_tasks: of `continual.matrix.MEASURES`, from the matrix; None where one has no value.
    """

    kind: str = "pipeline"
    pipeline: str = ""
    source: str = ""
    readout: str = ""
    unanswered: int | None = None
    stages: tuple[StageResult, ...] = ()
    windows: Mapping[str, float] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()
    measures_of_tasks: Mapping[str, float | None] = field(default_factory=dict)
