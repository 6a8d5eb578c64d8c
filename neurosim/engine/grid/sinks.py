"""Where spikes and samples go while a network runs: memory, or a file that grows in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from .probes import BoundProbe

# Steps and units of the spikes of each population, in order.
Found = Mapping[str, tuple[NDArray[np.int32], NDArray[np.int32]]]


class SpikeSink(ABC):
    """Takes the spikes of one stretch of steps after another."""

    @abstractmethod
    def add(self, found: Found) -> None:
        """The spikes of the next stretch."""

    @abstractmethod
    def take(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """What was added since the last take and is in memory."""


class StateSink(ABC):
    """Takes the samples of one stretch of steps after another."""

    @abstractmethod
    def add(self, filled: Sequence[tuple[int, NDArray]]) -> None:
        """For every probe, the number of the first sample and the samples [n, units] of the next stretch."""

    @abstractmethod
    def take(self) -> dict[str, NDArray]:
        """What was added since the last take and is in memory."""


@final
class SpikeMemory(SpikeSink):
    """Keeps the spikes of `names` in memory."""

    def __init__(self, names: Sequence[str]) -> None:
        self.pieces: dict[str, list[tuple[NDArray[np.int32], NDArray[np.int32]]]] = {name: [] for name in names}

    def add(self, found: Found) -> None:
        for name, pieces in self.pieces.items():
            if len(found[name][0]):
                pieces.append(found[name])

    def take(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        taken = {name: _joined(pieces) for name, pieces in self.pieces.items()}
        self.pieces = {name: [] for name in self.pieces}
        return taken


@final
class StateMemory(StateSink):
    """Keeps samples in memory."""

    def __init__(self, samplers: Sequence[BoundProbe]) -> None:
        self.samplers = samplers
        self.pieces: list[list[NDArray]] = [[] for _ in samplers]

    def add(self, filled: Sequence[tuple[int, NDArray]]) -> None:
        for pieces, (_, samples) in zip(self.pieces, filled, strict=True):
            if len(samples):
                pieces.append(samples)

    def take(self) -> dict[str, NDArray]:
        taken = {}
        for sampler, pieces in zip(self.samplers, self.pieces, strict=True):
            none = np.empty((0, sampler.units.size), sampler.real)
            taken[sampler.probe.name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [none])
        self.pieces = [[] for _ in self.samplers]
        return taken


def _joined(
    pieces: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if len(pieces) == 1:
        return pieces[0]
    none = np.empty(0, np.int32)
    steps, units = (np.concatenate([piece[k] for piece in pieces] or [none]) for k in (0, 1))
    return steps, units
