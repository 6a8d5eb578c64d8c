"""Projections that learn, made ready: their synapses as lessons, one for each delay, and all that changes in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...kernels.engine.clocked import plastic as table
from ...kernels.engine.clocked import plasticity as kernel
from ...network import Network, Projection
from ...plasticity import Modulation, ShortTermPlasticity, Terms
from .layout import Layout
from .synapse_sampler import MAX_DELAY, SynapseSampler

if TYPE_CHECKING:
    from ...synapses import Rows


@dataclass(frozen=True, eq=False)
class PlasticSynapses:
    """Those synapses of a projection that have one delay.

    Attributes:
        number: of the projection.
        delay: steps.
        offsets: [sources + 1] int64 and `targets`: [n] uint32, the rows.
        weights: real [n], at the start.
        places: [n] where each stands among all synapses of the projection, in the order of its rows; or all of them.
        rule, short_term: as `kernels.engine.clocked.plasticity` reads them; empty where there is none.
        modulation: of the rule; `rewarder` is the number of its population, `reward_delay` is in steps.
    """

    number: int
    projection: Projection
    source: int
    target: int
    receptor: int
    delay: int
    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    weights: NDArray
    places: NDArray[np.int64] | slice
    rule: NDArray[np.float64]
    short_term: NDArray[np.float64]
    rewarder: int
    reward_delay: int

    @property
    def modulated(self) -> bool:
        return self.rewarder >= 0

    @property
    def reach(self) -> int:
        """Steps for which it needs the spikes that were."""
        return max(self.delay, self.reward_delay)

    @property
    def lead(self) -> int:
        """Steps after which a spike reaches it at the soonest."""
        return min(self.delay, self.reward_delay) if self.modulated else self.delay

    @property
    def nbytes(self) -> int:
        each = self.targets.itemsize + self.weights.itemsize + (8 if self.rule.size else 0) + 16 * self.modulated
        return self.offsets.nbytes + each * len(self.targets)


def plastic_bytes(projection: Projection, real: np.dtype) -> int:
    """Bytes a synapse of a projection takes beyond its 6, if it learns: while it is made, and as one run has it."""
    if not is_plastic(projection):
        return 0
    rule = projection.plasticity.terms() if projection.plasticity else None
    # Drawn in float64, sorted by delay; then target and weight of the plan, weight, index and eligibility of the run.
    return 24 + 2 * real.itemsize + 8 * (rule is not None) + 16 * (rule is not None and rule.modulation is not None)


def is_plastic(projection: Projection) -> bool:
    """Whether a projection is made of lessons."""
    return projection.plasticity is not None or projection.short_term is not None


def compile_plastic(
    network: Network,
    drawings: Sequence[SynapseSampler],
    clock: float,
    real: np.dtype,
    degrees: Sequence[NDArray[np.int32]],
) -> tuple[PlasticSynapses, ...]:
    """All lessons of a network; `degrees` [projections][sources] receives the synapses of weight other than zero.

    Raises:
        NeurosimInputError: weights beyond the bounds of their rule, a delay of no step or of too many.
    """
    made: list[PlasticSynapses] = []
    for number, drawing in enumerate(drawings):
        if is_plastic(drawing.projection):
            made += _lessons(network, number, drawing, clock, real, degrees[number])
    return tuple(made)


def _lessons(
    network: Network, number: int, drawing: SynapseSampler, clock: float, real: np.dtype, degrees: NDArray[np.int32]
) -> list[PlasticSynapses]:
    projection = drawing.projection
    rows = drawing.rows(0, len(drawing.before) - 1)
    count = len(rows.targets)
    weights = np.full(count, drawing.weight) if drawing.weight is not None else drawing.weights(rows, 0)
    projection.check_bounds(weights)
    delays = np.full(count, drawing.delay) if drawing.delay is not None else drawing.delays(rows, 0)
    degrees[:] = _degrees(rows, weights != 0)
    terms = projection.plasticity.terms() if projection.plasticity else None
    rule = rule_vector(terms, clock) if terms else np.empty(0)
    short = short_term_vector(projection.short_term, clock) if projection.short_term else np.empty(0)
    modulation = terms.modulation if terms else None
    found = []
    different = np.unique(delays)
    for delay in different:
        places = np.flatnonzero(delays == delay) if len(different) > 1 else slice(None)
        found.append(
            PlasticSynapses(
                number,
                projection,
                drawing.source,
                drawing.target,
                drawing.receptor,
                int(delay),
                np.concatenate([[0], np.cumsum(_degrees(rows, delays == delay))]).astype(np.int64),
                rows.targets[places].astype(np.uint32),
                weights[places].astype(real),
                places,
                rule,
                short,
                *_reward(network, projection, modulation, clock),
            )
        )
    return found


def _degrees(rows: Rows, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[sources] how many of the chosen synapses each has."""
    return np.diff(np.concatenate([[0], np.cumsum(chosen)])[rows.offsets])


