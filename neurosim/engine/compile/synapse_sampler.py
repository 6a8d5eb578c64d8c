"""The synapses of a projection, drawn for any range of sources: targets, weights and delays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from ...base.values import Distribution, draw, draw_runs, indices_of
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.projection import Projection
from ...network.synapses.base import Maker, Rows
from ...network.synapses.values import Normal, Uniform
from ..threads import for_each

MAX_DELAY = 2**16 - 1
# Synapses drawn at a time: enough to outweigh the calls, few enough to take little memory.
CHUNK = 1 << 19
# Standard deviations within which a normal is assumed to lie: one value in 10^15 does not.
MAX_SIGMAS = 8.0


@dataclass(frozen=True, eq=False)
class SynapseSampler:
    """Sampler of the synapses of a projection, or of the part that ends in some of its targets.

    Attributes:
        weight: of all synapses; None where each has its own.
        delay: of all synapses; None where each has its own. Steps of the clock, or seconds in continuous time.
        first_synapse: [sources + 1] number of the first synapse of each source, and the number of all synapses, onto
            any target. Before `numbered` it counts synapses onto the part alone, if the pattern does not know it.
        known: whether the pattern knows `first_synapse` without drawing.
        onto: the first target of the part, and the one after the last; None: all.
        before: [sources] number of synapses of each source before the part; None: in `Rows.before`, or 0.
        chunks: ranges of sources that are best drawn at a time.
        clock: s, the step; None: continuous time.
        positive: whether the receptor takes no negative weights.
    """

    projection: Projection
    source: int
    target: int
    receptor: int
    weight: float | None
    delay: float | None
    first_synapse: NDArray[np.int64]
    known: bool
    onto: tuple[int, int] | None
    before: NDArray[np.int64] | None
    chunks: list[tuple[int, int]]
    clock: float | None
    seed: int
    positive: bool
    _make: Callable[[int, int], Rows]

    @property
    def synapses(self) -> int:
        return int(self.first_synapse[-1])

    def without_cache(self) -> SynapseSampler:
        """Return the sampler without the synapses that it caches; it cannot draw rows any more."""
        return replace(self, _make=_no_cache)

    def rows(self, first: int, last: int) -> Rows:
        """Return the rows of a range of sources within one of the chunks, or of all sources."""
        return self._make(first, last)

    def weights(self, rows: Rows, first: int) -> NDArray[np.float64]:
        """Return [synapses] weights of rows that begin with source `first`: those learned before, or drawn.

        Raises:
            NeurosimInputError: a negative one, drawn for a receptor of conductances.
        """
        learned = self.projection.learned
        if learned is not None:
            return np.asarray(learned[self.numbers(rows, first)], np.float64)
        weights = self._values("weight", rows, first)
        if rows.weights is not None:
            weights = weights * rows.weights
        if self.positive and len(weights):
            lowest = float(weights.min())
            hint = _hint(self.projection.weight)
            require(lowest >= 0, f"{self.projection}.weight", f"must be >= 0 S, being a conductance{hint}", lowest)
        return weights

    def delays(self, rows: Rows, first: int) -> NDArray[Any]:
        """Return [synapses] delays: uint16 steps of the clock, or seconds in continuous time.

        Raises:
            NeurosimInputError: one under a step, or more steps than can be counted.
        """
        delays = self._values("delay", rows, first)
        if self.clock is None:
            return delays
        return to_steps(self.projection, delays, self.clock)

    def numbered(self, counts: NDArray[np.int64], before: NDArray[np.int64]) -> SynapseSampler:
        """Return the sampler of a part with its synapses numbered among all parts.

        Args:
            counts: [sources] synapses of each source in all parts; 0 where the pattern knows them.
            before: [sources] synapses of each source in the parts before.
        """
        if self.known or self.onto is None:
            return self
        return replace(self, first_synapse=first_synapses(counts), before=before)

    def check_vectors(self) -> None:
        """Raise for a vector of weights or delays that has no value for each synapse.

        Raises:
            NeurosimInputError: one.
        """
        for field in ("weight", "delay", "learned"):
            values = getattr(self.projection, field)
            if values is not None and not isinstance(values, Distribution) and np.ndim(values) == 1:
                count = np.size(values)
                rule = f"must hold {self.synapses} values, one for each synapse"
                require(count == self.synapses, f"{self.projection}.{field}", rule, count)

    def numbers(self, rows: Rows, first: int) -> NDArray[np.int64]:
        """Return [synapses] the numbers among all synapses of those in rows that begin with source `first`."""
        return indices_of(self._firsts(rows, first), rows.offsets)

    def all_synapses(self) -> tuple[Rows, NDArray[np.float64], NDArray[Any]]:
        """Return the rows of all sources, and [synapses] their weights and delays."""
        rows = self.rows(0, len(self.first_synapse) - 1)
        count = len(rows.targets)
        if self.weight is not None and self.projection.learned is None:
            weights = np.full(count, self.weight)
        else:
            weights = self.weights(rows, 0)
        if self.delay is not None:
            delays = np.full(count, self.delay)
        else:
            delays = self.delays(rows, 0)
        return rows, weights, delays

    def _values(self, field: str, rows: Rows, first: int) -> NDArray[np.float64]:
        value = getattr(self.projection, field)
        # Value i of the projection belongs to synapse i, numbered by source: any part draws its own values alone.
        key = rng_key(self.seed, field, str(self.projection.name))
        if rows.order is not None:
            # The pattern lists its synapses itself, and values are in the order of that list.
            if isinstance(value, np.ndarray) and value.ndim == 1:
                return np.asarray(value[rows.order], np.float64)
            return draw_runs(value, key, rows.order, np.arange(len(rows.order) + 1))
        if self.onto is not None:
            return draw_runs(value, key, self._firsts(rows, first), rows.offsets)
        # Synapses that follow one another have values that do: one run.
        return draw(value, key, int(self.first_synapse[first]), len(rows.targets), f"{self.projection}.{field}")

    def _firsts(self, rows: Rows, first: int) -> NDArray[np.int64]:
        """Return [sources] the number of the first synapse of each row."""
        last = first + len(rows.offsets) - 1
        if self.before is None:
            before = rows.before
        else:
            before = self.before[first:last]
        firsts = self.first_synapse[first:last]
        if before is None:
            return firsts
        return firsts + before


def _no_cache(first: int, last: int) -> Rows:
    raise RuntimeError("a sampler without its cache makes no rows; build it again")


def to_steps(projection: Projection, delays: NDArray[np.float64], clock: float) -> NDArray[np.uint16]:
    """Return delays in s as steps, halves rounded up; raise for a delay under a step, or above MAX_DELAY."""
    from ...kernels.engine.clocked.row_encoders import steps_of

    steps = np.empty(len(delays), np.uint16)
    low, high = steps_of(delays, clock, steps)
    # The extremes in seconds only for the message: to look for them took as long as the conversion.
    if len(delays) and not 1 <= low <= high <= MAX_DELAY:
        _check_delays(projection, float(np.min(delays)), float(np.max(delays)), clock)
    return steps


def _to_step(projection: Projection, delay: float, clock: float) -> int:
    """Return the delay of all synapses as steps, as `to_steps`, without the kernel, which drawn delays alone need."""
    _check_delays(projection, delay, delay, clock)
    return math.floor(delay / clock + 0.5)


def _check_delays(projection: Projection, low: float, high: float, clock: float) -> None:
    """Raise where delays from `low` to `high` s are not all 1 to MAX_DELAY steps."""
    name = f"{projection}.delay"
    hint = _hint(projection.delay) or "; give a longer delay or a shorter clock"
    require(low / clock + 0.5 >= 1, name, f"must round to at least one step of {clock:g} s{hint}", low)
    require(high / clock + 0.5 < MAX_DELAY + 1, name, f"must be <= {MAX_DELAY} steps of {clock:g} s", high)


def _hint(value: object) -> str:
    if isinstance(value, Distribution):
        return "; give the distribution a `low`"
    return ""


def build_sampler(
    network: Network, projection: Projection, clock: float | None, seed: int, threads: int
) -> SynapseSampler:
    """Return the sampler of a projection, see `open_sampler`.

    Raises:
        NeurosimInputError: a delay under a step, or above MAX_DELAY; a vector that has no value for each synapse.
    """
    sampler = open_sampler(network, projection, clock, seed, threads, None)
    sampler.check_vectors()
    return sampler


def open_sampler(
    network: Network,
    projection: Projection,
    clock: float | None,
    seed: int,
    threads: int,
    onto: tuple[int, int] | None,
) -> SynapseSampler:
    """Return the sampler of a projection; a pattern whose number of synapses is random draws them here.

    Args:
        onto: the targets of a part; call `numbered` on the result.

    Raises:
        NeurosimInputError: a delay under a step, or above MAX_DELAY.
    """
    source = network.numbers[projection.source]
    target = network.numbers[projection.target]
    sides = network.populations[source].side, network.populations[target].side
    maker = projection.pattern.maker(*sides, source == target, rng_key(seed, "pattern", str(projection.name)), onto)
    expected = projection.pattern.expected(*sides)
    make, first_synapse, chunks = _counted(maker, sides[0].size, expected, threads)
    # No rows, but their columns: whether the pattern has a factor for each synapse, as a convolution.
    has_factors = make(0, 0).weights is not None
    neuron = network.populations[target].model
    receptor = network.receptor(projection)
    delay = _one(projection.delay)
    if delay is not None and clock is not None:
        delay = _to_step(projection, delay, clock)
    return SynapseSampler(
        projection=projection,
        source=source,
        target=target,
        receptor=receptor,
        weight=None if has_factors else _one(projection.weight),
        delay=delay,
        first_synapse=first_synapse,
        known=maker.first_synapse is not None,
        onto=onto,
        before=None,
        chunks=chunks,
        clock=clock,
        seed=seed,
        positive=isinstance(neuron, Neuron) and neuron.receptors[receptor] in neuron.positive,
        _make=make,
    )


def _one(value: object) -> float | None:
    """Return the number that all synapses share, or None."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Distribution):
        return None
    array = np.asarray(value, np.float64)
    if array.size and (array == array.flat[0]).all():
        return float(array.flat[0])
    return None


