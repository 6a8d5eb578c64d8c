"""Recordings that are binned once, as lists of the entries that are not 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from ...data.recordings import Recordings
from .binning import Binning, EventBatch

if TYPE_CHECKING:
    from ..layers.linear import SpikeList

# Maximum number of events of recordings that are binned once: an entry for all events of a bin and pool takes 4 bytes,
# with its count 8. All 60,000 recordings of N-MNIST have 246 M events.
MAX_BINNED = 1 << 28


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
        self.lengths = binning.lengths(recordings.durations)
        self.units = binning.units
        self.labels = recordings.labels
        self._first_rows = np.cumsum(self.lengths) - self.lengths
        # Without values all entries are 1.
        self._rows = binning.entries(recordings)

    @staticmethod
    def fits(recordings: Recordings) -> bool:
        """Return whether recordings are few enough, and in memory."""
        return recordings.in_memory and recordings.labels is not None and len(recordings.ticks) <= MAX_BINNED

    def batch(self, chosen: NDArray[np.int64]) -> EventBatch:
        """Return the `chosen` [n] recordings, with the steps of the longest of them."""
        from ...kernels.layers.bins.cpu import place_rows

        lengths = self.lengths[chosen]
        x = np.empty((int(lengths.max(initial=1)), len(chosen), self.units), np.float32)
        place_rows(self._first_rows[chosen], lengths, self._rows, x)
        labels = np.asarray(self.labels)[chosen]
        return EventBatch(x=x, lengths=lengths, labels=labels, others=labels, shares=np.zeros(len(chosen), np.float32))

    def listed(self, chosen: NDArray[np.int64]) -> ListedBatch:
        """Return the entries of `batch` as a list."""
        from ...kernels.layers.bins.cpu import list_rows
        from ...kernels.layers.spike_linear.lists import ActiveInputs
        from ..layers.linear import SpikeList

        lengths = self.lengths[chosen]
        first_rows = self._first_rows[chosen]
        starts, _, values = self._rows
        size = int((starts[first_rows + lengths] - starts[first_rows]).sum())
        steps = int(lengths.max(initial=1))
        active = ActiveInputs(
            starts=np.empty(steps * len(chosen) + 1, np.int64),
            units=np.empty(size, np.int32),
            values=np.empty(size if len(values) else 0, np.float32),
        )
        list_rows(first_rows, lengths, self._rows, active)
        return ListedBatch(
            x=SpikeList(active, (steps, len(chosen), self.units)),
            lengths=lengths,
            labels=np.asarray(self.labels)[chosen],
        )