def _reward(network: Network, projection: Projection, modulation: Modulation | None, clock: float) -> tuple[int, int]:
    """The number of the population that rewards, -1 for none, and the delay in steps."""
    if modulation is None:
        return -1, 0
    names = [population.name for population in network.populations]
    steps, thing = math.floor(modulation.delay / clock + 0.5), f"{projection}.plasticity.reward_delay"
    require(steps >= 1, thing, f"must round to at least one step of {clock:g} s", modulation.delay)
    require(steps <= MAX_DELAY, thing, f"must be <= {MAX_DELAY} steps of {clock:g} s", modulation.delay)
    return names.index(modulation.population), steps


class PlasticState:
    """What changes in a network's lessons, and the table by which the run loop finds it.

    Attributes:
        table: int64 [lessons, LESSON_COLUMNS], see `kernels.engine.clocked.plastic`.
    """

    def __init__(self, made: Sequence[PlasticSynapses], layout: Layout, threads: int) -> None:
        self.lessons = made
        self.table: NDArray[np.int64] = np.zeros((len(made), table.LESSON_COLUMNS), np.int64)
        self._keep: list[NDArray] = []
        self._state: list[dict[str, NDArray]] = []
        for row, lesson in zip(self.table, made, strict=True):
            self._state.append(_state(lesson, layout, threads))
            self._fill(row, lesson, layout)
            for name, array in self._state[-1].items():
                row[COLUMNS[name]] = array.ctypes.data
        self.reset()

    def reset(self) -> None:
        """Back to the start."""
        for lesson, state in zip(self.lessons, self._state, strict=True):
            for name, array in state.items():
                array[:] = lesson.weights if name == "weights" else STARTS.get(name, 0.0)

    def arrays(self) -> dict[str, NDArray]:
        """Copies of all that changes; the same for any number of threads."""
        return {
            f"lesson.{k}.{name}": (array[0] if name in OF_THREADS else array).copy()
            for k, state in enumerate(self._state)
            for name, array in state.items()
        }

    def restore(self, arrays: Mapping[str, NDArray]) -> None:
        """Go on from what `arrays` gave."""
        for k, state in enumerate(self._state):
            for name, array in state.items():
                array[:] = arrays[f"lesson.{k}.{name}"]

    def weights(self) -> dict[str, NDArray]:
        """By name of the projections that have a rule: [synapses] weights as they stand, in the order of the rows."""
        sizes: dict[str, int] = {}
        for lesson in self.lessons:
            name = str(lesson.projection.name)
            sizes[name] = sizes.get(name, 0) + len(lesson.targets)
        found: dict[str, NDArray] = {}
        for lesson, state in zip(self.lessons, self._state, strict=True):
            if lesson.rule.size:
                now = np.empty_like(state["weights"])
                eligibility = state.get("eligibility", np.empty((0, 2)))
                reward = state["reward"][0] if lesson.modulated else np.empty(0)
                kernel.settled(lesson.rule, state["weights"], eligibility, reward, now)
                name = str(lesson.projection.name)
                whole = found.setdefault(name, np.empty(sizes[name], now.dtype))
                whole[lesson.places] = now
        return found

    def _fill(self, row: NDArray[np.int64], lesson: PlasticSynapses, layout: Layout) -> None:
        sources, size = len(lesson.offsets) - 1, int(layout.sizes[lesson.target])
        row[table.SOURCE], row[table.SOURCES] = lesson.source, sources
        row[table.TARGET], row[table.TARGETS] = lesson.target, size
        row[table.RECEPTOR], row[table.DELAY] = lesson.receptor, lesson.delay
        row[table.SYNAPSES] = len(lesson.targets)
        row[table.ARRIVE], row[table.RESPOND] = table.addresses(lesson.weights.dtype)
        row[table.REWARDER], row[table.REWARD_DELAY] = lesson.rewarder, lesson.reward_delay
        cuts = np.empty((sources, layout.blocks + 1), np.int64)
        table.cut(lesson.offsets, lesson.targets, int(layout.parts[lesson.target]), cuts)
        fixed: dict[int, NDArray] = {table.CUTS: cuts, table.UNITS: lesson.targets}
        if lesson.short_term.size:
            fixed[table.SHORT] = lesson.short_term
        if lesson.rule.size:
            fixed |= {table.RULE: lesson.rule, table.DECAY: kernel.decay_tables(lesson.rule)}
            row[table.DECAYS] = fixed[table.DECAY].shape[1]
            index = np.empty(size + 1, np.int64), *np.empty((2, len(lesson.targets)), np.uint32)
            kernel.incoming(lesson.offsets, lesson.targets, *index)
            fixed |= dict(zip((table.IN_OFFSETS, table.IN_SYNAPSES, table.IN_SOURCES), index, strict=True))
        for column, array in fixed.items():
            row[column] = array.ctypes.data
            self._keep.append(array)


