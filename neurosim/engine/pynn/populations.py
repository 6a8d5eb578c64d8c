"""Populations, views of them and assemblies, as PyNN has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyNN import common
from pyNN.errors import InvalidParameterValueError
from pyNN.parameters import LazyArray, ParameterSpace

from . import simulator
from .cells import SpikeSourceArray
from .recording import Recorder


class Assembly(common.Assembly):
    """Cells of several populations."""

    _simulator = simulator

    @property
    def receptor_types(self) -> list[str]:
        """Return the receptor types that all populations have, in the order of the first.

        Projections take the first of them where they name none. PyNN's own list has the order of a set, which changes
        from process to process.
        """
        first, *others = [part.celltype.receptor_types for part in self.populations]
        return [name for name in first if all(name in names for names in others)]


class CellGroup:
    """Cells of one population, by their indices there."""

    def root(self) -> Population:
        """Return the population."""
        raise NotImplementedError

    def indices(self) -> NDArray[np.int64]:
        """Return the indices of the cells."""
        raise NotImplementedError

    def _get_parameters(self, *names: str) -> ParameterSpace:
        """Return parameters of the cells; names and units of the engine's side are PyNN's."""
        parameters = self.root().parameters
        chosen = self.indices()
        return ParameterSpace({name: parameters[name][chosen] for name in names}, shape=(len(chosen),))

    _get_native_parameters = _get_parameters

    def _set_parameters(self, parameter_space: ParameterSpace) -> None:
        parameter_space.evaluate(simplify=False)
        self.root().change(self.indices(), dict(parameter_space.items()))

    def _set_initial_value_array(self, variable: str, initial_values: LazyArray) -> None:
        self.root().start(variable, self.indices(), initial_values.evaluate(simplify=False))

    def _get_view(self, selector: Any, label: str | None = None) -> PopulationView:
        return PopulationView(self, selector, label)


class PopulationView(CellGroup, common.PopulationView):
    """Some cells of a population."""

    _assembly_class = Assembly
    _simulator = simulator

    def root(self) -> Population:
        return self.grandparent  # type: ignore[no-any-return]

    def indices(self) -> NDArray[np.int64]:
        return np.asarray(self.index_in_grandparent(np.arange(self.size)), np.int64)

    @property
    def initial_values(self) -> dict[str, LazyArray]:
        """Return the initial state of the cells, by variable."""
        values = self.root().initial_state
        return {name: LazyArray(array[self.indices()]) for name, array in values.items()}

    def initialize(self, **initial_values: Any) -> None:
        """Set the state of the cells; see PyNN's `Population.initialize`."""
        for variable, value in initial_values.items():
            self._set_initial_value_array(variable, LazyArray(value, shape=(self.size,), dtype=float))

    def _set_cell_initial_value(self, cell: Any, variable: str, value: float) -> None:
        self.root()._set_cell_initial_value(cell, variable, value)


class Population(CellGroup, common.Population):
    __doc__ = common.Population.__doc__
    _simulator = simulator
    _recorder_class = Recorder
    _assembly_class = Assembly

    def root(self) -> Population:
        return self

    def indices(self) -> NDArray[np.int64]:
        return np.arange(self.size)

    def _create_cells(self) -> None:
        state = simulator.state
        first = state.id_counter
        self.all_cells = np.array([simulator.ID(n) for n in range(first, first + self.size)], dtype=simulator.ID)
        self._mask_local = np.ones(self.size, bool)
        for cell in self.all_cells:
            cell.parent = self
        space = self.celltype.native_parameters
        space.shape = (self.size,)
        space.evaluate(simplify=False)
        # By name [size], in PyNN's units; times of spikes are PyNN's sequences.
        self.parameters = {name: np.broadcast_to(np.asarray(each), self.size).copy() for name, each in space.items()}
        try:
            self._check()
        except InvalidParameterValueError:
            # PyNN has made it already, and would ask it for data.
            state.recorders.discard(self.recorder)
            raise
        self.initial_state: dict[str, NDArray[Any]] = {}
        self.changed = False
        self.moved: set[str] = set()
        self.number = len(state.populations)
        state.id_counter += self.size
        state.populations.append(self)

    def change(self, indices: NDArray[np.int64], values: dict[str, NDArray[Any]]) -> None:
        """Set parameters of some cells; a simulation that runs takes them before its next run."""
        before = {name: array.copy() for name, array in self.parameters.items()}
        for name, value in values.items():
            self.parameters[name][indices] = value
        try:
            self._check()
        except InvalidParameterValueError:
            self.parameters = before
            raise
        self.changed = True

    def start(self, variable: str, indices: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Set the initial state of some cells, and their state if a simulation runs."""
        array = self.initial_state.setdefault(variable, np.zeros(self.size))
        array[indices] = values
        if variable in self.__dict__.get("initial_values", {}):
            self.initial_values[variable] = LazyArray(array.copy())
        self.moved.add(variable)

    def _set_cell_initial_value(self, cell: Any, variable: str, value: float) -> None:
        self.start(variable, np.array([self.id_to_index(cell)]), np.array([value]))

    def _check(self) -> None:
        if isinstance(self.celltype, SpikeSourceArray):
            self.celltype.check(self.parameters)
