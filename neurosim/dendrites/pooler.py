"""Spatial pooler: inputs of any kind to SDRs of fixed density that learn what is frequent (Cui et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import require
from ..plain import from_plain, to_plain
from ..sdr import SDR
from .inputs import active_bits, as_sdr, permanence, whole
from .topology import boxes, centres

if TYPE_CHECKING:
    from ..kernels.memory.pooler import Field, Rules

VERSION = 1
STATE = ("counts", "permanence", "active_duty", "overlap_duty", "rank")
# Streams of the draws: pools, permanences, the order of ties.
POOLS, PERMANENCES, TIES = range(3)
SIZE_MOST = 2**31
# .29 x 100 is a little less than 29 in binary.
SLACK = 1e-9


@final
@dataclass(eq=False)
class SpatialPooler:
    """Columns compete for the active inputs they are connected to; winners learn.

    The overlap of a column is the number of its connected synapses with active inputs, times
    exp((target - duty) boost), where target is the density and duty how often the column has won. The floor(density
    columns) largest win; with `inhibition_radius`, a column wins where fewer than floor(density neighbours), at least
    one, of its neighbours have more. Equal scores go by an order drawn once. A column whose overlap is 0 or below
    `stimulus_threshold` never wins, so fewer may.

    Winners move the permanences of their pool up for active inputs and down for the others. Every `bump_every` steps,
    columns whose overlap has reached the threshold less than `weak_fraction` as often as that of the best one (of
    their neighbours) raise all their permanences.

    Attributes:
        inputs, columns: sizes, each a number or a shape, e.g. (32, 32).
        density: part of the columns that win.
        potential: part of the inputs within reach that form a column's pool.
        potential_radius: reach in inputs, a box around the column's place; None: all inputs.
        inhibition_radius: reach of competition in columns, a box; None: all columns compete.
        stimulus_threshold: least overlap of a winner.
        connected_permanence: of a synapse that counts. Permanences are multiples of 1e-4.
        permanence_increment, permanence_decrement, permanence_bump: of learning, and of weak columns.
        boost: strength; 0 is none.
        duty_period: steps that duty cycles look back.
        weak_fraction, bump_every: see above.
        seed: of pools, first permanences (half are connected) and ties.

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
        self._input_size, self._column_size = math.prod(self._input_shape), math.prod(self._column_shape)
        most = self._input_size * self._column_size
        require(most < SIZE_MOST, "SpatialPooler", f"must have fewer than {SIZE_MOST} inputs x columns", most)
        self._rules = self._compiled()
        self._field: Field = self._start()

    def _compiled(self) -> Rules:
        from ..kernels.memory.pooler import Rules

        name = "SpatialPooler."
        for attribute, low, high in (("density", 0, 1), ("potential", 0, 1)):
            value = getattr(self, attribute)
            require(low < value <= high, name + attribute, "must be > 0 and <= 1", value)
        for attribute in ("boost", "weak_fraction"):
            value = getattr(self, attribute)
            require(0 <= value < math.inf, name + attribute, "must be finite and >= 0", value)
        # exp(70) times any overlap is a float32; what pushes columns down may vanish, but ranks then decide.
        fits = self.boost * self.density <= 70
        require(fits, name + "boost", "must be <= 70 / density, so that it fits a number", self.boost)
        winners = math.floor(self.density * self._column_size + SLACK)
        if self.inhibition_radius is None:
            require(winners >= 1, name + "density", f"must let one of {self._column_size} columns win", self.density)
        else:
            whole(self.inhibition_radius, name + "inhibition_radius", 1, 2**31)
        if self.potential_radius is not None:
            whole(self.potential_radius, name + "potential_radius", 0, 2**31)
        whole(self.seed, name + "seed", 0, 2**63 - 1)
        return Rules(
            connected=permanence(self.connected_permanence, name + "connected_permanence", 1e-4),
            increment=permanence(self.permanence_increment, name + "permanence_increment"),
            decrement=permanence(self.permanence_decrement, name + "permanence_decrement"),
            bump=permanence(self.permanence_bump, name + "permanence_bump"),
            stimulus=whole(self.stimulus_threshold, name + "stimulus_threshold", 0, self._input_size),
            winners=winners if self.inhibition_radius is None else 0,
            density=float(self.density),
            boost=float(self.boost),
            period=whole(self.duty_period, name + "duty_period", 1, 2**62),
            weak=float(self.weak_fraction),
            every=whole(self.bump_every, name + "bump_every", 1, 2**62),
        )

    def _start(self) -> Field:
        from ..kernels.memory.pooler import Field, connect

        n, m = self._column_size, self._input_size
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
            limit=np.maximum(np.floor(self.density * np.diff(around) + SLACK), 1).astype(np.int64),
            overlap=np.zeros(n, np.int32),
            score=np.zeros(n, np.float32),
            key=np.zeros(n, np.uint64),
            change=np.zeros(m, np.int16),
            winner=np.zeros(n, np.int32),
        )
        connect(self._rules, field)
        return field

    def _uniforms(self, stream: int, n: int) -> NDArray[np.float64]:
        from ..kernels.tools.random import uniforms

        out = np.empty(n)
        uniforms(self.seed, 0, stream, out)
        return out

    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        if self.inhibition_radius is None:
            return np.zeros(self._column_size + 1, np.int64), np.empty(0, np.int32)
        shape = self._column_shape
        return boxes(shape, centres(shape, shape), self.inhibition_radius)

    def _permanences(self) -> NDArray[np.int16]:
        """A pool of inputs drawn for each column; half its permanences below the threshold, half from it on."""
        from ..kernels.memory.pooler import ONE

        n, m = self._column_size, self._input_size
        around, near = self._within_reach()
        rank = self._uniforms(POOLS, n * m).reshape(n, m)
        first = self._uniforms(PERMANENCES, n * m).reshape(n, m)
        low = np.floor(first * 2 * self._rules.connected)
        high = self._rules.connected + np.floor((first - 0.5) * 2 * (ONE + 1 - self._rules.connected))
        values = np.where(first < 0.5, low, high).astype(np.int16)
        out = np.full((n, m), -1, np.int16)
        for c in range(n):
            reach = near[around[c] : around[c + 1]] if near is not None else np.arange(m)
            size = max(round(self.potential * len(reach)), 1)
            pool = reach[np.argpartition(rank[c, reach], size - 1)[:size]]
            out[c, pool] = values[c, pool]
        return out

    def _within_reach(self) -> tuple[NDArray[np.int64], NDArray[np.int32] | None]:
        if self.potential_radius is None:
            return np.empty(0, np.int64), None
        shape = self._input_shape
        return boxes(shape, centres(self._column_shape, shape), self.potential_radius)

    def step(self, inputs: SDR | object, learn: bool = True) -> SDR:
        """The columns that win for the active `inputs` (an SDR, or indices); with `learn`, they adapt.

        An input without active bits has no winners; with `learn` the duty cycles fall and weak columns are raised.

        Raises:
            NeurosimInputError: an SDR of another size; indices out of range or repeated. Nothing has changed then.
        """
        from ..kernels.memory.pooler import advance

        bits = active_bits(inputs, self._input_size, "SpatialPooler.step")
        n = advance(self._rules, self._field, bits, learn)
        return as_sdr(self._field.winner[:n].copy(), self._column_size)

    @property
    def steps(self) -> int:
        """Steps learned."""
        return int(self._field.counts[0])

    @property
    def overlaps(self) -> NDArray[np.int32]:
        """[columns] overlaps of the last step, not boosted."""
        return self._field.overlap.copy()

    @property
    def active_duty(self) -> NDArray[np.float64]:
        """[columns] how often each has won, over the last `duty_period` steps."""
        return self._field.active_duty.copy()

    @property
    def overlap_duty(self) -> NDArray[np.float64]:
        """[columns] how often the overlap of each has reached the stimulus threshold, at least 1."""
        return self._field.overlap_duty.copy()

    @property
    def permanences(self) -> NDArray[np.float64]:
        """[columns, inputs] permanences, NaN outside the pools."""
        stored = self._field.permanence
        return np.where(stored < 0, np.nan, stored / 10_000)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to a safetensors file, atomically; `load` goes on bit for bit.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        arrays = {name: getattr(self._field, name) for name in STATE}
        files.write_state(path, "SpatialPooler", VERSION, to_plain(self), arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SpatialPooler:
        """What `save` wrote.

        Raises:
            NeurosimFormatError: another file, a damaged one, or one of a newer format.
        """
        settings, arrays = files.read_state(path, "SpatialPooler", VERSION)
        with files.saved_values(path):
            pooler = from_plain(cls, settings)
            pooler._fill(arrays)
        return pooler

    def _fill(self, arrays: dict[str, NDArray]) -> None:
        from ..kernels.memory.pooler import connect

        for name in STATE:
            own, array = getattr(self._field, name), arrays[name]
            require(array.dtype == own.dtype and array.shape == own.shape, name, f"must be {own.shape}", array.shape)
            own[...] = array
        connect(self._rules, self._field)


def _shape(given: int | tuple[int, ...], what: str) -> tuple[int, ...]:
    shape = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    require(len(shape) > 0, what, "must have a dimension", given)
    return tuple(whole(n, what, 1, SIZE_MOST) for n in shape)
