"""A liquid beside trained networks: it reads the same recordings, and its scores join theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...measure import LayerCounts
from ...spikes import Recordings
from ..data import even
from ..liquid.run import LiquidSimulation
from ..summary import labels_of

# Training recordings, evenly over classes, on which the spread of scores is measured.
SCALE_RECORDINGS = 100


@dataclass(frozen=True)
class LiquidRun:
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


def run_liquid(simulation: LiquidSimulation, spread: float) -> LiquidRun:
    """Train the readout on all training recordings, and answer the test recordings.

    Args:
        simulation: its stages are written into its folder.
        spread: of the networks' scores on `scaling`; see `spread_of`.
    """
    liquid, readout = simulation.train()
    result = simulation.play(liquid, simulation.splits.test, "test", simulation.splits.name, count_updates=True)
    heard = simulation.play(liquid, scaling(simulation.splits.train), "scale", "train")
    spikes, some = result.spikes["liquid"], heard.spikes["liquid"]
    assert isinstance(spikes, Recordings) and isinstance(some, Recordings)  # because the input was
    factor = spread / max(spread_of(readout.scores(some)), 1e-12)
    read = [replace(layer, name=f"{layer.name} of the liquid") for layer in readout.work(spikes)]
    return LiquidRun(readout.scores(spikes) * factor, spikes, [*result.work, *read], result.run_s)


def scaling(train: Recordings) -> Recordings:
    """Return the training recordings on which the spread of scores is measured."""
    return train.select(even(labels_of(train), SCALE_RECORDINGS))


def spread_of(scores: NDArray[np.floating]) -> float:
    """Return how far the scores [n, classes] of the classes of a recording lie apart: their mean deviation."""
    return float(scores.std(axis=1).mean())
