"""Everything that changes while a network runs, and the tables of addresses the run loop works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import clocked
from ..network import Population
from .plan import Noise, Plan

# Recorded spikes a workspace has room for at first; it doubles when full.
ROOM = 1 << 14


@dataclass(frozen=True, eq=False)
class Events:
    """A recording on the grid: `steps` int32, rising, and `units` int32."""

    steps: NDArray[np.int32]
    units: NDArray[np.int32]


class Workspace:
    """State of one run at a time: used by one thread, put back to the initial state by `reset`.

    Attributes:
        state: by population number, real [states, size].
        ring: by population number, real [slots, receptors, size], input still to come.
        tallies: by population number, int64 [size], spikes of all runs so far.
        changes: [populations] membrane entries that changed, of all runs so far, if counted.
        drawn: [stimuli] Poisson input spikes of all runs so far.
        step: where the present run stands.
    """

    def __init__(self, plan: Plan, recorded: tuple[str, ...], count_updates: bool, threads: int = 1) -> None:
        self.plan = plan
        populations = plan.network.populations
        self.state = {p: cells.initial.copy() for p, cells in plan.cells.items()}
        self.ring = {
            p: np.zeros((cells.slots, len(cells.population.model.receptors), cells.population.size), plan.real)  # type: ignore[union-attr]
            for p, cells in plan.cells.items()
        }
        self.tallies = [np.zeros(population.size, np.int64) for population in populations]
        self.changes = np.zeros(len(populations), np.int64)
        self.drawn = np.zeros(len(plan.noises), np.int64)
        self.step = 0
        self._keep: list[NDArray] = []
        self._cursors = np.zeros(len(populations), np.int64)
        self._used = np.zeros(1, np.int64)
        self._units = np.zeros((len(populations), clocked.UNIT_COLUMNS), np.int64)
        self.bases: dict[str, int] = {}
        self._most = 0
        for p, population in enumerate(populations):
            self._fill_unit(p, population, recorded, count_updates)
        self._stimuli = np.zeros((len(plan.noises), clocked.STIMULUS_COLUMNS), np.int64)
        for s, noise in enumerate(plan.noises):
            self._fill_stimulus(s, noise)
        self._routes = self._fill_routes()
        self._probes: NDArray = np.zeros((0, clocked.PROBE_COLUMNS), np.int64)
        self._played: tuple[Mapping[int, Events], list[NDArray]] = {}, []
        self._steps: NDArray = np.empty(max(ROOM, 2 * self._most), np.int32)
        self._found: NDArray = np.empty_like(self._steps)

    @property
    def found(self) -> int:
        """Spikes recorded in the present run."""
        return int(self._used[0])

    def reset(self, events: Mapping[int, Events], probes: NDArray[np.int64], keep: list[NDArray]) -> None:
        """Back to the initial state, with these recordings for the spike sources and this table of probes.

        keep: arrays whose addresses are in the table.
        """
        for p, cells in self.plan.cells.items():
            self.state[p][:] = cells.initial
            self.ring[p][:] = 0
        self._played = events, keep  # kept alive: the tables hold their addresses
        for p, given in events.items():
            self._units[p, clocked.EVENT_STEPS] = _address(given.steps)
            self._units[p, clocked.FIRED] = _address(given.units)
            self._units[p, clocked.EVENT_COUNT] = len(given.steps)
        self._probes = probes
        self._cursors[:] = 0
        self._used[0] = 0
        self.step = 0

    def advance(self, steps: int, trial: int) -> None:
        """Run `steps` more steps."""
        plan, last = self.plan, self.step + steps
        weights = np.array([noise.weight for noise in plan.noises], plan.real)
        route_weights = np.array([route.weight for route in plan.routes], plan.real)
        while self.step < last:
            self.step = clocked.run(
                self._units,
                self._stimuli,
                weights,
                self._routes,
                route_weights,
                self._probes,
                self.step,
                last,
                trial,
                self._steps,
                self._found,
                self._most,
                self._used,
                self._cursors,
                self.changes,
                self.drawn,
                plan.real.type(0),
            )
            if self.step < last:
                self._steps, self._found = (np.concatenate([a, np.empty_like(a)]) for a in (self._steps, self._found))

    def spikes(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """By recorded population: steps and units of the spikes of this run, in order."""
        steps, found = self._steps[: self.found], self._found[: self.found]
        if len(self.bases) == 1:
            return {name: (steps.copy(), found.copy()) for name in self.bases}
        result = {}
        for name, base in self.bases.items():
            mine = (found >= base) & (found < base + self.plan.network.population(name).size)
            result[name] = steps[mine], found[mine] - np.int32(base)
        return result

    def take_spikes(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """`spikes()` found since the last take, which are then no longer held here."""
        taken = self.spikes()
        self._used[0] = 0
        return taken

    def arrays(self) -> dict[str, NDArray]:
        """Every array that changes while the network runs, by name; the arrays themselves, not copies.

        Together with `step` they are all that the steps to come depend on, input aside, and the counters. They are the
        same for any number of threads.
        """
        populations = self.plan.network.populations
        named = {f"tally/{populations[p].name}": tally for p, tally in enumerate(self.tallies)}
        for p in self.plan.cells:
            named[f"state/{populations[p].name}"] = self.state[p]
            named[f"ring/{populations[p].name}"] = self.ring[p]
        return {**named, "changes": self.changes, "drawn": self.drawn}

    def restore(self, arrays: Mapping[str, NDArray], step: int) -> None:
        """Put back what `arrays()` gave and stand at `step`: events of earlier steps have been played.

        After `reset`, which says what is played and sampled; the arrays have the names, shapes and types of `arrays()`.
        """
        for name, mine in self.arrays().items():
            mine[:] = arrays[name]
        for p, given in self._played[0].items():
            self._cursors[p] = np.searchsorted(given.steps, step)
        self._used[0] = 0
        self.step = step

    def _fill_unit(self, p: int, population: Population, recorded: tuple[str, ...], count_updates: bool) -> None:
        row, size = self._units[p], population.size
        row[clocked.SIZE] = size
        row[clocked.TALLY] = _address(self.tallies[p])
        row[clocked.BASE] = -1
        most = size
        if p in self.plan.cells:
            self._fill_cells(p, row, count_updates)
        elif p in self.plan.poisson:
            noise = self.plan.poisson[p]
            row[clocked.KIND] = clocked.POISSON
            most = size * max(len(noise.thresholds), 1)
            row[clocked.FIRED] = self._scratch(most, np.int32)
            row[clocked.WORDS] = self._scratch(size, np.uint32)
            row[clocked.THRESHOLDS], row[clocked.THRESHOLD_COUNT] = _address(noise.thresholds), len(noise.thresholds)
            row[clocked.KEY] = _signed(noise.key)
        else:
            row[clocked.KIND] = clocked.EVENTS
        if population.name in recorded:
            base = sum(self.plan.network.population(name).size for name in self.bases)
            row[clocked.BASE] = self.bases[population.name] = base
            self._most += most

    def _fill_cells(self, p: int, row: NDArray[np.int64], count_updates: bool) -> None:
        cells = self.plan.cells[p]
        neuron = cells.population.model
        row[clocked.KIND], row[clocked.STEP] = clocked.NEURONS, cells.step
        row[clocked.STATES], row[clocked.STATE] = len(self.state[p]), _address(self.state[p])
        row[clocked.SLOTS], row[clocked.RECEPTORS] = self.ring[p].shape[:2]
        row[clocked.RING] = _address(self.ring[p])
        row[clocked.CONSTANTS], row[clocked.CONSTANT] = len(cells.constants), _address(cells.constants)
        row[clocked.SPIKED] = self._scratch(cells.population.size, np.uint8)
        row[clocked.FIRED] = self._scratch(cells.population.size, np.int32)
        row[clocked.MEMBRANE] = neuron.state.index("v") if "v" in neuron.state else 0  # type: ignore[union-attr]
        if count_updates:
            row[clocked.BEFORE] = self._scratch(cells.population.size, self.plan.real)

    def _fill_stimulus(self, s: int, noise: Noise) -> None:
        row, size = self._stimuli[s], self.plan.network.populations[noise.target].size
        row[clocked.S_TARGET], row[clocked.S_RECEPTOR] = noise.target, noise.receptor
        row[clocked.S_THRESHOLDS], row[clocked.S_THRESHOLD_COUNT] = _address(noise.thresholds), len(noise.thresholds)
        row[clocked.S_KEY] = _signed(noise.key)
        row[clocked.S_WORDS], row[clocked.S_COUNTS] = self._scratch(size, np.uint32), self._scratch(size, np.int32)

    def _fill_routes(self) -> NDArray[np.int64]:
        table = np.zeros((len(self.plan.routes), clocked.ROUTE_COLUMNS), np.int64)
        for row, route in zip(table, self.plan.routes, strict=True):
            row[clocked.R_SOURCE], row[clocked.R_TARGET] = route.source, route.target
            row[clocked.R_RECEPTOR] = route.receptor
            row[clocked.R_OFFSETS], row[clocked.R_TARGETS] = _address(route.offsets), _address(route.targets)
            row[clocked.R_WEIGHTS] = 0 if route.weights is None else _address(route.weights)
            row[clocked.R_DELAYS] = 0 if route.delays is None else _address(route.delays)
            row[clocked.R_DELAY] = route.delay
        return table

    def _scratch(self, count: int, dtype: object) -> int:
        """The address of zeros, in whole groups of 64, that live as long as the workspace."""
        array: NDArray = np.zeros((count + 63) // 64 * 64, dtype)  # type: ignore[call-overload]
        self._keep.append(array)
        return _address(array)


def _address(array: NDArray) -> int:
    return array.ctypes.data


def _signed(key: int) -> int:
    return key - 2**64 if key >= 2**63 else key