def _counted(
    maker: Maker, sources: int, expected: float, threads: int
) -> tuple[Callable[[int, int], Rows], NDArray[np.int64], list[tuple[int, int]]]:
    """Return the function that makes rows, the first synapse of each source, and chunks of sources."""
    # Chunks of about CHUNK synapses, cut between sources.
    pieces = int(min(sources, 1 + expected // CHUNK))
    if pieces > 1:
        cuts = np.linspace(0, sources, 1 + pieces).astype(np.int64).tolist()
    else:
        cuts = [0, sources]
    chunks = list(pairwise(cuts))
    if maker.first_synapse is not None:
        return maker.rows, maker.first_synapse, chunks
    # The pattern does not know the number of its synapses: draw all chunks, count, and cache them.
    cached: dict[int, Rows] = {}
    degrees: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(chunks)

    def make(number: int) -> None:
        rows = maker.rows(*chunks[number])
        degrees[number] = np.diff(rows.offsets)
        cached[chunks[number][0]] = rows

    for_each(range(len(chunks)), make, threads)
    firsts = [a for a, _ in chunks]

    def rows(first: int, last: int) -> Rows:
        """Return a slice of the chunk that contains the range; draw again a range that no chunk contains."""
        a, b = chunks[int(np.searchsorted(firsts, first, side="right")) - 1]
        if last > b:
            return maker.rows(first, last)
        chunk = cached[a]
        low = chunk.offsets[first - a]
        high = chunk.offsets[last - a]
        weights = None if chunk.weights is None else chunk.weights[low:high]
        return Rows(chunk.offsets[first - a : last - a + 1] - low, chunk.targets[low:high], None, weights)

    return rows, first_synapses(np.concatenate(degrees)), chunks


def first_synapses(degrees: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [sources + 1] the number of the first synapse of each source, and the number of all synapses."""
    return np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)


def bound_of(value: object) -> float | None:
    """Return an upper bound of the size of a drawn number; None where none is known."""
    if isinstance(value, Uniform):
        return max(abs(value.low), abs(value.high))
    if isinstance(value, Normal):
        low = max(value.low, value.mean - MAX_SIGMAS * value.sd)
        high = min(value.high, value.mean + MAX_SIGMAS * value.sd)
        return max(abs(low), abs(high))
    return None


def reach_of(sampler: SynapseSampler) -> tuple[float, float] | None:
    """Return the sizes of the largest weight of a projection and of a typical one; None where they are unknown."""
    if sampler.weight is not None:
        return abs(sampler.weight), abs(sampler.weight)
    value = sampler.projection.weight
    largest = bound_of(value)
    if largest is None or not isinstance(value, Distribution):
        return None
    if isinstance(value, Normal):
        typical = abs(value.mean)
    else:
        # The mean of a uniform one.
        typical = abs(value.low + value.high) / 2  # type: ignore[attr-defined]
    # A mean near zero says little: then an eighth of the largest.
    return largest, max(typical, largest / 8)
