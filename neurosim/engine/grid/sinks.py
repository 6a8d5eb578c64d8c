"""Sinks of spikes and samples while a network runs: memory, or a file that grows in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from .probes import BoundProbe
from .sources import NO_EVENTS, GridEvents, join_events


class SpikeSink(ABC):
    """Takes the spikes of one stretch of steps after another."""

    @abstractmethod
    def add(self, spikes: Mapping[str, GridEvents]) -> None:
        """Add the spikes of the next stretch, by population; a population without spikes may be missing."""

    @abstractmethod
    def take(self) -> dict[str, GridEvents]:
        """Return what was added since the last take and is in memory."""


class StateSink(ABC):
    """Takes the samples of one stretch of steps after another."""

    @abstractmethod
    def add(self, samples: Sequence[tuple[int, NDArray[Any]]]) -> None:
        """Add of every probe the number of the first sample and the samples [n, units] of the next stretch."""

    @abstractmethod
    def take(self) -> dict[str, NDArray[Any]]:
        """Return what was added since the last take and is in memory."""


@final
class SpikeMemory(SpikeSink):
    """The spikes of the populations `names` in memory."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        # By population, for each stretch.
        self._stretches: list[Mapping[str, GridEvents]] = []

    def add(self, spikes: Mapping[str, GridEvents]) -> None:
        self._stretches.append({name: spikes[name] for name in self.names if name in spikes})

    def take(self) -> dict[str, GridEvents]:
        stretches = self._stretches
        self._stretches = []
        if len(stretches) == 1:
            return {name: stretches[0].get(name, NO_EVENTS) for name in self.names}
        return {name: join_events([each[name] for each in stretches if name in each]) for name in self.names}

    def copied(self) -> SpikeMemory:
        """Return a sink with the same spikes, to which others can be added."""
        other = SpikeMemory(self.names)
        other._stretches = list(self._stretches)
        return other


@final
class StateMemory(StateSink):
    """Samples in memory."""

    def __init__(self, probes: Sequence[BoundProbe]) -> None:
        self.probes = probes
        self.pieces: list[list[NDArray[Any]]] = [[] for _ in probes]

    def add(self, samples: Sequence[tuple[int, NDArray[Any]]]) -> None:
        for pieces, (_, values) in zip(self.pieces, samples, strict=True):
            if len(values):
                pieces.append(values)

    def take(self) -> dict[str, NDArray[Any]]:
        taken = {}
        for probe, pieces in zip(self.probes, self.pieces, strict=True):
            none = np.empty((0, probe.units.size), probe.real)
            if len(pieces) == 1:
                taken[probe.name] = pieces[0]
            else:
                taken[probe.name] = np.concatenate(pieces or [none])
        self.pieces = [[] for _ in self.probes]
        return taken

    def copied(self) -> StateMemory:
        """Return a sink with the same samples, to which others can be added."""
        other = StateMemory(self.probes)
        other.pieces = [list(pieces) for pieces in self.pieces]
        return other
