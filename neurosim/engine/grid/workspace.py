"""Everything that changes while a network runs, and the tables of addresses the run loop works on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError
from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import loop as clocked
from ...kernels.engine.clocked.bits import STRIP
from ...kernels.tools.intrinsics import APART
from ...kernels.tools.random import passed_thresholds
from ..compile.network import CompiledNetwork
from ..compile.plastic import PlasticState
from ..compile.row_tables import aligned

# Steps run between two looks at the logs.
WINDOW = 1000
# Neurons stepped from one meeting of the threads to the next below which meeting costs more than sharing gains.
MIN_WORK = 6000
# Reads of a barrier before a thread gives its core away: some tens of microseconds.
SPINS = 4000
ROOM = 1 << 14


@dataclass(frozen=True, eq=False)
class Events:
    """A recording on the grid: `steps` int32, rising, and `units` int32."""

    steps: NDArray[np.int32]
    units: NDArray[np.int32]


class Workspace:
    """State of one run at a time, put back to the initial state by `reset`.

    Attributes:
        state: by population number, real [states * size]: [states, n] for each piece of units.
        queue: real [depth, receptors * slots], input still to come of the paths of form QUEUE.
        learning: the weights that learn, and what their rules remember.
        log, marks: the spikes of the last steps, see kernels.engine.clocked.deliver.schedule.
        tallies: by population number, int64 [size], spikes of all runs so far.
        changes: [threads, populations] membrane entries that changed, of all runs so far, if counted.
        drawn: [threads, stimuli] Poisson input spikes of all runs so far.
        step: where the present run stands.
        threads: that share the work; results do not depend on them.
    """

    def __init__(self, plan: CompiledNetwork, recorded: tuple[str, ...], count_updates: bool, threads: int = 1) -> None:
        self.plan, self.recorded = plan, recorded
        layout, populations = plan.layout, plan.network.populations
        self.threads = _threads(plan, threads)
        self._constants: dict[int, NDArray] = {}
        self.state = {p: np.empty(cells.initial.size, plan.real) for p, cells in plan.cells.items()}
        self.tallies = [np.zeros(population.size, np.int64) for population in populations]
        self.changes = np.zeros((self.threads, len(populations)), np.int64)
        self.drawn = np.zeros((self.threads, len(plan.noises)), np.int64)
        self.step = self._origin = self._queued = 0
        receptors = max((len(cells.population.model.receptors) for cells in plan.cells.values()), default=1)  # type: ignore[union-attr]
        counters = sum(path.form in (deliver.BITS, deliver.COUNTS) for path in plan.paths)
        self._counts: NDArray[np.uint8] = aligned((counters, layout.slots), np.uint8)
        self._sums: NDArray = aligned((receptors, layout.slots), plan.real)
        fixed = any(path.form == deliver.GROUPS for path in plan.paths)
        self._fixed: NDArray[np.int32] = aligned((receptors if fixed else 0, layout.slots), np.int32)
        queued = any(path.form == deliver.QUEUE for path in plan.paths)
        self.queue: NDArray = aligned((plan.depth, receptors * layout.slots if queued else 1), plan.real)
        self._filler: NDArray[np.uint64] = aligned((-(-layout.slots // STRIP) * 8,), np.uint64)
        self._cursors = np.zeros((len(populations), layout.blocks), np.int64)
        self._keep: list[NDArray] = []
        self.learning = PlasticState(plan.plastic, layout, self.threads)
        self._paths, self._path_weights = self._path_table()
        self._takes, self._take_weights, ranges = self._take_table()
        self._units = np.zeros((len(populations), clocked.UNIT_COLUMNS), np.int64)
        for p in range(len(populations)):
            self._fill_unit(p, count_updates, ranges[p])
        self._probes: NDArray[np.int64] = np.zeros((0, clocked.PROBE_COLUMNS), np.int64)
        self._sampled: list[NDArray] = []
        self._played: tuple[object, ...] = ()
        self._most: NDArray[np.int64] = np.zeros(layout.blocks, np.int64)
        self.log = np.empty((layout.blocks, 0), np.int32)
        columns = WINDOW + plan.history + 1
        self.marks = np.zeros((layout.blocks, columns * len(populations) + 1), np.int64)
        self._found: dict[str, list[tuple[NDArray[np.int32], NDArray[np.int32]]]] = {}
        self.reset({}, self._probes, [])

    @property
    def found(self) -> int:
        """Spikes recorded in the present run and not taken."""
        return sum(len(steps) for pieces in self._found.values() for steps, _ in pieces)

    def reset(self, events: Mapping[int, Events], probes: NDArray[np.int64], keep: list[NDArray]) -> None:
        """Back to the initial state, with these recordings for the spike sources and this table of probes.

        keep: arrays whose addresses are in the table.
        """
        for p, cells in self.plan.cells.items():
            self._write(p, cells.initial)
        for array in (self.queue, self._counts, self._sums, self._fixed, self._cursors, self.marks):
            array[:] = 0
        self.learning.reset()
        self.step = self._origin = self._queued = 0
        self._found = {name: [] for name in self.recorded}
        self.play(events)
        self.sample(probes, keep)

    def sample(self, probes: NDArray[np.int64], keep: list[NDArray]) -> None:
        """Sample by this table of probes from now on.

        keep: arrays whose addresses are in the table.
        """
        self._probes, self._sampled = probes, keep  # kept alive: the table holds their addresses

    def play(self, events: Mapping[int, Events]) -> None:
        """Give the spike sources what they play from now on: events of this step and later ones."""
        blocks, kept = self.plan.layout.blocks, []
        self._most = self._most_silent()
        for p, given in events.items():
            block = given.units // self.plan.layout.parts[p]
            order = np.argsort(block, kind="stable")
            steps, units = given.steps[order], given.units[order]
            limits = np.searchsorted(block[order], np.arange(blocks + 1)).astype(np.int64)
            kept += [steps, units, limits]
            row = self._units[p]
            row[clocked.EVENT_STEPS], row[clocked.EVENT_UNITS] = _address(steps), _address(units)
            row[clocked.EVENT_BLOCKS] = _address(limits)
            self._cursors[p] = 0
            for b in range(blocks):
                _, counts = np.unique(steps[limits[b] : limits[b + 1]], return_counts=True)
                self._most[b] += counts.max(initial=0)
        nothing = np.zeros(blocks + 1, np.int64)
        for p in range(len(self._units)):
            if self._units[p, clocked.KIND] == clocked.EVENTS and p not in events:
                self._units[p, clocked.EVENT_BLOCKS] = _address(nothing)
        self._played = (kept, nothing)
        self._widen()

    def advance(self, steps: int, trial: int) -> None:
        """Run `steps` more steps."""
        last = self.step + steps
        while self.step < last:
            before = self.step
            self._run(min(last, before + WINDOW), trial)
            self._drain(before)
            if self.step == before:
                self._widen(2)

    def take_spikes(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """By recorded population: steps and units of the spikes of this run that were not taken before, in order."""
        taken = {name: _joined(pieces) for name, pieces in self._found.items()}
        self._found = {name: [] for name in self.recorded}
        return taken

    def spikes(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The same, and they may be asked for again."""
        self._found = {name: [_joined(pieces)] for name, pieces in self._found.items()}
        return {name: pieces[0] for name, pieces in self._found.items()}

    def arrays(self) -> dict[str, NDArray]:
        """All that the rest of a run depends on, and what has been counted; the same for any number of threads."""
        populations = len(self.plan.network.populations)
        columns = self.step - self._origin
        kept = {f"state.{p}": array.copy() for p, array in self.state.items()}
        kept |= {f"tally.{p}": tally.copy() for p, tally in enumerate(self.tallies)}
        ends = self.marks[:, columns * populations]
        kept |= {f"log.{b}": self.log[b, : ends[b]].copy() for b in range(len(self.log))}
        return (
            kept
            | self.learning.arrays()
            | {
                "queue": self.queue.copy(),
                "cursors": self._cursors.copy(),
                "marks": self.marks[:, : columns * populations + 1].copy(),
                "changes": self.changes.sum(axis=0),
                "drawn": self.drawn.sum(axis=0),
                "steps": np.array([self._origin, self._queued], np.int64),
            }
        )

    def restore(self, arrays: Mapping[str, NDArray], step: int) -> None:
        """Go on where another workspace of the same plan was at `step`, when it gave `arrays`.

        Raises:
            NeurosimInputError: an array is missing or of another shape.
        """
        for name, here in self.arrays().items():
            free = name == "marks" or name.startswith("log.")
            if name not in arrays or (not free and arrays[name].shape != here.shape):
                raise NeurosimInputError(f"Workspace.restore: array '{name}' is missing or of another shape")
        for p in self.state:
            self.state[p][:] = arrays[f"state.{p}"]
        for p, tally in enumerate(self.tallies):
            tally[:] = arrays[f"tally.{p}"]
        self._widen(least=max(arrays[f"log.{b}"].size for b in range(len(self.log))))
        for b in range(len(self.log)):
            self.log[b, : arrays[f"log.{b}"].size] = arrays[f"log.{b}"]
        self.marks[:, : arrays["marks"].shape[1]] = arrays["marks"]
        self.learning.restore(arrays)
        self.queue[:], self._cursors[:] = arrays["queue"], arrays["cursors"]
        self.changes[:], self.drawn[:] = 0, 0
        self.changes[0], self.drawn[0] = arrays["changes"], arrays["drawn"]
        self._origin, self._queued = (int(n) for n in arrays["steps"])
        self.step = step

    def membrane(self, p: int) -> NDArray:
        """[states, size] state of a population, in the order of units."""
        cells = self.plan.cells[p]
        states = len(cells.initial)
        pieces = [self.state[p][states * a : states * z].reshape(states, z - a) for a, z in self.pieces(p)]
        return np.concatenate(pieces, axis=1)

    # The run

    def _run(self, last: int, trial: int) -> None:
        sync = aligned((self.threads * APART,), np.int64)
        reached = np.zeros(self.threads, np.int64)
        plan, layout = self.plan, self.plan.layout
        spins = SPINS if self.threads <= _cores() else 0

        def work(thread: int) -> None:
            if self.threads > 1:
                _spread_out(thread)
            clocked.run(
                thread,
                self.threads,
                sync.ctypes.data,
                spins,
                self.step,
                last,
                self._origin,
                plan.interval,
                trial,
                self._units,
                self._paths,
                self._path_weights,
                self._takes,
                self._take_weights,
                self.learning.table,
                self._probes,
                layout.page_blocks,
                layout.block_slots,
                self._most,
                self.log,
                self.marks,
                self._counts,
                self._sums,
                self.queue,
                self._queued,
                self._fixed,
                self._filler.ctypes.data,
                self.changes,
                self.drawn,
                reached,
            )

        others = [threading.Thread(target=work, args=(thread,)) for thread in range(1, self.threads)]
        for other in others:
            other.start()
        work(0)
        for other in others:
            other.join()
        if reached[0] > self.step:
            # What was fired before the last meeting has been queued.
            self._queued = reached[0] - ((reached[0] - self.step - 1) % plan.interval + 1)
        self.step = int(reached[0])

    def _drain(self, first: int) -> None:
        """Count and keep the spikes of the steps from `first` on, and drop from the log what nobody needs."""
        populations = len(self.plan.network.populations)
        none = np.empty(0, np.int32)
        for p, population in enumerate(self.plan.network.populations):
            steps = units = none
            if population.name in self.recorded:
                begin, end = ((n - self._origin) * populations + p for n in (first, self.step))
                window = self.marks[:, begin + 1 : end + 1 : populations] - self.marks[:, begin:end:populations]
                steps, units = (np.empty(int(window.sum()), np.int32) for _ in range(2))
            clocked.gather(
                self.log, self.marks, populations, self._origin, first, self.step, p, self.tallies[p], steps, units
            )
            if len(steps):
                self._found[population.name].append((steps, units))
        drop = max(0, self.step - self.plan.history - self._origin)
        if drop:
            clocked.forget(self.log, self.marks, populations, drop, self.step - self._origin - drop)
            self._origin += drop

    # Tables

    def _most_silent(self) -> NDArray[np.int64]:
        """[blocks] the most spikes of a block in a step, recordings apart."""
        layout = self.plan.layout
        most = np.zeros(layout.blocks, np.int64)
        for p in range(len(self.plan.network.populations)):
            each = int(p in self.plan.cells)
            if p in self.plan.poisson:
                each = len(self.plan.poisson[p].thresholds)
            most += each * np.array([layout.units_in(b)[p] for b in range(layout.blocks)], np.int64)
        return most

    def _widen(self, times: int = 1, least: int = 0) -> None:
        """Make sure the logs hold an interval's spikes; what is in them stays."""
        room = max(ROOM, 2 * int(self._most.max(initial=0)) * self.plan.interval, least, times * self.log.shape[1])
        if room > self.log.shape[1]:
            log = np.empty((len(self.log), room), np.int32)
            log[:, : self.log.shape[1]] = self.log
            self.log = log

    def pieces(self, p: int) -> list[tuple[int, int]]:
        """The ranges of units whose states lie together."""
        size, part = self.plan.network.populations[p].size, int(self.plan.layout.parts[p])
        return [
            (a, min(a + clocked.PIECE, first + part, size))
            for first in range(0, size, part)
            for a in range(first, min(first + part, size), clocked.PIECE)
        ]

    def _write(self, p: int, state: NDArray) -> None:
        for a, z in self.pieces(p):
            self.state[p][len(state) * a : len(state) * z] = state[:, a:z].reshape(-1)

    def _by_pieces(self, p: int, constants: NDArray) -> NDArray:
        """Constants of a population as the kernel reads them: rows by unit lie as the state does."""
        if constants.ndim == 1:
            return constants
        return np.concatenate([constants[:, a:z].reshape(-1) for a, z in self.pieces(p)])

    def _fill_unit(self, p: int, count_updates: bool, takes: tuple[int, int]) -> None:
        row, layout, plan = self._units[p], self.plan.layout, self.plan
        row[clocked.SIZE], row[clocked.PART] = layout.sizes[p], layout.parts[p]
        row[clocked.OFFSET] = layout.offsets[p]
        row[clocked.CURSORS] = _address(self._cursors[p])
        if p in plan.cells:
            cells = plan.cells[p]
            neuron = cells.population.model
            row[clocked.KIND], row[clocked.STEP] = clocked.NEURONS, cells.step
            row[clocked.STATES], row[clocked.STATE] = len(cells.initial), _address(self.state[p])
            row[clocked.RECEPTORS] = len(neuron.receptors)  # type: ignore[union-attr]
            self._constants[p] = constants = self._by_pieces(p, cells.constants)
            row[clocked.CONSTANTS], row[clocked.CONSTANT] = len(cells.constants), _address(constants)
            row[clocked.BY_UNIT] = cells.constants.ndim == 2
            row[clocked.MEMBRANE] = neuron.state.index("v") if "v" in neuron.state else 0  # type: ignore[union-attr]
            row[clocked.COUNTED] = count_updates
            row[clocked.FIRST_TAKE], row[clocked.LAST_TAKE] = takes
        elif p in plan.poisson:
            noise = plan.poisson[p]
            row[clocked.KIND], row[clocked.KEY] = clocked.POISSON, _signed(noise.key)
            row[clocked.THRESHOLDS], row[clocked.THRESHOLD_COUNT] = _address(noise.thresholds), len(noise.thresholds)
        else:
            row[clocked.KIND] = clocked.EVENTS

    def _path_table(self) -> tuple[NDArray[np.int64], NDArray]:
        table = np.zeros((len(self.plan.paths), deliver.PATH_COLUMNS), np.int64)
        counter = 0
        for row, path in zip(table, self.plan.paths, strict=True):
            row[deliver.FORM], row[deliver.SOURCE] = path.form, path.source
            row[deliver.ROWS] = self.plan.layout.sizes[path.source]
            row[deliver.DELAY], row[deliver.RECEPTOR] = path.delay, path.receptor
            row[deliver.BATCH] = path.batch
            for column, value in path.values.items():
                row[column] = value
            for column, array in path.arrays.items():
                row[column] = _address(array)
            if path.form in (deliver.BITS, deliver.COUNTS):
                row[deliver.COUNTER] = counter
                counter += 1
        return table, np.array([path.weight for path in self.plan.paths], self.plan.real)

    def _take_table(self) -> tuple[NDArray[np.int64], NDArray, list[tuple[int, int]]]:
        """What each population adds to its inputs: the table, its weights, and each population's range of rows."""
        rows: list[list[int]] = []
        weights: list[float] = []
        ranges = []
        for p in range(len(self.plan.network.populations)):
            first = len(rows)
            for row, weight in self._takes_of(p):
                rows.append(row)
                weights.append(weight)
            ranges.append((first, len(rows)))
        table = np.array(rows, np.int64).reshape(-1, clocked.TAKE_COLUMNS)
        return table, np.array(weights, self.plan.real), ranges

    def _takes_of(self, p: int) -> list[tuple[list[int], float]]:
        takes: list[tuple[list[int], float]] = []
        kinds: dict[tuple[int, int], float] = {}
        for path, row in zip(self.plan.paths, self._paths, strict=True):
            if all(self.plan.drawings[number].target != p for number in path.drawings):
                continue
            if path.form in (deliver.BITS, deliver.COUNTS):
                takes.append(([clocked.TAKE_COUNTS, int(row[deliver.COUNTER]), path.receptor, 0, 0, 0, 0], path.weight))
                kinds[clocked.TAKE_SUMS, path.receptor] = 0.0  # what its counters cannot hold
            else:
                kinds[TAKEN[path.form], path.receptor] = path.weight
        for lesson in self.plan.plastic:
            if lesson.target == p:
                kinds[clocked.TAKE_SUMS, lesson.receptor] = 0.0
        for (kind, receptor), weight in sorted(kinds.items()):
            takes.append(([kind, len(self._counts) + receptor, receptor, 0, 0, 0, 0], weight))
        for s, noise in enumerate(self.plan.noises):
            if noise.target == p:
                certain, passed = passed_thresholds(noise.thresholds)
                self._keep.append(passed)
                table = _signed(noise.key), certain, _address(passed), len(passed)
                takes.append(([clocked.TAKE_POISSON, s, noise.receptor, *table], noise.weight))
        return takes


