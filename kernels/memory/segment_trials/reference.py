"""Trials of random segments against random codes, for Monte Carlo: the specification, on lists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...tools.random import threefry_reference


def draw_reference(key: int, index: int, start: int, pool: list[int], count: int) -> int:
    """Bring `count` entries of `pool`, all choices equally likely, to its front; return the next unused draw.

    Fisher and Yates' shuffle, cut short; word w of draw d serves entry 4 d + w, so the subset depends on
    (key, index, start) alone.
    """
    for i in range(count):
        # A block of the generator has four words.
        counter = (index, 0, start + i // 4, 0)
        word = threefry_reference(counter, (key & 0xFFFFFFFF, key >> 32, 0, 0))[i % 4]
        j = i + (word * (len(pool) - i) >> 32)
        pool[i], pool[j] = pool[j], pool[i]
    return start + -(-count // 4)


def subsets_reference(key: int, trials: int, size: int, count: int) -> list[list[int]]:
    """Return for each trial `count` distinct numbers below `size`, in the order of drawing."""
    pools = [list(range(size)) for _ in range(trials)]
    for trial, pool in enumerate(pools):
        draw_reference(key, trial, 0, pool, count)
    return [pool[:count] for pool in pools]


def random_hits_reference(
    synapses: NDArray[np.int32], size: int, active: int, patterns: int, threshold: int, key: int
) -> tuple[int, list[int]]:
    """Match segments [trials, s] (-1: no synapse) with unions of `patterns` random codes: (hits, active bits by trial).

    Trial t draws `patterns` times `active` of `size` bits and counts the segment's synapses on them.
    """
    hits = 0
    sizes = []
    for trial, segment in enumerate(synapses):
        draw = 0
        pool = list(range(size))
        on = set()
        for _ in range(patterns):
            draw = draw_reference(key, trial, draw, pool, active)
            on |= set(pool[:active])
        hits += sum(s in on for s in segment) >= threshold
        sizes.append(len(on))
    return hits, sizes


def noisy_misses_reference(
    synapses: NDArray[np.int32], patterns: NDArray[np.int32], size: int, lost: int, threshold: int, key: int
) -> int:
    """Count the segments [trials, s] that miss their pattern [trials, a] after `lost` of its bits moved elsewhere.

    The moved bits come on among those that were off, so that noise may also help a segment by chance where it has
    synapses outside its pattern.
    """
    misses = 0
    for trial, (segment, pattern) in enumerate(zip(synapses, patterns, strict=True)):
        own = [int(i) for i in pattern]
        others = [i for i in range(size) if i not in own]
        draw_reference(key, trial, draw_reference(key, trial, 0, own, lost), others, lost)
        on = {*own[lost:], *others[:lost]}
        misses += sum(s in on for s in segment) < threshold
    return misses
