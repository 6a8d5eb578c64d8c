"""Attention layers trained on recordings, then converted into spikes and run bin by bin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ....base.measure.work import LayerCounts
from ....data.recordings import Recordings
from ....language.attention.checkpoint import write_model
from ....language.conversion.checkpoint import write_converted
from ....language.conversion.convert import convert
from ....language.conversion.costs import coding_counts, layer_counts, spike_totals
from ....language.conversion.events import EVENTS, classify_events, counting_events
from ....language.conversion.settings import Coding
from ....language.conversion.state_work import state_counts
from ....learning.training.attention_net import AttentionNet
from ....learning.training.binning import Binning

BATCH = 64  # recordings at a time
# folders of the trained model, and of it in spikes
MODEL = "model"
CONVERTED = "spiking"


@dataclass(frozen=True, eq=False)
class SpikingRun:
    """Attention layers in spikes on recordings.

    Attributes:
        scores: [n, classes].
        layers: the work, by layer.
        spikes: between linear layers, of all recordings.
        spikes_a_channel: for each input channel of a linear layer and bin.
        events: that the first layer took.
    """

    scores: NDArray[np.float32]
    layers: list[LayerCounts]
    spikes: int
    spikes_a_channel: float
    events: int

    def digest(self) -> str:
        """Return a hash of the scores."""
        return hashlib.sha256(self.scores.tobytes()).hexdigest()


def run_in_spikes(
    net: AttentionNet, binning: Binning, recordings: Recordings, folder: Path | None, threads: int
) -> SpikingRun:
    """Convert a trained net and classify recordings with it, bin by bin, by adding rows of weights.

    Args:
        folder: both models are written there; None: nowhere.
    """
    made = convert(net.model.eval(), Coding("ternary", k=net.spec.k, head=True))
    if folder is not None:
        write_model(folder / MODEL, net.model)
        write_converted(folder / CONVERTED, made)
    made.execute(threads=threads)
    # The first layer takes counts of events, not spikes of a coder: its work is counted apart.
    first = made.model.get_submodule(EVENTS)
    assert isinstance(first, torch.nn.Linear)
    scores = np.empty((len(recordings), net.classes), np.float32)
    with made.counting() as histograms, counting_events(first) as events:
        for begin in range(0, len(recordings), BATCH):
            chosen = np.arange(begin, min(begin + BATCH, len(recordings)))
            batch = binning.batch(recordings, chosen)
            x = torch.from_numpy(batch.x)
            lengths = torch.from_numpy(batch.lengths)
            scores[chosen] = classify_events(made.model, x, lengths).numpy()
    layers = layer_counts(made, histograms)
    return SpikingRun(
        scores=scores,
        layers=[events.layer(first), *layers, *coding_counts(made, histograms), *state_counts(made, histograms)],
        spikes=sum(layer.input_events or 0 for layer in layers),
        spikes_a_channel=spike_totals(made, histograms).spikes,
        events=events.events,
    )
