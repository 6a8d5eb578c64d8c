"""Softmax attention over earlier tokens, in numpy: over a window, over few of them, and what joins it with sums.

Where a function takes no `heads` it is of one token and head. Lists over tokens end with the present one.
"""

from __future__ import annotations

import numpy as np

from ..vectors.reference import sigmoid, softmax


def window(
    q: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    capacity: int,
    scale: float,
    plain: np.ndarray | None = None,
    learnt: np.ndarray | None = None,
    cap: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Attend with q [H, K] to the last of keys [T, heads, K] and values, and to learnt keys and values [n, H, K + V].

    The learnt ones are compared with `plain`, q before its positions. With `cap` c > 0 the scores s of other keys are
    c tanh(s / c). Return (o [H, V], logarithm of the sum of weights).
    """
    groups = len(q) // keys.shape[1]
    k, v = (np.repeat(x[-capacity:], groups, 1) for x in (keys, values))
    scores = scale * np.einsum("hk,thk->ht", q, k)
    if cap:
        scores = cap * np.tanh(scores / cap)
    if learnt is not None:
        scores = np.concatenate([scores, scale * np.einsum("hk,mhk->hm", plain, learnt[..., : q.shape[1]])], 1)
        v = np.concatenate([v, learnt[..., q.shape[1] :]])
    return np.einsum("ht,thv->hv", softmax(scores), v), np.log(np.exp(scores).sum(1))


def share(seen: np.ndarray, mass: np.ndarray, sums: np.ndarray, offset: float) -> np.ndarray:
    """Join attention over a window, of this mass [tokens, H], with sums [tokens, H, V + 1] over older tokens."""
    weight = np.maximum(sums[..., -1], np.finfo(np.float32).tiny)
    part = sigmoid(mass - offset - np.log(weight))[..., None]
    return part * seen + (1 - part) * sums[..., :-1] / weight[..., None]


def regression(q: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: float, ridge: float) -> np.ndarray:
    """Return b [V], the intercept at q [K] of min_{b, W} sum_j w_j |v_j - b - W (k_j - q)|^2 + ridge |W|^2.

    w_j = e^(score_j - max).
    """
    scores = scale * keys @ q
    w = np.exp(scores - scores.max())
    around = np.concatenate([np.ones((len(keys), 1)), keys - q], 1)
    penalty = ridge * np.diag([0.0] + [1.0] * len(q))
    return np.linalg.solve(around.T @ (w[:, None] * around) + penalty, around.T @ (w[:, None] * values))[0]


def attend(q: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: float, picks: list[int]) -> np.ndarray:
    return softmax(scale * keys[picks] @ q) @ values[picks]


def in_best_parts(values: np.ndarray, length: int, count: int) -> list[int]:
    """Return at most `count` tokens of the parts of highest value, the latest first; t is in part t parts // length."""
    own = values[np.arange(length) * len(values) // length]
    return sorted(range(length), key=lambda t: (-own[t], -t))[:count]


def pick_tokens(buckets: np.ndarray, bucket: int, scores: np.ndarray, count: int) -> list[int]:
    """Return the tokens that HAX picks: the present one, the last `count` of a bucket, and the highest scores."""
    length = len(buckets)
    same = [t for t in range(length) if buckets[t] == bucket][-count:]
    best = sorted(range(length), key=lambda t: (-scores[t], t))[:count]
    return sorted({length - 1, *same, *best})


def innovation(x: np.ndarray, before: np.ndarray) -> float:
    """Return the mean square of x minus the mean of the tokens before [n, width]."""
    return ((x - np.mean(before, 0)) ** 2).mean()


def surprising(innovations: np.ndarray, count: int) -> list[int]:
    """Return the tokens of greatest innovation, the earlier first of equal ones."""
    return sorted(range(len(innovations)), key=lambda t: (-innovations[t], t))[:count]


def slots(
    keys: np.ndarray, values: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, g: np.ndarray
) -> np.ndarray:
    """K [M, K] = diag(e^g) K + s k^T, V = diag(e^g) V + s v^T in place, s = 1 - e^g; o = V^T softmax(K q)."""
    for rows, new in ((keys, k), (values, v)):
        rows[:] = np.exp(g)[:, None] * rows + (1 - np.exp(g))[:, None] * new
    return softmax(keys @ q) @ values
