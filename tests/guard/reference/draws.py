"""Random draws of a run, by the counter-based generator Threefry4x32-20 (Salmon et al. 2011), in plain numpy.

A draw is a function of a key, an index and a draw number. The key is that of seed, kind and name (`random.rng_key`),
the draw number is trial 2^32 + step, and the index is the unit, or the number of the synapse.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosim.base.random import rng_key

ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
PARITY = 0x1BD11BDA
ROUNDS = 20

Words = NDArray[np.uint32]


def threefry(counter: list[Words], key: list[Words]) -> list[Words]:
    """Return four arrays of words from four arrays of counters and four of keys."""
    keys = [*key, np.uint32(PARITY) ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [c + k for c, k in zip(counter, key, strict=True)]
    for round_number in range(ROUNDS):
        if round_number % 2 == 0:
            pairs = ((0, 1), (2, 3))
        else:
            pairs = ((0, 3), (2, 1))
        for (i, j), by in zip(pairs, ROTATIONS[round_number % 8], strict=True):
            x[i] = x[i] + x[j]
            x[j] = (x[j] << np.uint32(by) | x[j] >> np.uint32(32 - by)) ^ x[i]
        if round_number % 4 == 3:
            s = (round_number + 1) // 4
            x = [word + keys[(s + i) % 5] for i, word in enumerate(x)]
            x[3] = x[3] + np.uint32(s)
    return x


def words(key: int, index: NDArray[np.int64], draw: NDArray[np.int64]) -> list[Words]:
    """Return four words for each pair of an index and a draw number, two arrays of one shape."""
    counter = [*_halves(index), *_halves(draw)]
    none = np.zeros(index.shape, np.uint32)
    low = key & 0xFFFFFFFF
    high = key >> 32
    return threefry(counter, [none + np.uint32(low), none + np.uint32(high), none, none])


def _halves(numbers: NDArray[np.int64]) -> list[Words]:
    """Return the lower and the upper 32 bits."""
    return [(numbers & 0xFFFFFFFF).astype(np.uint32), (numbers >> 32).astype(np.uint32)]


def uniforms(high: Words, low: Words) -> NDArray[np.float64]:
    """Return numbers in (0, 1) from pairs of words, of 53 bits."""
    bits = (high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)) >> np.uint64(11)
    return np.asarray((bits.astype(np.float64) + 0.5) / 2.0**53)


def cumulative(mean: float) -> NDArray[np.float64]:
    """Return the probabilities of at most k events of a Poisson distribution, k = 0, 1, ..., until they reach 1."""
    term = math.exp(-mean)
    below = [math.exp(-mean)]
    for k in itertools.count(1):
        term *= mean / k
        below.append(below[-1] + term)
        if k > mean and term < 2.0**-33:
            return np.array(below)
    raise AssertionError


@dataclass(frozen=True)
class Draws:
    """The draws of one run of some steps."""

    seed: int
    trial: int
    steps: int

    def of_steps(self, key: int, index: NDArray[np.int64]) -> list[Words]:
        """Return four words, each [steps, indices]."""
        numbers = self.trial << 32 | np.arange(self.steps)
        return words(key, *np.broadcast_arrays(index[None], numbers[:, None]))

    def poisson_counts(self, name: str, means: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the counts of a `PoissonInput` of these means in each step, [steps, units].

        Sixteen counters give the words of 64 units: word w of counter j is that of unit 16 w + j. A count is the number
        of values of the cumulative distribution that the word reaches.
        """
        unit = np.arange(means.shape[1])
        four = np.stack(self.of_steps(rng_key(self.seed, "stimulus", name), 16 * (unit // 64) + unit % 16))
        chosen = np.take_along_axis(four, (unit % 64 // 16)[None, None], axis=0)[0] / 2.0**32
        counts = np.empty(means.shape, np.int64)
        for mean in np.unique(means):
            counts[means == mean] = np.searchsorted(cumulative(mean), chosen[means == mean], side="right")
        return counts

    def normals(self, name: str, size: int) -> NDArray[np.float64]:
        """Return the standard normals of a `NoiseCurrent`, [steps, size], two of each counter (Box & Muller 1958)."""
        unit = np.arange(size)
        a, b, c, d = self.of_steps(rng_key(self.seed, "current", name), unit // 2)
        radius = np.sqrt(-2 * np.log(uniforms(a, b)))
        angle = 2 * np.pi * uniforms(c, d)
        return np.asarray(radius * np.where(unit % 2, np.sin(angle), np.cos(angle)))

    def releases(self, name: str, delay: int, synapses: int, spike: int, p: float) -> NDArray[np.bool_]:
        """Return which synapses of one delay transmit, [steps, synapses].

        Args:
            synapses: their number; they are counted by source, then target.
            spike: 0 for the first spike of a source in its step, 1 for the second, and so on.
        """
        index = spike << 40 | np.arange(synapses)
        a, b, _, _ = self.of_steps(rng_key(self.seed, "release", name, str(delay)), index)
        return uniforms(a, b) < p
