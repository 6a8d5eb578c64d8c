"""A liquid beside trained networks: it reads the same recordings, and its scores join theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.measure.work import LayerCounts
from ....base.rules import Positive, check_rules
from ....data.files.state import Saved
from ....data.recordings import Recordings
from ....learning.liquid.readout import TrainedReadout
from ..data import even
from ..liquid.run import LiquidRun, play, train_readout
from ..summary import labels_of

# Training recordings, evenly over classes, on which the spread of scores is measured.
SCALE_RECORDINGS = 100
# File of a run with the gains of the liquid and the factor of its scores.
LIQUID_FILE = "liquid.safetensors"


@dataclass(frozen=True, eq=False)
class LiquidMember(Saved):
    """Results of a liquid that answers beside networks.

    Attributes:
        gains: [neurons] float64, of its input; see `Liquid.adapt`.
        factor: of its readout's scores before they are added to the scores of the networks.

    Raises:
        NeurosimInputError: on construction, values that no training finds.
    """

    gains: NDArray[np.float64]
    factor: Positive

    def __post_init__(self) -> None:
        good = self.gains.ndim == 1 and bool((np.isfinite(self.gains) & (self.gains > 0)).all())
        require(good, "LiquidMember.gains", "must be [neurons], each finite and > 0", self.gains.shape)
        check_rules(self)


@dataclass(frozen=True)
class LiquidAnswers:
    """A liquid's answers to the test recordings.

    Attributes:
        scores: [n, classes], scaled to the spread of the networks' scores.
        spikes: of its neurons.
        work: of the liquid and its readout.
        seconds: wall-clock.
    """

    scores: NDArray[np.float64]
    spikes: Recordings
    work: Sequence[LayerCounts]
    seconds: float


def run_liquid(run: LiquidRun, spread: float) -> LiquidAnswers:
    """Train the readout on all training recordings, and answer the test recordings.

    Args:
        run: of the liquid; its stages are written into its folder.
        spread: of the networks' scores on `scaling`; see `spread_of`.
    """
    splits = run.inputs
    liquid, readout = train_readout(run)
    result = play(run, liquid, splits.test, "test", splits.name, count_updates=True)
    some = scaling(splits.train)
    calibrated = liquid.read(play(run, liquid, some, "scale", "train").recordings("liquid"), some)
    spikes = result.recordings("liquid")
    inputs = liquid.read(spikes, splits.test)
    # On training recordings, for the test recordings must not set any parameter. 1e-12: all scores may be equal.
    factor = spread / max(spread_of(readout.scores(calibrated)), 1e-12)
    LiquidMember(np.asarray(liquid.gains), factor).save(run.path / LIQUID_FILE)
    work = [*result.work, *work_of(readout, inputs)]
    return LiquidAnswers(readout.scores(inputs) * factor, spikes, work, result.run_s)


def work_of(readout: TrainedReadout, spikes: Recordings) -> list[LayerCounts]:
    """Return the work of a liquid's readout, by layer."""
    return [replace(layer, name=f"{layer.name} of the liquid") for layer in readout.work(spikes)]


def scaling(train: Recordings) -> Recordings:
    """Return the training recordings on which the spread of scores is measured."""
    return train.select(even(labels_of(train), SCALE_RECORDINGS))


def spread_of(scores: NDArray[np.floating]) -> float:
    """Return how far the scores [n, classes] of the classes of a recording lie apart: their mean deviation."""
    return float(scores.std(axis=1).mean())
