"""Simulations of associative memories: functions from a seed to one value of a curve."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .common import Array
from .dense import DenseHebbian
from .hopfield import Hopfield
from .multitasking import combinations
from .pairs import FastWeights, keys
from .sparse import SparseDistributed
from .tail import tail_run

Simulation = Callable[[int], float]
# Units of the Hopfield networks: at the critical load the step is as wide as 1 / sqrt(N).
UNITS = 2000
# Patterns recalled of each memory.
PROBES = 6
# Units of networks of diluted patterns.
DILUTED_UNITS = 4000
# Units of networks at a temperature.
WARM_UNITS = 1000
# Sweeps of networks at a temperature, of which the second half is averaged.
WARM_SWEEPS = 100
# Bits that are looked at in a dense memory, in patterns.
DENSE_PROBES = 50
# Size of keys and of values.
KEY_SIZE = 64
# Addresses of sparse distributed memories, their bits, and the fraction that answers.
ADDRESSES = 2000
ADDRESS_BITS = 256
ANSWERING = 0.02
# Contents of a sparse distributed memory that are read.
SPARSE_PROBES = 100


def hopfield_recall(load: float, units: int = UNITS) -> Simulation:
    """Return the mean overlap with a stored pattern of a recall that starts at it."""

    def simulate(seed: int) -> float:
        patterns = _signs(seed, round(load * units), units)
        memory = Hopfield.store(patterns)
        return float(np.mean([memory.recall(p, seed=k).overlap(p)[0] for k, p in enumerate(patterns[:PROBES])]))

    return simulate


def dense_errors(units: int, order: int, count: int) -> Simulation:
    """Return the fraction of bits of stored patterns that one update turns."""

    def simulate(seed: int) -> float:
        patterns = _signs(seed, count, units)
        memory = DenseHebbian.store(patterns, order)
        return float(np.mean([np.sign(memory.field(p)) != p for p in patterns[:DENSE_PROBES]]))

    return simulate


def errors_from_examples(
    units: int, kinds: int, each: int, quality: float, order: int = 2, *, supervised: bool
) -> Simulation:
    """Return the fraction of bits of archetypes that one update turns, where only noisy examples were stored."""

    def simulate(seed: int) -> float:
        archetypes = _signs(seed, kinds, units)
        agree = np.random.default_rng(seed + 1000).random((kinds, each, units)) < (1 + quality) / 2
        examples = np.where(agree, archetypes[:, None], -archetypes[:, None]).reshape(-1, units)
        if supervised:
            memory = DenseHebbian.supervised(examples, np.repeat(np.arange(kinds), each), order)
        else:
            memory = DenseHebbian.unsupervised(examples, order)
        return float(np.mean([np.sign(memory.field(a)) != a for a in archetypes]))

    return simulate


def diluted_overlap(rank: int, dilution: float, count: int = 3, units: int = DILUTED_UNITS) -> Simulation:
    """Return the overlap with the pattern of a rank, of several diluted ones that are recalled at once."""

    def simulate(seed: int) -> float:
        draws = np.random.default_rng(seed)
        half = (1 - dilution) / 2
        patterns = draws.choice([-1.0, 0.0, 1.0], (count, units), p=[half, dilution, half])
        cue = np.where(patterns[0] != 0, patterns[0], draws.choice([-1.0, 1.0], units))
        overlaps = np.abs(Hopfield.store(patterns).recall(cue, seed).overlap(patterns))
        return float(np.sort(overlaps)[::-1][rank])

    return simulate


def warm_overlap(rank: int, dilution: float, temperature: float, count: int = 3, units: int = WARM_UNITS) -> Simulation:
    """Return the overlap of a rank at a temperature, of a network that begins in the hierarchy of its patterns.

    Every combination of entries is at as many units as its chance says: in patterns that are drawn, small differences
    decide which of two states of nearly the same free energy is reached.
    """
    return lambda seed: _warm_overlaps(dilution, temperature, count, units, seed)[rank]


def learned_overlap(
    rank: int, dilution: float, each: int, quality: float, *, supervised: bool, count: int = 3, units: int = UNITS
) -> Simulation:
    """Return the overlap of a rank with archetypes of which only noisy examples were stored, from their hierarchy."""

    def simulate(seed: int) -> float:
        archetypes, cue = _hierarchy(dilution, count, units, seed)
        draws = np.random.default_rng(seed + 1000)
        agree = draws.random((count, each, archetypes.shape[1])) < (1 + quality) / 2
        examples = np.where(agree, archetypes[:, None], -archetypes[:, None]).reshape(count * each, -1)
        if supervised:
            memory = Hopfield.supervised(examples, np.repeat(np.arange(count), each), quality)
        else:
            memory = Hopfield.unsupervised(examples, count, quality)
        return float(np.sort(np.abs(memory.recall(cue, seed).overlap(archetypes)))[::-1][rank])

    return simulate


@lru_cache(maxsize=16)
def _warm_overlaps(dilution: float, temperature: float, count: int, units: int, seed: int) -> tuple[float, ...]:
    """Return the mean overlaps of such a network, the largest first; curves of several ranks need them."""
    patterns, cue = _hierarchy(dilution, count, units, seed)
    recall = Hopfield.store(patterns).recall(cue, seed, WARM_SWEEPS, temperature)
    return tuple(float(m) for m in np.sort(np.abs(recall.overlap(patterns)))[::-1])


def _hierarchy(dilution: float, count: int, units: int, seed: int) -> tuple[Array, Array]:
    """Return patterns with every combination of entries at its frequency, and the state of their hierarchy."""
    entries, chance = combinations(count, dilution)
    patterns = np.repeat(entries, np.round(chance * units).astype(int), axis=0).T
    cue = np.random.default_rng(seed).choice([-1.0, 1.0], patterns.shape[1])
    for pattern in patterns[::-1]:
        cue = np.where(pattern != 0, pattern, cue)
    return patterns, cue


def warm_dense_overlap(units: int, order: int, load: float, temperature: float) -> Simulation:
    """Return the mean overlap with a stored pattern of a dense memory that begins there, at a temperature."""

    def simulate(seed: int) -> float:
        patterns = _signs(seed, round(load * units ** (order - 1)), units)
        memory = DenseHebbian.store(patterns, order)
        recalls = memory.recall_many(patterns[:PROBES], WARM_SWEEPS // 2, temperature, seed)
        return float(np.mean(np.diagonal(recalls.overlap(patterns[:PROBES]))))

    return simulate


def pair_error(rule: FastWeights, count: int, d_k: int, kind: str) -> Simulation:
    """Return the mean squared error of values that are read by their keys."""

    def simulate(seed: int) -> float:
        k = keys(kind, count, d_k, seed)
        v = np.random.default_rng(seed).normal(size=(count, KEY_SIZE))
        return rule.memory(d_k, KEY_SIZE).write(k, v).error(k, v)

    return simulate


def sparse_errors(count: int, flips: int) -> Simulation:
    """Return the fraction of wrong bits of contents read at their addresses, of which `flips` bits are flipped."""

    def simulate(seed: int) -> float:
        # Contents of their own: those written at themselves have fewer errors, as near addresses have like contents.
        addresses, contents = _signs(seed, 2, count, ADDRESS_BITS)
        memory = SparseDistributed.random(ADDRESSES, ADDRESS_BITS, ADDRESS_BITS, ANSWERING, seed=seed)
        probes = addresses[:SPARSE_PROBES]
        order = np.random.default_rng(seed + 1000).random(probes.shape).argsort(axis=1)
        cues = np.where(order < flips, -probes, probes)
        read = memory.write(addresses, contents).read(cues)
        # A bit without a sign is half wrong.
        return float(np.mean(1 - read * contents[:SPARSE_PROBES])) / 2

    return simulate


def rarest_class(optimizer: str, ratio: float) -> Simulation:
    """Return the probability of the worst class once the best has .99."""
    return lambda seed: float(tail_run(optimizer, ratio, seed=seed).worst[-1])


def _signs(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)
