"""Experiments on associative memories: curves of theory, and a simulation of each of their points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .common import Array
from .dense import DenseHebbian, dense_bit_error
from .dense_phases import dense_state
from .hopfield import Hopfield, hopfield_overlap
from .multitasking import combinations, multitasking_overlaps, multitasking_state
from .pairs import FastWeights, chain_error, expected_error, keys, propagated_error
from .phase_maps import PhaseMap, dense_maps, multitasking_map
from .sparse import SparseDistributed, radius_of, sparse_bit_error
from .tail import OPTIMIZERS, tail_expected, tail_run

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


@dataclass(frozen=True)
class Point:
    """A point of a curve.

    Attributes:
        series: name of its curve.
        x: place on the axis.
        theory: expected value; None: none is known.
        simulate: function from a seed to a simulated value.
    """

    series: str
    x: float
    theory: float | None
    simulate: Simulation


@dataclass(frozen=True)
class Experiment:
    """Curves on common axes.

    Attributes:
        title: a line for people.
        x_name, y_name: names of the axes.
        points: function that returns the points.
        source: papers of the theory.
        log_x: whether x has a logarithmic axis.
        maps: function that returns the phase diagrams, if there are any.
    """

    title: str
    x_name: str
    y_name: str
    points: Callable[[], Iterator[Point]]
    source: str
    log_x: bool = False
    maps: Callable[[], Iterator[PhaseMap]] | None = None


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


@lru_cache(maxsize=16)
def _warm_overlaps(dilution: float, temperature: float, count: int, units: int, seed: int) -> tuple[float, ...]:
    """Return the mean overlaps of such a network, the largest first; curves of several ranks need them."""
    entries, chance = combinations(count, dilution)
    patterns = np.repeat(entries, np.round(chance * units).astype(int), axis=0).T
    cue = np.random.default_rng(seed).choice([-1.0, 1.0], patterns.shape[1])
    for pattern in patterns[::-1]:
        cue = np.where(pattern != 0, pattern, cue)
    recall = Hopfield.store(patterns).recall(cue, seed, WARM_SWEEPS, temperature)
    return tuple(float(m) for m in np.sort(np.abs(recall.overlap(patterns)))[::-1])


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


def _hopfield() -> Iterator[Point]:
    for load in (0.05, 0.1, 0.12, 0.13, 0.135, 0.145, 0.16, 0.2):
        yield Point(f"{UNITS} units", load, hopfield_overlap(load), hopfield_recall(load))


def _dense() -> Iterator[Point]:
    for units, order, counts in ((100, 2, (5, 10, 20, 40)), (100, 3, (250, 500, 1000)), (60, 4, (500, 1000, 1500))):
        for count in counts:
            theory = dense_bit_error(units, order, count)
            yield Point(f"order {order}, {units} units", count, theory, dense_errors(units, order, count))


def _examples() -> Iterator[Point]:
    for supervised in (True, False):
        if supervised:
            name = "supervised"
        else:
            name = "unsupervised"
        for each in (5, 10, 20, 40, 80):
            theory = dense_bit_error(400, 2, 6, 0.4, each, supervised=supervised)
            simulate = errors_from_examples(400, 6, each, 0.4, supervised=supervised)
            yield Point(name, each, theory, simulate)


def _multitasking() -> Iterator[Point]:
    for rank, name in enumerate(("first", "second", "third")):
        for dilution in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
            theory = float(multitasking_overlaps(3, dilution)[rank])
            yield Point(f"{name} pattern", dilution, theory, diluted_overlap(rank, dilution))


def _multitasking_phases() -> Iterator[Point]:
    for dilution in (0.3, 0.7):
        for rank, name in enumerate(("first", "second", "third")):
            for share in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
                temperature = share * (1 - dilution)
                state = multitasking_state(dilution, temperature, multitasking_overlaps(3, dilution))
                theory = round(float(np.sort(np.abs(state.overlaps))[::-1][rank]), 6)
                simulate = warm_overlap(rank, dilution, temperature)
                yield Point(f"{name} pattern, dilution {dilution}", share, theory, simulate)


def _dense_phases() -> Iterator[Point]:
    for units, order, load in ((400, 2, 0.05), (100, 3, 0.03), (80, 4, 0.002)):
        for temperature in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
            theory = round(dense_state(order, load, temperature).overlap, 6)
            simulate = warm_dense_overlap(units, order, load, temperature)
            yield Point(f"order {order}, {units} units", temperature, theory, simulate)


def _detection() -> Iterator[Point]:
    for order in (2, 4):
        for quality in (0.02, 0.03, 0.04, 0.05, 0.06, 0.08):
            theory = dense_bit_error(60, order, 5, quality, 4000)
            simulate = errors_from_examples(60, 5, 4000, quality, order, supervised=True)
            yield Point(f"order {order}", quality, theory, simulate)


def _depth() -> Iterator[Point]:
    for depth in (1, 4, 9):
        for heads in (1, 4):
            theory = propagated_error(8, KEY_SIZE, depth, heads)
            yield Point(_heads_of(heads, KEY_SIZE), depth, theory, _chained(KEY_SIZE, depth, heads))
        # Weights grow with the square of the width.
        width = round(KEY_SIZE * depth**0.5)
        theory = propagated_error(8, width)
        yield Point("one layer of as many weights as one head", depth, theory, _chained(width, 1, 1))
        narrow = KEY_SIZE // 4
        yield Point(_heads_of(4, narrow), depth, propagated_error(8, narrow, depth, 4), _chained(narrow, depth, 4))


def _heads_of(heads: int, width: int) -> str:
    if heads == 1:
        return f"one head of {width}"
    return f"{heads} heads of {width}"


def _chained(width: int, depth: int, heads: int) -> Simulation:
    return lambda seed: chain_error(8, width, depth, heads, seed)


def _pairs() -> Iterator[Point]:
    for name, rule in {"Hebbian": FastWeights(), "delta": FastWeights(delta=True)}.items():
        for kind in ("random", "orthogonal"):
            for count in (8, 16, 32, 64, 128, 256):
                theory = expected_error(rule, count, KEY_SIZE, kind)
                yield Point(f"{name}, {kind} keys", count, theory, pair_error(rule, count, KEY_SIZE, kind))


def _sparse() -> Iterator[Point]:
    radius = radius_of(ADDRESS_BITS, ANSWERING)
    for flips in (0, 10, 25):
        for count in (50, 100, 200, 400, 800):
            theory = sparse_bit_error(ADDRESSES, ADDRESS_BITS, radius, count, flips)
            yield Point(f"{flips} of {ADDRESS_BITS} bits flipped", count, theory, sparse_errors(count, flips))


def _tail() -> Iterator[Point]:
    for optimizer in OPTIMIZERS:
        for ratio in (0.01, 0.03, 0.1, 0.3):
            if optimizer == "gradient":
                theory = tail_expected(ratio)
            else:
                theory = None
            yield Point(optimizer, ratio, theory, rarest_class(optimizer, ratio))


EXPERIMENTS: Mapping[str, Experiment] = {
    "hopfield": Experiment(
        "Patterns that a Hopfield network holds",
        "patterns a unit",
        "overlap of recall and pattern",
        _hopfield,
        "Amit, Gutfreund and Sompolinsky 1985",
    ),
    "dense": Experiment(
        "Patterns that a dense memory holds",
        "patterns",
        "wrong bits",
        _dense,
        "Krotov and Hopfield 2016",
        log_x=True,
    ),
    "examples": Experiment(
        "Archetypes that a memory makes of noisy examples",
        "examples of each archetype",
        "wrong bits",
        _examples,
        "Agliari et al. 2023",
        log_x=True,
    ),
    "multitasking": Experiment(
        "Diluted patterns that a network recalls at once",
        "dilution",
        "overlap",
        _multitasking,
        "Agliari et al. 2012",
    ),
    "multitasking-phases": Experiment(
        "Diluted patterns that a network recalls at a temperature",
        "temperature / (1 - dilution)",
        "overlap",
        _multitasking_phases,
        "Agliari et al. 2012",
        maps=multitasking_map,
    ),
    "dense-phases": Experiment(
        "A dense memory at a temperature",
        "temperature",
        "overlap of mean state and pattern",
        _dense_phases,
        "Amit, Gutfreund and Sompolinsky 1985, Gardner 1987",
        maps=dense_maps,
    ),
    "detection": Experiment(
        "Archetypes learned from 4,000 poor examples each",
        "quality of examples",
        "wrong bits",
        _detection,
        "Agliari et al. 2023",
    ),
    "pairs": Experiment(
        "Pairs of keys and values in fast weights",
        "pairs",
        "squared error / |v|^2",
        _pairs,
        "Widrow and Hoff 1960",
        log_x=True,
    ),
    "depth": Experiment(
        "Eight pairs in layers of Hebbian memories, one behind the other",
        "layers",
        "squared error / |v|^2",
        _depth,
        "Qiao 2025",
    ),
    "sparse": Experiment(
        "Contents that a sparse distributed memory holds",
        "contents",
        "wrong bits",
        _sparse,
        "Kanerva 1988",
        log_x=True,
    ),
    "tail": Experiment(
        "Rare classes under several optimisers",
        "frequency of a rare class / of a frequent one",
        "probability of the worst class",
        _tail,
        "Wang et al. 2025",
        log_x=True,
    ),
}
