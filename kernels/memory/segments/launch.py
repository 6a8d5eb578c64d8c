"""Overlaps of dendritic segments and one step of learning contexts, from lists of active inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import cpu
from .reference import SegmentRules, Segments


def overlaps(synapses: NDArray[np.int32], dense: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Compute `overlaps_reference`."""
    out = np.empty(synapses.shape[:-1], np.int32)
    cpu.overlaps(synapses.reshape(-1, synapses.shape[-1]), _flags(dense.size, dense), out.reshape(-1))
    return out


def update_overlaps(rules: SegmentRules, own: Segments, size: int, context: NDArray[np.int32]) -> int:
    """Compute `update_overlaps_reference`."""
    on = _flags(size, context)
    return int(cpu.update_overlaps(rules.connected, own.source, own.permanence, own.overlaps, own.matches, on))


def active_units(rules: SegmentRules, own: Segments) -> NDArray[np.int32]:
    """Return the ascending units with an active segment."""
    return np.flatnonzero((own.overlaps >= rules.activation).any(axis=1)).astype(np.int32)


def learn(
    rules: SegmentRules, own: Segments, size: int, context: NDArray[np.int32], soma: NDArray[np.int32], window: int
) -> None:
    """Compute `learn_reference`."""
    spiked = np.zeros(len(own.source), np.uint8)
    spiked[soma] = 1
    cpu.learn(rules, *own, _flags(size, context), context, spiked, window)


def _flags(size: int, active: NDArray) -> NDArray[np.uint8]:
    """Return [size + 1] flags of active inputs, as indices or as booleans; the last, which -1 reads, is off."""
    on = np.zeros(size + 1, np.uint8)
    on[:size][active] = 1
    return on
