"""Spikes select rows of weights and the rows are added, out[B, N] = counts[B, K] @ weights[K, N]: the specification.

Spikes come as int8 counts with an exact escape for larger ones (see `encode`), or as bit planes (`planes`). The order
of a sum depends on the active channels of its row alone: neither threads nor the rest of the batch change a bit of it.
With int8 weights sums are int32 and exact.
"""

from __future__ import annotations

import numpy as np

from ..encode.reference import Escapes

FEW = 16  # tokens of a batch up to which a GPU skips rows of weights: one tile of a matrix instruction


def accumulate_reference(counts: np.ndarray, weights: np.ndarray, escapes: Escapes | None = None) -> np.ndarray:
    """Return [B, N] from [B, K] integers and [K, N], summed in int64 or float64.

    Integer weights give int32 and are exact; others give float32.
    """
    whole = np.issubdtype(weights.dtype, np.integer)
    counts = whole_counts(counts, escapes)
    if whole:
        return (counts.astype(np.int64) @ weights.astype(np.int64)).astype(np.int32)
    return (counts.astype(np.float64) @ weights.astype(np.float64)).astype(np.float32)


def whole_counts(counts: np.ndarray, escapes: Escapes | None = None) -> np.ndarray:
    """Return clipped counts with their excess added, [B, K] int32."""
    full = np.array(counts, np.int32)
    if escapes is not None:
        for i, n in enumerate(escapes.number):
            full[i, escapes.channels[i, :n]] += escapes.excess[i, :n]
    return full
