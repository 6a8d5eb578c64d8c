"""A projection's synapses, drawn for any range of sources: targets, weights and delays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...network import Network, Projection
from ...random import rng_key
from ...synapses import (
    Distribution,
    Maker,
    Rows,
    draw,
)

MAX_DELAY = 2**16 - 1
# Synapses drawn at a time: enough to outweigh the calls, and few enough that what is held of them is small.
CHUNK = 1 << 19

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class SynapseSampler:
    """Draws a projection.

    Attributes:
        weight: what all synapses have; None where each has its own.
        delay: steps, the same.
        before: [sources + 1] synapses of the sources before each.
        chunks: the ranges of sources in which the synapses are best made.
    """

    projection: Projection
    source: int
    target: int
    receptor: int
    weight: float | None
    delay: int | None
    before: NDArray[np.int64]
    chunks: list[tuple[int, int]]
    clock: float
    seed: int
    _made: Callable[[int, int], Rows]

    @property
    def synapses(self) -> int:
        return int(self.before[-1])

    def forget(self) -> SynapseSampler:
        """The same without the synapses that its pattern may hold, which `prepare` makes again."""
        return replace(self, _made=_forgotten)

    def rows(self, first: int, last: int) -> Rows:
        """The rows of a range of sources that lies in one of the chunks, or of all of them."""
        return self._made(first, last)

    def weights(self, rows: Rows, first: int) -> NDArray[np.float64]:
        """[synapses] weights of rows that begin with source `first`."""
        weights = self._values("weight", rows, first)
        return weights if rows.weights is None else weights * rows.weights

    def delays(self, rows: Rows, first: int) -> NDArray[np.uint16]:
        """[synapses] delays in steps.

        Raises:
            NeurosimInputError: one that is no step or too many.
        """
        return to_steps(self.projection, self._values("delay", rows, first), self.clock)

    def _values(self, what: str, rows: Rows, first: int) -> NDArray[np.float64]:
        value = getattr(self.projection, what)
        key = rng_key(self.seed, what, str(self.projection.name))
        thing = f"{self.projection}.{what}"
        if rows.order is None:
            return draw(value, key, int(self.before[first]), len(rows.targets), thing)
        # The pattern lists its synapses itself, and values are in the order of that list.
        return draw(value, key, 0, self.synapses, thing)[rows.order]


def _forgotten(first: int, last: int) -> Rows:
    raise RuntimeError("the synapses of this drawing have been forgotten")


def to_steps(projection: Projection, delays: NDArray, clock: float) -> NDArray[np.uint16]:
    """Delays in s to whole steps, halves up; raises where that is none, or more than can be counted."""
    from ...kernels.engine.clocked.row_encoders import steps_of

    steps = np.empty(len(delays), np.uint16)
    low, high = steps_of(delays, clock, steps)
    if len(delays):
        thing = f"{projection}.delay"
        hint = "; give the distribution a `low`" if isinstance(projection.delay, Distribution) else ""
        rule = f"must round to at least one step of {clock:g} s{hint}"
        require(low >= 1, thing, rule, float(np.min(delays)))
        require(high <= MAX_DELAY, thing, f"must be <= {MAX_DELAY} steps of {clock:g} s", float(np.max(delays)))
    return steps


def build_sampler(network: Network, projection: Projection, clock: float, seed: int, threads: int) -> SynapseSampler:
    """Everything but the synapses themselves, of which patterns that cannot tell their number are made here.

    Raises:
        NeurosimInputError: delays that are no step or too many.
    """
    number = {population.name: p for p, population in enumerate(network.populations)}
    source, target = number[projection.source], number[projection.target]
    sides = network.populations[source].side, network.populations[target].side
    maker = projection.pattern.maker(*sides, source == target, rng_key(seed, "pattern", str(projection.name)))
    expected = projection.pattern.expected(*sides)
    maker, chunks = _counted(maker, sides[0].size, expected, threads)
    own = maker.rows(0, 0).weights is not None
    delay = _one(projection.delay)
    return SynapseSampler(
        projection,
        source,
        target,
        network.receptor(projection),
        None if own else _one(projection.weight),
        None if delay is None else int(to_steps(projection, np.array([delay]), clock)[0]),
        maker.before,  # type: ignore[arg-type]
        chunks,
        clock,
        seed,
        maker.rows,
    )


def in_threads(do: Callable[[Item], None], items: list[Item], threads: int) -> None:
    """Call `do` on every item, several at a time; raises what the first that failed raised."""
    if threads == 1 or len(items) < 2:
        for item in items:
            do(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(do, items))


def _one(value: object) -> float | None:
    """The number that serves all synapses, or None."""
    if isinstance(value, Distribution):
        return None
    array = np.asarray(value, np.float64)
    return float(array.flat[0]) if array.size and (array == array.flat[0]).all() else None


def _counted(maker: Maker, sources: int, expected: float, threads: int) -> tuple[Maker, list[tuple[int, int]]]:
    """The same with its counts known, and chunks of sources."""
    cuts = np.linspace(0, sources, 1 + int(min(sources, 1 + expected // CHUNK))).astype(np.int64)
    chunks = [(int(a), int(b)) for a, b in pairwise(cuts)]
    if maker.before is not None:
        return maker, chunks
    made: dict[int, Rows] = {}

    def make(chunk: tuple[int, int]) -> None:
        made[chunk[0]] = maker.rows(*chunk)

    in_threads(make, chunks, threads)
    degrees = [np.diff(made[a].offsets) for a, _ in chunks]
    before = np.concatenate([[0], np.cumsum(np.concatenate(degrees))]).astype(np.int64)
    firsts = [a for a, _ in chunks]

    def rows(first: int, last: int) -> Rows:
        """A slice of the chunk that holds the range, or a new drawing of what none holds."""
        a, b = chunks[int(np.searchsorted(firsts, first, side="right")) - 1]
        if last > b:
            return maker.rows(first, last)
        whole = made[a]
        low, high = whole.offsets[first - a], whole.offsets[last - a]
        weights = None if whole.weights is None else whole.weights[low:high]
        return Rows(whole.offsets[first - a : last - a + 1] - low, whole.targets[low:high], None, weights)

    return Maker(rows, before), chunks
