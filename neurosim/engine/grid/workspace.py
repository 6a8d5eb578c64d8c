"""Everything that changes while a network runs on the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, NeurosimOverflowError, Uncopied
from ...kernels.engine.clocked import arrivals, deliver, exchange, late, learners
from ...kernels.engine.clocked import columns as col
from ...kernels.engine.clocked import plastic as learn
from ...kernels.engine.clocked.calls import address_of_part
from ...kernels.engine.clocked.finite import first_not_finite
from ...kernels.engine.clocked.sample import sample
from ...kernels.engine.clocked.windows import most_in_a_step
from ..addresses import address
from ..compile.network import CompiledNetwork
from ..compile.share import share_of
from ..processes import ALONE, Processes
from .arrival_arrays import ArrivalArrays
from .plastic_state import PlasticState
from .population_inputs import input_table
from .saved import check_state
from .silence import Silence, rows_that_may_rest
from .sinks import SpikeSink
from .sources import GridEvents
from .spike_log import SpikeLog
from .states import NeuronStates
from .tables import post_table, row_table, scheduler, set_steppers, unit_table
from .team import ThreadTeam
from .thread_room import ThreadRoom


class GridWorkspace(Uncopied):
    """State of one run at a time; `reset` returns to the initial state.

    Attributes:
        states: those of the neurons.
        arrivals: input of this step and of later ones.
        plastic: the state that learns.
        log: the spikes of the last steps, and tallies of all.
        changes: [threads, populations] membrane entries that changed, of all runs so far, if counted.
        drawn: [threads, stimuli] Poisson input spikes of all runs so far.
        step: number of steps of the present run so far.
        threads: their number; results do not depend on it.
    """

    def __init__(
        self,
        compiled: CompiledNetwork,
        recorded: tuple[str, ...],
        count_updates: bool,
        threads: int = 1,
        processes: Processes = ALONE,
    ) -> None:
        self.compiled = compiled
        self.recorded = recorded
        layout = compiled.layout
        populations = compiled.network.populations
        self._team = ThreadTeam(compiled, threads, processes)
        self.threads = self._team.size
        self._peers = processes
        first_blocks = [share_of(layout, rank, processes.size).first for rank in range(processes.size)]
        self._exchange, self._exchanged = processes.exchange([*first_blocks, layout.blocks])
        self._heard: dict[int, NDArray[np.uint8]] = {}
        self.states = NeuronStates(compiled)
        self.log = SpikeLog(compiled, recorded)
        self.changes = np.zeros((self.threads, len(populations)), np.int64)
        # One more: of currents, which draw no events.
        self.drawn = np.zeros((self.threads, len(compiled.noises) + 1), np.int64)
        self.step = 0
        self._queued = 0
        self.arrivals = ArrivalArrays(compiled)
        # Of gap junctions [2, size]: membranes at the starts of this step and of the next.
        coupled = {current.population for current in compiled.currents if current.couplings}
        self._voltages = {p: np.zeros((2, populations[p].size)) for p in coupled}
        moving = [current for current in compiled.currents if current.state]
        self._processes = {each.name: np.zeros(populations[each.population].size) for each in moving}
        self._cursors = np.zeros((len(populations), layout.blocks), np.int64)
        self.plastic = PlasticState(compiled.plastic, compiled.share, self.threads, processes)
        self._make_tables(count_updates=count_updates)
        self._find_parts()
        self._make_rooms()
        self.reset({}, self._probes, [])

    def _make_tables(self, *, count_updates: bool) -> None:
        """Make the tables of the run loop. They hold addresses: every array that they name stays with the workspace."""
        compiled = self.compiled
        self._rows, self._row_weights = row_table(compiled)
        # Cursors of the rows of GROUPS, and whether they stand at the present step.
        self._reading: list[NDArray[np.int64]] = []
        self._has_cursors = False
        self._inputs = input_table(compiled, self.arrivals.counters, self._processes, self._voltages)
        self._units = unit_table(compiled, self._inputs.ranges, self._inputs.alive, count_updates=count_updates)
        states = self.states
        alone = compiled.cells.keys() & states.arrays.keys()
        self._constants = {p: states.by_pieces(p, compiled.cells[p].constants) for p in alone}
        self._members = compiled.layout.members.copy()
        for k, bundle in enumerate(compiled.bundles, len(compiled.network.populations)):
            self._constants[k] = np.ascontiguousarray(bundle.constants)
            first = compiled.layout.entries[bundle.numbers[0]]
            self._members[bundle.block, first] = k
            for p in bundle.numbers:
                self._units[p, col.STATE] = address(states.views[p][0])
        for p, state in states.arrays.items():
            self._units[p, col.STATE] = address(state)
            self._units[p, col.CONSTANT] = address(self._constants[p])
        for row, cursors in zip(self._units, self._cursors, strict=False):
            row[col.CURSORS] = address(cursors)
        for p, voltages in self._voltages.items():
            self._units[p, col.VOLTAGES] = address(voltages)
        for row, synapses in zip(self.plastic.table, compiled.plastic, strict=True):
            if synapses.model is not None:
                row[learn.TARGET_STATE] = address(states.arrays[synapses.target])
                row[learn.TARGET_STATES] = len(compiled.cells[synapses.target].initial)
        watched: list[int] = []
        if not count_updates:
            watched = rows_that_may_rest(compiled, self._units, self._inputs.rows)
        self._silence = Silence(compiled, self._units, watched, log_is_shared=self._team.has_others)
        set_steppers(self._units, compiled.real)
        self._posts = post_table(compiled, self._units)
        self._probes: NDArray[np.int64] = np.zeros((0, col.PROBE_COLUMNS), np.int64)
        self._sampled: list[NDArray[Any]] = []
        self._played: tuple[object, ...] = ()

    def _find_parts(self) -> None:
        """Set the addresses of the parts of a step; those that the network lacks are 0, and not compiled."""
        real = self.compiled.real
        forms = set(self._rows[:, deliver.FORM].tolist())
        listed = forms - {deliver.QUEUE}

        def part(function: Callable[..., object], *, needed: bool) -> int:
            return address_of_part(function, real) if needed else 0

        self._opener = part(arrivals.open_groups, needed=deliver.GROUPS in forms)
        self._parts = {
            "scheduler": scheduler(self._rows),
            "enqueuer": part(arrivals.enqueue, needed=deliver.QUEUE in forms),
            "deliverer": part(arrivals.deliver_due, needed=bool(listed)),
            "arrival_learner": part(learners.learn_arrivals, needed=len(self.plastic.table) > 0),
            "target_learner": part(learners.learn_targets, needed=len(self._posts) > 0),
            "catcher": part(late.catch_up_all, needed=bool(self._units[:, col.RESTS].any())),
            "exchanger": int(self._exchange[exchange.CALLED]),
        }

    def _make_rooms(self) -> None:
        """Make the memory that each thread works in, and tell it where everything lies."""
        compiled = self.compiled
        layout = compiled.layout
        task = {
            **self._parts,
            **self.arrivals.queue_places(),
            "page_blocks": layout.page_blocks,
            "block_slots": layout.block_slots,
            "blocks": layout.blocks,
            "interval": compiled.interval,
            "units": address(self._units),
            "unit_count": len(self._units),
            "rows": address(self._rows),
            "row_count": len(self._rows),
            "plastic": address(self.plastic.table),
            "plastic_count": len(self.plastic.table),
            "posts": address(self._posts),
            "post_count": len(self._posts),
            "members": address(self._members),
            "entries": layout.width,
            "offsets": address(self.log.offsets),
            "columns": self.log.offsets.shape[1],
            "exchange": address(self._exchange),
        }
        rooms = [
            ThreadRoom(
                compiled.real,
                receptors=max(len(self.arrivals.sums), 1),
                states=int(self._units[:, col.STATES].max(initial=1)),
                slots=layout.slots,
                counters=self.arrivals.counters,
            )
            for _ in range(self.threads)
        ]
        shared = {**self.arrivals.places(), "inputs": address(self._inputs.rows), "entries": layout.width}
        places = [
            {**shared, "changes": address(self.changes[thread]), "drawn": address(self.drawn[thread])}
            for thread in range(self.threads)
        ]
        self._team.settle(rooms, task, places)

    def reset(self, events: Mapping[int, GridEvents], probes: NDArray[np.int64], keep: list[NDArray[Any]]) -> None:
        """Return to the initial state, with these recordings for the spike sources and this table of probes.

        Args:
            keep: arrays whose addresses are in the table.
        """
        for p, cells in self.compiled.cells.items():
            self.states.write(p, cells.initial)
        self._silence.forget()
        self.log.reset()
        self.arrivals.clear()
        self._cursors[:] = 0
        self.plastic.reset()
        self.step = 0
        self._queued = 0
        self._has_cursors = False
        self._show_voltages()
        self.play(events)
        self.sample(probes, keep)

    def sample(self, probes: NDArray[np.int64], keep: list[NDArray[Any]]) -> None:
        """Set the table of probes.

        Args:
            keep: arrays whose addresses are in the table.
        """
        self._probes = probes
        self._sampled = keep

    def silence(self, p: int, units: NDArray[np.int64]) -> None:
        """Drop the spikes of these units of a population of neurons from the next step on, and of no others of it."""
        size = self.compiled.network.populations[p].size
        row, first = self.states.places.get(p, (p, 0))
        heard = self._heard.setdefault(row, np.ones(self._units[row, col.SIZE], np.uint8))
        heard[first : first + size] = 1
        heard[first + units] = 0
        self._units[row, col.HEARD] = 0 if heard.all() else address(heard)

    def play(self, events: Mapping[int, GridEvents]) -> None:
        """Set the events of the spike sources, of this step and later ones."""
        blocks = self.compiled.layout.blocks
        alive = []
        max_events = np.zeros(blocks, np.int64)
        for p, recording in events.items():
            steps, units = recording
            # Each block plays its own units: sort by block, in which events stay in order.
            limits = np.array([0, len(steps)], np.int64)
            if blocks > 1:
                block = (units + self.compiled.layout.shifts[p]) // self.compiled.layout.parts[p]
                # Two bytes are sorted by their digits, which takes a tenth of the time; a network has fewer blocks.
                block = block.astype(np.uint16)
                order = np.argsort(block, kind="stable")
                steps = steps[order]
                units = units[order]
                limits = np.searchsorted(block[order], np.arange(blocks + 1)).astype(np.int64)
            alive += [steps, units, limits]
            row = self._units[p]
            row[col.EVENT_STEPS] = address(steps)
            row[col.EVENT_UNITS] = address(units)
            row[col.EVENT_BLOCKS] = address(limits)
            self._cursors[p] = 0
            for b in range(blocks):
                max_events[b] += most_in_a_step(steps[limits[b] : limits[b + 1]])
        # Sources that play nothing have as many events as all their limits say: none.
        nothing = np.zeros(blocks + 1, np.int64)
        for p in range(len(self._units)):
            if self._units[p, col.KIND] == col.EVENTS and p not in events:
                self._units[p, col.EVENT_BLOCKS] = address(nothing)
        self._played = (alive, nothing)
        self.log.expect(max_events)
        self._widen()

    def advance(self, steps: int, trial: int, sink: SpikeSink | None = None, *, holds: bool = False) -> int:
        """Run `steps` more steps, pass their spikes to `sink`, and return the number of recorded spikes.

        Args:
            holds: spikes may stay in the log, up to a window of steps, until the next call or `drain`. For 10,000
                populations it takes 30 ms to take spikes out.

        Raises:
            NeurosimOverflowError: a state is not finite after some of them.
        """
        last = self.step + steps
        spikes = 0
        while self.step < last:
            before = self.step
            window_end = self.log.taken + self.log.window
            self._run(min(last, window_end), trial)
            # The loop stops in front of an interval whose spikes could exceed the log.
            is_full = self.step == before
            is_empty = self.step == self.log.taken
            if not holds or is_full or self.step == window_end:
                spikes += self.drain(sink)
            self._check_finite(before)
            # Rows of GROUPS have cursors for each spike that the log can hold.
            is_short = self.log.is_short and not self._reading
            if is_full and (is_empty or is_short):
                self._widen(2)
        return spikes

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that the rest of a run depends on, and of the counters, for any number of threads."""
        arrays = {f"state.{p}": self.states.save(p) for p in self.compiled.cells}
        arrays |= {f"current.{name}": state.copy() for name, state in self._processes.items()}
        arrays |= self.log.arrays(self.step)
        arrays |= self.plastic.arrays()
        return arrays | {
            "queue": self.arrivals.queue.copy(),
            "cursors": self._cursors.copy(),
            "changes": self.changes.sum(axis=0),
            "drawn": self.drawn[:, :-1].sum(axis=0),
            "steps": np.array([self.log.start, self._queued], np.int64),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], step: int) -> None:
        """Continue from `step` of another workspace of the same network, which returned `arrays` there.

        Raises:
            NeurosimInputError: an array is missing, of another shape, or holds a value that leads outside the others.
        """
        for name, here in self.arrays().items():
            free = name == "marks" or name.startswith("log.")
            if name not in arrays or (not free and arrays[name].shape != here.shape):
                raise NeurosimInputError(f"Workspace.restore: array '{name}' is missing or of another shape")
        check_state(self.compiled, arrays, step)
        for p in self.compiled.cells:
            self.states.restore(p, arrays[f"state.{p}"])
        self._silence.forget()
        log_start, self._queued = (int(n) for n in arrays["steps"])
        self._widen(least=max(arrays[f"log.{b}"].size for b in range(len(self.log.spikes))))
        self.log.restore(arrays, log_start, step)
        self.plastic.restore(arrays)
        self.arrivals.queue[:] = arrays["queue"]
        self._cursors[:] = arrays["cursors"]
        # The saved run may have had another number of threads: the first takes all counts.
        self.changes[:] = 0
        self.drawn[:] = 0
        self.changes[0] = arrays["changes"]
        self.drawn[0, :-1] = arrays["drawn"]
        for name, state in self._processes.items():
            state[:] = arrays[f"current.{name}"]
        self.step = step
        self._has_cursors = False
        self._show_voltages()

    def membrane(self, p: int) -> NDArray[Any]:
        """Return [states, size] the state of a population, in the order of units."""
        return self.states.read(p)

    def set_membrane(self, p: int, state: NDArray[Any]) -> None:
        """Set the state of a population, [states, size] in the order of units, between two steps."""
        self.states.write(p, state)
        # Nobody else writes to a state between two calls of the run loop.
        self._silence.forget()
        self._show_voltages()

    def _show_voltages(self) -> None:
        """Give gap junctions the membranes at the start of this step."""
        for p, voltages in self._voltages.items():
            voltages[self.step % 2] = self.membrane(p)[self._units[p, col.MEMBRANE]]

    def _run(self, last: int, trial: int) -> None:
        """Run the loop in threads up to step `last`, or until a log could become full; move on to the step reached."""
        # Probes read the state of every step.
        patience = 0 if len(self._probes) else self._silence.patience
        task = {
            "first": self.step,
            "last": last,
            "log_start": self.log.start,
            "queued": self._queued,
            "trial": trial,
            "patience": patience,
            "late": int(self._units[:, col.WAITS].max(initial=0)),
            "probes": address(self._probes),
            "probe_count": len(self._probes),
            "spikes": address(self.log.spikes),
            "room": self.log.room,
            "max_spikes": address(self.log.max_spikes),
            "opener": 0 if self._has_cursors else self._opener,
            "sampler": address_of_part(sample, self.compiled.real) if len(self._probes) else 0,
        }
        reached = self._team.run(task, self._row_weights, self._inputs.weights)
        # To read them from the log again took 6 % of a run of the microcircuit, 15 % where pieces were short.
        self._has_cursors = True
        if reached > self.step:
            # What was fired before the last meeting has been queued.
            self._queued = reached - ((reached - self.step - 1) % self.compiled.interval + 1)
        self.step = reached

    def _check_finite(self, first: int) -> None:
        """Raise in all processes if a state of any is not finite after the steps from `first` on.

        A NaN stays, so one look at the end of a window of steps finds it: 2 ms for 10^7 states.
        """
        fault = self._peers.first_text(self._not_finite())
        if fault:
            begin, end = (step * self.compiled.clock for step in (first, self.step))
            raise NeurosimOverflowError(
                f"{fault}, between {begin:g} s and {end:g} s); use a smaller clock, or smaller inputs and weights"
            )

    def _not_finite(self) -> str:
        """Return the first state or weight that is not finite, in words that end with its value; "" for none."""
        if first_not_finite(self._units, self.compiled.real.type(0)) < 0:
            return self.plastic.not_finite()
        # In the order of populations, whether bundles step them or not.
        p = next(p for p in self.compiled.cells if not np.isfinite(self.membrane(p)).all())
        state = self.membrane(p)
        cells = self.compiled.cells[p]
        unit, row = np.argwhere(~np.isfinite(state.T))[0].tolist()
        population = cells.population.name
        return f"Population[{population!r}] unit {unit}: {cells.state[row]} must stay finite (got {state[row, unit]}"

    def drain(self, sink: SpikeSink | None) -> int:
        """Pass the spikes since the last call to `sink`; return the number of recorded ones."""
        return self.log.drain(self.step, sink)

    def _widen(self, times: int = 1, least: int = 0) -> None:
        """Enlarge the log until it holds the spikes of an interval, and `times` as many; its content stays."""
        # Threads look at the room once in an interval: two of them must fit, the one in the log and the next.
        steps = self.compiled.interval + int(self._units[:, col.WAITS].max(initial=0))
        if self.log.enlarge(2 * steps, max(least, times * self.log.room)):
            self._open_groups()

    def _open_groups(self) -> None:
        """Give row tables of GROUPS room for as many cursors as the logs can hold spikes, twice."""
        self._reading = []
        self._has_cursors = False
        begin, end = self.compiled.share.pages
        capacity = 2 * self.log.spikes.size
        for row in (row for row in self._rows if row[deliver.FORM] == deliver.GROUPS):
            cursors = np.empty((end - begin, capacity), np.int64)
            ends = np.zeros((end - begin, 2), np.int64)
            born = np.zeros((self.threads, row[deliver.DELAY] + 1), np.int64)
            self._reading += [cursors, ends, born]
            # Pages are addressed as if all were there.
            row[deliver.CURSORS] = cursors.ctypes.data - begin * cursors.strides[0]
            row[deliver.ENDS] = ends.ctypes.data - begin * ends.strides[0]
            row[deliver.CAPACITY] = capacity
            row[deliver.BORN] = address(born)
