"""Random draws of a run, by the generators Threefry4x32-20 and ARS-7 (Salmon et al. 2011), in plain numpy.

A draw is a function of a key, an index and a draw number. The key is that of seed, kind and name (`random.rng_key`),
the draw number is trial 2^32 + step, and the index is the unit, or the number of the synapse.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosim.base.random import rng_key
from neurosim.network.neurons.base import Drive

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


def _doubled(a: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 2 a in the field of AES: shifted, less the polynomial where a bit was lost."""
    return (a << 1) ^ (a >> 7) * np.uint8(0x1B)


def _product(a: int, b: int) -> int:
    total = 0
    for bit in range(8):
        if b >> bit & 1:
            total ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
    return total


def _substitutes() -> NDArray[np.uint8]:
    """Return the S-box of AES: the inverse of each byte, times a matrix of bits, plus 0x63 (FIPS 197)."""
    inverse = [0] + [next(b for b in range(256) if _product(a, b) == 1) for a in range(1, 256)]
    box = []
    for a in inverse:
        turned = [(a << k | a >> 8 - k) & 0xFF for k in range(5)]
        box.append(turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4] ^ 0x63)
    return np.array(box, np.uint8)


BOX = _substitutes()
WEYL = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)


def ars(index: NDArray[np.int64], draw: NDArray[np.int64], key: int) -> NDArray[np.uint8]:
    """Return 16 bytes for each pair of an index and a draw number, two arrays of one shape: [..., 16]."""
    round_key = np.array([key, 0], np.uint64)
    counter = np.stack([index, draw], axis=-1).astype(np.uint64) ^ round_key
    block = np.ascontiguousarray(counter).view(np.uint8)
    for number in range(7):
        round_key = round_key + WEYL
        # Bytes are columns of four; row r moves r columns to the left.
        columns = BOX[block].reshape(*block.shape[:-1], 4, 4)
        rows = [np.roll(columns[..., r], -r, axis=-1) for r in range(4)]
        if number < 6:
            twice = [_doubled(row) for row in rows]
            rows = [
                twice[r] ^ twice[(r + 1) % 4] ^ rows[(r + 1) % 4] ^ rows[(r + 2) % 4] ^ rows[(r + 3) % 4]
                for r in range(4)
            ]
        block = np.stack(rows, axis=-1).reshape(block.shape) ^ round_key.view(np.uint8)
    return block


def probabilities(mean: float) -> NDArray[np.float64]:
    """Return the probabilities of 0, 1, ... events of a Poisson distribution, down to 2^-49."""
    terms = [math.exp(-mean)]
    for k in itertools.count(1):
        term = terms[-1] * mean / k
        if k > mean and term < 2.0**-49:
            return np.array(terms)
        terms.append(term)
    raise AssertionError


def _of_units(words: NDArray[Any], lane: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the word of each unit, [steps, units], from those of its block, [steps, units, lanes]."""
    places = np.broadcast_to(lane, words.shape[:-1])[..., None]
    return np.take_along_axis(words, places, axis=-1)[..., 0].astype(np.int64)


def successes(count: int, chance: float, number: float) -> int:
    """Return the successes of some trials by a uniform number: the less probable outcome is counted from 0 on."""
    p = min(chance, 1 - chance)
    terms = [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count)]
    k = sum(number >= total for total in itertools.accumulate(terms))
    return count - k if chance > 0.5 else k


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

        A block of ARS has the words of 16 bits of eight units. A count owns as many of the 65,536 words as the integer
        part of its probability times 65,536. The others draw a word of 32 bits, of four units a block beyond 2^32,
        which the counts share by the fractions that are left.
        """
        unit = np.arange(means.shape[1])
        numbers = (self.trial << 32 | np.arange(self.steps))[:, None]
        key = rng_key(self.seed, "stimulus", name)
        words = _of_units(ars(*np.broadcast_arrays(unit // 8, numbers), key).view(np.uint16), unit % 8)
        late = _of_units(ars(*np.broadcast_arrays(2**32 + unit // 4, numbers), key).view(np.uint32), unit % 4)
        counts = np.empty(means.shape, np.int64)
        for mean in np.unique(means):
            parts = probabilities(mean) * 65536
            owned = np.cumsum(np.floor(parts))
            left = np.cumsum(parts - np.floor(parts)) / max(65536 - owned[-1], 1)
            chosen = means == mean
            first = np.searchsorted(owned, words[chosen], side="right")
            second = np.searchsorted(np.rint(left * 2.0**32), late[chosen], side="right")
            counts[chosen] = np.where(words[chosen] < owned[-1], first, second)
        return counts

    def normals(self, name: str, size: int) -> NDArray[np.float64]:
        """Return the standard normals of a `NoiseCurrent`, [steps, size]."""
        return self.normals_of(rng_key(self.seed, "current", name), size)

    def normals_of(self, key: int, size: int) -> NDArray[np.float64]:
        """Return standard normals, [steps, size], two of each counter (Box & Muller 1958)."""
        unit = np.arange(size)
        a, b, c, d = self.of_steps(key, unit // 2)
        radius = np.sqrt(-2 * np.log(uniforms(a, b)))
        angle = 2 * np.pi * uniforms(c, d)
        return np.asarray(radius * np.where(unit % 2, np.sin(angle), np.cos(angle)))

    def drive(self, population: str, drive: Drive, size: int) -> NDArray[np.float64]:
        """Return a row that neurons are driven by, [steps, size]."""
        if drive.kind == "step":
            return np.repeat(np.arange(float(self.steps))[:, None], size, axis=1)
        if drive.kind == "unit":
            return np.repeat(np.arange(float(size))[None], self.steps, axis=0)
        key = rng_key(self.seed, "drive", population, drive.name)
        if drive.kind == "normal":
            return self.normals_of(key, size)
        a, b, _, _ = self.of_steps(key, np.arange(size))
        return uniforms(a, b)

    def releases(self, name: str, delay: int, synapses: int, spike: int, p: float) -> NDArray[np.bool_]:
        """Return which synapses of one delay transmit, [steps, synapses].

        Args:
            synapses: their number; they are counted by source, then target.
            spike: 0 for the first spike of a source in its step, 1 for the second, and so on.
        """
        return self.quanta(name, delay, synapses, spike)[0] < p

    def quanta(
        self, name: str, delay: int, synapses: int, spike: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the numbers that fill and those that empty release sites, [steps, synapses] each; see `releases`."""
        index = spike << 40 | np.arange(synapses)
        a, b, c, d = self.of_steps(rng_key(self.seed, "release", name, str(delay)), index)
        return uniforms(a, b), uniforms(c, d)
