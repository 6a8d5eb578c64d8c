"""Features of a recording that grow window by window, and the weights that read them.

The features of a recording are `windows` slots of `inputs` numbers; window k fills slot k, and later windows share the
last slot. Only the features that a window changes select columns of weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COUNTS, ROOTS, TRACES = range(3)


class FeatureRules(NamedTuple):
    """Rule by which spikes become features: `gain` times their number, its root, or a trace that falls by `decay`."""

    kind: int
    inputs: int
    windows: int
    decay: float
    gain: float


def arrive_reference(
    rules: FeatureRules,
    window: int,
    units: NDArray[np.int32],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    x: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add the spikes of a window to `sums` and `x`; return the features that changed, and by how much.

    Args:
        window: number of the window in the recording.
        units, counts: [n] inputs with spikes, ascending, and their spikes.
        sums: [windows * inputs], counts or traces.
        x: [windows * inputs], the features.
    """
    # Counts of the last slot gather; a trace continues from the slot of the window before.
    n = rules.inputs
    last = rules.windows - 1
    slot = min(window, last) * n
    before = min(max(window - 1, 0), last) * n
    arrived = np.zeros(n)
    arrived[units] = counts
    if window > 0:
        old = sums[before : before + n].copy()
    else:
        old = np.zeros(n)
    now = sums[slot : slot + n]
    if rules.kind == TRACES:
        now[:] = rules.decay * old + arrived
    else:
        now[:] = now + arrived
    feature = x[slot : slot + n]
    # Features are float32: their change is that of the rounded numbers, so that sums of changes do not drift.
    delta = -feature.astype(np.float64)
    feature[:] = rules.gain * (np.sqrt(now) if rules.kind == ROOTS else now)
    delta += feature
    changed = np.flatnonzero(delta)
    return slot + changed, delta[changed]


def respond_reference(
    weights: NDArray[np.float32], changed: NDArray[np.int64], delta: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Add to out [rows] the products of weights [rows, features] with the changes `delta` of features `changed`."""
    out += weights[:, changed].astype(np.float64) @ delta


def change_reference(
    weights: NDArray[np.float32], errors: NDArray[np.float64], step: float, x: NDArray[np.float64]
) -> None:
    """Add step errors x^T to weights [rows, features]."""
    weights += (step * np.outer(errors, x)).astype(np.float32)


def product_reference(weights: NDArray[np.float32], x: NDArray[np.floating], out: NDArray[np.float64]) -> None:
    """Fill out [rows] with the products of weights [rows, features] with x [features]."""
    out[:] = weights.astype(np.float64) @ x


def relate_reference(pairs: NDArray[np.float64], x: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Fill out [features] with the products of symmetric pairs [features, features] with x [features]."""
    out[:] = pairs @ x.astype(np.float64)


def unlearn_reference(pairs: NDArray[np.float64], k: NDArray[np.float64], total: float) -> None:
    """Take k k^T / total from pairs."""
    pairs -= np.outer(k, k) / total
