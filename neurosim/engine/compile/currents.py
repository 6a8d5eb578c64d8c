"""Currents of a compiled network, and neurons that take one.

A current adds to the parameter `i_offset` of a neuron, and the constants of a neuron are linear in it: the constants of
a step are those without current plus the current times their change by 1 A. The step of the model then integrates it as
exactly as it integrates a constant current. It arrives in one more row of input, whatever the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from ...base.values import draw
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.neurons.by_unit import rows
from ...network.population import Population
from ...network.stimuli import Current, GapJunctions, NoiseCurrent, SineCurrent, StepCurrent
from ..inputs import changes_of

# Relative error of constants that are linear in the current.
LINEAR = 1e-6


@dataclass(frozen=True, eq=False)
class CompiledCurrent:
    """A current in steps; see the functions of `kernels.engine.clocked.stimuli`.

    Attributes:
        population: number of the target.
        function: name of its function.
        steps: [pieces] first step of each piece of time.
        values: float64 [pieces or 2, 1 or size].
        numbers: float64.
        key: of the random stream.
        state: whether each unit has a state.
        couplings: of gap junctions.
    """

    population: int
    name: str
    function: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    numbers: NDArray[np.float64]
    key: int = 0
    state: bool = False
    couplings: Couplings | None = None


@dataclass(frozen=True, eq=False)
class Couplings:
    """The gap junctions of a population's units.

    Attributes:
        source: number of the population that they lead to.
        offsets: int64 [units + 1]; unit i has the junctions `offsets[i]:offsets[i + 1]`.
        others: int64 [junctions] units of the source.
        conductances: float64 [junctions] S.
    """

    source: int
    offsets: NDArray[np.int64]
    others: NDArray[np.int64]
    conductances: NDArray[np.float64]


def compile_currents(network: Network, clock: float, seed: int) -> tuple[CompiledCurrent, ...]:
    """Return the currents of a network for steps of `clock` seconds."""
    currents = [stimulus for stimulus in network.stimuli if isinstance(stimulus, Current)]
    compiled: list[CompiledCurrent] = []
    for current in currents:
        p = network.numbers[current.target]
        size = network.populations[p].size
        if isinstance(current, GapJunctions):
            compiled += _couple(network, current, seed)
        elif isinstance(current, StepCurrent):
            compiled.append(_step_current(current, p, size, clock))
        elif isinstance(current, SineCurrent):
            compiled.append(_sine_current(current, p, size, clock))
        elif isinstance(current, NoiseCurrent):
            compiled.append(_noise_current(current, p, size, clock, seed))
        else:
            raise NotImplementedError(f"{type(current).__name__}: has no compiled form")
    return tuple(compiled)


def _couple(network: Network, gap: GapJunctions, seed: int) -> list[CompiledCurrent]:
    """Return gap junctions as currents: into the target, and into the source where that is another population."""
    source = network.numbers[gap.source]
    target = network.numbers[gap.target]
    source_side = network.populations[source].side
    target_side = network.populations[target].side
    name = str(gap.name)
    within = gap.source == gap.target
    maker = gap.pattern.maker(source_side, target_side, within, rng_key(seed, "gap", name))
    rows = maker.rows(0, source_side.size)
    pre = np.repeat(np.arange(source_side.size), np.diff(rows.offsets))
    post = rows.targets.astype(np.int64)
    if np.ndim(gap.conductance) == 1:  # type: ignore[arg-type]
        count = np.size(gap.conductance)  # type: ignore[arg-type]
        rule = f"must hold {len(pre)} values, one a pair of the pattern"
        require(count == len(pre), f"{gap}.conductance", rule, count)
    conductances = draw(
        gap.conductance, key=rng_key(seed, "gap conductance", name), first=0, count=len(pre), name=f"{gap}.conductance"
    )
    if rows.order is not None:
        conductances = conductances[rows.order]
    require(bool((conductances >= 0).all()), f"{gap}.conductance", "must be >= 0 S", conductances.min(initial=0.0))
    if within:
        # A pair that is listed both ways is one junction, and no neuron is coupled to itself. Then list each pair both
        # ways: each neuron receives a current.
        pairs = np.stack([np.minimum(pre, post), np.maximum(pre, post)])
        _, first = np.unique(pairs, axis=1, return_index=True)
        first = first[pairs[0, first] != pairs[1, first]]
        pre, post = np.concatenate([pairs[:, first], pairs[::-1, first]], axis=1)
        conductances = np.tile(conductances[first], 2)
    into_target = _junctions(
        network, name, population=target, source=source, units=post, others=pre, conductances=conductances
    )
    if within:
        return [into_target]
    return [
        into_target,
        _junctions(network, name, population=source, source=target, units=pre, others=post, conductances=conductances),
    ]


def _junctions(
    network: Network,
    name: str,
    population: int,
    source: int,
    units: NDArray[np.int64],
    others: NDArray[np.int64],
    conductances: NDArray[np.float64],
) -> CompiledCurrent:
    order = np.lexsort((others, units))
    size = network.populations[population].size
    offsets = np.concatenate([[0], np.cumsum(np.bincount(units, minlength=size))]).astype(np.int64)
    couplings = Couplings(source, offsets, np.ascontiguousarray(others[order]), conductances[order])
    none = np.zeros((1, 1))
    return CompiledCurrent(
        population=population,
        name=name,
        function="gaps",
        steps=np.zeros(1, np.int64),
        values=none,
        numbers=np.zeros(1),
        couplings=couplings,
    )


def _sine_current(current: SineCurrent, p: int, size: int, clock: float) -> CompiledCurrent:
    advance = 2 * math.pi * current.frequency * clock
    if current.stop is None:
        end = math.inf
    else:
        end = _step(current.stop, clock)
    # The current of step 0 has the phase of the middle of the step.
    phase = current.phase + advance / 2
    begin = _step(current.start, clock)
    sine = np.array([current.offset, current.amplitude, phase, advance, begin, end])
    receives = _spread(np.ones((1, 1)), current, size)
    return CompiledCurrent(
        population=p,
        name=str(current.name),
        function="sine",
        steps=np.zeros(1, np.int64),
        values=receives,
        numbers=sine,
    )


def _noise_current(current: NoiseCurrent, p: int, size: int, clock: float, seed: int) -> CompiledCurrent:
    name = str(current.name)
    start = np.zeros(1, np.int64)
    decay = math.exp(-clock / current.tau)
    mean, sd = np.broadcast_arrays(np.atleast_1d(current.mean), np.atleast_1d(current.sd))
    moments = np.stack([mean, sd]).astype(np.float64)
    # x <- decay x + sqrt(1 - decay^2) xi: exact for the Ornstein-Uhlenbeck process, and of variance 1.
    numbers = np.array([decay, math.sqrt(-math.expm1(-2 * clock / current.tau))])
    key = rng_key(seed, "current", name)
    return CompiledCurrent(
        population=p,
        name=name,
        function="process",
        steps=start,
        values=_spread(moments, current, size),
        numbers=numbers,
        key=key,
        state=True,
    )


def _step_current(current: StepCurrent, p: int, size: int, clock: float) -> CompiledCurrent:
    times = np.asarray(current.times)
    steps = changes_of(times, clock, str(current))
    values = _spread(np.asarray(current.amplitudes).reshape(len(steps), -1), current, size)
    if steps[0] > 0:
        steps = np.concatenate([[0], steps])
        values = np.concatenate([np.zeros((1, values.shape[1])), values])
    return CompiledCurrent(
        population=p,
        name=str(current.name),
        function="waveform",
        steps=steps,
        values=np.ascontiguousarray(values),
        numbers=np.zeros(1),
    )


def _step(time: float, clock: float) -> int:
    return math.floor(time / clock + 0.5)


def _spread(values: NDArray[np.float64], current: Current, size: int) -> NDArray[np.float64]:
    """Return [rows, 1 or size] values of all units: 0 for those that do not receive the current."""
    if current.units is None:
        return np.ascontiguousarray(values)
    by_unit = np.zeros((len(values), size))
    by_unit[:, np.asarray(current.units)] = values
    return by_unit


def driven_constants(population: Population, neuron: Neuron, clock: float) -> NDArray[np.float64]:
    """Return [3 k, size] constants of neurons that receive a current.

    First room for the constants of a step, which the run loop writes, then those without current, then their change by
    1 A.

    Raises:
        NeurosimInputError: constants that are not linear in the current.
    """
    offset = np.asarray(neuron.i_offset, np.float64)  # type: ignore[attr-defined]

    def constants(amperes: float) -> NDArray[np.float64]:
        """Return [k, size] constants with an additional constant current."""
        shifted = replace(neuron, i_offset=offset + amperes) if amperes else neuron  # type: ignore[type-var]
        values = rows(shifted, lambda unit: unit.constants(clock))
        if values.ndim == 1:
            values = values[:, None]
        return np.broadcast_to(values, (len(values), population.size))

    plain = constants(0.0)
    one = constants(1.0)
    two = constants(2.0)
    # Infinite constants do not change.
    slope = np.subtract(one, plain, out=np.zeros_like(one), where=one != plain)
    linear = np.allclose(two, plain + 2 * slope, rtol=LINEAR, atol=0.0)
    kind = type(neuron).__name__
    rule = f"takes no current: the constants of {kind} are not linear in it"
    require(linear, f"Population[{population.name!r}]", rule, kind)
    return np.concatenate([plain, plain, slope])


def targets_of(currents: Sequence[CompiledCurrent]) -> set[int]:
    """Return the numbers of the populations that receive a current."""
    return {current.population for current in currents}
