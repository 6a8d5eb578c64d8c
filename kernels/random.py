"""Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

A draw is a pure function of (key, index, draw): no state is kept, so results depend neither on threads, nor on the
order of drawing, nor on how a range is cut. `key` names a stream (64 bits, see `neurosim.network.stream`), `index`
and `draw` (64 bits each) are whatever counts within it: a synapse and an attempt, a unit and a step.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint32, uint64

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
# Units whose draws come from one group of 16 counters: word w of counter j belongs to unit 16 w + j.
GROUP = 64
TWO_PI = 2.0 * math.pi


def philox_reference(counter, key):
    """Four and two words of 32 bits to four: the specification, in whole numbers of any size."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        a, b = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


@njit(cache=True, nogil=True, inline="always")
def philox(key, index, draw):
    """Four uint32 from three uint64."""
    c0, c1 = uint32(index), uint32(uint64(index) >> uint64(32))
    c2, c3 = uint32(draw), uint32(uint64(draw) >> uint64(32))
    k0, k1 = uint32(key), uint32(uint64(key) >> uint64(32))
    for _ in range(10):
        a = uint64(0xD2511F53) * uint64(c0)
        b = uint64(0xCD9E8D57) * uint64(c2)
        c0, c1, c2, c3 = (
            uint32(uint32(b >> uint64(32)) ^ c1 ^ k0),
            uint32(b),
            uint32(uint32(a >> uint64(32)) ^ c3 ^ k1),
            uint32(a),
        )
        k0 = uint32(k0 + uint32(0x9E3779B9))
        k1 = uint32(k1 + uint32(0xBB67AE85))
    return c0, c1, c2, c3


@njit(cache=True, nogil=True, inline="always")
def unit_interval(high, low):
    """Two words to a float64 strictly between 0 and 1, in steps of 2^-53."""
    bits = (uint64(high) << uint64(32) | uint64(low)) >> uint64(11)
    return (float(bits) + 0.5) * 1.1102230246251565e-16


@njit(cache=True, nogil=True)
def words(key, index, draw):
    """[4] uint32 of one counter, to compare with `philox_reference`."""
    return np.array(philox(uint64(key), uint64(index), uint64(draw)), np.uint32)


@njit(cache=True, nogil=True)
def uniforms(key, first, draw, out):
    """Fill out[i] with the float64 in (0, 1) of index `first + i`."""
    for i in range(out.size):
        a, b, _, _ = philox(uint64(key), uint64(first + i), uint64(draw))
        out[i] = unit_interval(a, b)


@njit(cache=True, nogil=True)
def normals(key, first, draw, out):
    """Fill out[i] with the standard normal of index `first + i` (Box & Muller 1958; one of the pair is used)."""
    for i in range(out.size):
        a, b, c, d = philox(uint64(key), uint64(first + i), uint64(draw))
        out[i] = math.sqrt(-2.0 * math.log(unit_interval(a, b))) * math.cos(TWO_PI * unit_interval(c, d))


@njit(cache=True, nogil=True)
def normals_at(key, indices, draw, out):
    """Fill out[i] with the standard normal of `indices[i]`."""
    for i in range(out.size):
        normals(key, indices[i], draw, out[i : i + 1])


@njit(cache=True, nogil=True)
def group_words(key, first, draw, out):
    """Fill out[i] with the uint32 of unit `first + i` at `draw`; `first` and `out.size` are multiples of 64.

    A counter serves four units, 16 apart, so that a vector of counters stores whole vectors of draws.
    """
    for g in range(out.size // 64):
        part = out[64 * g : 64 * g + 64]
        index = uint64(first // 64 + g) * uint64(16)
        for j in range(16):
            a, b, c, d = philox(uint64(key), index + uint64(j), uint64(draw))
            part[j] = a
            part[j + 16] = b
            part[j + 32] = c
            part[j + 48] = d


def poisson_thresholds(mean):
    """[n] uint32, rising: a Poisson count of this mean is how many of them a uniform uint32 reaches or passes.

    Entry k is the probability of at most k events in units of 2^-32, so counts rarer than that never occur.
    """
    if math.exp(-mean) == 0.0:
        raise ValueError(f"a mean of {mean} events is beyond the table")
    thresholds, term, below, k = [], math.exp(-mean), 0.0, 0
    while k <= mean or term >= 2.0**-33:
        below += term
        thresholds.append(min(round(below * 2.0**32), 2**32))
        k += 1
        term *= mean / k
    return np.array([t for t in thresholds if t < 2**32], np.uint32)


@njit(cache=True, nogil=True)
def poisson_counts(words, thresholds, out):
    """out[i] = the Poisson count of words[i]: how many thresholds it reaches."""
    n = out.size
    out[:] = 0
    for k in range(thresholds.size):
        t = thresholds[k]
        for i in range(n):
            out[i] += words[i] >= t
