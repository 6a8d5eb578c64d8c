"""Expansion of vectors into sparse codes, on threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...tools.threads import spread
from . import cpu

# Minimum number of sums of a thread: about 1 ms.
SUMS_PER_THREAD = 1 << 20


def expand(x: ArrayLike, table: ArrayLike, scale: ArrayLike, active: int, threads: int = 1) -> NDArray[np.int32]:
    """Compute `expand_reference` on `threads` threads; the result does not depend on them."""
    vectors = np.ascontiguousarray(x, np.float32)
    scales = np.ascontiguousarray(scale, np.float32)
    sources = np.ascontiguousarray(table, np.int32)
    out = np.empty((len(vectors), active), np.int32)
    bounds = np.arange(len(vectors) + 1) * sources.size
    spread(lambda a, b: cpu.expand(vectors[a:b], sources, scales, out[a:b]), bounds, threads, SUMS_PER_THREAD)
    return out
