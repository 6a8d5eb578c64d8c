"""Projections and their connections, as PyNN has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyNN import common
from pyNN.space import Space

from . import simulator
from .synapses import StaticSynapse


class Connection(common.Connection):
    """One synapse; its weight, delay and other parameters are attributes that can be set."""

    def __init__(self, projection: Projection, number: int) -> None:
        object.__setattr__(self, "_projection", projection)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        return self._projection.column(name)[self._number]

    def __setattr__(self, name: str, value: float) -> None:
        self._projection.put(name, np.array([self._number]), value)

    def as_tuple(self, *names: str) -> tuple[Any, ...]:
        """Return some attributes."""
        return tuple(getattr(self, name) for name in names)


class Projection(common.Projection):
    __doc__ = common.Projection.__doc__
    _simulator = simulator
    _static_synapse_class = StaticSynapse

    def __init__(
        self,
        presynaptic_neurons: Any,
        postsynaptic_neurons: Any,
        connector: Any,
        synapse_type: Any = None,
        source: Any = None,
        receptor_type: str | None = None,
        space: Any = None,
        label: str | None = None,
    ) -> None:
        state = simulator.state
        if state.built is not None:
            raise NotImplementedError("neurosim.pynn.Projection: must be made before the first run; call reset() first")
        super().__init__(
            presynaptic_neurons,
            postsynaptic_neurons,
            connector,
            synapse_type,
            source,
            receptor_type,
            Space() if space is None else space,
            label,
        )
        self._pieces: list[dict[str, Any]] = []
        # By name [synapses]: indices in pre and post, weight, delay and parameters of the synapse type, in its units.
        self._columns: dict[str, NDArray[Any]] = {}
        self.changed: set[str] = set()
        self.number = len(state.projections)
        state.projections.append(self)
        connector.connect(self)
        self._join()

    def _convergent_connect(
        self,
        presynaptic_indices: Any,
        postsynaptic_index: int,
        location_selector: Any = None,
        **connection_parameters: Any,
    ) -> None:
        """Connect cells with one cell; connectors call this."""
        if location_selector is not None:
            raise NotImplementedError("neurosim.pynn: cells have one place for synapses; leave out location_selector")
        pre = np.atleast_1d(np.asarray(presynaptic_indices, np.int64))
        values = {name: np.broadcast_to(value, pre.shape) for name, value in connection_parameters.items()}
        post = np.full(len(pre), postsynaptic_index, np.int64)
        self._pieces.append({"presynaptic_index": pre, "postsynaptic_index": post, **values})

    def _join(self) -> None:
        """Make columns of the pieces that the connector left."""
        names = ("presynaptic_index", "postsynaptic_index", *self.synapse_type.get_native_names())
        for name in names:
            pieces = [np.asarray(piece[name]) for piece in self._pieces]
            kind = np.int64 if name.endswith("_index") else np.float64
            self._columns[name] = np.concatenate([np.empty(0), *pieces]).astype(kind)
        self._pieces = []

    def __len__(self) -> int:
        return len(self._columns["presynaptic_index"]) if self._columns else 0

    def __getitem__(self, i: int) -> Connection:
        return self.connections[i]

    @property
    def connections(self) -> list[Connection]:
        """Return the synapses in the order in which they were made."""
        return [Connection(self, number) for number in range(len(self))]

    @property
    def shortest_delay(self) -> float:
        """Return the shortest delay, ms."""
        return float(self._columns["delay"].min())

    def column(self, name: str) -> NDArray[Any]:
        """Return an attribute of all synapses; of weights that learn the present ones."""
        if name not in self._columns:
            raise AttributeError(f"{self.synapse_type!r} has no parameter '{name}'")
        built = simulator.state.built
        if name == "weight" and built is not None and "weight" not in self.changed:
            return built.present_weights(self, self._columns["weight"])
        return self._columns[name]

    def put(self, name: str, numbers: NDArray[np.int64], values: Any) -> None:
        """Set an attribute of some synapses; a simulation that runs takes it before its next run."""
        # The others keep their present weights.
        self._columns[name] = self.column(name)
        self._columns[name][numbers] = values
        self.changed.add(name)

    def _set_attributes(self, parameter_space: Any) -> None:
        parameter_space.evaluate(simplify=True)
        pre = self._columns["presynaptic_index"]
        post = self._columns["postsynaptic_index"]
        for name, value in parameter_space.items():
            values = np.asarray(value, np.float64)
            # A matrix has a value for each pair of cells, a vector one for each synapse.
            chosen = values[pre, post] if values.ndim == 2 else values
            self.put(name, np.arange(len(self)), chosen)

    def _set_initial_value_array(self, variable: str, initial_values: Any) -> None:
        raise NotImplementedError(f"neurosim.pynn.Projection.initialize: {variable} starts at its own value; leave it")

    def _get_attributes_as_list(self, names: Any) -> list[tuple[Any, ...]]:
        columns = [self.column(name).tolist() for name in names]
        return list(zip(*columns, strict=True))

    def _get_attributes_as_arrays(self, names: Any, multiple_synapses: str = "sum") -> list[NDArray[np.float64]]:
        pre = self._columns["presynaptic_index"]
        post = self._columns["postsynaptic_index"]
        arrays = []
        for name in names:
            values = self.column(name).astype(np.float64)
            array = np.full(self.shape, np.nan)
            if multiple_synapses == "last":
                array[pre, post] = values
            elif multiple_synapses == "first":
                # Of several synapses between two cells the last that is written stays: the first, in reverse.
                array[pre[::-1], post[::-1]] = values[::-1]
            else:
                start, join = {"sum": (0.0, np.add), "min": (np.inf, np.minimum), "max": (-np.inf, np.maximum)}[
                    multiple_synapses
                ]
                # NaN stays where there is no synapse.
                array[pre, post] = start
                join.at(array, (pre, post), values)
            arrays.append(array)
        return arrays
