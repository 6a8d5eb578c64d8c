"""Layers in the place of spiking neurons, over bins or pixels: made, and played to the test recordings.

In a module of its own: a training of spiking neurons does not import the attention of language models.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....learning.training.attention_net import AttentionNet
from ....learning.training.binning import Binning
from ....learning.training.grid_net import GRID_KINDS, GridNet
from ....learning.training.saved import save_grid
from ....learning.training.specs import AttentionSpec
from ..score import accuracy_of
from ..summary import labels_of
from .attention import run_in_spikes
from .grid import run_grid
from .played import NET, TrainRun
from .result import TrainResult

if TYPE_CHECKING:
    from ....learning.training.saved import TrainableNet


def build_layers(spec: AttentionSpec, binning: Binning, classes: int, seed: int) -> AttentionNet | GridNet:
    """Return layers before they are trained."""
    if spec.kind in GRID_KINDS:
        return GridNet(shape=binning.shape, classes=classes, spec=spec, dt=binning.dt, seed=seed)
    return AttentionNet(shape=binning.shape, classes=classes, spec=spec, dt=binning.dt, seed=seed)


def play_layers(run: TrainRun, net: TrainableNet, binning: Binning) -> TrainResult:
    """Play trained layers; return the part of the results of a run that this gives."""
    if isinstance(net, GridNet):
        return _over_pixels(run, net, binning)
    assert isinstance(net, AttentionNet)  # as made above
    return _in_spikes(run, net, binning)


def _in_spikes(run: TrainRun, net: AttentionNet, binning: Binning) -> TrainResult:
    """Run attention layers in spikes, bin by bin."""
    config = run.config
    test = run.inputs.test
    threads = run.options.threads or torch.get_num_threads()
    began = time.perf_counter()
    with run.time("spikes"):
        spiking = run_in_spikes(net, binning, recordings=test, folder=run.path, threads=threads)
    seconds = float((binning.lengths(test.durations) * binning.dt).sum())
    return TrainResult(
        units=(net.spec.width,) * net.spec.layers,
        model=str(net.spec.kind),
        engine_accuracy=accuracy_of(spiking.scores, labels_of(test)),
        spikes=spiking.spikes,
        spikes_a_channel=spiking.spikes_a_channel,
        spike_digest=spiking.digest(),
        real_time_factor=(time.perf_counter() - began) / seconds,
        simulated_seconds=seconds,
        measures=measure(spiking.layers, len(test), seconds, spiking.events),
        energy=energy(spiking.layers, len(test), config.energy.profile),
        shape=binning.shape,
    )


def _over_pixels(run: TrainRun, net: GridNet, binning: Binning) -> TrainResult:
    """Run layers over pixels, each recording as one image."""
    config = run.config
    test = run.inputs.test
    save_grid(run.path / NET, net, binning, run.inputs.train.classes)
    began = time.perf_counter()
    with run.time("pixels"):
        played = run_grid(net, binning, test)
    seconds = float((binning.lengths(test.durations) * binning.dt).sum())
    return TrainResult(
        units=(net.spec.width,) * net.spec.layers,
        model=str(net.spec.kind),
        real_time_factor=(time.perf_counter() - began) / seconds,
        simulated_seconds=seconds,
        measures=measure(played.layers, len(test), seconds, played.events),
        energy=energy(played.layers, len(test), config.energy.profile),
        shape=binning.shape,
    )
