"""Temporal memory: sequences of SDRs learned by segments that predict cells (Hawkins & Ahmad 2016)."""

from __future__ import annotations

import copy
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
    Arrivals,
    Output,
    WindowModel,
    WindowState,
    WindowTotals,
    check_present,
    count_windows,
)
from ..sdr.code import SDR
from .inputs import active_bits, integer, permanence_steps

if TYPE_CHECKING:
    from ...kernels.memory.temporal.store import Store, TemporalRules

# Saved state: columns of the two tables by the names of their arrays, lists, and the number of the next step.
SEGMENT_COLUMNS = {"cell": "CELL", "learned": "LEARNED", "filled": "FILLED"}
SYNAPSE_COLUMNS = {"source": "SOURCE", "permanence": "PERMANENCE", "heard": "HEARD"}
LISTS = {"free": "FREE", "active": "ACTIVE", "winners": "WINNERS"}
# Initial capacity, in segments and in chunks of 32 outgoing synapses; both grow as needed, up to the caps.
SEGMENTS = 4096
CHUNKS = 8192
MAX_CELLS = 2**24
# A synapse has four integers in its segment, and its place among the outgoing ones of its cell. A segment has five.
SYNAPSE_BYTES = 21
SEGMENT_BYTES = 20


@final
@dataclass(eq=False)
class TemporalMemory(SavedState, WindowModel):
    """Learns which column follows which, in context.

    The cells of a column differ only in the context before it. A segment with `activation_threshold` connected synapses
    from active cells predicts its cell. In a column that becomes active, only the predicted cells fire, and their
    segments adapt and grow. A column without a predicted cell bursts: all its cells fire, and one wins and learns (that
    of the best matching segment, else a winner of the step before, else the cell with the fewest segments). Segments
    that matched in a column that stayed silent are punished.

    Memory is bounded: a cell with `max_segments` segments drops the one that learned longest ago, a segment with
    `max_synapses` synapses the one that was silent longest. `max_bytes` is the memory at these caps.

    Attributes:
        columns, cells_per_column: sizes; cell i of column c has the number `c * cells_per_column + i`.
        activation_threshold: number of connected active synapses with which a segment predicts.
        min_threshold: number of active synapses with which a segment matches.
        initial_permanence: permanence of a new synapse, a multiple of 1e-4.
        connected_permanence: minimum permanence of a connected synapse, a multiple of 1e-4.
        permanence_increment: rise of a learning segment's synapses from active cells.
        permanence_decrement: fall of a learning segment's synapses from silent cells.
        predicted_decrement: fall of the synapses of matching segments in columns that stay silent.
        max_new_synapses: maximum number of a learning segment's synapses from the cells of the last step, old and new.
        max_segments, max_synapses: caps of a cell and of a segment (at most 255).
        seed: key of the draws; results depend on it and the inputs alone.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    columns: int = 2048
    cells_per_column: int = 32
    activation_threshold: int = 13
    min_threshold: int = 10
    initial_permanence: float = 0.21
    connected_permanence: float = 0.5
    permanence_increment: float = 0.1
    permanence_decrement: float = 0.1
    predicted_decrement: float = 0.0
    max_new_synapses: int = 20
    max_segments: int = 16
    max_synapses: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        from ...kernels.memory.temporal.store import empty, max_chunks

        self._rules = self._compiled()
        cells = self.columns * self.cells_per_column
        require(cells <= MAX_CELLS, "TemporalMemory", f"must have at most {MAX_CELLS} cells", cells)
        segments = cells * self.max_segments
        rule = f"must allow at most {2**30} segments in all"
        require(segments < 2**30, "TemporalMemory.max_segments", rule, segments)
        chunks = min(CHUNKS, max_chunks(self.columns, self._rules))
        self._store: Store = empty(self.columns, self._rules, min(SEGMENTS, segments), chunks)

    def _compiled(self) -> TemporalRules:
        from ...kernels.memory.temporal.store import TemporalRules

        name = "TemporalMemory."
        synapses = integer(self.max_synapses, name + "max_synapses", 1, 255)
        activation = integer(self.activation_threshold, name + "activation_threshold", 1, synapses)
        integer(self.columns, name + "columns", 1, MAX_CELLS)
        return TemporalRules(
            cells=integer(self.cells_per_column, name + "cells_per_column", 1, MAX_CELLS),
            activation=activation,
            minimum=integer(self.min_threshold, name + "min_threshold", 1, activation),
            initial=permanence_steps(self.initial_permanence, name + "initial_permanence", 0.0001),
            connected=permanence_steps(self.connected_permanence, name + "connected_permanence", 0.0001),
            increment=permanence_steps(self.permanence_increment, name + "permanence_increment"),
            decrement=permanence_steps(self.permanence_decrement, name + "permanence_decrement"),
            punishment=permanence_steps(self.predicted_decrement, name + "predicted_decrement"),
            growth=integer(self.max_new_synapses, name + "max_new_synapses", 1, synapses),
            segments=integer(self.max_segments, name + "max_segments", 1, 32767),
            synapses=synapses,
            key=integer(self.seed, name + "seed", 0, 2**63 - 1),
        )

    @property
    def receptors(self) -> Mapping[str, int]:
        return {"columns": self.columns}

    @property
    def outputs(self) -> int:
        return self.columns * self.cells_per_column

    @property
    def readings(self) -> tuple[str, ...]:
        return "anomaly", "predicted"

    def start(self) -> WindowState:
        return _MemoryState(copy.deepcopy(self))

    def step(self, columns: SDR | object, *, learn: bool = True) -> float:
        """Advance by one step with the active `columns` (an SDR, or indices); return the anomaly 1 - |A and P| / |A|.

        P are the columns that the step before predicted. Without active columns the anomaly is 0, no cell fires, and
        the next step starts a new sequence; segments may still be punished.

        Raises:
            NeurosimInputError: an SDR of another size; indices out of range or repeated; the memory is unchanged then.
        """
        from ...kernels.memory.temporal.cpu import advance
        from ...kernels.memory.temporal.store import room

        active = active_bits(columns, self.columns, "TemporalMemory.step")
        max_segments = self.columns * self.cells_per_column * self.max_segments
        # The tables grow before the step: compiled code cannot.
        self._store = room(self._rules, self._store, active.size, max_segments)
        hits = advance(self._rules, self._store, active, learn)
        return 1.0 - hits / active.size if active.size else 0.0

    def work(self, sequence: Iterable[SDR | object]) -> list[LayerCounts]:
        """Return the work of `step` on each element of a new sequence, without learning; the memory stays as it is.

        Raises:
            NeurosimInputError: as `step`.
        """
        bits = (active_bits(each, self.columns, "TemporalMemory.work") for each in sequence)
        return count_windows("temporal memory", self, ({"columns": each} for each in bits))

    def reset(self) -> None:
        """Start a new sequence: nothing is active or predicted; everything learned stays."""
        from ...kernels.memory.temporal.cpu import clear

        clear(self._store)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self._count("STEP")

    @property
    def segments(self) -> int:
        """Number of segments."""
        return self._count("SEGMENTS") - self._count("FREE")

    @property
    def synapses(self) -> int:
        """Number of synapses."""
        return self._count("SYNAPSES")

    @property
    def visits(self) -> int:
        """Number of synapses from the active cells of the last step: its synaptic operations."""
        return self._count("VISITS")

    @property
    def active_cells(self) -> SDR:
        """Cells that fire."""
        return self._cells(self._store.active[: self._count("ACTIVE")])

    @property
    def winner_cells(self) -> SDR:
        """Cells that learn: predicted cells that fire, and one cell of each bursting column."""
        return self._cells(self._store.winners[: self._count("WINNERS")])

    @property
    def predicted_cells(self) -> SDR:
        """Cells with a predicting segment, expected to fire in the next step."""
        from ...kernels.memory.temporal.store import CELL

        predicting = self._store.predicting[: self._count("PREDICTING")]
        return self._cells(np.unique(self._store.segment[predicting, CELL]))

    @property
    def predicted_columns(self) -> SDR:
        """Columns with a predicted cell."""
        return SDR.unchecked(np.unique(self.predicted_cells.indices // self.cells_per_column), self.columns)

    @property
    def bytes(self) -> int:
        """Bytes of memory in use."""
        return sum(array.nbytes for array in self._store)

    @property
    def max_bytes(self) -> int:
        """Bytes of memory with every cell and segment at its cap."""
        from ...kernels.memory.temporal.store import max_chunks, nbytes

        max_segments = self.columns * self.cells_per_column * self.max_segments
        return nbytes(self.columns, self._rules, max_segments, max_chunks(self.columns, self._rules))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that steps change.

        By name, int32 but for "step":

        - [segments] "cell", the cell of a segment, -1 if it is free; "learned", the step in which it last learned;
          "filled", its number of synapses.
        - [segments, max_synapses] "source", the cell of a synapse; "permanence", in steps of 1e-4; "heard", the step in
          which its cell was last active. 0 beyond "filled".
        - [n] "free", free segments; "active" and "winners", cells.
        - [1] int64 "step", the number of the next step.
        """
        from ...kernels.memory.temporal import store as tables

        n = self._count("SEGMENTS")
        store = self._store
        # Slots beyond the synapses of a segment hold old values.
        used = np.arange(self.max_synapses) < store.segment[:n, tables.FILLED, None]
        arrays = {name: store.segment[:n, getattr(tables, column)].copy() for name, column in SEGMENT_COLUMNS.items()}
        for name, column in SYNAPSE_COLUMNS.items():
            arrays[name] = np.where(used, store.synapse[:n, :, getattr(tables, column)], np.int32(0))
        arrays |= {name: getattr(store, name)[: self._count(count)].copy() for name, count in LISTS.items()}
        arrays["step"] = store.counts[:1].copy()
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        from ...kernels.memory.temporal import store as tables
        from ...kernels.memory.temporal.cpu import relink

        cells = self.columns * self.cells_per_column
        check_present(arrays, ["step", *LISTS, *SEGMENT_COLUMNS, *SYNAPSE_COLUMNS])
        n = np.size(arrays["cell"])
        self._check(arrays, n, cells)
        # Room for the outgoing lists of all cells, each with a first and a partly filled chunk.
        chunks = int(arrays["filled"].sum()) // tables.CHUNK + 2 * cells + CHUNKS
        store = tables.empty(self.columns, self._rules, max(n, len(self._store.segment)), chunks)
        for name, column in SEGMENT_COLUMNS.items():
            store.segment[:n, getattr(tables, column)] = arrays[name]
        for name, column in SYNAPSE_COLUMNS.items():
            store.synapse[:n, :, getattr(tables, column)] = arrays[name]
        for name, count in LISTS.items():
            store.counts[getattr(tables, count)] = len(arrays[name])
            getattr(store, name)[: len(arrays[name])] = arrays[name]
        store.counts[tables.STEP] = arrays["step"][0]
        store.counts[tables.SEGMENTS] = n
        # The outgoing lists are not saved: they follow from the synapses.
        relink(self._rules, store)
        self._store = store

    def _check(self, arrays: Mapping[str, NDArray[Any]], n: int, cells: int) -> None:
        """Raise for indices that lead outside their arrays: the kernels do not check them."""
        shapes = dict.fromkeys(SEGMENT_COLUMNS, (n,)) | dict.fromkeys(SYNAPSE_COLUMNS, (n, self.max_synapses))
        for name, array in arrays.items():
            kind = np.int64 if name == "step" else np.int32
            shape = shapes.get(name, (array.size,))
            fits = array.dtype == kind and array.shape == shape
            require(fits, name, f"must be {shape} of {np.dtype(kind)}", (array.shape, array.dtype))
        require(len(arrays["step"]) == 1 and arrays["step"][0] >= 0, "step", "must be one number >= 0", arrays["step"])
        # Beyond the filled places of a segment there is nothing to check: `state` writes zeros there.
        used = np.arange(self.max_synapses) < arrays["filled"][:, None]
        free = np.sort(arrays["free"])
        require(
            np.array_equal(free, np.flatnonzero(arrays["cell"] < 0)), "free", "must list the free segments", len(free)
        )
        bounds = {"cell": (-1, cells), "filled": (0, self.max_synapses + 1), "source": (0, cells)}
        bounds |= {"permanence": (0, ONE + 1), "active": (0, cells), "winners": (0, cells)}
        for name, (low, high) in bounds.items():
            if arrays[name].ndim == 2:
                values = arrays[name][used]
            else:
                values = arrays[name]
            inside = values.size == 0 or bool(values.min() >= low and values.max() < high)
            require(inside, name, f"must be in {low}..{high - 1}", (values.min(initial=0), values.max(initial=0)))
        # A cell at its cap drops a segment before it grows another.
        owned = np.bincount(arrays["cell"][arrays["cell"] >= 0], minlength=1).max()
        require(owned <= self.max_segments, "cell", f"must not own more than {self.max_segments} segments", owned)
        for name in ("active", "winners"):
            require(bool((np.diff(arrays[name]) > 0).all()), name, "must rise", len(arrays[name]))

    def _cells(self, bits: NDArray[Any]) -> SDR:
        return SDR.unchecked(bits.copy(), self.columns * self.cells_per_column)

    def _count(self, name: str) -> int:
        from ...kernels.memory.temporal import store as tables

        return int(self._store.counts[getattr(tables, name)])

    def _layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        """Count existing synapses as weights; those that may still grow, up to the caps, count as dense weights."""
        units = self.columns * self.cells_per_column
        return LayerCounts(
            name=name,
            inputs=units,
            weights=self.synapses,
            nonzero_weights=self.synapses,
            weight_bits=32,
            weight_type="int",
            binary_input=True,
            state_bytes=units,
            parameter_bytes=self.synapses * SYNAPSE_BYTES + self.segments * SEGMENT_BYTES,
            dense_weights=units * self.max_segments * self.max_synapses,
            index_bits=32,
            **totals.counts(
                outputs=units,
                dense_operations=self.synapses,
                membranes=0,  # cells have no membrane: they are on or off
            ),
        )


@final
class _MemoryState(WindowState):
    """A temporal memory in a network."""

    def __init__(self, memory: TemporalMemory) -> None:
        self.memory = memory

    def begin(self) -> None:
        self.memory.reset()

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        # Read before the step, which replaces the predictions.
        predicted = len(self.memory.predicted_columns) / self.memory.columns
        anomaly = self.memory.step(SDR.unchecked(arrivals["columns"].units, self.memory.columns), learn=learn)
        store = self.memory._store
        cells = self.memory._count("ACTIVE")
        return Output(store.active[:cells].copy(), self.memory.visits, (anomaly, predicted))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return self.memory.state()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.memory.restore(arrays)

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        return self.memory._layer(name, totals)
