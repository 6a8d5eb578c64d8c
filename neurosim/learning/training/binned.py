"""Recordings that are binned once, as lists of the entries that are not 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from ...data.spikes import Recordings
from .binning import CHUNK, Binning, EventBatch

if TYPE_CHECKING:
    from ..layers.linear import SpikeList

# Maximum number of events of recordings that are binned once: 12 bytes an event at most.
MAX_BINNED = 1 << 26


@dataclass(frozen=True)
class ListedBatch:
    """Recordings as a list of the entries that are not 0.

    Attributes:
        x: counts, as `EventBatch.x`.
        lengths: [recordings] int64, steps of each recording.
        labels: [recordings] int64.
    """

    x: SpikeList
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]


@final
class BinnedRecordings:
    """Recordings binned once, for a training that sees them unchanged in every epoch: its entries that are not 0.

    `batch` returns what `Binning.batch` does without augmentation, and `listed` the same without its zeros.
    """

    def __init__(self, binning: Binning, recordings: Recordings) -> None:
        from ...kernels.layers.spike_linear.lists import listed

        self.lengths = binning.lengths(recordings.durations)
        self.units = binning.units
        self.labels = recordings.labels
        steps = []
        units = []
        counts = []
        sizes = [np.zeros(1, np.int64)]
        for first in range(0, len(recordings), CHUNK):
            numbers = np.arange(first, min(first + CHUNK, len(recordings)))
            x = binning.batch(recordings, numbers).x
            active = listed(x.reshape(-1, self.units), max_density=1.0)
            # [recordings, steps]: in the list the recordings of a step lie side by side, here the steps of a recording.
            begins = active.starts[:-1].reshape(len(x), -1).T
            lengths = np.diff(active.starts).reshape(len(x), -1).T
            before = np.cumsum(lengths).reshape(lengths.shape) - lengths
            order = np.repeat((begins - before).ravel(), lengths.ravel()) + np.arange(len(active.units))
            steps.append(np.repeat(np.tile(np.arange(len(x), dtype=np.int32), len(numbers)), lengths.ravel()))
            units.append(active.units[order])
            counts.append(active.values[order] if len(active.values) else np.ones(len(order), np.float32))
            sizes.append(lengths.sum(axis=1))
        self.steps = np.concatenate(steps)
        self.places = np.concatenate(units)
        self.counts = np.concatenate(counts)
        self.offsets = np.cumsum(np.concatenate(sizes))
        self.is_binary = bool((self.counts == 1).all())

    @staticmethod
    def fits(recordings: Recordings) -> bool:
        """Return whether recordings are few enough, and in memory."""
        return recordings.in_memory and recordings.labels is not None and len(recordings.ticks) <= MAX_BINNED

    def batch(self, chosen: NDArray[np.int64]) -> EventBatch:
        """Return the `chosen` [n] recordings, with the steps of the longest of them."""
        from ...kernels.layers.bins.cpu import place_entries

        lengths = self.lengths[chosen]
        x = np.empty((int(lengths.max(initial=1)), len(chosen), self.units), np.float32)
        place_entries(self.offsets[chosen], self.offsets[chosen + 1], self.steps, self.places, self.counts, x)
        labels = np.asarray(self.labels)[chosen]
        return EventBatch(x=x, lengths=lengths, labels=labels, others=labels, shares=np.zeros(len(chosen), np.float32))

    def listed(self, chosen: NDArray[np.int64]) -> ListedBatch:
        """Return the entries of `batch` as a list."""
        from ...kernels.layers.bins.cpu import list_entries
        from ...kernels.layers.spike_linear.lists import ActiveInputs
        from ..layers.linear import SpikeList

        lengths = self.lengths[chosen]
        shape = (int(lengths.max(initial=1)), len(chosen), self.units)
        begins = self.offsets[chosen]
        ends = self.offsets[chosen + 1]
        size = int((ends - begins).sum())
        starts = np.zeros(shape[0] * shape[1] + 1, np.int64)
        units = np.empty(size, np.int32)
        # Without values all entries are 1.
        values = np.empty(0 if self.is_binary else size, np.float32)
        list_entries(begins, ends, self.steps, self.places, self.counts, starts, units, values)
        return ListedBatch(
            x=SpikeList(ActiveInputs(starts, units[: starts[-1]], values[: starts[-1]]), shape),
            lengths=lengths,
            labels=np.asarray(self.labels)[chosen],
        )
