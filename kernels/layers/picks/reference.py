"""Attention over few tokens that each query picks, and two choices of tokens: those of highest score, and of a bucket.

A pick is the index of a token; PICK_NONE fills up rows of queries that pick fewer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PICK_NONE = -1

Floats = NDArray[np.floating]
Picks = NDArray[np.int64]


def best_so_far(scores: Floats, ends: NDArray[np.int64], count: int) -> list[list[int]]:
    """Return for each of `ends` the `count` tokens of highest score before it; of equal scores the earlier ones."""
    return [sorted(range(end), key=lambda token: (-scores[token], token))[:count] for end in ends]


def last_of_bucket(asked: NDArray[np.int64], buckets: NDArray[np.int64], count: int) -> list[list[int]]:
    """Return for each of the T last tokens the last `count` tokens up to it in the bucket asked [T] for, latest first.

    Args:
        buckets: [N], of each token.
    """
    before = len(buckets) - len(asked)
    rows = []
    for query, bucket in enumerate(asked):
        of_bucket = [token for token in range(before + query, -1, -1) if buckets[token] == bucket]
        rows.append(of_bucket[:count])
    return rows


def attend(q: Floats, keys: Floats, values: Floats, picks: Picks) -> Floats:
    """Return softmax(q K^T / sqrt(K)) V [T, V] of q [T, K], for each over the keys [N, K] that it picks [T, M].

    A query picks one key at least.
    """
    out = np.empty((len(q), values.shape[1]), q.dtype)
    for t, row in enumerate(picks):
        own = row[row != PICK_NONE]
        scores = keys[own] @ q[t] / np.sqrt(q.shape[1])
        weights = np.exp(scores - scores.max())
        out[t] = weights @ values[own] / weights.sum()
    return out
