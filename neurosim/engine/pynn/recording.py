"""Recording of spikes and state variables, which PyNN hands on as Neo blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import quantities as pq
from numpy.typing import NDArray
from pyNN import recording

from ..probe import Probe
from . import simulator
from .cells import EngineCell

# Units of conductances under the names that PyNN asks for.
for _name, _factor in (("uS", 1e-6), ("nS", 1e-9)):
    if not hasattr(pq, _name):
        setattr(pq, _name, pq.UnitQuantity(_name, _factor * pq.S, _name))


class Recorder(recording.Recorder):
    """Data of a population since its last reset, or since they were cleared.

    Spikes are recorded at the end of the step in which a cell fires, and those of a `SpikeSourceArray` at the times of
    its parameter. Samples are of the state at their time, the first at the start of the recording.
    """

    _simulator = simulator

    def __init__(self, population: Any, file: Any = None) -> None:
        super().__init__(population, file)
        self._forget()

    def _forget(self) -> None:
        self._times: list[NDArray[np.float64]] = []
        self._units: list[NDArray[np.int64]] = []
        self._samples: dict[str, list[NDArray[np.float64]]] = {}

    def _record(self, variable: Any, new_ids: set[Any], sampling_interval: float | None = None) -> None:
        built = simulator.state.built
        if built is not None and new_ids and not built.records(self.population, variable.name):
            raise NotImplementedError(
                f"neurosim.pynn: {variable.name} of '{self.population.label}' must be recorded before the first run; "
                "call reset() first"
            )
        self.sampling_interval = sampling_interval or simulator.state.dt

    def _reset(self) -> None:
        self._forget()

    def _clear_simulator(self) -> None:
        self._forget()

    def store_to_cache(self, annotations: Any = None) -> None:
        super().store_to_cache(annotations)
        self._forget()

    @property
    def names(self) -> list[str]:
        """Return the variables that are recorded, without spikes."""
        return sorted({variable.name for variable in self.recorded} - {"spikes"})

    @property
    def has_spikes(self) -> bool:
        """Return whether spikes are recorded."""
        return any(variable.name == "spikes" for variable in self.recorded)

    def units(self, name: str) -> NDArray[np.int64]:
        """Return the indices of the cells of which a variable is recorded, ascending."""
        cells = set().union(*(ids for variable, ids in self.recorded.items() if variable.name == name))
        return np.sort(np.array([int(cell) - int(self.population.first_id) for cell in cells], np.int64))

    def probes(self, population: str) -> list[Probe]:
        """Return probes of the engine for all variables of all cells that are recorded."""
        celltype: EngineCell = self.population.celltype
        interval = self.sampling_interval * 1e-3
        probes = []
        for name in self.names:
            variable = celltype.variables[name].name
            probes.append(
                Probe(
                    population=population,
                    variable=variable,
                    interval=interval,
                    units=self.units(name).tolist(),
                    label=f"{population}.{name}",
                )
            )
        return probes

    def add_spikes(self, times: NDArray[np.float64], units: NDArray[Any]) -> None:
        """Add spikes of the last run: ms, and units of the population."""
        self._times.append(times)
        self._units.append(np.asarray(units, np.int64))

    def add_samples(self, name: str, samples: NDArray[Any]) -> None:
        """Add [samples, units] of a variable, in SI units."""
        self._samples.setdefault(name, []).append(samples / self.population.celltype.variables[name].factor)

    def _get_spiketimes(self, ids: Any, clear: bool = False) -> tuple[NDArray[Any], NDArray[np.float64]]:
        times = np.concatenate([np.empty(0), *self._times])
        units = np.concatenate([np.empty(0, np.int64), *self._units])
        cells = units + int(self.population.first_id)
        wanted = np.isin(cells, np.array([int(cell) for cell in ids], np.int64))
        return cells[wanted], times[wanted]

    def _get_all_signals(self, variable: Any, ids: Any, clear: bool = False) -> tuple[NDArray[np.float64], None]:
        units = self.units(variable.name)
        chosen = np.array([int(cell) - int(self.population.first_id) for cell in ids], np.int64)
        columns = np.searchsorted(units, chosen)
        pieces = self._samples.get(variable.name, [])
        built = simulator.state.built
        present = np.empty((0, len(units)))
        if built is not None and built.is_sample_due(self.sampling_interval):
            present = built.present(self.population, variable.name)[None, units]
        return np.concatenate([np.empty((0, len(units))), *pieces, present])[:, columns], None

    def _local_count(self, variable: Any, filter_ids: Any = None) -> dict[int, int]:
        ids = [int(cell) for cell in self.filter_recorded(variable, filter_ids)]
        cells, _ = self._get_spiketimes(ids)
        counts = dict.fromkeys(ids, 0)
        for cell, count in zip(*np.unique(cells, return_counts=True), strict=True):
            counts[int(cell)] = int(count)
        return counts
