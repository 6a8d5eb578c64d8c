"""Inputs of a pipeline: recordings with the time that their activity takes to reach the readout, and spikes of labels.

A recording is lengthened until all that it causes has arrived and the window of the readout has ended: every
projection on the way adds its longest delay, every windowed population ends its window. Projections within a loop do
not count. While the pipeline learns, the unit of the recording's class spikes once, in the first step of the last
window of the readout; in a test no label spikes. A source that announces tasks spikes in the first step of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError
from ....base.values import Distribution
from ....data.recordings import Recordings
from ....data.spikes import GRID_SLACK
from ....network.network import Network
from ....network.projection import Projection
from ....network.windowed import Windowed
from .config import PipelineConfig


@dataclass(frozen=True)
class _Edge:
    """A way from one population to another; `delay` in steps, None for a link."""

    source: str
    target: str
    delay: int | None


@dataclass(frozen=True, eq=False)
class PipelineInputs:
    """Maker of the inputs of a pipeline."""

    config: PipelineConfig

    def of(self, recordings: Recordings, *, labelled: bool, announced: bool = False) -> Mapping[str, Recordings]:
        """Return what the sources play in a batch of recordings.

        Args:
            labelled: whether the classes are played.
            announced: whether the first recording begins a task.
        """
        config = self.config
        data = self.config.data
        played = _first_seconds(recordings, config.description.settings.duration)
        # Recordings of one duration share the walk through the network.
        durations, which = np.unique(played.durations, return_inverse=True)
        steps = np.array([self.steps(float(duration)) for duration in durations], np.int64)[which]
        source = config.description.network.population(data.source)
        every = {data.source: replace(played, shape=source.shape)}
        units = np.asarray(recordings.labels, np.int32)
        every[data.label] = self.spikes(data.label, np.full(len(steps), labelled), steps - config.readout_steps, units)
        every[data.label] = replace(every[data.label], durations=steps * config.clock)
        if data.task is not None:
            begins = announced & (np.arange(len(steps)) == 0)
            every[data.task] = self.spikes(data.task, begins, np.zeros_like(steps), np.zeros_like(units))
        return every

    def spikes(
        self, name: str, spiking: NDArray[np.bool_], steps: NDArray[np.int64], units: NDArray[np.int32]
    ) -> Recordings:
        """Return recordings of a population with one spike each, or none where they are not `spiking`."""
        population = self.config.description.network.population(name)
        return Recordings(
            ticks=steps[spiking],
            units=units[spiking],
            offsets=np.concatenate([[0], np.cumsum(spiking)]),
            durations=np.zeros(len(spiking)),
            size=population.size,
            shape=population.shape,
            tick=self.config.clock,
        )

    def steps(self, duration: float) -> int:
        """Return the number of steps that a recording of `duration` seconds runs."""
        # The slack keeps a duration of n steps at n, whatever its rounding.
        first = math.ceil(duration / self.config.clock - GRID_SLACK)
        ends = {p.name: first for p in self.config.description.network.populations}
        for name in self.order:
            population = self.config.description.network.population(name)
            # All that reaches a population has arrived when the last of its sources has ended.
            end = max([first, *(_arrival(ends[edge.source], edge) for edge in self._edges if edge.target == name)])
            if isinstance(population.model, Windowed):
                window = max(1, round(population.model.window / self.config.clock))
                end = max(1, math.ceil(end / window)) * window
            ends[name] = end
        return ends[self.config.data.readout]

    @cached_property
    def _edges(self) -> tuple[_Edge, ...]:
        """The ways between populations, without those that are part of a loop."""
        network = self.config.description.network
        clock = self.config.clock
        edges = [_Edge(p.source, p.target, _longest_delay(network, p, clock)) for p in network.projections]
        # A code that comes through a delayed link belongs to the window with the step in which it ends.
        edges += [_Edge(link.source, link.target, 1 if link.delayed else None) for link in network.links]
        # An edge whose target leads back to its source is part of a loop.
        return tuple(edge for edge in edges if edge.source not in _reached(edge.target, edges))

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The populations, each after those that lead to it."""
        left = {p.name for p in self.config.description.network.populations}
        ordered = []
        while left:
            ready = sorted(left - {edge.target for edge in self._edges if edge.source in left})
            ordered += ready
            left -= set(ready)
        return tuple(ordered)


def _arrival(end: int, edge: _Edge) -> int:
    """Return the step by which all spikes of a source that ends at `end` have arrived."""
    return end if edge.delay is None else end + edge.delay


def _reached(name: str, edges: Sequence[_Edge]) -> set[str]:
    """Return the populations that a population leads to, itself included."""
    reached = {name}
    new = {name}
    while new:
        new = {edge.target for edge in edges if edge.source in new} - reached
        reached |= new
    return reached


def _longest_delay(network: Network, projection: Projection, clock: float) -> int:
    """Return the longest delay of a projection in steps; a code leaves its population a step after its window.

    Raises:
        NeurosimInputError: a distribution of delays without a bound.
    """
    delay = projection.delay
    if isinstance(delay, Distribution):
        longest = getattr(delay, "high", math.inf)
    else:
        longest = float(np.max(delay, initial=0.0))
    if not math.isfinite(longest):
        raise NeurosimInputError(
            f"{projection}.delay: must have an upper bound in a pipeline; give its {type(delay).__name__} a high"
        )
    # Delays round to whole steps, at least one, as in the engine.
    steps = max(1, math.floor(longest / clock + 0.5))
    return steps + isinstance(network.population(projection.source).model, Windowed)


def _first_seconds(recordings: Recordings, duration: float | None) -> Recordings:
    """Return recordings that each last `duration` seconds: later events are left out, and silence follows."""
    if duration is None:
        return recordings
    is_early = recordings.ticks.astype(np.float64) * recordings.tick < duration
    counts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(is_early)])[recordings.offsets]
    return replace(
        recordings,
        ticks=recordings.ticks[is_early],
        units=recordings.units[is_early],
        offsets=counts,
        durations=np.full(len(recordings), duration),
    )