# What changes in a lesson: its column in the table, what it starts from, and whether every thread has its own.
COLUMNS = {
    "weights": table.WEIGHTS,
    "pre": table.PRE,
    "post": table.POST,
    "eligibility": table.ELIGIBILITY,
    "reward": table.REWARD,
    "resources": table.RESOURCES,
}
STARTS = {"reward": np.array([0.0, 0.0, 1.0]), "resources": np.array([0.0, 1.0, 0.0])}
OF_THREADS = ("pre", "reward", "resources")


def _state(lesson: PlasticSynapses, layout: Layout, threads: int) -> dict[str, NDArray]:
    sources, size = len(lesson.offsets) - 1, int(layout.sizes[lesson.target])
    state: dict[str, NDArray] = {"weights": np.empty_like(lesson.weights)}
    if lesson.rule.size:
        state["pre"] = np.empty((threads, sources, kernel.TRACE_COLUMNS))
        state["post"] = np.empty((size, kernel.TRACE_COLUMNS))
    if lesson.modulated:
        state["eligibility"] = np.empty((len(lesson.targets), 2))
        state["reward"] = np.empty((threads, kernel.REWARD_ENTRIES))
    if lesson.short_term.size:
        state["resources"] = np.empty((threads, sources, 3))
    return state


def rule_vector(terms: Terms, dt: float) -> NDArray[np.float64]:
    """The rule as `kernels.engine.clocked.plasticity` reads it, for steps of `dt` seconds."""
    rule = np.zeros(kernel.RULE_ENTRIES)
    entries = {
        kernel.W_MIN: terms.w_min,
        kernel.W_MAX: terms.w_max,
        kernel.PAIR_PLUS: terms.pair_plus,
        kernel.TRIPLET_PLUS: terms.triplet_plus,
        kernel.CONSTANT_POST: terms.constant_post,
        kernel.MU_PLUS: terms.mu_plus,
        kernel.PAIR_MINUS: terms.pair_minus,
        kernel.TRIPLET_MINUS: terms.triplet_minus,
        kernel.CONSTANT_PRE: terms.constant_pre,
        kernel.MU_MINUS: terms.mu_minus,
        kernel.DECAY: terms.decay,
        kernel.NEAREST: terms.nearest,
        kernel.RATE_PLUS: dt / terms.tau_plus,
        kernel.RATE_X: dt / terms.tau_x,
        kernel.RATE_MINUS: dt / terms.tau_minus,
        kernel.RATE_Y: dt / terms.tau_y,
        kernel.DT: dt,
    }
    modulation = terms.modulation
    if modulation is not None:
        entries |= {
            kernel.MODULATED: 1.0,
            kernel.RATE_C: dt / modulation.tau_c,
            kernel.RATE_D: dt / modulation.tau_d,
            kernel.SIZE: modulation.size,
            kernel.BASELINE: modulation.baseline,
        }
    rule[list(entries)] = list(entries.values())
    return rule


def short_term_vector(short_term: ShortTermPlasticity, dt: float) -> NDArray[np.float64]:
    """The parameters of `kernels.engine.clocked.plasticity.release`."""
    facil = dt / short_term.tau_facil if short_term.tau_facil > 0 else math.inf
    return np.array([short_term.U, dt / short_term.tau_rec, facil])
