"""A small network in training, on bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from helpers.bars import bars

from neurosim.learning import Augment, Binning, NetworkSpec, SpikingNet, Trainer, TrainingSpec

BINNING = Binning((2, 8, 8), dt=0.008, duration=0.08)
SCHEDULE = TrainingSpec(epochs=6, batch=16, learning_rate=0.01, sparsity=0.01)
DESIGN = NetworkSpec(hidden=(24, 16), recurrent=True, dropout=0.2)
AUGMENT = Augment(shift=1.0, blend=0.2, lag=0.004, noise=3, cutmix=0.2)


def trainer(checkpoint: Path | None = None, design: NetworkSpec = DESIGN, epochs: int = 6, **how: object) -> Trainer:
    net = SpikingNet(BINNING.shape, 4, design, BINNING.dt, seed=3)
    schedule = replace(SCHEDULE, epochs=epochs, **how)  # type: ignore[arg-type]
    return Trainer(net, BINNING, bars(24), bars(6, 1000), schedule, AUGMENT, 7, checkpoint=checkpoint)
