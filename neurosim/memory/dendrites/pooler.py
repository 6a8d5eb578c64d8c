"""Spatial pooler: turns inputs into SDRs of fixed density and learns frequent patterns (Cui et al. 2017)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...data.files.state import SavedState
from ...kernels.memory.permanence import ONE
from ...network.windowed import (
    MAX_COUNT,
    Arrivals,
    Output,
    WindowModel,
    WindowState,
    WindowTotals,
    array_of,
    count_windows,
)
from ..sdr.code import SDR
from .inputs import active_bits, integer, permanence_steps
from .topology import boxes, centres

if TYPE_CHECKING:
    from ...kernels.memory.pooler.reference import Field, PoolerRules

STATE = ("counts", "permanence", "active_duty", "overlap_duty", "rank")
# Streams of the draws: pools, permanences, the order of ties.
POOLS, PERMANENCES, TIES = range(3)
MAX_SIZE = 2**31
# Added before rounding down: .29 x 100 is a little less than 29 in binary.
SLACK = 1e-9


@final
@dataclass(eq=False)
class SpatialPooler(SavedState, WindowModel):
    """Columns with the most connected active inputs win, and winners learn.

    The overlap of a column is the number of its connected synapses with active inputs, times
    exp((target - duty) boost), where target is the density and duty the frequency with which the column has won. The
    floor(density columns) largest win; with `inhibition_radius`, a column wins if fewer than floor(density neighbours),
    at least one, of its neighbours have more. Ties follow an order drawn once. A column whose overlap is 0 or below
    `stimulus_threshold` never wins, so fewer columns may win.

    Winners increase the permanences of their pool for active inputs and decrease them for the others. Every
    `bump_every` steps, all permanences of weak columns are increased: columns whose overlap has reached the threshold
    less than `weak_fraction` as often as the overlap of the best column (of their neighbours).

    Attributes:
        inputs, columns: sizes, each a number or a shape, e.g. (32, 32).
        density: fraction of the columns that win.
        potential: fraction of the inputs within the radius that form the pool of a column.
        potential_radius: radius of the box of inputs around the place of a column, inputs; None: all inputs.
        inhibition_radius: radius of the box of columns that compete with a column, columns; None: all compete.
        stimulus_threshold: minimum overlap of a winner.
        connected_permanence: minimum permanence of a connected synapse. Permanences are multiples of 1e-4.
        permanence_increment: rise of a winner's synapses from active inputs.
        permanence_decrement: fall of a winner's synapses from silent inputs.
        permanence_bump: rise of all synapses of weak columns.
        boost: strength of boosting; 0 for none.
        duty_period: number of steps over which duty cycles are averaged.
        weak_fraction, bump_every: see above.
        seed: key of pools, initial permanences (half are connected) and ties.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    inputs: int | tuple[int, ...]
    columns: int | tuple[int, ...] = 2048
    density: float = 0.02
    potential: float = 0.5
    potential_radius: int | None = None
    inhibition_radius: int | None = None
    stimulus_threshold: int = 0
    connected_permanence: float = 0.1
    permanence_increment: float = 0.05
    permanence_decrement: float = 0.008
    permanence_bump: float = 0.01
    boost: float = 0.0
    duty_period: int = 1000
    weak_fraction: float = 0.001
    bump_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        self._input_shape = _shape(self.inputs, "SpatialPooler.inputs")
        self._column_shape = _shape(self.columns, "SpatialPooler.columns")
        self._input_size = math.prod(self._input_shape)
        self._column_size = math.prod(self._column_shape)
        pairs = self._input_size * self._column_size
        require(pairs < MAX_SIZE, "SpatialPooler", f"must have fewer than {MAX_SIZE} inputs x columns", pairs)
        self._rules = self._compiled()
        self._field: Field = self._start()

    def _compiled(self) -> PoolerRules:
        from ...kernels.memory.pooler.reference import PoolerRules

        name = "SpatialPooler."
        for attribute in ("density", "potential"):
            value = getattr(self, attribute)
            require(0 < value <= 1, name + attribute, "must be > 0 and <= 1", value)
        for attribute in ("boost", "weak_fraction"):
            value = getattr(self, attribute)
            require(0 <= value < math.inf, name + attribute, "must be finite and >= 0", value)
        # exp(70) times any overlap fits into float32. Small factors may vanish; ranks decide then.
        fits = self.boost * self.density <= 70
        require(fits, name + "boost", "must be <= 70 / density, to fit into float32", self.boost)
        winners = math.floor(self.density * self._column_size + SLACK)
        if self.inhibition_radius is None:
            require(
                winners >= 1,
                name + "density",
                f"must let at least one of {self._column_size} columns win",
                self.density,
            )
        else:
            integer(self.inhibition_radius, name + "inhibition_radius", 1, 2**31)
        if self.potential_radius is not None:
            integer(self.potential_radius, name + "potential_radius", 0, 2**31)
        integer(self.seed, name + "seed", 0, 2**63 - 1)
        return PoolerRules(
            connected=permanence_steps(self.connected_permanence, name + "connected_permanence", 1e-4),
            increment=permanence_steps(self.permanence_increment, name + "permanence_increment"),
            decrement=permanence_steps(self.permanence_decrement, name + "permanence_decrement"),
            bump=permanence_steps(self.permanence_bump, name + "permanence_bump"),
            stimulus=integer(self.stimulus_threshold, name + "stimulus_threshold", 0, self._input_size),
            # 0: every column has a limit of its own, by its neighbours.
            winners=winners if self.inhibition_radius is None else 0,
            density=float(self.density),
            boost=float(self.boost),
            period=integer(self.duty_period, name + "duty_period", 1, 2**62),
            weak=float(self.weak_fraction),
            every=integer(self.bump_every, name + "bump_every", 1, 2**62),
        )

    def _start(self) -> Field:
        from ...kernels.memory.pooler.cpu import connect
        from ...kernels.memory.pooler.reference import Field

        n = self._column_size
        m = self._input_size
        around, near = self._neighbours()
        field = Field(
            counts=np.zeros(1, np.int64),
            permanence=self._permanences(),
            connected=np.zeros((m, n), np.uint8),
            active_duty=np.zeros(n),
            overlap_duty=np.zeros(n),
            rank=np.argsort(self._uniforms(TIES, n)).astype(np.uint32),
            around=around,
            near=near,
            # Number of neighbours that may win.
            limit=np.maximum(np.floor(self.density * np.diff(around) + SLACK), 1).astype(np.int64),
            overlap=np.zeros(n, np.int32),
            score=np.zeros(n, np.float32),
            key=np.zeros(n, np.uint64),
            change=np.zeros(m, np.int16),
            winner=np.zeros(n, np.int32),
        )
        # `connected` [inputs, columns] follows from the permanences: an active input selects one row of it.
        connect(self._rules, field)
        return field

    def _uniforms(self, stream: int, n: int, first: int = 0) -> NDArray[np.float64]:
        """Draw [n] numbers in 0..1 of a stream, from number `first` on."""
        from ...kernels.tools.random import uniforms

        out = np.empty(n)
        uniforms(self.seed, first, stream, out)
        return out

    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the columns that compete with each column, as `boxes`; none where all compete."""
        if self.inhibition_radius is None:
            return np.zeros(self._column_size + 1, np.int64), np.empty(0, np.int32)
        shape = self._column_shape
        return boxes(shape, centres(shape, shape), self.inhibition_radius)

    def _permanences(self) -> NDArray[np.int16]:
        """Draw a pool of inputs for each column; half of its permanences are below the threshold."""
        n = self._column_size
        m = self._input_size
        around, near = self._within_reach()
        permanences = np.full((n, m), -1, np.int16)
        reach: NDArray[Any]
        # One column after the other: the draws of all pairs would take ten times as much memory as the permanences.
        for column in range(n):
            # Drawn for all inputs, also outside the radius: a pool then depends on the seed and its place alone.
            rank = self._uniforms(POOLS, m, column * m)
            draw = self._uniforms(PERMANENCES, m, column * m)
            # Draws below a half are uniform in 0..connected - 1, the others in connected..1.
            low = np.floor(draw * 2 * self._rules.connected)
            high = self._rules.connected + np.floor((draw - 0.5) * 2 * (ONE + 1 - self._rules.connected))
            values = np.where(draw < 0.5, low, high).astype(np.int16)
            if near is None:
                reach = np.arange(m)
            else:
                reach = near[around[column] : around[column + 1]]
            size = max(round(self.potential * len(reach)), 1)
            # The pool: the `size` inputs within reach with the smallest ranks.
            pool = reach[np.argpartition(rank[reach], size - 1)[:size]]
            permanences[column, pool] = values[pool]
        return permanences

    def _within_reach(self) -> tuple[NDArray[np.int64], NDArray[np.int32] | None]:
        """Return the inputs within the radius of each column, as `boxes`; None for all inputs."""
        if self.potential_radius is None:
            return np.empty(0, np.int64), None
        shape = self._input_shape
        return boxes(shape, centres(self._column_shape, shape), self.potential_radius)

    @property
    def receptors(self) -> Mapping[str, int]:
        return {"input": self._input_size}

    @property
    def outputs(self) -> int:
        return self._column_size

    def start(self) -> WindowState:
        return _PoolerState(copy.deepcopy(self))

    def step(self, inputs: SDR | object, *, learn: bool = True) -> SDR:
        """Return the columns that win for the active `inputs` (an SDR, or indices); if `learn`, they adapt.

        Without active bits no column wins; if `learn`, duty cycles fall and weak columns are bumped.

        Raises:
            NeurosimInputError: an SDR of another size; indices out of range or repeated; the pooler is unchanged then.
        """
        from ...kernels.memory.pooler.cpu import advance

        bits = active_bits(inputs, self._input_size, "SpatialPooler.step")
        n = advance(self._rules, self._field, bits, learn)
        return SDR.unchecked(self._field.winner[:n].copy(), self._column_size)

    def work(self, inputs: Iterable[SDR | object]) -> list[LayerCounts]:
        """Return the work of `step` on each of the inputs, without learning; the pooler stays as it is.

        Raises:
            NeurosimInputError: as `step`.
        """
        bits = (active_bits(each, self._input_size, "SpatialPooler.work") for each in inputs)
        return count_windows("pooler", self, ({"input": each} for each in bits))

    @property
    def steps(self) -> int:
        """Number of steps with learning."""
        return int(self._field.counts[0])

    @property
    def overlaps(self) -> NDArray[np.int32]:
        """[columns] overlaps of the last step, before boosting."""
        return self._field.overlap.copy()

    @property
    def active_duty(self) -> NDArray[np.float64]:
        """[columns] frequency with which each column has won, over the last `duty_period` steps."""
        return self._field.active_duty.copy()

    @property
    def overlap_duty(self) -> NDArray[np.float64]:
        """[columns] frequency of overlaps of at least the stimulus threshold, and at least 1."""
        return self._field.overlap_duty.copy()

    @property
    def permanences(self) -> NDArray[np.float64]:
        """[columns, inputs] permanences, NaN outside the pools."""
        steps = self._field.permanence
        return np.where(steps < 0, np.nan, steps / ONE)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that steps change, and of the order of ties.

        By name: "counts" [1] int64, number of steps; "permanence" [columns, inputs] int16 in steps of 1e-4, -1 outside
        the pools; "active_duty", "overlap_duty" [columns]; "rank" [columns] uint32.
        """
        return {name: getattr(self._field, name).copy() for name in STATE}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        from ...kernels.memory.pooler.cpu import connect

        bounds = {"counts": (0, MAX_COUNT), "permanence": (-1, ONE), "active_duty": (0, 1), "overlap_duty": (0, 1)}
        restored = {
            name: array_of(arrays, name, getattr(self._field, name), *bounds.get(name, (None, None))) for name in STATE
        }
        # All arrays are checked before any of them is written.
        for name, array in restored.items():
            getattr(self._field, name)[...] = array
        connect(self._rules, self._field)

    def _layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        pool = int(np.count_nonzero(self._field.permanence >= 0))
        units = self._column_size
        return LayerCounts(
            name=name,
            inputs=self._input_size,
            weights=pool,
            nonzero_weights=int(np.count_nonzero(self._field.connected)),
            weight_bits=8,
            weight_type="int",
            binary_input=True,
            state_bytes=self._field.overlap.nbytes + self._field.active_duty.nbytes + self._field.overlap_duty.nbytes,
            parameter_bytes=self._field.permanence.nbytes + self._field.connected.nbytes,
            state_bits=32,
            **totals.counts(
                outputs=units,
                dense_operations=pool,
                membranes=units,
            ),
        )


@final
class _PoolerState(WindowState):
    """A pooler in a network."""

    def __init__(self, pooler: SpatialPooler) -> None:
        self.pooler = pooler

    def begin(self) -> None:
        """Do nothing: a pooler has no state from window to window."""

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        winners = self.pooler.step(SDR.unchecked(arrivals["input"].units, self.pooler._input_size), learn=learn)
        return Output(winners.indices, int(self.pooler._field.overlap.sum()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return self.pooler.state()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.pooler.restore(arrays)

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        return self.pooler._layer(name, totals)


def _shape(sizes: int | tuple[int, ...], name: str) -> tuple[int, ...]:
    if isinstance(sizes, (tuple, list)):
        shape = tuple(sizes)
    else:
        shape = (sizes,)
    require(len(shape) > 0, name, "must have a dimension", sizes)
    return tuple(integer(n, name, 1, MAX_SIZE) for n in shape)
