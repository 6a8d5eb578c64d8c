"""One macrocolumn: stores items and sequences in one trial and recalls them in a time independent of their number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...base.errors import CapacityWarning, NeurosimInputError, require
from ...base.measure.work import LayerCounts
from ...kernels.memory.macrocolumn.views import BLIND
from ...network.neurons.base import LATER
from ...network.windowed import WindowModel, WindowState
from ..sdr.code import SDR
from . import theory
from .run import Frames, checked, draw_keys, run_columns, sequence
from .selection import Permanence, Selection, kernel_parameters
from .state import ColumnBatch, ColumnMemory, ColumnOutput, ColumnTrace
from .windowed import ABOVE, INPUT, NEIGHBOURS, READINGS, ColumnsState, Signals
from .work import count_columns

NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True)
class Macrocolumn(WindowModel):
    """A Sparsey-style macrocolumn: Q modules of K binary units, each module with one winner.

    Evidence for a unit is V = U^a H^b D^c over the terms that exist: U from the input, H from the column's own code in
    the frame before (never from the unit's own module) and from its neighbours, D from the codes above. Each is the
    fraction of active afferents whose weight is on. See `Selection` for how V becomes a code; storing turns on all
    weights from active afferents to the winners.

    In a network links bring the three: receptors "input", "neighbours" and "above" take the spikes of any population
    in the window. Delayed links let columns see codes of the window before: each other's, or of a column that they
    feed.

    Attributes:
        inputs: size of its input SDRs.
        modules: Q.
        units: K, of a module.
        above: number of units of the codes above, the source of D; 0 for no D.
        lateral: whether its own code is a source of H.
        bounds: minimum and maximum number of active inputs with which the column runs; None: 1 and `inputs`.
        persistence: number of frames that a code stays.
        selection: rule of code selection.
        permanence: rule of fading; None for weights that do not fade.
        frozen_above: a unit stops learning from a source when more than this fraction of its weights from there is on.
        seed: key of all random draws. Draws of learning depend on the seed and the number of frames learned, ties of
            recall on the seed and the input.
        neighbours: number of units of other columns that are sources of H, too; 0 for none. Their signals are not
            multiplied by zeta^boost.

    Sources: Rinkus 2010, 2014; Rinkus and Leveille 2017 (arXiv 1710.07829).

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    inputs: int
    modules: int
    units: int
    above: int = 0
    lateral: bool = True
    bounds: tuple[int, int] | None = None
    persistence: int = 1
    selection: Selection = field(default_factory=Selection)
    permanence: Permanence | None = None
    frozen_above: float = 1.0
    seed: int = 0
    neighbours: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("inputs", "modules", "units", "persistence"):
            require(getattr(self, name) >= 1, f"Macrocolumn.{name}", "must be >= 1", getattr(self, name))
        for name in ("above", "neighbours"):
            require(getattr(self, name) >= 0, f"Macrocolumn.{name}", "must be >= 0 units", getattr(self, name))
        low, high = self.limits
        good = 1 <= low <= high
        require(good, "Macrocolumn.bounds", "must be (min, max) active inputs, 1 <= min <= max", self.bounds)
        require(
            0 < self.frozen_above <= 1, "Macrocolumn.frozen_above", "must be in 0..1, 0 excluded", self.frozen_above
        )
        require(0 <= self.seed < 2**63, "Macrocolumn.seed", "must be 0 to 2^63 - 1", self.seed)

    @property
    def limits(self) -> tuple[int, int]:
        """Minimum and maximum number of active inputs with which it runs."""
        if self.bounds is None:
            return (1, self.inputs)
        return self.bounds

    @property
    def size(self) -> int:
        """Number of units of all modules."""
        return self.modules * self.units

    @property
    def weights(self) -> dict[str, int]:
        """Number of weights of each term."""
        # No unit sees its own module.
        if self.lateral:
            lateral = self.size * (self.size - self.units)
        else:
            lateral = 0
        lateral += self.neighbours * self.size
        return {"U": self.inputs * self.size, "H": lateral, "D": self.above * self.size}

    def memory(self) -> ColumnMemory:
        """Return an empty memory."""
        return ColumnMemory.empty(1, self._afferents, self.size, self.permanence is not None)

    @property
    def receptors(self) -> Mapping[str, int]:
        sizes = {INPUT: self.inputs, ABOVE: self.above, NEIGHBOURS: self.neighbours}
        return {name: size for name, size in sizes.items() if size}

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def readings(self) -> tuple[str, ...]:
        return READINGS

    def start(self) -> WindowState:
        memory = self.memory()

        def advance(
            items: Sequence[SDR],
            signals: Signals,
            traces: Sequence[ColumnTrace] | None,
            learn: bool,
        ) -> Sequence[ColumnBatch]:
            trace = None if traces is None else traces[0]
            # Without a trace a recording begins: one more stored sequence.
            if learn and trace is None:
                self._count(memory, 1, len(items[0]))
            above = signals.get(ABOVE, [None] * len(items))
            neighbours = signals.get(NEIGHBOURS, [None] * len(items))
            return [self._frames(memory, items, trace, above, neighbours, learn=learn)]

        return ColumnsState([memory], [self.modules], self.receptors, advance)

    def store(
        self,
        memory: ColumnMemory,
        item: SDR,
        trace: ColumnTrace | None = None,
        above: SDR | None = None,
        neighbours: SDR | None = None,
    ) -> ColumnOutput:
        """Draw a code for one frame and learn it in one trial; `trace` comes from the frame before, None for the first.

        Raises:
            NeurosimInputError: an SDR of another size, a memory of another column.
        """
        answer = self._one(memory, item, trace, above, neighbours, learn=True)
        if trace is None:
            self._count(memory, 1, len(item))
        return answer

    def recall(
        self,
        memory: ColumnMemory,
        item: SDR,
        trace: ColumnTrace | None = None,
        above: SDR | None = None,
        neighbours: SDR | None = None,
    ) -> ColumnOutput:
        """Return the code of one frame by all terms: the largest evidence wins. The memory does not change.

        Raises:
            NeurosimInputError: an SDR of another size, a memory of another column.
        """
        return self._one(memory, item, trace, above, neighbours)

    def recognise(
        self,
        memory: ColumnMemory,
        item: SDR,
        trace: ColumnTrace | None = None,
        above: SDR | None = None,
        neighbours: SDR | None = None,
    ) -> ColumnOutput:
        """Return the code of one frame, leaving out terms that do not fit: all, the best pair, or the best single one.

        `ColumnOutput.terms` names the terms used. If none of these reaches its threshold, all are used and `known` is
        False. By U alone, known inputs in a new order look familiar: `terms` shows it.
        """
        return self._one(memory, item, trace, above, neighbours, back_off=True)

    def store_many(self, memory: ColumnMemory, items: Sequence[SDR]) -> ColumnBatch:
        """Store items one after the other, each without H; equal to `store` of each."""
        batch = self._many(memory, sequence(items, self.inputs, apart=True), learn=True)
        self._count(memory, len(items), max((len(item) for item in items), default=0))
        return batch

    def recall_many(self, memory: ColumnMemory, items: Sequence[SDR], *, back_off: bool = False) -> ColumnBatch:
        """Recall items, each without H."""
        return self._many(memory, sequence(items, self.inputs, apart=True), back_off=back_off)

    def store_sequence(self, memory: ColumnMemory, items: Sequence[SDR]) -> ColumnBatch:
        """Store the frames of one sequence, each with H from the frame before."""
        batch = self._many(memory, sequence(items, self.inputs, apart=False), learn=True)
        memory.stored += 1
        return batch

    def recall_sequence(self, memory: ColumnMemory, items: Sequence[SDR], *, back_off: bool = False) -> ColumnBatch:
        """Recall the frames of one sequence, each with H from the frame before."""
        return self._many(memory, sequence(items, self.inputs, apart=False), back_off=back_off)

    def generate(self, memory: ColumnMemory, first: SDR, frames: int) -> ColumnBatch:
        """Recall a sequence of `frames` frames from its first; the others are recalled by H alone.

        `complete` returns the inputs of each code.

        Raises:
            NeurosimInputError: no frames, or a column without H.
        """
        require(frames >= 1, "Macrocolumn.generate.frames", "must be >= 1", frames)
        require(self.lateral and self.modules > 1, "Macrocolumn.lateral", "must be true to generate", self.lateral)
        start = sequence([first], self.inputs, apart=False)
        dense = np.zeros((frames, self.inputs), np.uint8)
        dense[0] = start.dense[0]
        # Without input the evidence is H alone.
        flags = np.full(frames, BLIND, np.uint8)
        flags[0] = start.flags[0]
        return self._many(memory, Frames(dense, flags))

    def complete(self, memory: ColumnMemory, code: NDArray[np.int32], active: int | None = None) -> SDR:
        """Return the inputs of a code [modules], top-down.

        An input gets a vote from every winner that it drives. With `active` None, inputs with the votes of all winners
        are on; else the `active` inputs with the most votes (ties: the lower input).

        Raises:
            NeurosimInputError: a code of another size.
        """
        self._belongs(memory)
        votes = self.votes(memory, code)
        if active is None:
            return SDR(np.flatnonzero(votes == self.modules), self.inputs)
        require(0 <= active <= self.inputs, "complete.active", f"must be in 0..{self.inputs}", active)
        order = np.argsort(-votes, kind="stable")[:active]
        return SDR(order[votes[order] > 0], self.inputs)

    def votes(self, memory: ColumnMemory, code: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return [inputs] number of winners of a code that each input drives.

        Raises:
            NeurosimInputError: a code of another size, or of a column that did not run.
        """
        from ...kernels.memory.packed.reference import unpack

        code = np.asarray(code)
        good = code.shape == (self.modules,) and code.dtype.kind in "iu"
        require(good, "complete.code", f"must be {self.modules} winners", code.shape)
        require(code.min() >= 0, "complete.code", "must be winners >= 0 (-1: the column did not run)", code.min())
        require(code.max() < self.units, "complete.code", f"must be winners < {self.units}", code.max())
        winners = np.arange(self.modules) * self.units + code
        return np.asarray(unpack(memory.u[0][:, winners].T, self.inputs).sum(axis=0, dtype=np.int64))

    def work(self, memory: ColumnMemory, batch: ColumnBatch) -> list[LayerCounts]:
        """Return the work of a batch that storing or recalling returned, as `count_columns` counts it."""
        self._belongs(memory)
        return [count_columns("column", sum(self._afferents), memory, batch)]

    def expected_recall(self, items: int, active: int) -> float:
        """Return the expected fraction of winners recalled of `items` with `active` active inputs; see `theory`."""
        return theory.expected_recall(items, active, self.inputs, self.units, self.selection, self.modules)

    def capacity(self, active: int, recall: float = 0.9) -> int:
        """Return the maximum number of items with `active` active inputs at that expected recall."""
        return theory.capacity(active, self.inputs, self.units, recall, self.selection, self.modules)

    @property
    def _afferents(self) -> tuple[int, int, int]:
        return self.inputs, self._own + self.neighbours, self.above

    @property
    def _own(self) -> int:
        """Number of own units that are sources of H."""
        # A single module has no other modules to take H from.
        if self.lateral and self.modules > 1:
            return self.size
        return 0

    def _belongs(self, memory: ColumnMemory) -> None:
        shape = (1, self._afferents, self.size)
        got = (len(memory.u), memory.afferents, memory.u.shape[2])
        require(got == shape, "memory", f"must be of this column: (columns, afferents, units) {shape}", got)

    def _one(
        self,
        memory: ColumnMemory,
        item: SDR,
        trace: ColumnTrace | None,
        above: SDR | None,
        neighbours: SDR | None,
        *,
        learn: bool = False,
        back_off: bool = False,
    ) -> ColumnOutput:
        return self._frames(
            memory, [item], trace=trace, above=[above], neighbours=[neighbours], learn=learn, back_off=back_off
        )[0]

    def _frames(
        self,
        memory: ColumnMemory,
        items: Sequence[SDR],
        trace: ColumnTrace | None,
        above: Sequence[SDR | None],
        neighbours: Sequence[SDR | None],
        *,
        learn: bool = False,
        back_off: bool = False,
    ) -> ColumnBatch:
        """Run the frames of one sequence; `above` and `neighbours` have signals for each, or None."""
        frames = sequence(items, self.inputs, apart=False, fresh=trace is None)
        signals = None
        if any(each is not None for each in above):
            packed = self._packed("above", above, 0)
            signals = packed, np.ones((len(items), 1))
        beside = None
        if any(each is not None for each in neighbours):
            # Neighbours are the afferents of H after the column's own units.
            beside = self._packed("neighbours", neighbours, self._own)
        return self._many(memory, frames, trace, signals, beside, learn=learn, back_off=back_off)

    def _packed(self, name: str, signals: Sequence[SDR | None], first: int) -> NDArray[np.uint64]:
        """Return [frames, 1, words] packed signals from units above or neighbours, whose first is afferent `first`."""
        size: int = getattr(self, name)
        require(size > 0, f"Macrocolumn.{name}", f"must be > 0 to take signals from {name}", size)
        places = [NOTHING if each is None else checked(each, size).indices + first for each in signals]
        return np.stack([SDR.unchecked(each, first + size).packed() for each in places])[:, None]

    def _many(
        self,
        memory: ColumnMemory,
        frames: Frames,
        trace: ColumnTrace | None = None,
        above: tuple[NDArray[np.uint64], NDArray[np.float64]] | None = None,
        beside: NDArray[np.uint64] | None = None,
        *,
        learn: bool = False,
        back_off: bool = False,
    ) -> ColumnBatch:
        self._belongs(memory)
        if trace is not None and trace.code.shape != (1, self.modules):
            raise NeurosimInputError(f"trace: must be of a column of {self.modules} modules (got {trace.code.shape})")
        numbers = kernel_parameters(
            self.selection,
            self.limits,
            self.persistence,
            self.frozen_above,
            self.permanence,
            self.above,
            self.neighbours,
            lateral=self.lateral,
        )
        # One column, whose receptive field is all inputs.
        everything = np.arange(self.inputs, dtype=np.int32)[None]
        keys = draw_keys(self.seed, 1)
        batch = run_columns(
            memory,
            everything,
            frames,
            self.modules,
            numbers,
            keys,
            trace=trace,
            above=above,
            beside=beside,
            learn=learn,
            back_off=back_off,
        )
        return batch.column(0)

    def _count(self, memory: ColumnMemory, items: int, active: int) -> None:
        """Count stored items; warn once when there are more than the column recalls well.

        The theory takes .05 to 1 s for every number of active inputs: it is asked when the number of items has doubled.
        """
        before = memory.stored
        memory.stored += items
        if before.bit_length() == memory.stored.bit_length():
            return
        low, high = self.limits
        # The theory covers neither fading weights nor frozen units.
        has_theory = self.permanence is None and self.frozen_above == 1
        runs = low <= active <= high and active > 0
        if memory.warned or not has_theory or not runs:
            return
        capacity = self.capacity(active)
        if memory.stored <= capacity:
            return
        memory.warned = True
        expected = self.expected_recall(memory.stored, active)
        warnings.warn(
            f"{memory.stored} items of {active} of {self.inputs} inputs are stored, and {capacity} fit: expect "
            f"{expected:.1%} of the winners recalled; give Macrocolumn more units or modules",
            CapacityWarning,
            stacklevel=3,
        )
