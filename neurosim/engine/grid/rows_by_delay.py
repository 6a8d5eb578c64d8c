"""Rows of a projection that learns with several delays, in memory: parts that follow in time lie beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import plastic as table
from ..compile.plastic import PlasticSynapses
from ..compile.share import ProcessShare
from ..compile.synapse_sampler import first_synapses


class RowsByDelay:
    """The synapses of a projection, each row from its shortest delay to its longest.

    A spike reads a part of its row for each delay, often step after step. In an array for each delay these parts are
    short and far from each other: 1.6 M synapses under STDP with 37 delays then take a quarter more time.

    Attributes:
        parts: the synapses of each delay, of which there are several.
        begins, ends: int64 [sources, delays], where each part of each row lies.
        targets, weights: uint32 and real [synapses]; the weights are not filled.
        cuts: int64 [sources, delays * blocks + 1], where each part of each row enters each block of the process.
    """

    def __init__(self, parts: Sequence[PlasticSynapses], share: ProcessShare) -> None:
        self.parts = parts
        counts = np.stack([np.diff(each.offsets) for each in parts], axis=1)
        edges = first_synapses(counts.ravel())
        self.begins = edges[:-1].reshape(counts.shape)
        self.ends = edges[1:].reshape(counts.shape)
        self.targets: NDArray[np.uint32] = np.empty(edges[-1], np.uint32)
        self.weights: NDArray[Any] = np.empty(edges[-1], parts[0].weights.dtype)
        for k, each in enumerate(parts):
            self.targets[self.places(k)] = each.targets
        self.cuts = self._cuts(share)

    def places(self, k: int) -> NDArray[np.int64]:
        """Return the places of the synapses of delay number k, in the order in which `parts` has them."""
        offsets = self.parts[k].offsets
        shift = self.begins[:, k] - offsets[:-1]
        return np.arange(offsets[-1]) + np.repeat(shift, np.diff(offsets))

    def _cuts(self, share: ProcessShare) -> NDArray[np.int64]:
        blocks = share.columns - 1
        cuts = np.empty((len(self.begins), len(self.parts) * blocks + 1), np.int64)
        for k, each in enumerate(self.parts):
            shift = self.begins[:, k] - each.offsets[:-1]
            cuts[:, k * blocks : (k + 1) * blocks + 1] = cuts_of(each, share) + shift[:, None]
        return cuts


def cuts_of(synapses: PlasticSynapses, share: ProcessShare) -> NDArray[np.int64]:
    """Return int64 [sources, blocks + 1] where each row enters each block of the process, and where it ends."""
    part = int(share.layout.parts[synapses.target])
    shift = int(share.layout.shifts[synapses.target])
    cuts = np.empty((len(synapses.offsets) - 1, share.columns), np.int64)
    # Blocks are counted from the first of this process.
    table.cut(synapses.offsets, synapses.targets, part, shift - share.first * part, cuts)
    return cuts
