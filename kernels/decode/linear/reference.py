"""Linear layers with int4 weights: the specification of `int4`, with the same order of sums and the same rounding."""

from __future__ import annotations

import numpy as np

CHANNELS = 32  # of a block
MIDDLE = 8  # q of weight 0, where there are no minima


def block_rows_reference(
    counts: np.ndarray, q: np.ndarray, steps: np.ndarray, minima: np.ndarray | None, excess: np.ndarray | None = None
) -> np.ndarray:
    """Return float32 [T, N], sums of the weights of outputs times counts.

    Args:
        counts: [T, K] within +-127.
        q: [N, K] of 0 to 15.
        steps, minima: float16 [N, K / 32]; a weight is step (q - 8), or step q + minimum where there are minima.
        excess: [T, K] integers: counts beyond +-127, which are added last, channel by channel.
    """
    q = q.astype(np.int64)
    counts = counts.astype(np.int64)
    d = steps.astype(np.float32)
    m = None if minima is None else minima.astype(np.float32)
    if m is None:
        q = q - MIDDLE
    total = np.zeros((len(counts), len(q)), np.float32)
    for b in range(d.shape[1]):
        # Integers within a block, float32 between blocks, in order of blocks: the kernels have these bits.
        own = slice(CHANNELS * b, CHANNELS * (b + 1))
        total += (counts[:, own] @ q[:, own].T).astype(np.float32) * d[:, b]
        if m is not None:
            total += counts[:, own].sum(1, keepdims=True).astype(np.float32) * m[:, b]
    if excess is not None:
        weights = q.astype(np.float32) * np.repeat(d, CHANNELS, 1)
        if m is not None:
            weights += np.repeat(m, CHANNELS, 1)
        for t, k in np.argwhere(excess):
            total[t] += np.float32(excess[t, k]) * weights[:, k]
    return total
