"""Detector of anomalies in a time series: encoders, spatial pooler, temporal memory, likelihood and prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.plain import from_plain, to_plain
from ...base.rules import Count, Fraction, Natural, Seed, check_rules
from ...data.files.state import SavedState
from ...network.windowed import array_of
from ..dendrites.pooler import SpatialPooler
from ..dendrites.temporal import TemporalMemory
from ..sdr.code import SDR
from ..sdr.encoders import (
    CategoryEncoder,
    CoordinateEncoder,
    DateEncoder,
    Encoder,
    RandomDistributedScalarEncoder,
    ScalarEncoder,
)
from .classifier import SDRClassifier
from .likelihood import AnomalyLikelihood, JumpSurprise

ENCODERS: Mapping[str, type[Encoder]] = {
    each.__name__: each
    for each in (CategoryEncoder, CoordinateEncoder, DateEncoder, RandomDistributedScalarEncoder, ScalarEncoder)
}
# Buckets in the range of a number, with a fifth of the range added at each end; bits of its SDR: NuPIC's.
BUCKETS = 130
PADDING = 0.2
NUMBER_BITS = 400
NUMBER_ACTIVE = 21
MIN_RESOLUTION = 0.001
# Score of a chance of 1e-3: the largest of an event that goes on.
MAX_REPEATED = 0.3
# Columns that win a step.
WINNERS = 40


class AnomalyRecord(NamedTuple):
    """Answer of a detector to a record.

    Attributes:
        anomaly: fraction of active columns that the memory did not predict.
        score: log-scaled improbability of the recent anomalies, 0 to 1; 1 where a value leaves the range so far.
        alarm: whether the score reached the threshold after the probation.
        expected: the value that was predicted for this record; NaN where nothing was.
    """

    anomaly: float
    score: float
    alarm: bool
    expected: float


@dataclass(eq=False)
class AnomalyDetector(SavedState):
    """Learns a series record by record, and says how unusual each record is.

    Each named value of a record is encoded as an SDR; the SDRs lie end to end, a spatial pooler turns them into 40
    active columns, and a temporal memory that predicted them or did not gives the anomaly. Beside it stands how large
    the last change of `watched` is among earlier ones (`JumpSurprise`): codes of neighbouring values overlap, so that
    the memory hardly sees how far a value jumps. An `AnomalyLikelihood` of each turns it into a score, of which the
    larger counts. A value that lies more than `margin` of the range so far outside
    of that range scores 1. A score that is not above all of the last `pause` ones counts as at most .3, so that an
    event is one alarm.

    The settings of pooler and memory are those of Numenta's detector in the Numenta Anomaly Benchmark (NuPIC's file
    best_single_metric_anomaly_params_cpp.json). Source: Ahmad et al. 2017, Neurocomputing 262, whose short mean is of
    10 records and has no surprise of changes; 20 and the pause were chosen on 31 of the 58 series of that benchmark.

    Attributes:
        encoders: encoder of each value by name; see `number_encoder`.
        watched: name of the number whose range and next value count; "" for none.
        range: lowest and highest value of `watched` that are expected; predictions lie in them, a fifth wider.
        probation: records at the beginning without alarms; after half of them the likelihood begins to count.
        threshold: score that is an alarm; .5 is a chance of 1e-5.
        margin: fraction of the range so far.
        window: records of the short mean of the likelihood.
        pause: records.
        predict: whether the next value of `watched` is predicted.
        columns, cells_per_column: sizes of the memory.
        seed: key of every random draw.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    encoders: Mapping[str, Encoder]
    watched: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    probation: Natural = 750
    threshold: Fraction = 0.5
    margin: Fraction = 0.05
    window: Count = 20
    pause: Natural = 30
    predict: bool = True
    columns: Count = 2048
    cells_per_column: Count = 32
    seed: Seed = 0
    _previous: SDR | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        name = "AnomalyDetector."
        require(len(self.encoders) > 0, name + "encoders", "must hold at least one encoder", dict(self.encoders))
        for key, encoder in self.encoders.items():
            require(type(encoder).__name__ in ENCODERS, name + f"encoders['{key}']", "must be an Encoder", encoder)
        known = self.watched in ("", *self.encoders)
        require(known, name + "watched", f"must be one of {', '.join(self.encoders)}, or empty", self.watched)
        require(self.range[0] < self.range[1], name + "range", "must rise", self.range)
        check_rules(self)
        require(self.columns >= WINNERS, name + "columns", f"must be >= {WINNERS}", self.columns)
        self.pooler = self._make_pooler()
        self.memory = self._make_memory()
        learning = self.probation // 2
        self.likelihood = AnomalyLikelihood(learning, max(self.probation - learning, 1), self.window)
        self.jumps = JumpSurprise(self.likelihood.history)
        self.jump_likelihood = AnomalyLikelihood(learning, self.likelihood.estimation, self.window)
        low, high = self.range
        padding = PADDING * (high - low)
        self.classifier: SDRClassifier | None = None
        if self.predict and self.watched:
            self.classifier = SDRClassifier(self.memory.outputs, low - padding, high + padding, BUCKETS)
        self._expected = math.nan
        # The last scores, before the pause, as a ring.
        self._recent = np.zeros(self.pause)
        # Smallest and largest value so far.
        self._bounds = (math.inf, -math.inf)

    def _make_pooler(self) -> SpatialPooler:
        """Return the spatial pooler that reads all encoders, with the permanences of the benchmark's own detector."""
        return SpatialPooler(
            sum(encoder.size for encoder in self.encoders.values()),
            self.columns,
            density=WINNERS / self.columns,
            potential=0.8,
            connected_permanence=0.2,
            permanence_increment=0.003,
            permanence_decrement=0.0005,
            permanence_bump=0.02,
            seed=self.seed,
        )

    def _make_memory(self) -> TemporalMemory:
        """Return the temporal memory of the columns, with the thresholds of the benchmark's own detector."""
        return TemporalMemory(
            self.columns,
            self.cells_per_column,
            activation_threshold=13,
            min_threshold=10,
            initial_permanence=0.21,
            permanence_increment=0.1,
            permanence_decrement=0.1,
            max_new_synapses=20,
            max_segments=128,
            max_synapses=32,
            seed=self.seed,
        )

    @property
    def records(self) -> int:
        """Number of records."""
        return self.likelihood.records

    @property
    def expected(self) -> float:
        """Value that is predicted for the next record; NaN where nothing is."""
        return self._expected

    def step(self, record: Mapping[str, object]) -> AnomalyRecord:
        """Learn a record, and return how unusual it is.

        Args:
            record: values by name. A number that is NaN, or a value that is None, is missing: its bits stay off.

        Raises:
            NeurosimInputError: a value without an encoder, or one that its encoder refuses; nothing is learned then.
        """
        bits = self._encode(record)
        value = self._watched_value(record)
        anomaly = self.memory.step(self.pooler.step(bits))
        expected = self._expected
        self._foresee(value)
        # Of small units, such as amperes: whether the values are flat must not depend on the unit.
        scaled = value / min(self.range[1] - self.range[0], 1.0)
        score = self.likelihood.step(anomaly, scaled)
        if self.watched:
            score = max(score, self.jump_likelihood.step(self.jumps.step(value), scaled))
        if self._leaves_range(value):
            score = 1.0
        score = self._after_pause(score)
        alarm = score >= self.threshold and self.records > self.probation
        return AnomalyRecord(anomaly, score, alarm, expected)

    def _encode(self, record: Mapping[str, object]) -> SDR:
        for name in record:
            lookup(self.encoders, name, "value of the record")
        parts = []
        start = 0
        for name, encoder in self.encoders.items():
            value = record.get(name)
            if not _missing(value):
                parts.append(encoder.encode(value).indices + np.int32(start))
            start += encoder.size
        bits = np.concatenate(parts) if parts else np.empty(0, np.int32)
        return SDR.unchecked(bits, start)

    def _watched_value(self, record: Mapping[str, object]) -> float:
        value = record.get(self.watched)
        if isinstance(value, (int, float, np.number)):
            return float(value)
        return math.nan

    def _foresee(self, value: float) -> None:
        """Teach the classifier what followed the cells before, and predict the next value from the active cells."""
        if self.classifier is None:
            return
        if self._previous is not None and math.isfinite(value):
            self.classifier.learn(self._previous, value)
        self._previous = self.memory.active_cells
        self._expected = self.classifier.predict(self._previous)

    def _after_pause(self, score: float) -> float:
        """Return the score, or at most .3 where an equal or higher one is less than a pause ago."""
        if self.pause == 0:
            return score
        highest = self._recent.max()
        self._recent[self.records % self.pause] = score
        return min(score, MAX_REPEATED) if score <= highest else score

    def _leaves_range(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        low, high = self._bounds
        self._bounds = (min(low, value), max(high, value))
        if not low < high:
            # Any other value than that of the whole probation leaves a range of one value.
            return low == high != value and self.records > self.probation
        slack = self.margin * (high - low)
        return value > high + slack or value < low - slack

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that records change: those of each part as "part/name", and the detector's own.

        Infinity stands for a number that is not there, as a file holds no NaN.
        """
        arrays = {"bounds": np.nan_to_num(self._bounds, posinf=np.inf, neginf=-np.inf)}
        arrays["recent"] = self._recent.copy()
        arrays["expected"] = np.nan_to_num(np.array([self._expected]), nan=np.inf)
        if self._previous is not None:
            arrays["previous"] = self._previous.indices
        for part, owner in self._owners().items():
            arrays |= {f"{part}/{name}": array for name, array in owner.state().items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        # A new detector takes the arrays, so that arrays that it refuses change nothing here.
        fresh = replace(self)
        fresh._take(arrays)
        vars(self).update(vars(fresh))

    def _take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for part, owner in self._owners().items():
            prefix = f"{part}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            owner.restore(own)
        low, high = array_of(arrays, "bounds", np.zeros(2)).tolist()
        self._bounds = (low, high)
        self._recent[:] = array_of(arrays, "recent", self._recent)
        expected = float(array_of(arrays, "expected", np.zeros(1))[0])
        self._expected = expected if math.isfinite(expected) else math.nan
        if "previous" in arrays:
            self._previous = SDR(arrays["previous"], self.memory.outputs)
        else:
            self._previous = None

    def settings(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in SETTINGS}
        values["range"] = list(self.range)
        values["encoders"] = [[name, type(each).__name__, to_plain(each)] for name, each in self.encoders.items()]
        return values

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> AnomalyDetector:
        values = dict(settings)
        values["encoders"] = {name: _encoder(kind, tree) for name, kind, tree in settings["encoders"]}
        values["range"] = tuple(settings["range"])
        return cls(**values)

    def _owners(self) -> dict[str, Any]:
        """Return the parts with a state of their own, by name."""
        owners: dict[str, Any] = {
            "pooler": self.pooler,
            "memory": self.memory,
            "likelihood": self.likelihood,
            "jumps": self.jumps,
            "jump_likelihood": self.jump_likelihood,
        }
        if self.classifier is not None:
            owners["classifier"] = self.classifier
        return owners


# Fields that a file holds as they are.
SETTINGS = (
    "watched",
    "probation",
    "threshold",
    "margin",
    "window",
    "pause",
    "predict",
    "columns",
    "cells_per_column",
    "seed",
)


def number_encoder(low: float, high: float, seed: int = 0) -> RandomDistributedScalarEncoder:
    """Return the encoder of a number that is expected in low..high: 130 buckets, a fifth of the range at each end.

    Raises:
        NeurosimInputError: the range does not rise.
    """
    require(low <= high, "number_encoder", "needs low <= high", (low, high))
    width = (1 + 2 * PADDING) * (high - low) or 1.0
    resolution = max(MIN_RESOLUTION * min(width, 1.0), width / BUCKETS)
    return RandomDistributedScalarEncoder(resolution, NUMBER_BITS, NUMBER_ACTIVE, seed)


def _encoder(kind: str, tree: dict[str, Any]) -> Encoder:
    """Return the encoder that a file holds as a plain tree."""
    if kind == CategoryEncoder.__name__:
        # Categories may be of any type: they come as JSON has them.
        return CategoryEncoder(tuple(tree["categories"]), int(tree["active"]))
    return from_plain(lookup(ENCODERS, kind, "encoder"), tree)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))
