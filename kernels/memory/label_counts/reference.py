"""Labels of codes, learned in one pass: counts of each unit's wins by label, and the votes of a code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def associate_reference(codes: NDArray[np.int32], labels: NDArray[np.int64], counts: NDArray[np.uint32]) -> None:
    """Count each winner of codes [items, positions, columns, Q] with its item's label; -1 is no winner.

    Args:
        labels: [items].
        counts: [positions, columns, Q, K, labels], added to.
    """
    for (i, *place), k in np.ndenumerate(codes):
        if k >= 0:
            counts[(*place, k, labels[i])] += 1


def votes_reference(codes: NDArray[np.int32], logs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [items, labels], the sum of the rows of logs [positions, columns, Q, K, labels] of the winners."""
    out = np.zeros((len(codes), logs.shape[-1]))
    for (i, *place), k in np.ndenumerate(codes):
        if k >= 0:
            out[i] += logs[(*place, k)]
    return out
