"""Layers over the pixels of recordings, tested in torch, and the work of their linear layers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ....base.measure.work import LayerCounts
from ....data.recordings import Recordings
from ....language.conversion.events import EventCount, counting_events
from ....learning.training.binning import Binning
from ....learning.training.grid_net import GridNet

BATCH = 64  # recordings at a time


@dataclass(frozen=True, eq=False)
class GridRun:
    """Answers of a network over pixels.

    Attributes:
        scores: [n, classes].
        layers: work of the linear layers, by layer; a step is a square. Convolutions and the memory are not counted.
        events: nonzero inputs of these layers.
    """

    scores: NDArray[np.float32]
    layers: list[LayerCounts]
    events: int


@torch.no_grad()
def run_grid(net: GridNet, binning: Binning, recordings: Recordings) -> GridRun:
    """Classify recordings, each as one image."""
    net.eval()
    scores = np.empty((len(recordings), net.classes), np.float32)
    linears = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    with ExitStack() as stack:
        counts: dict[str, EventCount] = {
            name: stack.enter_context(counting_events(linear)) for name, linear in linears.items()
        }
        for begin in range(0, len(recordings), BATCH):
            chosen = np.arange(begin, min(begin + BATCH, len(recordings)))
            batch = binning.batch(recordings, chosen)
            scores[chosen] = net(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths)).numpy()
    layers = [replace(counts[name].layer(linear), name=name) for name, linear in linears.items()]
    return GridRun(scores, layers, sum(each.events for each in counts.values()))
