"""Poisson counts of many units, from one random word each: the number of thresholds that the word passes.

A threshold is a cumulative probability of the distribution in units of 2^-32, so that counts depend on key, unit and
draw alone, as all draws of `random`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import int32, njit, uint32

from .compiled import compiled
from .random import group_words


def poisson_thresholds(mean):
    """Return [n] ascending uint32: the number of them that a uniform uint32 reaches is a Poisson count of this mean.

    Entry k is the probability of at most k events in units of 2^-32, so counts rarer than that never occur.
    """
    if math.exp(-mean) == 0.0:
        raise ValueError(f"a mean of {mean} events is beyond the table")
    thresholds = []
    term = math.exp(-mean)
    below = 0.0
    k = 0
    while k <= mean or term >= 2.0**-33:
        below += term
        thresholds.append(min(round(below * 2.0**32), 2**32))
        k += 1
        term *= mean / k
    return np.array([t for t in thresholds if t < 2**32], np.uint32)


def passed_thresholds(thresholds):
    """Return the thresholds as `poisson_add` takes them: the number that every word reaches, and the others minus one.

    Minus one, a threshold is passed (>) where it was reached (>=). The list is filled up to a multiple of eight with
    2^32 - 1, which no word passes.
    """
    certain = int(np.count_nonzero(thresholds == 0))
    others = (thresholds[certain:] - np.uint32(1)).astype(np.uint32)
    return certain, np.concatenate([others, np.full(-others.size % 8, 2**32 - 1, np.uint32)])


@compiled
def _highest(words):
    highest = uint32(0)
    for i in range(words.size):
        highest = max(highest, words[i])
    return highest


@njit(inline="always")
def _passed8(v, t0, t1, t2, t3, t4, t5, t6, t7):
    """Return the number of thresholds that v passes; the sum is kept at 32 bits, as wide as v."""
    k = int32(int32(v > t0) + int32(v > t1))
    k = int32(k + int32(v > t2))
    k = int32(k + int32(v > t3))
    k = int32(k + int32(v > t4))
    k = int32(k + int32(v > t5))
    k = int32(k + int32(v > t6))
    return int32(k + int32(v > t7))


@compiled
def _count8(words, thresholds, base, out):
    """Set out[i] to base plus the number of 8 thresholds that words[i] passes; return the sum."""
    t0 = thresholds[0]
    t1 = thresholds[1]
    t2 = thresholds[2]
    t3 = thresholds[3]
    t4 = thresholds[4]
    t5 = thresholds[5]
    t6 = thresholds[6]
    t7 = thresholds[7]
    total = int32(0)
    for i in range(out.size):
        k = int32(_passed8(words[i], t0, t1, t2, t3, t4, t5, t6, t7) + base)
        out[i] = k
        total = int32(total + k)
    return total


@compiled
def _add8(words, thresholds, base, weight, x):
    """Add weight times the counts of `_count8` to x; return the sum of the counts."""
    t0 = thresholds[0]
    t1 = thresholds[1]
    t2 = thresholds[2]
    t3 = thresholds[3]
    t4 = thresholds[4]
    t5 = thresholds[5]
    t6 = thresholds[6]
    t7 = thresholds[7]
    total = int32(0)
    for i in range(x.size):
        k = int32(_passed8(words[i], t0, t1, t2, t3, t4, t5, t6, t7) + base)
        x[i] += weight * x.dtype.type(k)
        total = int32(total + k)
    return total


@compiled
def _more8(words, thresholds, out):
    """Add to out[i] the number of 8 thresholds that words[i] passes; return the sum of the additions."""
    t0 = thresholds[0]
    t1 = thresholds[1]
    t2 = thresholds[2]
    t3 = thresholds[3]
    t4 = thresholds[4]
    t5 = thresholds[5]
    t6 = thresholds[6]
    t7 = thresholds[7]
    total = int32(0)
    for i in range(out.size):
        k = _passed8(words[i], t0, t1, t2, t3, t4, t5, t6, t7)
        out[i] += k
        total = int32(total + k)
    return total


def poisson_add_reference(key, first, draw, certain, passed, weight, x):
    """Add as `poisson_add`: its specification."""
    words = np.empty((x.size + 63) // 64 * 64, np.uint32)
    group_words(np.uint64(key), first, np.uint64(draw), words)
    counts = certain + (words[: x.size, None] > passed[None]).sum(axis=1)
    x += x.dtype.type(weight) * counts.astype(x.dtype)
    return int(counts.sum())


@compiled
def poisson_add(key, first, draw, certain, passed, weight, words, counts, x):
    """Add weight times the Poisson count of unit `first + i` to x[i]; return the sum of the counts.

    `first` is a multiple of 64.

    A piece of 256 units goes beyond the first 8 thresholds only where its highest word does.

    Args:
        certain, passed: from `passed_thresholds`.
        words, counts: uint32 and int32 [256] scratch.
    """
    total = 0
    for low in range(0, x.size, 256):
        n = min(256, x.size - low)
        group_words(key, first + low, draw, words[: (n + 63) // 64 * 64])
        word = words[:n]
        count = counts[:n]
        part = x[low : low + n]
        if passed.size == 0:
            count[:] = certain
            total += certain * n
        elif passed.size == 8 or _highest(word) <= passed[8]:
            total += _add8(word, passed[:8], int32(certain), weight, part)
            continue
        else:
            total += _count8(word, passed[:8], int32(certain), count)
            for k in range(8, passed.size, 8):
                total += _more8(word, passed[k : k + 8], count)
        for i in range(n):
            part[i] += weight * x.dtype.type(count[i])
    return total
