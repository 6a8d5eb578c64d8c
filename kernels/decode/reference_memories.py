"""Operations of the kinds that keep tokens or train a network, in numpy: what tests hold the compiled ones to.

As in `reference`: a function takes arrays instead of addresses, and returns its result. These are of one token and head
each; lists over tokens end with the present one.
"""

from __future__ import annotations

import math

import numpy as np

from . import networks
from .reference import sigmoid, softmax


def dilate(x, earlier, weight, step):
    """x [width] plus silu of a convolution, weight [size, width], over every `step`-th of the tokens up to it."""
    seen = [x, *earlier[::-1]]
    y = sum(w * seen[n * step] for n, w in enumerate(weight[::-1]) if n * step < len(seen))
    return x + y * sigmoid(y)


def regression(q, keys, values, scale, ridge):
    """Intercept b at q [K] of min_{b, W} sum_j w_j |v_j - b - W (k_j - q)|^2 + ridge |W|^2, w_j = e^(score - max)."""
    scores = scale * keys @ q
    w = np.exp(scores - scores.max())
    around = np.concatenate([np.ones((len(keys), 1)), keys - q], 1)
    penalty = ridge * np.diag([0.0] + [1.0] * len(q))
    return np.linalg.solve(around.T @ (w[:, None] * around) + penalty, around.T @ (w[:, None] * values))[0]


def attend(q, keys, values, scale, picks):
    return softmax(scale * keys[picks] @ q) @ values[picks]


def in_best_parts(values, length, count):
    """Tokens, at most `count`, in the parts of highest value, the latest first; t is in part t parts // length."""
    own = values[np.arange(length) * len(values) // length]
    return sorted(range(length), key=lambda t: (-own[t], -t))[:count]


def hashed(buckets, bucket, scores, count):
    """Tokens that HAX picks: the present one, the last `count` of a bucket, and those of highest score."""
    length = len(buckets)
    same = [t for t in range(length) if buckets[t] == bucket][-count:]
    best = sorted(range(length), key=lambda t: (-scores[t], t))[:count]
    return sorted({length - 1, *same, *best})


def innovation(x, before):
    """Mean square of what the mean of the tokens before [n, width] does not say of x."""
    return ((x - np.mean(before, 0)) ** 2).mean()


def surprising(innovations, count):
    """Tokens of greatest innovation, the earlier first of equal ones."""
    return sorted(range(len(innovations)), key=lambda t: (-innovations[t], t))[:count]


def retained(a, kind, q):
    """w(a) of one matrix."""
    if kind == networks.NORM:
        square = (np.abs(a) ** q).sum() ** (2 / q) + 1e-12
        return np.sign(a) * np.abs(a) ** (q - 1) / square ** ((q - 2) / 2)
    if kind == networks.PRINTED:
        return a / ((np.abs(a) ** q).sum() + 1e-12) ** ((q - 2) / q)
    return softmax(a.T).T if kind == networks.COLUMNS else a


def _gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def recall(weights, x):
    """x @ W of one matrix, else x + norm(gelu(.. gelu(x @ W_1) ..) @ W_n)."""
    y = x
    for n, w in enumerate(weights):
        y = (_gelu(y) if n else y) @ w
    if len(weights) == 1:
        return y
    return x + (y - y.mean()) / math.sqrt(y.var() + 1e-5)


def pull(error, kind, p, delta):
    """Derivative of a loss."""
    if kind == networks.POWER:
        return p * np.tanh(10 * error) * (np.abs(error) + 1e-12) ** (p - 1)
    if kind == networks.HUBER:
        return np.clip(error, -delta, delta)
    return error


def gradient(weights, k, v, kind, p, delta, change=1e-5):
    """Derivatives of the loss by each weight: differences of the output, times the derivative by the output."""
    by_output = pull(recall(weights, k) - v, kind, p, delta)
    found = []
    for w in weights:
        own = np.zeros_like(w)
        for place in np.ndindex(w.shape):
            kept = w[place]
            sides = []
            for side in (change, -change):
                w[place] = kept + side
                sides.append(recall(weights, k))
            w[place] = kept
            own[place] = by_output @ (sides[0] - sides[1]) / (2 * change)
        found.append(own)
    return found


def slots(keys, values, q, k, v, g):
    """K [M, K] = diag(e^g) K + s k^T, V = diag(e^g) V + s v^T in place, s = 1 - e^g; o = V^T softmax(K q)."""
    for rows, new in ((keys, k), (values, v)):
        rows[:] = np.exp(g)[:, None] * rows + (1 - np.exp(g))[:, None] * new
    return softmax(keys @ q) @ values
