"""The engine's network of what was described by the PyNN API, and its simulation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...data.spikes import Spikes
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.plasticity.short_term import ShortTermPlasticity
from ...network.population import Population
from ...network.projection import Projection
from ...network.stimuli import Current, SpikeSource
from ...network.synapses.patterns import FromList
from ..probe import Probe
from ..simulation import Simulation
from .cells import MS, EngineCell, SpikeSourcePoisson, plain
from .currents import CurrentSource, NoisyCurrentSource
from .sources import FedCells, name_of, poisson_of, poisson_rates
from .synapses import (
    MultiQuantalSynapse,
    SimpleStochasticSynapse,
    STDPMechanism,
    StochasticTsodyksMarkramSynapse,
    TsodyksMarkramSynapse,
)

if TYPE_CHECKING:
    from .populations import Population as Cells
    from .projections import Projection as Synapses
    from .simulator import State

# Parameters of synapses that one projection of the engine shares, by type of synapse.
SHARED: dict[type, tuple[str, ...]] = {
    TsodyksMarkramSynapse: ("U", "tau_rec", "tau_facil"),
    StochasticTsodyksMarkramSynapse: ("U", "tau_rec", "tau_facil"),
    MultiQuantalSynapse: ("U", "tau_rec", "tau_facil", "n"),
    SimpleStochasticSynapse: ("p",),
}
# A projection of PyNN with different such parameters becomes as many of the engine; more are an error.
MAX_GROUPS = 1000


class Group:
    """Synapses of a projection that are one projection of the engine.

    Attributes:
        name: of that projection.
        numbers: [n] numbers of the synapses.
        unit: from PyNN's unit of a weight to SI.
        order: [n] place of each weight of `Simulation.weights` among `numbers`; None: the weights do not learn.
    """

    def __init__(self, name: str, numbers: NDArray[np.int64], unit: float, order: NDArray[np.int64] | None) -> None:
        self.name = name
        self.numbers = numbers
        self.unit = unit
        self.order = order


class Built:
    """A description as it was at the first run since the last reset, and its simulation."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.feeds: dict[str, FedCells] = {}
        self.groups: dict[int, list[Group]] = {}
        self.currents: list[tuple[str, CurrentSource, float]] = []
        populations = [self._population(cells) for cells in state.populations]
        projections = [projection for synapses in state.projections for projection in self._projections(synapses)]
        stimuli = [stimulus for source in state.current_sources for stimulus in self._stimuli(source)]
        probes: list[Probe] = []
        recorded: list[str] = []
        for cells in state.populations:
            recorder = cells.recorder
            if isinstance(cells.celltype, EngineCell):
                probes += recorder.probes(name_of(cells))
            if recorder.has_spikes and name_of(cells) not in self.feeds:
                recorded.append(name_of(cells))
        self.recorded = {probe.name for probe in probes} | set(recorded)
        self.simulation = Simulation(
            Network(populations, projections, stimuli),
            {name: iter(feed) for name, feed in self.feeds.items()},
            clock=state.clock,
            seed=state.seed,
            threads=state.threads,
            precision=state.precision,
            record=recorded,
            probes=probes,
        )
        # What was set before the first run is in the network.
        for cells in state.populations:
            cells.changed = False
            cells.moved = set()
        for synapses in state.projections:
            synapses.changed = set()
        for source in state.current_sources:
            source.changed = False

    def records(self, cells: Cells, variable: str) -> bool:
        """Return whether a variable of all cells, or spikes, are recorded already."""
        name = name_of(cells)
        if variable == "spikes":
            return name in self.recorded or name in self.feeds
        return f"{name}.{variable}" in self.recorded and len(cells.recorder.units(variable)) == cells.size

    def is_sample_due(self, interval: float) -> bool:
        """Return whether a sample of the present state belongs to a recording every `interval` ms."""
        steps = int(np.rint(interval / self.state.dt))
        return self.state.steps % steps == 0

    def present(self, cells: Cells, variable: str) -> NDArray[np.float64]:
        """Return [units] a state variable now, in PyNN's unit."""
        quantity = cells.celltype.variables[variable]
        state = self.simulation.state(name_of(cells))
        values: NDArray[np.float64] = state[quantity.name] / quantity.factor
        return values

    def run(self) -> None:
        """Run to the target of the state, and hand out what was recorded."""
        state = self.state
        self._apply_changes()
        for source in state.current_sources:
            source.pass_steps(state.steps, state.target)
        result = self.simulation.run((state.target - state.steps) * state.clock)
        for cells in state.populations:
            name = name_of(cells)
            recorder = cells.recorder
            if name in self.feeds:
                recorder.add_spikes(*self.feeds[name].played)
                continue
            if name in result.spikes:
                spikes = result.spikes[name]
                assert isinstance(spikes, Spikes)
                # A spike of step k is at its end.
                steps = np.rint(spikes.times / state.clock)
                recorder.add_spikes((steps + 1) * state.dt, spikes.units)
            for variable in recorder.names:
                recorder.add_samples(variable, result.states[f"{name}.{variable}"])

    def present_weights(self, synapses: Synapses, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the present weights of a projection; `weights` are those at the start."""
        present = weights
        for group in self.groups.get(synapses.number, []):
            if group.order is not None:
                if present is weights:
                    present = weights.copy()
                present[group.numbers[group.order]] = self.simulation.weights[group.name] / group.unit
        return present

    def _apply_changes(self) -> None:
        """Give the simulation what was set since the last run."""
        for cells in self.state.populations:
            if cells.changed:
                self._set_parameters(cells)
                cells.changed = False
            if cells.moved and isinstance(cells.celltype, EngineCell):
                self.simulation.set(name_of(cells), initial_of(cells, cells.moved))
            cells.moved = set()
        for synapses in self.state.projections:
            if synapses.changed:
                self._set_synapses(synapses)
                synapses.changed = set()
        for name, source, factor in self.currents:
            if source.changed or isinstance(source, NoisyCurrentSource):
                self.simulation.set(name, source.engine_values(factor))
        for source in self.state.current_sources:
            source.changed = False

    def _set_parameters(self, cells: Cells) -> None:
        name = name_of(cells)
        celltype = cells.celltype
        if isinstance(celltype, EngineCell):
            neuron = celltype.neuron(cells.parameters)
            names = celltype.engine_parameters(cells.parameters)
            self.simulation.set(name, {each: getattr(neuron, each) for each in names})
        elif isinstance(celltype, SpikeSourcePoisson):
            rate, times = poisson_rates(cells)
            self.simulation.set(name, {"rate": rate, "times": times})
        elif self.feeds[name].renewal is not None:
            raise NotImplementedError(
                f"neurosim.pynn: parameters of {type(celltype).__name__} must be set before the first run; "
                "call reset() first"
            )

    def _set_synapses(self, synapses: Synapses) -> None:
        allowed = {"weight", "delay"}
        if not synapses.changed <= allowed:
            names = ", ".join(sorted(synapses.changed - allowed))
            raise NotImplementedError(
                f"neurosim.pynn: {names} of '{synapses.label}' must be set before the first run; call reset() first"
            )
        for group in self.groups.get(synapses.number, []):
            values = {}
            for name, unit in (("weight", group.unit), ("delay", MS)):
                if name in synapses.changed:
                    column = synapses._columns[name][group.numbers] * unit
                    values[name] = column if group.order is None or name == "delay" else column[group.order]
            self.simulation.set(group.name, values)

    def _population(self, cells: Cells) -> Population:
        name = name_of(cells)
        celltype = cells.celltype
        if isinstance(celltype, EngineCell):
            neuron: Neuron = celltype.neuron(cells.parameters)
            return Population(name, cells.size, neuron, initial_of(cells, set(cells.initial_state)))
        if isinstance(celltype, SpikeSourcePoisson):
            return Population(name, cells.size, poisson_of(cells))
        self.feeds[name] = FedCells(cells, self.state)
        return Population(name, cells.size, SpikeSource())

    def _projections(self, synapses: Synapses) -> Iterator[Projection]:
        """Yield the engine's projections: one for each pair of populations and each set of shared parameters."""
        if not len(synapses):
            return
        kind = synapses.synapse_type
        columns = synapses._columns
        if isinstance(kind, STDPMechanism):
            shared = kind.rule_parameters
        else:
            shared = SHARED.get(type(kind), ())
        pre_population, pre_unit = _places(synapses.pre.all_cells, columns["presynaptic_index"])
        post_population, post_unit = _places(synapses.post.all_cells, columns["postsynaptic_index"])
        keys = np.stack([pre_population, post_population, *(columns[name] for name in shared)])
        sets, members = np.unique(keys, axis=1, return_inverse=True)
        if sets.shape[1] > MAX_GROUPS:
            raise NotImplementedError(
                f"neurosim.pynn: '{synapses.label}' has {sets.shape[1]} different sets of {', '.join(shared)}; "
                f"at most {MAX_GROUPS} are allowed: draw them from fewer values"
            )
        groups = self.groups.setdefault(synapses.number, [])
        for number, (source, target, *values) in enumerate(sets.T.tolist()):
            parameters = dict(zip(shared, values, strict=True))
            if parameters.get("p") == 0:
                # Synapses that never transmit: the engine wants a probability above 0.
                continue
            cells = self.state.populations[int(target)]
            receptor = cells.celltype.weights[synapses.receptor_type]
            numbers = np.flatnonzero(members.reshape(-1) == number)
            pre = pre_unit[numbers]
            post = post_unit[numbers]
            # Weights that learn are read back in this order.
            order = np.lexsort((post, pre)) if isinstance(kind, STDPMechanism) else None
            name = f"projection {synapses.number:05d}.{number}"
            groups.append(Group(name, numbers, receptor.factor, order))
            yield Projection(
                name_of(self.state.populations[int(source)]),
                name_of(cells),
                FromList(pre, post),
                weight=plain(columns["weight"][numbers] * receptor.factor),
                delay=plain(columns["delay"][numbers] * MS),
                receptor=receptor.name,
                name=name,
                **_dynamics(kind, parameters, receptor.factor),
            )

    def _stimuli(self, source: CurrentSource) -> Iterator[Current]:
        """Yield the engine's currents of a source, one for each population that it reaches."""
        reached: dict[int, list[int]] = {}
        for cells, unit in source.targets:
            reached.setdefault(cells.number, []).append(unit)
        for number, units in reached.items():
            cells = self.state.populations[number]
            name = f"current {source.number:05d}.{number}"
            factor = cells.celltype.current
            self.currents.append((name, source, factor))
            yield source.current(name, name_of(cells), units, factor)


def initial_of(cells: Cells, variables: set[str]) -> dict[str, Any]:
    """Return state variables of the neuron in SI units, of PyNN's initial values of some variables."""
    quantities = cells.celltype.variables
    chosen = sorted(variables & set(quantities))
    return {quantities[name].name: cells.initial_state[name] * quantities[name].factor for name in chosen}


def _dynamics(kind: Any, parameters: dict[str, float], unit: float) -> dict[str, Any]:
    """Return the arguments of a projection that say how its synapses of a type of PyNN change.

    Args:
        unit: engine's weight of PyNN's weight of 1.
    """
    if isinstance(kind, STDPMechanism):
        return {
            "plasticity": kind.rule(parameters, unit),
            "dendritic_delay_fraction": parameters["dendritic_delay_fraction"],
        }
    if "tau_rec" in parameters:
        return {"short_term": short_term_of(type(kind), parameters)}
    if isinstance(kind, SimpleStochasticSynapse):
        return {"p_transmit": parameters["p"]}
    return {}


def short_term_of(kind: type, parameters: dict[str, float]) -> ShortTermPlasticity:
    """Return the short-term plasticity of a synapse type of PyNN; its stochastic one has a single release site."""
    if kind is TsodyksMarkramSynapse:
        sites = 0
    else:
        sites = int(parameters.get("n", 1))
        # The engine's 0 means release by the mean, which this type does not have.
        require(sites >= 1, "MultiQuantalSynapse.n", "must be at least 1", sites)
    return ShortTermPlasticity(parameters["U"], parameters["tau_rec"] * MS, parameters["tau_facil"] * MS, sites)


def _places(cells: NDArray[Any], indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return of each index into cells the number of the cell's population and its unit there."""
    populations = np.array([cell.parent.number for cell in cells], np.int64)
    units = np.array([int(cell) - int(cell.parent.first_id) for cell in cells], np.int64)
    return populations[indices], units[indices]
