"""Random networks over all features of a network on the grid, one for each seed.

`case(seed)` gives a network, what its sources play, how it is run twice, and the features that it has. A new feature
joins `AXES`, the function that draws it, and `pairs_networks.missing` where it cannot meet another one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.kinds import KINDS, Kind, WrittenHeun
from guard.parts import (
    Made,
    chance,
    draw_gaps,
    draw_homeostasis,
    draw_pattern,
    draw_rule,
    draw_short_term,
    draw_stimuli,
    written_rule,
)
from guard.written import FEATURES, INSTEAD
from neurosim import Network, PoissonInput, PoissonSource, Population, Projection, Spikes, SpikeSource
from neurosim.network import Uniform
from neurosim.network.stimuli import Current

Generator = np.random.Generator

AXES: dict[str, tuple[str, ...]] = {
    "neuron": tuple(KINDS),
    "cells": ("by unit", "initial", "refractory", "soft reset"),
    "equations": tuple(sorted(set().union(*FEATURES.values()))),
    "stimulus": (
        "PoissonInput",
        "PoissonInput rates",
        "StepCurrent",
        "SineCurrent",
        "NoiseCurrent",
        "GapJunctions",
        "gaps between",
    ),
    "source": ("SpikeSource", "two in a step", "PoissonSource", "PoissonSource rates", "from neurons", "recurrent"),
    "synapses": ("fixed", "second receptor", "weights", "delays", "repeated", "negative", "parts"),
    "rule": ("STDP", "STDP nearest", "TripletSTDP", "RewardSTDP", "Hebbian", "event-driven", "clock-driven"),
    "homeostasis": ("SynapticScaling", "WeightNormalisation"),
    "short-term": ("depression", "facilitation"),
    "transmission": ("dendritic fraction", "p_transmit", "quanta"),
    "precision": ("float32", "float64"),
    "clock": ("1 ms", "0.5 ms"),
    "silence": ("silenced",),
    "state": ("membranes set",),
    "second run": ("2 threads", "2 threads, resumed", "1 thread, resumed"),
}
AXIS = {feature: axis for axis, names in AXES.items() for feature in names}
Pair = frozenset[str]
# Rows of many targets are stored in other forms than those of few; bits are for networks of at least 512 slots.
CROWD = 460


@dataclass
class Case:
    """A network and how it is run.

    Attributes:
        played: [steps, units] counts of spikes of each spike source.
        cut: step at which the second run is saved and loaded; None: it runs through.
        silent: units that are silenced, by population of neurons; none in half of the networks.
        silent_from: step from which on they are.
        membranes: [units] V by population, to which membranes are set; none in half of the networks.
        set_at: step before which they are.
        groups: sets of features that are together at one place: a projection with its source and its target.
        targets: features of all projections onto one population.
    """

    seed: int
    network: Network
    played: dict[str, NDArray[np.int64]]
    dt: float
    steps: int
    precision: str
    trial: int
    threads: int
    cut: int | None
    silent: dict[str, NDArray[np.int64]]
    silent_from: int
    membranes: dict[str, NDArray[np.float64]]
    set_at: int
    groups: list[frozenset[str]]
    targets: list[frozenset[str]]

    def recordings(self) -> dict[str, Spikes]:
        """Return what the sources play as recordings."""
        made = {}
        for name, counts in self.played.items():
            step, unit = np.nonzero(counts)
            times = np.repeat((step + 0.5) * self.dt, counts[step, unit])
            made[name] = Spikes.sort(times, np.repeat(unit, counts[step, unit]), counts.shape[1], self.steps * self.dt)
        return made

    def features(self) -> set[str]:
        return set().union(*self.groups)

    def met(self) -> set[Pair]:
        """Return the pairs of features that met.

        Two kinds of neurons meet in one network; two features of which one projection has only one, if two projections
        onto one population have them; all others at one projection, or at one population.
        """
        pairs = {pair for group in self.groups for pair in _pairs(group)}
        pairs |= {pair for group in self.targets for pair in _pairs(group) if is_one_of(pair)}
        return pairs | _pairs(self.features() & set(KINDS))

    def __str__(self) -> str:
        run = f"{self.precision}, {self.steps} steps of {self.dt:g} s, {self.threads} threads, cut {self.cut}"
        return f"network {self.seed} ({run}): {', '.join(sorted(self.features()))}"


def _pairs(features: Iterable[str]) -> set[Pair]:
    return {frozenset(pair) for pair in itertools.combinations(sorted(features), 2)}


def is_one_of(pair: Pair) -> bool:
    """Return whether one projection has at most one of two features."""
    axes = sorted(AXIS[feature] for feature in pair)
    within = axes[0] == axes[-1] and axes[0] in ("source", "rule", "homeostasis", "short-term")
    by_chance = {"p_transmit", "quanta"} & pair
    changes = {"rule", "homeostasis", "short-term"} & set(axes) or by_chance
    apart = bool(by_chance) and ("rule" in axes or len(by_chance) == 2)
    return within or apart or ("fixed" in pair and bool(changes))


def case(seed: int, kinds: Sequence[str] = tuple(KINDS), *, precision: str | None = None) -> Case:
    """Return the network of a seed, of neurons of these kinds."""
    rng = np.random.default_rng(seed)
    dt = float(rng.choice([1e-3, 5e-4]))
    steps = int(rng.integers(120, 200))
    chosen = precision or str(rng.choice(["float32", "float64"], p=[0.3, 0.7]))
    second = str(rng.choice(AXES["second run"]))
    shared = {chosen, "1 ms" if dt == 1e-3 else "0.5 ms", second}
    sources, played, marks = _sources(rng, steps, dt)
    names = rng.choice(kinds, min(int(rng.choice([2, 3, 3])), len(kinds)), replace=False)
    cells = [_written(seed, number, _cells(rng, number, KINDS[str(name)])) for number, name in enumerate(names)]
    stimuli: list[PoissonInput | Current] = []
    for made in cells:
        stimuli += draw_stimuli(rng, made, steps * dt, dt)
    stimuli += draw_gaps(rng, cells)
    marks |= {made.population.name: made.features for made in cells}
    silent, silent_from = _silence(seed, cells, steps)
    if silent:
        shared.add("silenced")
    membranes, set_at = _membranes(seed, cells, steps)
    if membranes:
        shared.add("membranes set")
    projections, groups, targets = _projections(rng, sources, cells, marks, shared, dt)
    network = Network([*sources, *(made.population for made in cells)], projections, stimuli)
    return Case(
        seed=seed,
        network=network,
        played=played,
        dt=dt,
        steps=steps,
        precision=chosen,
        trial=int(rng.integers(0, 5)),
        threads=2 if second.startswith("2") else 1,
        cut=int(rng.integers(1, steps)) if "resumed" in second else None,
        silent=silent,
        silent_from=silent_from,
        membranes=membranes,
        set_at=set_at,
        groups=[frozenset(group | shared) for group in groups],
        targets=[frozenset(target) for target in targets],
    )


def _silence(seed: int, cells: Sequence[Made], steps: int) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return units to silence and the step from which on; the draws are apart from those of the network."""
    rng = np.random.default_rng([seed, 1])
    if chance(rng, 0.5):
        return {}, 0
    first = int(rng.choice([0, rng.integers(1, steps)]))
    # Without inhibition Heun's method may leave the numbers in an upswing.
    if any(isinstance(made.population.model, WrittenHeun) for made in cells):
        return {}, 0
    sizes = {made.population.name: made.population.size for made in cells}
    return {name: np.flatnonzero(rng.random(size) < 0.4) for name, size in sizes.items()}, first


