"""The config of a sequence memory's run: the recordings, the window, the pooler and the temporal memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from .....base.errors import NeurosimInputError, require
from .....base.rules import Count, Fraction, Positive, Rule, Seed
from .....data.catalog import Dataset
from .....memory.dendrites.pooler import SpatialPooler
from .....memory.dendrites.temporal import TemporalMemory
from ...frame.config import GENERAL, Data, Energy, RunConfig, Suited, check_memory, rounded, sensor_of
from ..config import joined_pixels, joined_shape

# Windows that cut a recording into ten to twenty parts; chosen on training recordings.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "digits": {"stream": {"window": 0.025}},
    "nmnist": {"stream": {"window": 0.025}},
    "shd": {"stream": {"window": 0.05}},
}
# Windows in the median recording of other datasets.
PARTS = 12
# Of an input and a column: its permanence in two bytes and whether it is connected in one; what was learned, the state
# of a run and the copy that it returns are held at once.
PAIR_BYTES = 9
# Active columns whose cells a segment of 255 synapses holds for two windows.
MAX_ACTIVE = 127


@dataclass(frozen=True)
class WindowStream:
    """How recordings become a stream of windows.

    Attributes:
        recordings: number of training recordings that are learned, spread evenly over classes.
        passes: times that each is played.
        window: s; the channels with an event in a window are one input.
        downsample: rows, and columns, of a camera that are joined; all their events remain.
    """

    recordings: Count = 30
    passes: Count = 12
    window: Positive = 0.025
    downsample: Count = 1


@dataclass(frozen=True)
class Pooler:
    """The spatial pooler; see `memory.SpatialPooler`.

    Attributes:
        columns, density, boost: as there.
        passes: after these it is frozen, so that the temporal memory sees codes that stay.
    """

    columns: Count = 1024
    density: Annotated[float, Rule("> 0 and <= 1")] = 0.02
    boost: Annotated[float, Rule(">= 0")] = 2.0
    passes: Count = 2


@dataclass(frozen=True)
class Memory:
    """The temporal memory; see `dendrites.TemporalMemory`.

    Attributes:
        cells_per_column, permanence_increment, permanence_decrement: as there.
        threshold: fraction of a code's columns with which a segment predicts; three quarters of it match.
    """

    cells_per_column: Count = 8
    threshold: Annotated[float, Rule("> 0 and <= 1")] = 0.6
    permanence_increment: Positive = 0.1
    permanence_decrement: Fraction = 0.02


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(RunConfig):
    """Everything that decides the results of a sequence memory's run.

    Attributes:
        seed: key of every random draw.
        data: the recordings: some of the first split are learned, and the recordings of `split` are new.
        stream, pooler, memory: see there.
        energy: settings of the estimates.
    """

    chosen: ClassVar[Mapping[str, Mapping[str, object]]] = DEFAULTS

    seed: Seed = 0
    data: Data
    stream: WindowStream = WindowStream()
    pooler: Pooler = Pooler()
    memory: Memory = Memory()
    energy: Energy = Energy()

    @classmethod
    def by_rule(cls, dataset: Dataset) -> Suited:
        if not dataset.median_duration:
            return GENERAL
        window = rounded(dataset.median_duration / PARTS)
        reason = f"windows of {window:g} s, {PARTS} in {dataset.median_duration:.3g} s, the median recording"
        stream: dict[str, object] = {"window": window}
        if sensor_of(dataset) == "camera":
            stream["downsample"] = joined_pixels(dataset)
            height, width = dataset.shape[-2:]
            reason += f", by a camera of {width} x {height} pixels"
            if stream["downsample"] != 1:
                reason += f"; {stream['downsample']} x {stream['downsample']} pixels in one"
        return Suited({"stream": stream}, reason)

    def check(self) -> None:
        shape = self.data.describe().shape
        inputs = math.prod(joined_shape(shape, self.stream.downsample, "stream.downsample"))
        check_memory(
            inputs * self.pooler.columns * PAIR_BYTES,
            f"pooler.columns: {self.pooler.columns:,} columns of {inputs:,} inputs need about {{need}}",
            "use fewer columns, or join pixels (stream.downsample)",
        )
        pooler(self, 1)
        active = _active_columns(self)
        rule = f"must let at most {MAX_ACTIVE} of {self.pooler.columns:,} columns win, which a segment holds twice"
        require(active <= MAX_ACTIVE, "pooler.density", rule, f"{self.pooler.density:g}: {active:,} columns")
        memory(self)
        limit = self.pooler.passes
        passes = self.stream.passes
        if limit > passes:
            raise NeurosimInputError(f"pooler.passes: must be <= stream.passes {passes} (got {limit})")


# The kind of run finds its settings by this name.
CONFIG = SequenceConfig


def pooler(config: SequenceConfig, inputs: int) -> SpatialPooler:
    """Return the pooler of a config for a sensor of `inputs` channels."""
    own = config.pooler
    return SpatialPooler(inputs, own.columns, density=own.density, boost=own.boost, seed=config.seed)


def memory(config: SequenceConfig) -> TemporalMemory:
    """Return the temporal memory of a config."""
    own = config.memory
    active = _active_columns(config)
    threshold = max(1, math.ceil(own.threshold * active))
    return TemporalMemory(
        config.pooler.columns,
        own.cells_per_column,
        activation_threshold=threshold,
        min_threshold=max(1, math.ceil(0.75 * threshold)),
        permanence_increment=own.permanence_increment,
        permanence_decrement=own.permanence_decrement,
        max_new_synapses=max(20, active),
        max_synapses=max(32, 2 * active),
        seed=config.seed,
    )


def _active_columns(config: SequenceConfig) -> int:
    """Return the number of columns that win in a window."""
    return max(1, math.floor(config.pooler.density * config.pooler.columns))
