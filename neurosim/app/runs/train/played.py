"""Trained networks played to the test recordings event by event, with results and work."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....data.recordings import Recordings
from ....engine.description.dump import write_description
from ....learning.training.binning import Binning
from ....learning.training.elm_net import ELMNet
from ....learning.training.net import SpikingNet
from ....learning.training.saved import save
from ..data import Splits
from ..frame.kind import Run
from ..score import accuracy_of
from ..summary import labels_of, shown_recordings, write_shown
from .config import TrainConfig
from .engine import EngineRun, run_elm, run_events
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
        runs = [_play(run, k, net, binning, inputs) for k, net in enumerate(nets)]
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
        engine_accuracy=accuracy_of(total, labels),
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


def _play(run: TrainRun, number: int, net: SpikingNet | ELMNet, binning: Binning, inputs: Recordings) -> EngineRun:
    """Write a network, whose number is from 0, and run it on the test recordings as binned."""
    test = run.inputs.test
    if isinstance(net, ELMNet):
        write_description(run.path / ELM, net.to_network())
        return run_elm(net, binning, test, inputs, run.options)
    save(run.path / numbered(NET, number), net, binning, run.inputs.train.classes)
    return run_events(net, binning, test, inputs, run.config.bins.most, run.options)


def numbered(name: str, member: int) -> str:
    """Return the name of a file of a network, from 0: a.b, a-2.b, a-3.b."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{member + 1}{dot}{ending}" if member else name