def _membranes(seed: int, cells: Sequence[Made], steps: int) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Return membranes to set and the step before which; the draws are apart from those of the network."""
    rng = np.random.default_rng([seed, 2])
    if chance(rng, 0.5):
        return {}, 0
    moment = int(rng.integers(1, steps))
    chosen = [made for made in cells if chance(rng, 0.7)] or list(cells[:1])
    return {
        made.population.name: made.kind.initial(rng, made.population.model, made.population.size) for made in chosen
    }, moment


def _sources(
    rng: Generator, steps: int, dt: float
) -> tuple[list[Population], dict[str, NDArray[np.int64]], dict[str, set[str]]]:
    """Return sources of spikes, what they play, and their features."""
    sources = []
    played = {}
    marks = {}
    size = int(rng.integers(4, 9))
    counts = (rng.random((steps, size)) < rng.uniform(0.03, 0.1)).astype(np.int64)
    marks["played"] = {"SpikeSource"}
    if chance(rng, 0.5):
        counts[rng.random(counts.shape) < 0.02] = 2
        marks["played"].add("two in a step")
    played["played"] = counts
    sources.append(Population("played", size, SpikeSource()))
    for name, changes in (("poisson", False), ("changing", True)):
        if chance(rng, 0.35):
            size = int(rng.integers(3, 8))
            marks[name] = {"PoissonSource rates" if changes else "PoissonSource"}
            rate = rng.uniform(40.0, 90.0)
            times = None
            if changes:
                rate = rng.uniform(0, 120, (2, size))
                times = np.array([0.0, rng.uniform(0.2, 0.7) * steps * dt])
            sources.append(Population(name, size, PoissonSource(rate, times)))
    return sources, played, marks


def _cells(rng: Generator, number: int, kind: Kind) -> Made:
    size = int(rng.choice([rng.integers(3, 9), rng.integers(24, 40), CROWD], p=[0.82, 0.15, 0.03]))
    features = {kind.name}
    by_unit = chance(rng, 0.35)
    model, marks = kind.draw(rng, size if by_unit else None)
    features |= marks | ({"by unit"} if by_unit else set())
    initial = {}
    if chance(rng, 0.35):
        initial = {"v": kind.initial(rng, model, size)}
        features.add("initial")
    return Made(Population(f"cells {number}", size, model, initial), kind, features)


def _written(seed: int, number: int, made: Made) -> Made:
    """Return a population, or one of another model of its equations; the draws are apart from those of the network."""
    models, part = INSTEAD.get(made.kind.name, ((), 0.0))
    rng = np.random.default_rng([seed, 3, number])
    if not models or not chance(rng, part):
        return made
    model = models[int(rng.integers(len(models)))]
    values = {field.name: getattr(made.population.model, field.name) for field in fields(model)}
    population = replace(made.population, model=model(**values))
    return Made(population, made.kind, made.features | FEATURES[model])


def _projections(
    rng: Generator,
    sources: list[Population],
    cells: list[Made],
    marks: Mapping[str, set[str]],
    shared: set[str],
    dt: float,
) -> tuple[list[Projection], list[set[str]], list[set[str]]]:
    """Return projections onto all cells, the features at each of them and at each population, and those of all
    projections onto a population."""
    projections: list[Projection] = []
    groups: list[set[str]] = []
    targets: list[set[str]] = []
    starts = [*sources, *(other.population for other in cells)]
    for made in cells:
        groups.append(made.features)
        targets.append(set())
        chosen = rng.choice(len(starts), min(len(starts), int(rng.integers(2, 4))), replace=False)
        # The recording drives every population, so that something happens.
        for number in sorted({0, *chosen.tolist()}):
            source = starts[number]
            features = shared | (marks[source.name] if source in sources else {"from neurons"})
            if source is made.population:
                features.add("recurrent")
            projections.append(_projection(rng, source, made, features, f"{source.name} {len(projections)}", dt))
            groups.append(features | made.features)
            targets[-1] |= features
    return projections, groups, targets


def _projection(rng: Generator, source: Population, made: Made, features: set[str], name: str, dt: float) -> Projection:
    """Return a projection; its features are added to `features`."""
    target = made.population
    kind = made.kind
    if len(kind.weights) > 1 and chance(rng, 0.3):
        row = int(rng.integers(1, len(kind.weights)))
    else:
        row = 0
    receptor = list(kind.weights)[row]
    unit = list(kind.weights.values())[row]
    if row > 0:
        features.add("second receptor")
    if not kind.positive and chance(rng, 0.2):
        unit = -unit
    if unit < 0:
        features.add("negative")
    pattern, count = draw_pattern(rng, source, target, features)
    is_crowd = target.size == CROWD and source.size < CROWD
    is_fixed = chance(rng, 0.7 if is_crowd else 0.25)
    if is_fixed:
        features.add("fixed")
    if not is_fixed and chance(rng, 0.6):
        rule = draw_rule(rng, unit, features)
    else:
        rule = None
    weight: Any = unit * rng.uniform(0.6, 1.4)
    if chance(rng, 0.2 if is_crowd else 0.5):
        features.add("weights")
        low, high = sorted((0.3 * unit, 1.7 * unit))
        if count is None or chance(rng, 0.3):
            weight = Uniform(low, high)
        else:
            weight = rng.uniform(low, high, count)
    delay: Any = int(rng.integers(1, 9)) * dt
    if chance(rng, 0.2 if is_crowd else 0.4):
        features.add("delays")
        if count is None or chance(rng, 0.3):
            delay = Uniform(dt, 8 * dt)
        else:
            delay = rng.integers(1, 9, count) * dt
    if not is_fixed and chance(rng, 0.35):
        homeostasis = draw_homeostasis(rng, unit, features, dt)
    else:
        homeostasis = None
    if not is_fixed and chance(rng, 0.35):
        short_term = draw_short_term(rng, features)
    else:
        short_term = None
    fraction = 0.0
    p = 1.0
    rule = written_rule(rule, short_term, unit, features)
    if chance(rng, 0.3):
        features.add("dendritic fraction")
        fraction = float(rng.choice([0.25, 0.5, 1.0]))
    if rule is None and not is_fixed and chance(rng, 0.5):
        features.add("p_transmit")
        p = float(rng.uniform(0.3, 0.9))
    drawn = Projection(
        source.name,
        target.name,
        pattern,
        weight,
        delay,
        receptor,
        name,
        plasticity=rule,
        short_term=short_term,
        dendritic_delay_fraction=fraction,
        p_transmit=p,
        homeostasis=homeostasis,
    )
    return _by_quanta(rng, drawn, features)


def _by_quanta(rng: Generator, drawn: Projection, features: set[str]) -> Projection:
    """Return a projection, or one that releases quanta; the draws are apart from those of the network."""
    short_term = drawn.short_term
    own = rng.spawn(1)[0]
    if short_term is None or drawn.plasticity is not None or drawn.p_transmit < 1 or not chance(own, 0.85):
        return drawn
    features.add("quanta")
    return replace(drawn, short_term=replace(short_term, sites=int(own.integers(1, 9))))