TAKEN = {
    deliver.SUMS: clocked.TAKE_SUMS,
    deliver.QUEUE: clocked.TAKE_QUEUE,
    deliver.GROUPS: clocked.TAKE_FIXED,
}


def _threads(plan: CompiledNetwork, threads: int) -> int:
    """How many are worth starting."""
    units = sum(len(cells.initial[0]) for cells in plan.cells.values())
    most = plan.layout.blocks
    if any(path.form == deliver.GROUPS for path in plan.paths):
        most = plan.layout.pages  # the groups of a page are read by one
    return 1 if units * plan.interval < MIN_WORK else max(1, min(threads, most))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _spread_out(thread: int) -> None:
    """Move the calling thread to a core of its own, which it may leave again.

    A new thread begins on its maker's core, and the system may leave it there for longer than a window takes: both
    then wait for each other in turns (Brunel's network took .34 s a second, on one core .19 s).
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        with contextlib.suppress(OSError):  # a core that was taken away meanwhile
            os.sched_setaffinity(0, {sorted(allowed)[thread % len(allowed)]})
            os.sched_setaffinity(0, allowed)


def _joined(pieces: list[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if len(pieces) == 1:
        return pieces[0]
    none = np.empty(0, np.int32)
    return np.concatenate([none, *(a for a, _ in pieces)]), np.concatenate([none, *(b for _, b in pieces)])


def _address(array: NDArray) -> int:
    return array.ctypes.data


def _signed(key: int) -> int:
    return key - 2**64 if key >= 2**63 else key
