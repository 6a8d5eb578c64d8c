"""Overlaps of dendritic segments with active bits, and subsets drawn for Monte Carlo."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ..tools.random import threefry_reference, words


def overlaps_reference(synapses, dense):
    """The specification of `overlaps`."""
    return np.where(synapses >= 0, dense[synapses], False).sum(axis=-1, dtype=np.int32)


def overlaps(synapses, dense):
    """Count the synapses [..., s] int32 (-1: none) on active bits [size], booleans: [...] int32."""
    # One bit more, always off: -1 reads it.
    bits = np.zeros(dense.size + 1, np.uint8)
    bits[:-1] = dense
    out = np.empty(synapses.shape[:-1], np.int32)
    _overlaps(synapses.reshape(-1, synapses.shape[-1]), bits, out.reshape(-1))
    return out


@njit(cache=True, nogil=True)
def _overlaps(synapses, bits, out):
    for i in range(out.size):
        row = synapses[i]
        total = 0
        for k in range(row.size):
            total += bits[row[k]]
        out[i] = total


def draw_reference(key, index, start, pool, count):
    """The specification of `draw_subset`, on a list."""
    for i in range(count):
        counter = (index, 0, start + i // 4, 0)
        word = threefry_reference(counter, (key & 0xFFFFFFFF, key >> 32, 0, 0))[i % 4]
        j = i + (word * (len(pool) - i) >> 32)
        pool[i], pool[j] = pool[j], pool[i]
    return start + -(-count // 4)


def subsets_reference(key, trials, size, count):
    """The specification of `subsets`."""
    pools = [list(range(size)) for _ in range(trials)]
    for trial, pool in enumerate(pools):
        draw_reference(key, trial, 0, pool, count)
    return [pool[:count] for pool in pools]


def random_hits_reference(synapses, size, active, patterns, threshold, key):
    """The specification of `random_hits`."""
    hits = 0
    union = []
    for trial, segment in enumerate(synapses):
        draw = 0
        pool = list(range(size))
        on = set()
        for _ in range(patterns):
            draw = draw_reference(key, trial, draw, pool, active)
            on |= set(pool[:active])
        hits += sum(s in on for s in segment) >= threshold
        union.append(len(on))
    return hits, union


def noisy_misses_reference(synapses, patterns, size, lost, threshold, key):
    """The specification of `noisy_misses`."""
    misses = 0
    for trial, (segment, pattern) in enumerate(zip(synapses, patterns, strict=True)):
        mine = list(pattern)
        others = [i for i in range(size) if i not in pattern]
        draw_reference(key, trial, draw_reference(key, trial, 0, mine, lost), others, lost)
        on = {*mine[lost:], *others[:lost]}
        misses += sum(s in on for s in segment) < threshold
    return misses


@njit(cache=True, nogil=True)
def draw_subset(key, index, start, pool, count):
    """Bring `count` entries of `pool`, all choices equally likely, to its front; return the next unused draw.

    Fisher and Yates' shuffle, cut short; word w of draw d serves entry 4 d + w, so the subset depends on
    (key, index, start) alone. Lemire's product keeps the bias of a choice among n below n / 2^32.
    """
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
        j = i + np.int64(uint64(word) * uint64(n - i) >> uint64(32))
        pool[i], pool[j] = pool[j], pool[i]
    return start + (count + 3) // 4


@njit(cache=True, nogil=True)
def random_hits(synapses, size, active, patterns, threshold, key):
    """Match segments [trials, s] (-1: no synapse) with unions of `patterns` random codes: (hits, [trials] active bits).

    Trial t draws `patterns` times `active` of `size` bits and counts the segment's synapses on them.
    """
    trials = synapses.shape[0]
    pool = np.arange(size)
    bits = np.zeros(size + 1, np.uint8)
    union = np.empty(trials, np.int64)
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
        union[t] = on
        bits[:] = 0
        # From the same order in every trial: a trial depends on its number alone.
        for i in range(size):
            pool[i] = i
    return hits, union


@njit(cache=True, nogil=True)
def noisy_misses(synapses, patterns, size, lost, threshold, key):
    """Count the segments [trials, s] that miss their pattern [trials, a] after `lost` of its bits moved elsewhere.

    The moved bits come on among those that were off, so that noise may also help a segment by chance where it has
    synapses outside its pattern.
    """
    trials, active = patterns.shape
    bits = np.zeros(size + 1, np.uint8)
    mine = np.empty(active, np.int64)
    others = np.empty(size - active, np.int64)
    misses = 0
    for t in range(trials):
        bits[:] = 0
        for i in range(active):
            mine[i] = patterns[t, i]
            bits[mine[i]] = 1
        n = 0
        for i in range(size):
            if bits[i] == 0:
                others[n] = i
                n += 1
        draw = draw_subset(key, t, 0, mine, lost)
        draw_subset(key, t, draw, others, lost)
        for i in range(lost):
            bits[mine[i]] = 0
            bits[others[i]] = 1
        total = 0
        for k in range(synapses.shape[1]):
            total += bits[synapses[t, k]]
        misses += total < threshold
    return misses


@njit(cache=True, nogil=True)
def subsets(key, trials, size, count):
    """Return [trials, count] int32: row t has `count` distinct numbers below `size`, in the order of drawing."""
    out = np.empty((trials, count), np.int32)
    pool = np.empty(size, np.int64)
    for t in range(trials):
        for i in range(size):
            pool[i] = i
        draw_subset(key, t, 0, pool, count)
        for i in range(count):
            out[t, i] = pool[i]
    return out
