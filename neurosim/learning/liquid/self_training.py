"""A second readout of each group of recordings, trained on answers in place of labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Settings were measured on FSDD-SHD, 3 seeds: unknown speakers, 450 recordings each, left out in turn; and known ones,
# 50 training recordings of each left out, three times.
# Weight of the squared weights of the second readout, as a fraction of the mean squared norm of its vectors. Unknown
# speakers .81 with .07 and .1, .80 with .14; known ones .929 with .1, .928 with .07.
PENALTY = 0.1
# Recordings a class with which both readouts weigh the same. The smaller it is, the more is gained for a speaker with
# many recordings (450: .816 with 2.5, .808 with 5) and lost for one with few (50: .913 with 2.5, .929 with 5).
EVEN = 5
# Spread of a recording's scores at which the best class is e times as likely as one that lies so far below it. Known
# speakers: .929 with .2, .927 with .3, .923 where the best class is certain, .925 without second readouts.
TEMPERATURE = 0.2
ROUNDS = 20  # at most


def self_trained(scores: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [n, classes] scores of a group's recordings by a readout and by a second one, summed.

    The second is ridge regression without bias from the vectors z [n, features] to the answers G = 2 p - 1 [n,
    classes], p the softmax of the scores over `TEMPERATURE` times their spread: a recording of which the first readout
    is unsure says little. Each recording is scored by the one that is trained on the others, in closed form (Allen
    1974): (H G - h G) / (1 - h), where H = K (K + penalty)^-1, K = z z^T, and h is the diagonal of H. Both scores are
    scaled to the same spread; the second weighs sqrt(n / (classes EVEN)), for the noise of what it learns falls as the
    root of n. The sum gives the next answers, until no class of the largest score changes, `ROUNDS` at most
    (self-training: Scudder 1965, Yarowsky 1995). A class that is rarely the answer is not held back by a bias, so that
    classes come out more evenly than they went in.

    Args:
        scores: [n, classes] of the first readout.
        vectors: [n, features], of mean 0 in the group.
    """
    n, classes = scores.shape
    gram = (vectors @ vectors.T).astype(np.float64)
    power = float(np.trace(gram)) / n
    if n < 2 or power <= 0:
        return scores
    eye = np.eye(n)
    # H = K (K + penalty)^-1 and its diagonal h
    hat = np.linalg.solve(gram + PENALTY * power * eye, gram).T
    own = np.diag(hat)[:, None]
    size = _spread(scores)
    weight = np.sqrt(n / (classes * EVEN))
    total = scores
    for _ in range(ROUNDS):
        targets = _targets(total)
        # (H G - h G) / (1 - h)
        second = (hat @ targets - own * targets) / (1 - own)
        before = total.argmax(axis=1)
        total = (scores + weight * size / _spread(second) * second) / (1 + weight)
        if np.array_equal(before, total.argmax(axis=1)):
            break
    return total


def _targets(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [n, classes] answers in -1 to 1: 2 softmax(scores / (TEMPERATURE spread)) - 1."""
    below = scores - scores.max(axis=1, keepdims=True)
    likely = np.exp(below / (TEMPERATURE * _spread(scores)))
    return 2 * likely / likely.sum(axis=1, keepdims=True) - 1


def _spread(scores: NDArray[np.float64]) -> float:
    """Return the mean over recordings of the deviation of their scores; > 0."""
    return max(float(scores.std(axis=1).mean()), 1e-12)
