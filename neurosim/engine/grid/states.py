"""States of neurons, in pieces of units that the run loop steps at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked.views import PIECE
from ..compile.network import CompiledNetwork
from ..compile.row_tables import aligned

# States begin at a page, where inputs do not: see `thread_room`.
PAGE = 4096
# Units whose states are together in a saved simulation.
SAVED_PIECE = 2048


class NeuronStates(Uncopied):
    """States of the neurons of a network: of each piece of units [states, n], one piece after another.

    Attributes:
        arrays: by row of the table of populations and bundles, real [states * size]; a population of a bundle has its
            state there.
        places: by population in a bundle the row of the bundle, and its first unit there.
        views: by population [states, n] of each of its pieces.
    """

    def __init__(self, compiled: CompiledNetwork) -> None:
        self._compiled = compiled
        self.arrays: dict[int, NDArray[Any]] = {}
        self.places: dict[int, tuple[int, int]] = {}
        pieces: dict[int, list[NDArray[Any]]] = {}
        for k, bundle in enumerate(compiled.bundles, len(compiled.network.populations)):
            states = len(compiled.cells[int(bundle.numbers[0])].initial)
            state = np.empty((states, bundle.size), compiled.real)
            self.arrays[k] = state.reshape(-1)
            for p, begin, end in zip(bundle.numbers.tolist(), bundle.firsts[:-1], bundle.firsts[1:], strict=True):
                self.places[p] = (k, int(begin))
                pieces[p] = [state[:, begin:end]]
        for p, cells in compiled.cells.items():
            if p not in pieces:
                states = len(cells.initial)
                self.arrays[p] = aligned((cells.initial.size,), compiled.real, PAGE)
                pieces[p] = [
                    self.arrays[p][states * begin : states * end].reshape(states, end - begin)
                    for begin, end in self._pieces(p)
                ]
        self.views = {p: pieces[p] for p in compiled.cells}

    def read(self, p: int) -> NDArray[Any]:
        """Return [states, size] the state of a population, in the order of units."""
        return np.concatenate(self.views[p], axis=1)

    def write(self, p: int, state: NDArray[Any]) -> None:
        """Set the state of a population, [states, size] in the order of units."""
        begin = 0
        for view in self.views[p]:
            end = begin + view.shape[1]
            view[:] = state[:, begin:end]
            begin = end

    def save(self, p: int) -> NDArray[Any]:
        """Return the state of a population as files hold it: [states, n], one piece of units after another."""
        state = self.read(p)
        return np.concatenate([state[:, begin:end].reshape(-1) for begin, end in self._pieces(p, SAVED_PIECE)])

    def restore(self, p: int, saved: NDArray[Any]) -> None:
        """Set the state of a population to one of `save`."""
        states = len(self._compiled.cells[p].initial)
        state = np.empty((states, saved.size // states), saved.dtype)
        for begin, end in self._pieces(p, SAVED_PIECE):
            state[:, begin:end] = saved[states * begin : states * end].reshape(states, end - begin)
        self.write(p, state)

    def by_pieces(self, p: int, constants: NDArray[Any]) -> NDArray[Any]:
        """Return the constants of a population as the run loop reads them: rows by unit in the order of the state."""
        if constants.ndim == 1:
            return constants
        return np.concatenate([constants[:, begin:end].reshape(-1) for begin, end in self._pieces(p)])

    def _pieces(self, p: int, length: int = PIECE) -> list[tuple[int, int]]:
        """Return the ranges of units whose states are together in memory, `length` units at most."""
        size = self._compiled.network.populations[p].size
        part = int(self._compiled.layout.parts[p])
        return [
            (begin, min(begin + length, first + part, size))
            for first in range(0, size, part)
            for begin in range(first, min(first + part, size), length)
        ]
