"""Everything that changes while a network runs in continuous time, and the address tables of the run loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, NeurosimOverflowError, Uncopied
from ...kernels.engine.clocked.finite import all_finite
from ...kernels.engine.exact import columns, loop, views
from ...network.stimuli import SpikeSource
from ..addresses import address, signed
from .network import ExactNetwork

# Initial room of a list of spikes, beyond the spikes of one moment; it doubles when full.
ROOM = 1 << 10
# Flows of one call of the loop: about a tenth of a second.
BUDGET = 2_000_000
REMEDY = "use smaller inputs and weights"


class ExactEvents(NamedTuple):
    """Events in continuous time: [n] ascending moments in s, and [n] units."""

    times: NDArray[np.float64]
    units: NDArray[np.int32]


class ExactWorkspace(Uncopied):
    """State of one run at a time, for one thread; `reset` returns to the initial state.

    Attributes:
        operations: [routes] nonzero weights added, of all runs so far.
        arrivals, flows: [populations] spikes of the Poisson stimuli that reached each, and flows made, likewise.
        tallies: by population number, int64 [size], spikes of all runs so far.
    """

    def __init__(self, compiled: ExactNetwork, recorded: tuple[str, ...]) -> None:
        self.compiled = compiled
        self.recorded = recorded
        populations = compiled.network.populations
        routes = compiled.routes
        noises = compiled.noises
        # Neurons are numbered through all populations: the heap of crossings is one.
        neurons = sum(cells.population.size for cells in compiled.cells.values())
        self._units = np.zeros((len(populations), columns.UNIT_COLUMNS), np.int64)
        self._routes = np.zeros((len(routes), columns.ROUTE_COLUMNS), np.int64)
        self._stimuli = np.zeros((len(noises), columns.STIMULUS_COLUMNS), np.int64)
        self._owner = np.zeros(neurons, np.int32)
        self._touched = np.zeros(neurons, np.int32)
        self._counters = np.zeros(columns.COUNTERS, np.int64)
        self._moments = views.Moments(
            source_next=np.zeros(len(populations)),
            stimulus_next=np.zeros(len(noises)),
            heads=np.zeros(len(routes)),
            now=np.zeros(1),
        )
        self._crossings = views.Crossings(
            keys=np.zeros(neurons),
            places=np.zeros(neurons, np.int32),
            heap=np.zeros(neurons, np.int32),
            asks=np.zeros(neurons, np.uint8),
        )
        # A source of n units at one rate is one process of n times the rate; each spike then draws its unit.
        rates = {p: source.rate * populations[p].size for p, source in compiled.poisson.items()}
        self._rates = np.array([rates.get(p, 0.0) for p in range(len(populations))])
        self._noise_rates = np.array([noise.rate * populations[noise.population].size for noise in noises])
        self._noise_weights = np.array([noise.weight for noise in noises])
        self._route_weights = np.array([route.weight for route in routes])
        self._route_delays = np.array([route.delay for route in routes])
        self._scratch = np.zeros(max((len(cells.initial) for cells in compiled.cells.values()), default=1))
        self.tallies = [np.zeros(population.size, np.int64) for population in populations]
        self.operations = np.zeros(len(routes), np.int64)
        self.flows = np.zeros(len(populations), np.int64)
        self.arrivals = np.zeros(len(populations), np.int64)
        # By population [size, 1 + states]: a neuron lies in one piece, the moment of its state first.
        self._rows: dict[int, NDArray[np.float64]] = {}
        # By population the spikes so far, times and units, with room for more.
        self._lists: dict[int, tuple[NDArray[np.float64], NDArray[np.int32]]] = {}
        # By projection whose delays differ: spikes on their way.
        self._queues: dict[int, NDArray[np.float64]] = {}
        self._probes: NDArray[np.int64] = np.zeros((0, columns.PROBE_COLUMNS), np.int64)
        self._intervals: NDArray[np.float64] = np.zeros(0)
        self._alive: list[NDArray[Any]] = []
        self._trial = 0
        self._fill_units()
        self._fill_routes()
        for row, noise in zip(self._stimuli, noises, strict=True):
            row[columns.S_TARGET] = noise.population
            row[columns.S_RECEPTOR] = noise.receptor
            row[columns.S_KEY] = signed(noise.key)
            row[columns.S_SIZE] = populations[noise.population].size

    @property
    def now(self) -> float:
        """Return the moment of the last event, s."""
        return max(float(self._moments.now[0]), 0.0)

    @property
    def spike_count(self) -> int:
        """Return the number of spikes in the present run, of neurons and Poisson sources."""
        return int(self._counters[columns.SPIKES])

    def reset(
        self,
        events: Mapping[int, ExactEvents],
        probes: NDArray[np.int64],
        intervals: NDArray[Any],
        alive: list[NDArray[Any]],
        trial: int,
    ) -> None:
        """Return to the initial state, with these events of the spike sources and this table of probes.

        Args:
            alive: arrays whose addresses are in the table.
        """
        for p, cells in self.compiled.cells.items():
            self._rows[p][:, 0] = 0.0
            self._rows[p][:, 1:] = cells.initial.T
        for p, (times, units) in events.items():
            self._lists[p] = times, units
            self._point(p)
            self._units[p, columns.COUNT] = self._units[p, columns.ROOM]
            self.tallies[p] += np.bincount(units, minlength=len(self.tallies[p]))
        for p in range(len(self._units)):
            if p not in events:
                self._units[p, columns.COUNT] = 0
        self._units[:, columns.DRAWN] = 0
        self._stimuli[:, columns.S_DRAWN] = 0
        self._routes[:, [columns.R_CURSOR, columns.Q_COUNT]] = 0
        self._crossings.places[:] = -1
        self._crossings.asks[:] = 0
        self._counters[:] = 0
        self._counters[columns.UNIT] = -1
        # Before time 0: an event at 0 is the first of its moment.
        self._moments.now[0] = -1.0
        self._moments.source_next[:] = np.inf
        self._moments.stimulus_next[:] = np.inf
        self._probes = probes
        self._intervals = intervals
        self._alive = alive
        self._trial = trial
        loop.start(self._tables(), self._moments, self._crossings, self._counters, trial)
        self._check_crossings()
        for r, route in enumerate(self.compiled.routes):
            times, _ = self._lists.get(route.source, (np.zeros(0), None))
            played = route.source in events and len(times) > 0
            self._moments.heads[r] = times[0] + route.delay if played else np.inf

    def advance(self, until: float) -> bool:
        """Process events up to `until`, inclusive; return whether all are done. A call takes about a tenth of a second.

        Raises:
            NeurosimInputError: a neuron that fires for ever at one moment.
            NeurosimOverflowError: a state, or the moment of a crossing, is not finite.
        """
        before = self.now
        state = loop.run(
            tables=self._tables(),
            moments=self._moments,
            crossings=self._crossings,
            touched=self._touched,
            scratch=self._scratch,
            counters=self._counters,
            until=until,
            budget=BUDGET,
            trial=self._trial,
        )
        if state == columns.LIST_FULL:
            self._make_room(int(self._counters[columns.WHO]), int(self._counters[columns.NEED]))
        if state == columns.QUEUE_FULL:
            self._queue(int(self._counters[columns.WHO]), 2 * int(self._counters[columns.NEED]))
        if state == columns.STUCK:
            raise NeurosimInputError(
                f"{self._culprit()}: fired {loop.MAX_AT_ONCE} times at {self.now:g} s; lower its input or give it a "
                "refractory period"
            )
        # A full list or queue is no error: the next call goes on where this one stopped.
        self._check_finite(before)
        self._check_crossings()
        return bool(state == columns.DONE)

    def finish(self) -> None:
        """Add the counters of this run to the counters of all runs."""
        for p, unit in enumerate(self._units):
            self.flows[p] += unit[columns.FLOWS]
        self._units[:, columns.FLOWS] = 0
        self.operations += self._routes[:, columns.R_OPERATIONS]
        self._routes[:, columns.R_OPERATIONS] = 0
        for row in self._stimuli:
            self.arrivals[row[columns.S_TARGET]] += row[columns.S_DRAWN]

    def spikes(self) -> dict[str, ExactEvents]:
        """Return the spikes of this run by recorded population, in order."""
        numbers = {population.name: p for p, population in enumerate(self.compiled.network.populations)}
        events: dict[str, ExactEvents] = {}
        for name in self.recorded:
            p = numbers[name]
            count = self._units[p, columns.COUNT]
            all_times, all_units = self._lists[p]
            times = all_times[:count].copy()
            units = all_units[:count].copy()
            # What happened at one moment is in order of units, sources too.
            order = np.lexsort((units, times)) if p in self.compiled.poisson else slice(None)
            events[name] = ExactEvents(times[order], units[order])
        return events

    def _tables(self) -> views.ExactTables:
        return views.ExactTables(
            units=self._units,
            rates=self._rates,
            stimuli=self._stimuli,
            stimulus_weights=self._noise_weights,
            stimulus_rates=self._noise_rates,
            routes=self._routes,
            route_weights=self._route_weights,
            route_delays=self._route_delays,
            probes=self._probes,
            intervals=self._intervals,
            owner=self._owner,
        )

    def _check_crossings(self) -> None:
        """Raise if a model returned a crossing that is no moment."""
        if self._counters[columns.UNIT] >= 0:
            raise NeurosimOverflowError(
                f"{self._culprit()}: its next crossing must be a moment (got nan, at {self.now:g} s); {REMEDY}"
            )

    def _check_finite(self, begin: float) -> None:
        """Raise if a state is not finite after the events since `begin`."""
        for p, rows in self._rows.items():
            if not all_finite(rows.reshape(-1)):
                population = self.compiled.network.populations[p]
                unit, column = np.argwhere(~np.isfinite(rows))[0].tolist()
                name = self.compiled.cells[p].state[column - 1]
                raise NeurosimOverflowError(
                    f"Population[{population.name!r}] unit {unit}: {name} must stay finite (got {rows[unit, column]}, "
                    f"between {begin:g} s and {self.now:g} s); {REMEDY}"
                )

    def _culprit(self) -> str:
        """Return the neuron at which the run loop stopped, for errors."""
        population = self.compiled.network.populations[self._counters[columns.WHO]]
        return f"Population[{population.name!r}] unit {self._counters[columns.UNIT]}"

    def _fill_units(self) -> None:
        """Fill the table of populations, and make the arrays whose addresses are in it."""
        first = 0
        read = {route.source for route in self.compiled.routes}
        for p, population in enumerate(self.compiled.network.populations):
            row = self._units[p]
            row[columns.SIZE] = population.size
            row[columns.TALLY] = address(self.tallies[p])
            row[columns.KEEP] = p in read or population.name in self.recorded
            if isinstance(population.model, SpikeSource):
                row[columns.KIND] = columns.EVENTS
                continue
            # All neurons of a population may fire at one moment, after which the list may grow.
            room = population.size + ROOM if row[columns.KEEP] else 0
            self._lists[p] = np.empty(room), np.empty(room, np.int32)
            self._point(p)
            if p in self.compiled.poisson:
                row[columns.KIND] = columns.POISSON
                row[columns.KEY] = signed(self.compiled.poisson[p].key)
                continue
            cells = self.compiled.cells[p]
            self._rows[p] = np.empty((population.size, 1 + len(cells.initial)))
            row[columns.KIND] = columns.NEURONS
            row[columns.FIRST] = first
            row[columns.FLOW], row[columns.JUMP], row[columns.CROSSING], row[columns.FIRE] = cells.functions
            row[columns.CONSTANT] = address(cells.constants)
            row[columns.STATE] = address(self._rows[p])
            row[columns.WIDTH] = self._rows[p].strides[0]
            # Constants that all units share are read with a stride of 0.
            if cells.constants.ndim == 2:
                row[columns.STRIDE] = cells.constants.strides[0]
            else:
                row[columns.STRIDE] = 0
            self._owner[first : first + population.size] = p
            first += population.size

    def _fill_routes(self) -> None:
        """Fill the table of projections: rows of targets for one delay, a queue of synapses where delays differ."""
        for r, route in enumerate(self.compiled.routes):
            row = self._routes[r]
            row[columns.R_SOURCE] = route.source
            row[columns.R_TARGET] = route.target
            row[columns.R_RECEPTOR] = route.receptor
            row[columns.R_OFFSETS] = address(route.offsets)
            row[columns.R_SOURCES] = len(route.offsets) - 1
            if route.synapses is None:
                row[columns.R_TARGETS] = address(route.targets)
                if route.weights is None:
                    row[columns.R_WEIGHTS] = 0
                else:
                    row[columns.R_WEIGHTS] = address(route.weights)
            else:
                row[columns.R_DELAYS] = address(route.synapses)
            self._queue(r, 0 if route.synapses is None else ROOM)

    def _queue(self, r: int, room: int) -> None:
        """Resize the queue of a projection; its content stays."""
        old = self._queues.get(r, np.zeros((0, 4)))
        # One more than it is asked for: an entry that moves to the front is still read at the end.
        self._queues[r] = np.zeros((room + 1, 4))
        self._queues[r][: len(old)] = old
        self._routes[r, columns.QUEUE] = address(self._queues[r])
        self._routes[r, columns.Q_ROOM] = room

    def _point(self, p: int) -> None:
        """Note the address and the length of a list of spikes in the row of its population."""
        times, units = self._lists[p]
        row = self._units[p]
        row[columns.TIMES] = address(times)
        row[columns.UNITS] = address(units)
        row[columns.ROOM] = len(times)

    def _make_room(self, p: int, need: int) -> None:
        """Make room for `need` spikes of population p; unrecorded spikes that every projection has read are dropped."""
        if self.compiled.network.populations[p].name not in self.recorded:
            need -= self._drop_read(p)
        if 2 * need > len(self._lists[p][0]):
            times, units = self._lists[p]
            self._lists[p] = np.resize(times, 2 * need), np.resize(units, 2 * need)
            self._point(p)

    def _drop_read(self, p: int) -> int:
        """Drop the spikes of a population that all its projections have read; return their number."""
        mine = [row for row in self._routes if row[columns.R_SOURCE] == p]
        done = min(row[columns.R_CURSOR] for row in mine)
        count = self._units[p, columns.COUNT]
        for array in self._lists[p]:
            array[: count - done] = array[done:count].copy()
        self._units[p, columns.COUNT] -= done
        for row in mine:
            row[columns.R_CURSOR] -= done
        return int(done)
