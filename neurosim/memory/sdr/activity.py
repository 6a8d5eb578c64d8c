"""Codes of activity: which units of a network fired in which window, and the class of the nearest stored code.

For units with relu, active or not, a trained network gives nearly every input a code of its own, and near inputs near
codes (He et al. 2021, arXiv 2101.06459); a spiking unit is active where it fires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...data.recordings import Recordings
from .code import SDR, bank
from .columns import Columns


def activity_codes(recordings: Recordings, windows: int = 1) -> list[SDR]:
    """Return a code of `windows` x size bits for each recording: bit w size + u is on where u fired in window w.

    Windows are equal parts of a recording's duration; a spike at its end belongs to the last.
    """
    require(windows >= 1, "activity_codes.windows", "must be >= 1", windows)
    codes = []
    for spikes in recordings:
        if spikes.duration:
            part = spikes.times * (windows / spikes.duration)
        else:
            part = np.zeros(len(spikes.times))
        window = np.minimum(part.astype(np.int64), windows - 1)
        codes.append(SDR(np.unique(window * spikes.size + spikes.units.astype(np.int64)), windows * spikes.size))
    return codes


def redundancy(codes: Sequence[SDR]) -> float:
    """Return the fraction of items whose code an earlier item has, too: 0 if all codes differ."""
    require(len(codes) > 0, "redundancy", "needs at least one code", 0)
    return 1 - len(set(codes)) / len(codes)


@dataclass(frozen=True, eq=False)
class NearestCodes:
    """Labelled codes; a new code gets the most frequent class among its nearest stored codes.

    Two codes are as near as their Jaccard index: the number of shared bits over the number of bits in either.

    Attributes:
        columns: the codes by bit.
        active: [n] number of active bits of each code.
        labels: [n] classes.
    """

    columns: Columns
    active: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def store(cls, codes: Sequence[SDR], labels: object) -> NearestCodes:
        """Store codes of one size with their classes.

        Raises:
            NeurosimInputError: no codes, codes of several sizes, or another number of labels.
        """
        classes = np.asarray(labels, np.int64)
        require(classes.shape == (len(codes),), "NearestCodes.labels", f"must be [{len(codes)}]", classes.shape)
        packed = bank(codes)
        return cls(Columns.of(packed, codes[0].size), np.array([len(code) for code in codes]), classes)

    def likeness(self, code: SDR) -> NDArray[np.float64]:
        """Return [n] Jaccard indices of `code` with each stored code; 0 for two codes without bits."""
        shared = self.columns.overlaps(code).astype(np.float64)
        # |A or B| = |A| + |B| - |A and B|
        either = self.active + len(code) - shared
        return np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)

    def predict(self, codes: Sequence[SDR], neighbours: int = 1) -> NDArray[np.int64]:
        """Return [m] most frequent classes among the `neighbours` nearest codes; ties go to the nearest of them."""
        good = 1 <= neighbours <= len(self.labels)
        require(good, "NearestCodes.neighbours", f"must be 1 to {len(self.labels)}", neighbours)
        predicted = np.empty(len(codes), np.int64)
        for i, code in enumerate(codes):
            nearest = self.labels[np.argsort(-self.likeness(code), kind="stable")[:neighbours]]
            classes, first, votes = np.unique(nearest, return_index=True, return_counts=True)
            # The last key sorts first: most votes, then the class whose nearest code is nearest.
            predicted[i] = classes[np.lexsort((first, -votes))[0]]
        return predicted
