"""A small network in training, on bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.bars import bars

from neurosim.learning import Augment, Binning, NetworkSpec, SpikingNet, Trainer, TrainingSpec
from neurosim.learning.training.records import EpochProgress

BINNING = Binning((2, 8, 8), dt=0.008, duration=0.08)
SCHEDULE = TrainingSpec(epochs=6, batch=16, learning_rate=0.01, sparsity=0.01)
DESIGN = NetworkSpec(hidden=(24, 16), recurrent=True, dropout=0.2)
AUGMENT = Augment(shift=1.0, blend=0.2, lag=0.004, noise=3, cutmix=0.2)


def trainer(checkpoint: Path | None = None, design: NetworkSpec = DESIGN, epochs: int = 6, **how: object) -> Trainer:
    net = SpikingNet(BINNING.shape, 4, design, BINNING.dt, seed=3)
    schedule = replace(SCHEDULE, epochs=epochs, **how)  # type: ignore[arg-type]
    return Trainer(net, BINNING, bars(24), bars(6, 1000), schedule, AUGMENT, 7, checkpoint=checkpoint)


def assert_resumes(make: Callable[[Path | None], Trainer], path: Path, epoch: int) -> Trainer:
    """Check that a training killed in an epoch ends as one that ran through; return the one that ran through.

    Args:
        make: returns a trainer with this checkpoint, or without one.
        path: of the checkpoint.
    """
    import torch

    whole = make(None)
    whole.run()

    def kill(progress: EpochProgress) -> None:
        if progress.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(path).run(kill)
    resumed = make(path)
    assert resumed.state.epoch == epoch - 1
    resumed.run()
    state = resumed.net.state_dict()
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, state[name]), name
    return whole
