"""A linear layer whose input is spikes: terms are added one by one, in ascending order."""

from __future__ import annotations

import numpy as np


def product_reference(x: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the product [R, N] of x [R, M] and source [M, N], term by term in float32."""
    out = np.zeros((len(x), source.shape[1]), np.float32)
    for i, k in zip(*np.nonzero(x), strict=True):
        out[i] += source[k] if x[i, k] == 1 else x[i, k] * source[k]
    return out
