"""The results of a sequence memory's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .....base.measure.estimates import EnergyEstimates
from .....base.measure.measures import Measures
from ...frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """One pass through the recordings that are learned.

    Attributes:
        anomaly: mean over windows but the first of each recording, 0..1.
        predicted: mean fraction of all columns that were predicted: what chance would get right.
    """

    anomaly: float
    predicted: float


@dataclass(frozen=True, kw_only=True)
class GroupAnomaly:
    """Anomaly of a group of recordings, the memory being frozen.

    Attributes:
        recordings, windows: their numbers; first windows, which nothing can predict, are left out.
        anomaly: mean over the windows, and `interval`, its 95 % confidence interval over recordings.
        predicted: mean fraction of all columns that were predicted.
        separation: probability that one of the group has a larger anomaly than a learned recording (area under the
            ROC curve); None for the learned ones.
    """

    recordings: int
    windows: int
    anomaly: float
    interval: tuple[float, float]
    predicted: float
    separation: float | None


@dataclass(frozen=True, kw_only=True)
class SequenceResult(RunResult):
    """The results of a sequence memory's run.

    Attributes:
        dataset, title, split: name and title of the dataset; the split of the new recordings.
        samples: number of recordings that were learned, and `window_s`, their windows in seconds.
        columns, cells: of the memory.
        segments, synapses: that it has grown.
        accuracy: of prediction: the fraction of active columns that were predicted, in the learned recordings.
        passes: the course of learning.
        groups: anomaly of recordings: "learned", "reversed" (the same, windows in reverse order), "new".
        curves: anomaly by number of the window, by group.
        digest: SHA-256 of the anomalies.
        measures, energy: of the learned recordings, the memory being frozen.
    """

    kind: str = "sequence"
    dataset: str = ""
    title: str = ""
    split: str = ""
    seed: int | None = None
    samples: int = 0
    window_s: float | None = None
    columns: int = 0
    cells: int = 0
    segments: int = 0
    synapses: int = 0
    accuracy: float | None = None
    passes: tuple[PassResult, ...] = ()
    groups: Mapping[str, GroupAnomaly] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    digest: str = ""
    measures: Measures | None = None
    energy: EnergyEstimates | None = None

    def notes(self) -> Mapping[str, str]:
        return {"anomaly_digest": self.digest}
