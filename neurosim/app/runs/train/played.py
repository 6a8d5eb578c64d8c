"""Trained networks played to the test recordings: event by event, in spikes or over pixels, with results and work.

Each function returns the part of the results of a run that it gives.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....engine.description.dump import write_description
from ....learning.training.attention_net import AttentionNet
from ....learning.training.binning import Binning
from ....learning.training.elm_net import ELMNet
from ....learning.training.grid_net import GridNet
from ....learning.training.net import SpikingNet
from ....learning.training.saved import save, save_grid
from ..data import Splits
from ..frame.kind import Run
from ..summary import labels_of, shown_recordings, write_shown
from .attention import run_in_spikes
from .config import TrainConfig
from .engine import run_elm, run_events
from .grid import run_grid
from .liquid_member import LiquidAnswers
from .result import TrainResult

NET = "net.safetensors"
ELM = "elm.toml"
TrainRun: TypeAlias = Run[TrainConfig, Splits]


def in_engine(
    run: TrainRun,
    nets: list[SpikingNet | ELMNet],
    liquid: LiquidAnswers | None,
    binning: Binning,
    predicted: NDArray[np.int64],
) -> TrainResult:
    """Run spiking neurons, or an ELM, in the engine; return the part of the results that this gives."""
    config = run.config
    test = run.inputs.test
    with run.time("engine"):
        # The engine plays the events as binned, which is what training saw.
        inputs = binning.recordings(test)
        runs = []
        for k, net in enumerate(nets):
            if isinstance(net, ELMNet):
                write_description(run.path / ELM, net.to_network())
                runs.append(run_elm(net, binning, test, inputs, run.options))
                continue
            save(run.path / numbered(NET, k), net, binning, run.inputs.train.classes)
            runs.append(run_events(net, binning, test, inputs, config.bins.most, run.options))
    labels = labels_of(test)
    spikes = [each for played in runs for each in played.spikes]
    total: NDArray[np.floating] = sum((played.scores for played in runs[1:]), runs[0].scores)
    work = list(runs[0].work)
    took = sum(played.seconds for played in runs)
    if len(runs) > 1:
        work = [replace(w, name=f"{w.name} of net {k + 1}") for k, played in enumerate(runs) for w in played.work]
    if liquid is not None:
        total = total + liquid.scores
        work = [*work, *liquid.work]
        took = took + liquid.seconds
        spikes.append(liquid.spikes)
    # The page shows the last layer of the first network.
    shown = shown_recordings(labels, predicted, inputs.durations)
    write_shown(run.folder, shown, inputs, outputs=runs[0].spikes[-1], name="layer")
    seconds = float(inputs.durations.sum())
    return TrainResult(
        units=runs[0].units,
        model=runs[0].model,
        engine_accuracy=float(np.mean(total.argmax(axis=1) == labels)),
        identical=all(played.identical for played in runs),
        spikes=sum(len(s.ticks) for s in spikes),
        spike_digest=hashlib.sha256("".join(s.digest() for s in spikes).encode()).hexdigest(),
        real_time_factor=took / seconds,
        simulated_seconds=seconds,
        measures=measure(work, len(inputs), runs[0].duration, len(inputs.ticks)),
        energy=energy(work, len(inputs), config.energy.profile),
        shape=inputs.shape,
        shown=shown,
    )


def in_spikes(run: TrainRun, net: AttentionNet, binning: Binning) -> TrainResult:
    """Run attention layers in spikes, bin by bin; return the part of the results that this gives."""
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
        engine_accuracy=float(np.mean(spiking.scores.argmax(axis=1) == labels_of(test))),
        spikes=spiking.spikes,
        spikes_a_channel=spiking.spikes_a_channel,
        spike_digest=spiking.digest(),
        real_time_factor=(time.perf_counter() - began) / seconds,
        simulated_seconds=seconds,
        measures=measure(spiking.layers, len(test), seconds, spiking.events),
        energy=energy(spiking.layers, len(test), config.energy.profile),
        shape=binning.shape,
    )


def over_pixels(run: TrainRun, net: GridNet, binning: Binning) -> TrainResult:
    """Run layers over pixels, each recording as one image; return the part of the results that this gives."""
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


def numbered(name: str, member: int) -> str:
    """Return the name of a file of a network, from 0: a.b, a-2.b, a-3.b."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{member + 1}{dot}{ending}" if member else name
