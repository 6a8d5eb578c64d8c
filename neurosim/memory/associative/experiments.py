"""Experiments on associative memories: curves of theory, with the simulation of each of their points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .dense import dense_bit_error
from .dense_phases import dense_state
from .hopfield import hopfield_overlap
from .multitasking import multitasking_overlaps, multitasking_state
from .pairs import FastWeights, chain_error, expected_error, propagated_error
from .phase_maps import PhaseMap, dense_maps, multitasking_map
from .simulations import (
    ADDRESS_BITS,
    ADDRESSES,
    ANSWERING,
    KEY_SIZE,
    UNITS,
    Simulation,
    dense_errors,
    diluted_overlap,
    errors_from_examples,
    hopfield_recall,
    learned_overlap,
    pair_error,
    rarest_class,
    sparse_errors,
    warm_dense_overlap,
    warm_overlap,
)
from .sparse import radius_of, sparse_bit_error
from .tail import OPTIMIZERS, tail_expected

# Archetypes that are learned from examples: chance of a 0, and quality of the examples.
LEARNED_DILUTION = 0.3
LEARNED_QUALITY = 0.4


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


def _hopfield() -> Iterator[Point]:
    # Dense around .138, where recall breaks down in theory (Amit, Gutfreund and Sompolinsky 1985).
    for load in (0.05, 0.1, 0.12, 0.13, 0.135, 0.145, 0.16, 0.2):
        yield Point(f"{UNITS} units", load, hopfield_overlap(load), hopfield_recall(load))


def _dense() -> Iterator[Point]:
    # The capacity grows as units^(order - 1), and the counts with it.
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
            theory = dense_bit_error(400, 2, patterns=6, quality=0.4, examples=each, supervised=supervised)
            simulate = errors_from_examples(400, 6, each, 0.4, supervised=supervised)
            yield Point(name, each, theory, simulate)


def _multitasking() -> Iterator[Point]:
    for rank, name in enumerate(("first", "second", "third")):
        for dilution in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
            theory = float(multitasking_overlaps(3, dilution)[rank])
            yield Point(f"{name} pattern", dilution, theory, diluted_overlap(rank, dilution))


def _multitasking_examples() -> Iterator[Point]:
    for rank, name in enumerate(("first", "second", "third")):
        # Odd numbers: the mean of an even number may be 0, and then any state is as good.
        for each in (1, 3, 7, 15, 31):
            start = multitasking_overlaps(3, LEARNED_DILUTION)
            state = multitasking_state(LEARNED_DILUTION, 0.0, start=start, quality=LEARNED_QUALITY, examples=each)
            theory = float(np.sort(np.abs(state.overlaps))[::-1][rank])
            for kind, supervised in (("supervised", True), ("unsupervised", False)):
                simulate = learned_overlap(rank, LEARNED_DILUTION, each, LEARNED_QUALITY, supervised=supervised)
                yield Point(f"{name} pattern, {kind}", each, theory, simulate)


def _multitasking_phases() -> Iterator[Point]:
    for dilution in (0.3, 0.7):
        for rank, name in enumerate(("first", "second", "third")):
            for share in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
                # The first pattern is lost at T = 1 - dilution for an infinite network: a share of that.
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
            theory = dense_bit_error(60, order, patterns=5, quality=quality, examples=4000)
            simulate = errors_from_examples(60, kinds=5, each=4000, quality=quality, order=order, supervised=True)
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
        # Four heads of a quarter of the width have a quarter of the weights of one head.
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
            theory = sparse_bit_error(ADDRESSES, address_dim=ADDRESS_BITS, radius=radius, contents=count, flips=flips)
            yield Point(f"{flips} of {ADDRESS_BITS} bits flipped", count, theory, sparse_errors(count, flips))


def _tail() -> Iterator[Point]:
    for optimizer in OPTIMIZERS:
        for ratio in (0.01, 0.03, 0.1, 0.3):
            # Theory is known for plain gradient descent alone.
            if optimizer == "gradient":
                theory = tail_expected(ratio)
            else:
                theory = None
            yield Point(optimizer, ratio, theory, rarest_class(optimizer, ratio))


EXPERIMENTS: Mapping[str, Experiment] = {
    "hopfield": Experiment(
        title="Patterns that a Hopfield network holds",
        x_name="patterns a unit",
        y_name="overlap of recall and pattern",
        points=_hopfield,
        source="Amit, Gutfreund and Sompolinsky 1985",
    ),
    "dense": Experiment(
        title="Patterns that a dense memory holds",
        x_name="patterns",
        y_name="wrong bits",
        points=_dense,
        source="Krotov and Hopfield 2016",
        log_x=True,
    ),
    "examples": Experiment(
        title="Archetypes that a memory makes of noisy examples",
        x_name="examples of each archetype",
        y_name="wrong bits",
        points=_examples,
        source="Agliari et al. 2023",
        log_x=True,
    ),
    "multitasking": Experiment(
        title="Diluted patterns that a network recalls at once",
        x_name="dilution",
        y_name="overlap",
        points=_multitasking,
        source="Agliari et al. 2012",
    ),
    "multitasking-examples": Experiment(
        title="Diluted archetypes, learned from noisy examples, that a network recalls at once",
        x_name="examples of each archetype",
        y_name="overlap",
        points=_multitasking_examples,
        source="Agliari et al. 2023",
        log_x=True,
    ),
    "multitasking-phases": Experiment(
        title="Diluted patterns that a network recalls at a temperature",
        x_name="temperature / (1 - dilution)",
        y_name="overlap",
        points=_multitasking_phases,
        source="Agliari et al. 2012",
        maps=multitasking_map,
    ),
    "dense-phases": Experiment(
        title="A dense memory at a temperature",
        x_name="temperature",
        y_name="overlap of mean state and pattern",
        points=_dense_phases,
        source="Amit, Gutfreund and Sompolinsky 1985, Gardner 1987",
        maps=dense_maps,
    ),
    "detection": Experiment(
        title="Archetypes learned from 4,000 poor examples each",
        x_name="quality of examples",
        y_name="wrong bits",
        points=_detection,
        source="Agliari et al. 2023",
    ),
    "pairs": Experiment(
        title="Pairs of keys and values in fast weights",
        x_name="pairs",
        y_name="squared error / |v|^2",
        points=_pairs,
        source="Widrow and Hoff 1960",
        log_x=True,
    ),
    "depth": Experiment(
        title="Eight pairs in layers of Hebbian memories, one behind the other",
        x_name="layers",
        y_name="squared error / |v|^2",
        points=_depth,
        source="Qiao 2025",
    ),
    "sparse": Experiment(
        title="Contents that a sparse distributed memory holds",
        x_name="contents",
        y_name="wrong bits",
        points=_sparse,
        source="Kanerva 1988",
        log_x=True,
    ),
    "tail": Experiment(
        title="Rare classes under several optimisers",
        x_name="frequency of a rare class / of a frequent one",
        y_name="probability of the worst class",
        points=_tail,
        source="Wang et al. 2025",
        log_x=True,
    ),
}
