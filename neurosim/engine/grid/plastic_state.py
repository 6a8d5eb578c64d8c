"""The part of a run's state that learns: weights, traces, eligibility, reward and synaptic resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied, require
from ...kernels.engine.clocked import plastic as table
from ...kernels.engine.clocked import plastic_arrivals
from ...kernels.engine.clocked import plasticity as kernel
from ...kernels.engine.clocked import waiting as late
from ...network.projection import WEIGHTS, Projection
from ..addresses import address, signed
from ..compile.layout import Layout
from ..compile.plastic import PlasticSynapses
from ..compile.row_tables import aligned
from ..compile.share import ProcessShare
from ..processes import ALONE, Processes
from .rows_by_delay import RowsByDelay, cuts_of


class PlasticState(Uncopied):
    """State of the plastic synapses of a process, and the table of its addresses.

    Attributes:
        table: int64 [plastic synapses, PLASTIC_COLUMNS], see `kernels.engine.clocked.plastic`.
    """

    def __init__(
        self, compiled: Sequence[PlasticSynapses], share: ProcessShare, threads: int, processes: Processes = ALONE
    ) -> None:
        self.synapses = compiled
        self._processes = processes
        self.table: NDArray[np.int64] = np.zeros((len(compiled), table.PLASTIC_COLUMNS), np.int64)
        by_chance = [len(each.offsets) - 1 for each in compiled if each.p_transmit < 1 or each.sites]
        # Shared: it is zero again after each use.
        self._ordinals = np.zeros(threads * max(by_chance, default=0), np.uint32)
        self._alive: list[NDArray[Any]] = []
        self._state: list[dict[str, NDArray[Any]]] = []
        # By number of plastic synapses: spikes of targets that have not changed weights yet.
        self._late: dict[int, tuple[kernel.Learning, late.Waiting]] = {}
        # Shared: what is in them is used up by each row.
        self._found = np.empty((threads, late.FOUND), np.int64)
        # Weights at the start of a recording.
        self._start = [each.weights for each in compiled]
        # Present weights, an array for each of the synapses; those in `_by_delay` share one.
        self._weights: list[NDArray[Any]] = []
        # By number of plastic synapses that wait, where their projection has several delays: its rows, which delay.
        self._by_delay: dict[int, tuple[RowsByDelay, int]] = {}
        for k, (row, each) in enumerate(zip(self.table, compiled, strict=True)):
            self._state.append(_state(each, share.layout, threads))
            if each.waits and each.group > 1:
                rows = RowsByDelay(compiled[k : k + each.group], share)
                self._by_delay |= {k + number: (rows, number) for number in range(each.group)}
            self._fill(row, k, share)
            if each.waits:
                self._late[k] = self._wait(row, k, int(share.layout.sizes[each.target]))
                row[table.SHARING] = each.sharing
            for name, array in self._state[-1].items():
                row[COLUMNS[name]] = array.ctypes.data
        self.reset()

    def reset(self) -> None:
        """Return to the initial weights, or those of the last `carry`, and to initial traces."""
        self._forget_waiting()
        for k, (each, state) in enumerate(zip(self.synapses, self._state, strict=True)):
            self._weights[k][self._places(k)] = self._start[k]
            for name, array in state.items():
                if name == "full":
                    array[:] = each.sites
                elif name == "variables" and each.model is not None:
                    array[:] = [*each.model.initial(), 0.0]
                else:
                    array[:] = INITIAL.get(name, 0.0)

    def carry(self) -> None:
        """Let the next recording start from the present weights, where a projection keeps them."""
        self._catch_up()
        for k, synapses in enumerate(self.synapses):
            if synapses.projection.keep:
                self._start[k] = self._present(k)

    def kept(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return by name of each projection that keeps its weights: "weights" [synapses], in the order of the rows.

        All processes call it, and have the weights of all.
        """
        names = dict.fromkeys(str(each.projection.name) for each in self.synapses if each.projection.keep)
        return {name: {WEIGHTS: self.of_synapses(name, "weight", 0)} for name in names}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all state; they are the same for any number of threads."""
        self._catch_up()
        copies = {}
        for k, state in enumerate(self._state):
            copies[f"lesson.{k}.weights"] = self._stored(k)
            for name, array in state.items():
                # Every thread has equal values: the first one's stand for all.
                shared = array[0] if name in PER_THREAD else array
                copies[f"lesson.{k}.{name}"] = shared.copy()
        return copies

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays that `arrays` returned."""
        self._forget_waiting()
        for k, state in enumerate(self._state):
            self._weights[k][self._places(k)] = arrays[f"lesson.{k}.weights"]
            for name, array in state.items():
                array[:] = arrays[f"lesson.{k}.{name}"]

    def weights(self, *, writeable: bool = True) -> dict[str, NDArray[Any]]:
        """Return by name of each projection with a rule: [synapses] its present weights, in the order of the rows.

        All processes call it, and have the weights of all.
        """
        names = dict.fromkeys(str(each.projection.name) for each in self.synapses if each.learns)
        present = {name: self.of_synapses(name, "weight", 0) for name in names}
        for weights in present.values():
            weights.flags.writeable = writeable
        return present

    def of_synapses(self, projection: str, variable: str, step: int) -> NDArray[Any]:
        """Return [synapses] the present weights of a projection with a rule, or traces at its synapses before `step`.

        All processes call it, and have the values of all. variable: "weight", "pre" or "post".
        """
        self._catch_up()
        parts = [k for k, each in enumerate(self.synapses) if each.projection.name == projection]
        values = np.empty(sum(self.synapses[k].whole for k in parts), self._weights[parts[0]].dtype)
        for k in parts:
            synapses = self.synapses[k]
            if variable == "weight":
                present = self._present(k)
            else:
                present = _traces(synapses, self._state[k], variable, step)
            if isinstance(synapses.places, slice):
                values[synapses.places] = present
            else:
                # Each process has a part of the synapses: places and values of all.
                values[self._processes.joined(synapses.places)] = self._processes.joined(present)
        return values

    def set_weights(self, projection: Projection, weights: object) -> None:
        """Set the weights of a projection with a rule: one for all, or [synapses] in the order of `weights`.

        Raises:
            NeurosimInputError: beyond the bounds of the rule, not finite, or not one a synapse.
        """
        name = f"{projection}.weight"
        values: NDArray[np.float64] = np.asarray(weights, np.float64)
        parts = [k for k, each in enumerate(self.synapses) if each.projection.name == projection.name]
        count = sum(self.synapses[k].whole for k in parts)
        require(values.shape in ((), (count,)), name, f"must be a number or [{count}], one a synapse", values.shape)
        require(bool(np.isfinite(values).all()), name, "must be finite", "NaN or infinity")
        projection.check_bounds(np.atleast_1d(values))
        by_synapse = np.broadcast_to(values, (count,))
        self._catch_up()
        for k in parts:
            state = self._state[k]
            self._weights[k][self._places(k)] = by_synapse[self.synapses[k].places]
            # Rewards so far are in the weight that was read: eligibility counts from here on.
            if "eligibility" in state:
                state["eligibility"][:, kernel.SEEN] = state["reward"][0, kernel.INTEGRAL]

    def not_finite(self) -> str:
        """Return a sentence on the first weight that is not finite, which ends with its value; "" for none.

        Only homeostasis without a learning rule has no bounds.
        """
        for synapses, weights in zip(self.synapses, self._weights, strict=True):
            if synapses.rule.size or not synapses.homeostasis.size:
                continue
            wrong = np.flatnonzero(~np.isfinite(weights))
            if wrong.size:
                unit = synapses.targets[wrong[0]]
                value = weights[wrong[0]]
                return f"{synapses.projection} onto unit {unit}: weight must stay finite (got {value}"
        return ""

    def _wait(self, row: NDArray[np.int64], k: int, targets: int) -> tuple[kernel.Learning, late.Waiting]:
        """Return what is needed to bring the weights of synapses number k up to date; write its addresses into a row.

        Spikes of their `targets` units wait until a spike of the source reads the weights.
        """
        rule = self.synapses[k].rule
        state = self._state[k]
        if self.synapses[k].sharing:
            places = targets * late.LINE
            factors = np.empty((places if late.has_factors(rule) else 0, 2))
            waiting = late.Waiting(aligned((places,), np.int32), factors, self._found[0])
        else:
            # The delay before it has the same spikes of targets at the same time.
            state["post"] = self._state[k - 1]["post"]
            waiting = self._late[k - 1][1]
        row[table.WAITS] = waiting.steps.ctypes.data
        if waiting.factors.size:
            row[table.WAIT_FACTORS] = waiting.factors.ctypes.data
        row[table.WAIT_FOUND] = self._found.ctypes.data
        learning = kernel.Learning(
            rule=rule,
            decay=kernel.decay_tables(rule),  # type: ignore[no-untyped-call]
            pre=state["pre"][0],
            post=state["post"],
            eligibility=np.empty((0, 2)),
            reward=np.empty(0),
        )
        return learning, waiting

    def _forget_waiting(self) -> None:
        for _, waiting in self._late.values():
            waiting.steps[:] = -1

    def _catch_up(self) -> None:
        """Bring all weights up to date, before they are read."""
        for k, (learning, waiting) in self._late.items():
            # The first of each target says whether any waits.
            if (waiting.steps[:: late.LINE] >= 0).any():
                begins, ends, targets = self._rows(k)
                late.catch_up_all(learning, waiting, begins, ends, targets, self._weights[k])
        self._forget_waiting()

    def _rows(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
        """Return where the rows of synapses number k begin and end in their weights, and the targets of these."""
        if k in self._by_delay:
            rows, number = self._by_delay[k]
            return rows.begins[:, number].copy(), rows.ends[:, number].copy(), rows.targets
        synapses = self.synapses[k]
        return synapses.offsets[:-1], synapses.offsets[1:], synapses.targets

    def _places(self, k: int) -> NDArray[np.int64] | slice:
        """Return the places of synapses number k in their weights."""
        if k in self._by_delay:
            rows, number = self._by_delay[k]
            return rows.places(number)
        return slice(None)

    def _stored(self, k: int) -> NDArray[Any]:
        """Return a copy of the weights of synapses number k as they are stored."""
        return np.array(self._weights[k][self._places(k)])

    def _present(self, k: int) -> NDArray[Any]:
        """Return the weights of synapses number k, with the rewards so far."""
        synapses = self.synapses[k]
        stored = self._stored(k)
        if not synapses.modulated:
            return stored
        state = self._state[k]
        now = np.empty_like(stored)
        kernel.weights_now(synapses.rule, stored, state["eligibility"], state["reward"][0], now)
        return now

    def _fill(self, row: NDArray[np.int64], k: int, share: ProcessShare) -> None:
        """Fill the row of synapses number k in the table; the arrays that it names stay alive with this object."""
        synapses = self.synapses[k]
        layout = share.layout
        sources = len(synapses.offsets) - 1
        size = int(layout.sizes[synapses.target])
        source = synapses.source
        rewarder = max(synapses.rewarder, 0)
        row[table.SOURCE] = layout.entries[source]
        row[table.SOURCES] = sources
        row[table.SOURCE_BEGIN] = layout.begins[source]
        row[table.SOURCE_END] = layout.ends[source]
        row[table.TARGET] = synapses.target
        row[table.TARGETS] = size
        row[table.RECEPTOR] = synapses.receptor
        row[table.DELAY] = synapses.delay
        on_pre = plastic_arrivals.on_pre
        if synapses.model is not None:
            on_pre = type(synapses.model).on_pre
            row[table.TARGET_PART] = layout.parts[synapses.target]
            row[table.TARGET_SHIFT] = layout.shifts[synapses.target]
        row[table.ON_PRE] = table.address_of_rule(on_pre, synapses.weights.dtype)
        row[table.GROUP] = synapses.group
        row[table.REWARDER] = layout.entries[rewarder]
        row[table.REWARD_DELAY] = synapses.reward_delay
        row[table.REWARDER_BEGIN] = layout.begins[rewarder]
        row[table.REWARDER_END] = layout.ends[rewarder]
        row[table.KEY] = signed(synapses.key)
        row[table.CUT_BLOCK] = share.first
        if k in self._by_delay:
            rows, number = self._by_delay[k]
            weights = rows.weights
            targets = rows.targets
            cuts = rows.cuts
            # Columns of a delay follow those of the delay before.
            row[table.CUTS] = cuts.ctypes.data + number * (share.columns - 1) * cuts.itemsize
            row[table.NEXT_DELAY] = share.columns - 1 if number + 1 < len(rows.parts) else 0
        else:
            weights = np.empty_like(synapses.weights)
            targets = synapses.targets
            cuts = cuts_of(synapses, share)
            row[table.CUTS] = cuts.ctypes.data
        row[table.CUT_COLUMNS] = cuts.shape[1]
        row[table.SYNAPSES] = len(targets)
        self._weights.append(weights)
        self._alive.append(cuts)
        fixed: dict[int, NDArray[Any]] = {table.UNITS: targets, table.WEIGHTS: weights}
        fixed |= self._rule_arrays(row, synapses)
        if synapses.learns:
            # A spike of a target reaches its synapses by this index.
            index = np.empty(size + 1, np.int64), *np.empty((2, len(synapses.targets)), np.uint32)
            kernel.index_incoming(synapses.offsets, synapses.targets, *index)
            if k in self._by_delay:
                index[1][:] = rows.places(number)[index[1]]
            fixed |= dict(zip((table.IN_OFFSETS, table.IN_SYNAPSES, table.IN_SOURCES), index, strict=True))
        for column, array in fixed.items():
            row[column] = array.ctypes.data
            self._alive.append(array)

    def _rule_arrays(self, row: NDArray[np.int64], synapses: PlasticSynapses) -> dict[int, NDArray[Any]]:
        """Return the numbers of the rules of synapses, by column; what is no array is written into the row."""
        fixed: dict[int, NDArray[Any]] = {}
        if synapses.short_term.size:
            fixed[table.SHORT] = synapses.short_term
        if synapses.p_transmit < 1:
            fixed[table.RELEASED] = np.array([synapses.p_transmit])
        if synapses.p_transmit < 1 or synapses.sites:
            row[table.ORDINALS] = address(self._ordinals)
            if synapses.before.size:
                fixed[table.BEFORE] = synapses.before
        if synapses.rule.size:
            fixed |= {table.RULE: synapses.rule, table.DECAY: kernel.decay_tables(synapses.rule)}  # type: ignore[no-untyped-call]
            row[table.DECAYS] = fixed[table.DECAY].shape[1]
        if synapses.model is not None:
            fixed[table.NUMBERS] = synapses.constants
        if synapses.homeostasis.size:
            fixed[table.HOME] = synapses.homeostasis
        return fixed


# Arrays that change: their columns in the table, initial values other than 0, and those that every thread has.
COLUMNS = {
    "pre": table.PRE,
    "post": table.POST,
    "eligibility": table.ELIGIBILITY,
    "reward": table.REWARD,
    "resources": table.RESOURCES,
    "activity": table.ACTIVITY,
    "variables": table.VARIABLES,
    "full": table.FULL,
}
INITIAL = {"reward": np.array([0.0, 0.0, 1.0]), "resources": np.array([0.0, 1.0, 0.0])}
PER_THREAD = ("pre", "reward", "resources")


def _state(synapses: PlasticSynapses, layout: Layout, threads: int) -> dict[str, NDArray[Any]]:
    """Return arrays for the state of plastic synapses, not filled: those that their rules need, by name."""
    sources = len(synapses.offsets) - 1
    size = int(layout.sizes[synapses.target])
    state: dict[str, NDArray[Any]] = {}
    # Each thread has traces of sources of its own, for it reads them at its own targets; targets have one owner.
    if synapses.rule.size:
        state["pre"] = np.empty((threads, sources, kernel.TRACE_COLUMNS))
        state["post"] = np.empty((size, kernel.TRACE_COLUMNS))
    if synapses.modulated:
        state["eligibility"] = np.empty((len(synapses.targets), 2))
        state["reward"] = np.empty((threads, kernel.REWARD_ENTRIES))
    if synapses.model is not None:
        state["variables"] = np.empty((len(synapses.targets), len(synapses.model.variables) + 1))
    if synapses.homeostasis.size and synapses.group:
        state["activity"] = np.empty((size, 2))
    if synapses.short_term.size:
        state["resources"] = np.empty((threads, sources, 3))
    if synapses.sites:
        state["full"] = np.empty(len(synapses.targets), np.uint8)
    return state


def _traces(
    synapses: PlasticSynapses, state: Mapping[str, NDArray[Any]], variable: str, step: int
) -> NDArray[np.float64]:
    """Return [n] the faster trace of the source or target at each synapse, decayed since its last spike."""
    units: NDArray[Any]
    if variable == "pre":
        traces = state["pre"][0]
        rate = synapses.rule[kernel.RATE_PLUS]
        # The source of each synapse.
        units = np.repeat(np.arange(len(synapses.offsets) - 1), np.diff(synapses.offsets))
    else:
        traces = state["post"]
        rate = synapses.rule[kernel.RATE_MINUS]
        units = synapses.targets
    # A trace is stored as of the last spike of its unit.
    decayed: NDArray[np.float64] = traces[:, kernel.FAST] * np.exp(-rate * (step - traces[:, kernel.LAST]))
    return np.asarray(decayed[units])
