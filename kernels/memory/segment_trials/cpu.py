"""Trials of random segments against random codes, compiled."""

from __future__ import annotations

import numpy as np
from numba import uint64

from ...tools.compiled import compiled
from ...tools.random import words


@compiled
def draw_subset(key, index, start, pool, count):
    """Compute `draw_reference` on an array."""
    n = pool.size
    a = b = c = d = np.uint32(0)
    for i in range(count):
        if i % 4 == 0:
            a, b, c, d = words(uint64(key), uint64(index), uint64(start + i // 4))
        if i % 4 == 0:
            word = a
        elif i % 4 == 1:
            word = b
        else:
            word = c if i % 4 == 2 else d
        # Lemire's product: the bias of a choice among n stays below n / 2^32.
        j = i + np.int64(uint64(word) * uint64(n - i) >> uint64(32))
        pool[i], pool[j] = pool[j], pool[i]
    return start + (count + 3) // 4


@compiled
def random_hits(synapses, size, active, patterns, threshold, key):
    """Compute `random_hits_reference`: (hits, [trials] active bits)."""
    trials = synapses.shape[0]
    pool = np.arange(size)
    # One bit more, always off: -1 reads it.
    bits = np.zeros(size + 1, np.uint8)
    sizes = np.empty(trials, np.int64)
    hits = 0
    for t in range(trials):
        draw = on = total = 0
        for _ in range(patterns):
            draw = draw_subset(key, t, draw, pool, active)
            for i in range(active):
                on += bits[pool[i]] == 0
                bits[pool[i]] = 1
        for k in range(synapses.shape[1]):
            total += bits[synapses[t, k]]
        hits += total >= threshold
        sizes[t] = on
        bits[:] = 0
        # From the same order in every trial: a trial depends on its number alone.
        for i in range(size):
            pool[i] = i
    return hits, sizes


@compiled
def noisy_misses(synapses, patterns, size, lost, threshold, key):
    """Compute `noisy_misses_reference`."""
    trials, active = patterns.shape
    bits = np.zeros(size + 1, np.uint8)
    own = np.empty(active, np.int64)
    others = np.empty(size - active, np.int64)
    misses = 0
    for t in range(trials):
        bits[:] = 0
        for i in range(active):
            own[i] = patterns[t, i]
            bits[own[i]] = 1
        n = 0
        for i in range(size):
            if bits[i] == 0:
                others[n] = i
                n += 1
        # Draws of the same trial go on where the first subset ended, so that none is used twice.
        draw = draw_subset(key, t, 0, own, lost)
        draw_subset(key, t, draw, others, lost)
        for i in range(lost):
            bits[own[i]] = 0
            bits[others[i]] = 1
        total = 0
        for k in range(synapses.shape[1]):
            total += bits[synapses[t, k]]
        misses += total < threshold
    return misses


@compiled
def subsets(key, trials, size, count):
    """Compute `subsets_reference`: [trials, count] int32."""
    out = np.empty((trials, count), np.int32)
    pool = np.empty(size, np.int64)
    for t in range(trials):
        for i in range(size):
            pool[i] = i
        draw_subset(key, t, 0, pool, count)
        for i in range(count):
            out[t, i] = pool[i]
    return out
