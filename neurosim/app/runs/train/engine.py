"""Run a trained network event by event, and compare its spikes with the spikes that training computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....base.measure.work import LayerCounts
from ....data.recordings import Recordings
from ....engine.batch import simulate
from ....learning.training.binning import Binning
from ....learning.training.elm_net import OUTPUT, ELMNet
from ....learning.training.export import EventNet
from ....learning.training.net import SpikingNet
from ..frame.options import RunOptions
from ..frame.progress import simulation_bar

BATCH = 64  # recordings at a time


@dataclass(frozen=True)
class EngineRun:
    """A network's run on recordings in the engine.

    Attributes:
        model, units: the kind of neuron, and the units of each layer.
        scores: [n, classes].
        spikes: of each spiking layer.
        work: by layer.
        seconds: wall-clock.
        duration: simulated, s.
        identical: whether every layer has the spikes that training computes, one for one.
    """

    model: str
    units: tuple[int, ...]
    scores: NDArray[np.float32]
    spikes: Sequence[Recordings]
    work: Sequence[LayerCounts]
    seconds: float
    duration: float
    identical: bool


def run_events(
    net: SpikingNet, binning: Binning, test: Recordings, inputs: Recordings, max_count: int, options: RunOptions
) -> EngineRun:
    """Run a network whose weights were rounded.

    Args:
        test, inputs: the recordings, and `binning.recordings` of them.
        max_count: as `EventNet.of`.
    """
    event = EventNet.of(net, max_count)
    with simulation_bar("running event by event", options.quiet) as progress:
        result = event.run(inputs, threads=options.threads, count_updates=True, progress=progress)
    spikes = [event.spikes(result, k) for k in range(len(net.blocks))]
    # Sums that are rounded depend on their order, and spikes with them: then nothing is claimed.
    if event.exact:
        same = _same_spikes(net, binning, test, spikes)
    else:
        same = False
    return EngineRun(
        model=net.spec.neuron,
        units=tuple(block.connection.units for block in net.layers[:-1]),
        scores=event.scores(result),
        spikes=spikes,
        work=result.work,
        seconds=result.run_s,
        duration=result.duration,
        identical=same,
    )


@torch.no_grad()
def run_elm(net: ELMNet, binning: Binning, test: Recordings, inputs: Recordings, options: RunOptions) -> EngineRun:
    """Run an ELM, whose unit of the largest output spikes at the end of each bin.

    Args:
        test, inputs: the recordings, and `binning.recordings` of them.
    """
    net.eval()
    with simulation_bar("running event by event", options.quiet) as progress:
        network = net.to_network()
        threads = options.threads
        result = simulate(network, inputs, clock=net.dt, threads=threads, count_updates=True, progress=progress)
    readings = result.readings[OUTPUT]
    spikes = result.recordings(OUTPUT)
    same = True
    for first in range(0, len(test), BATCH):
        chosen = np.arange(first, min(first + BATCH, len(test)))
        batch = binning.batch(test, chosen)
        winners = net.trace(torch.from_numpy(batch.x)).readout.argmax(dim=2).numpy()
        # A batch is padded to its longest recording, which the engine does not run.
        same &= all(
            np.array_equal(winners[: batch.lengths[k], k], np.asarray(readings[i]).argmax(axis=1))
            for k, i in enumerate(chosen)
        )
    return EngineRun(
        model="ELM",
        units=(len(net.elm.raw_tau),),
        scores=np.array([rows[-1] for rows in readings], np.float32),
        spikes=[spikes],
        work=result.work,
        seconds=result.run_s,
        duration=result.duration,
        identical=same,
    )


@torch.no_grad()
def _same_spikes(
    net: SpikingNet, binning: Binning, recordings: Recordings, spikes_by_layer: Sequence[Recordings]
) -> bool:
    """Return whether the engine found the spikes of every layer that the network computes, one for one."""
    for first in range(0, len(recordings), BATCH):
        chosen = np.arange(first, min(first + BATCH, len(recordings)))
        batch = binning.batch(recordings, chosen)
        trace = net.trace(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths))
        layers = zip(spikes_by_layer, trace.spikes, strict=True)
        if not all(_have_spikes(spikes, chosen, layer, batch.lengths) for spikes, layer in layers):
            return False
    return True


def _have_spikes(
    recordings: Recordings, chosen: NDArray[np.int64], layer: torch.Tensor, lengths: NDArray[np.int64]
) -> bool:
    """Return whether the spikes of chosen recordings are those of a layer [steps, chosen, units], up to their lengths.

    Args:
        lengths: [chosen] steps of each recording.
    """
    grids = (layer[:length, k].numpy() for k, length in enumerate(lengths))
    return all(_has_spikes(recordings, int(number), grid) for number, grid in zip(chosen, grids, strict=True))


def _has_spikes(recordings: Recordings, number: int, grid: NDArray[Any]) -> bool:
    """Return whether the spikes of a recording are those of a grid [steps, units]."""
    steps, units = np.nonzero(grid)
    own = slice(recordings.offsets[number], recordings.offsets[number + 1])
    if len(steps) != own.stop - own.start:
        return False
    # The engine's spikes of a step may be in another order of units.
    order = np.lexsort((recordings.units[own], recordings.ticks[own]))
    same = (recordings.ticks[own][order] == steps) & (recordings.units[own][order] == units)
    return bool(same.all())
