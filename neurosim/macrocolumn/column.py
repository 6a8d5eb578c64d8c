"""One macrocolumn: items and sequences stored in one trial, recalled and recognised in a time that stays the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, require
from ..sdr import SDR
from . import theory
from .records import Answer, Batch, CapacityWarning, Memory, Trace
from .run import Frames, checked, keys, run, sequence
from .selection import Permanence, Selection, rule

BLIND = 2


@dataclass(frozen=True)
class Macrocolumn:
    """A Sparsey-style macrocolumn: Q modules of K binary units, each module with one winner.

    Evidence for a unit is V = U^a H^b D^c over the terms there are: U from the input, H from the column's own code in
    the frame before (never from the unit's own module), D from the codes above. Each is the fraction of active
    afferents whose weight is on. See `Selection` for how V becomes a code; storing turns on all weights from active
    afferents to the winners.

    Attributes:
        inputs: size of the SDRs it sees.
        modules: Q.
        units: K, of a module.
        above: units of the codes above that give it top-down signals.
        lateral: whether it has H.
        bounds: fewest and most active inputs with which it runs; None: 1 and `inputs`.
        persistence: frames a code stays.
        selection, permanence: rules of choice; of fading, None for never.
        frozen_above: a unit stops learning from a source when more than this fraction of its weights from there is on.
        seed: of all random draws; what a draw is depends on the seed and the number of frames learned, ties of
            recall on the seed and what is recalled.

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

    def __post_init__(self) -> None:
        for name in ("inputs", "modules", "units", "persistence"):
            require(getattr(self, name) >= 1, f"Macrocolumn.{name}", "must be >= 1", getattr(self, name))
        require(self.above >= 0, "Macrocolumn.above", "must be >= 0 units", self.above)
        low, high = self.limits
        good = 1 <= low <= high
        require(good, "Macrocolumn.bounds", "must be fewest and most active inputs, 1 <= fewest <= most", self.bounds)
        require(
            0 < self.frozen_above <= 1, "Macrocolumn.frozen_above", "must be in 0..1, 0 excluded", self.frozen_above
        )
        require(0 <= self.seed < 2**63, "Macrocolumn.seed", "must be 0 to 2^63 - 1", self.seed)

    @property
    def limits(self) -> tuple[int, int]:
        """Fewest and most active inputs with which it runs."""
        return (1, self.inputs) if self.bounds is None else self.bounds

    @property
    def size(self) -> int:
        """Units in all."""
        return self.modules * self.units

    @property
    def weights(self) -> dict[str, int]:
        """How many weights each term has."""
        lateral = self.size * (self.size - self.units) if self.lateral else 0
        return {"U": self.inputs * self.size, "H": lateral, "D": self.above * self.size}

    def memory(self) -> Memory:
        """A memory with nothing stored."""
        return Memory.empty(1, self._afferents, self.size, self.permanence is not None)

    # --- One frame

    def store(self, memory: Memory, item: SDR, trace: Trace | None = None, above: SDR | None = None) -> Answer:
        """Draw a code for one frame and learn it in one trial; `trace` is that of the frame before, None at first.

        Raises:
            NeurosimInputError: an SDR of another size, a memory of another column.
        """
        answer = self._one(memory, item, trace, above, learn=True)
        if trace is None:
            self._count(memory, 1, len(item))
        return answer

    def recall(self, memory: Memory, item: SDR, trace: Trace | None = None, above: SDR | None = None) -> Answer:
        """The code of one frame by all terms there are: the largest evidence wins. The memory stays as it is.

        Raises:
            NeurosimInputError: an SDR of another size, a memory of another column.
        """
        return self._one(memory, item, trace, above)

    def recognise(self, memory: Memory, item: SDR, trace: Trace | None = None, above: SDR | None = None) -> Answer:
        """As `recall`, but terms that do not fit are left out: all, else the best pair, else the best single one.

        `Answer.terms` is the order used. Where no order reaches its threshold all terms are used and `known` is
        false. By U alone a new order of known inputs looks familiar: `terms` tells.
        """
        return self._one(memory, item, trace, above, back_off=True)

    # --- Many

    def store_many(self, memory: Memory, items: Sequence[SDR]) -> Batch:
        """Store items one after the other, each by itself (no H); the same as `store` of each."""
        batch = self._many(memory, sequence(items, self.inputs, apart=True), learn=True)
        self._count(memory, len(items), max((len(item) for item in items), default=0))
        return batch

    def recall_many(self, memory: Memory, items: Sequence[SDR], back_off: bool = False) -> Batch:
        """Recall items, each by itself."""
        return self._many(memory, sequence(items, self.inputs, apart=True), back_off=back_off)

    def store_sequence(self, memory: Memory, items: Sequence[SDR]) -> Batch:
        """Store the frames of one sequence: each is learned with H from the one before."""
        batch = self._many(memory, sequence(items, self.inputs, apart=False), learn=True)
        memory.stored += 1
        return batch

    def recall_sequence(self, memory: Memory, items: Sequence[SDR], back_off: bool = False) -> Batch:
        """Recall the frames of one sequence, each with H from the one before."""
        return self._many(memory, sequence(items, self.inputs, apart=False), back_off=back_off)

    def generate(self, memory: Memory, first: SDR, frames: int) -> Batch:
        """Recall a sequence of `frames` frames from its first: the others come by H alone.

        `complete` says what inputs each code stands for.
        """
        require(frames >= 1, "Macrocolumn.generate.frames", "must be >= 1", frames)
        require(self.lateral and self.modules > 1, "Macrocolumn.lateral", "must be true to generate", self.lateral)
        shown = sequence([first], self.inputs, apart=False)
        dense = np.zeros((frames, self.inputs), np.uint8)
        dense[0] = shown.dense[0]
        flags = np.full(frames, BLIND, np.uint8)
        flags[0] = shown.flags[0]
        return self._many(memory, Frames(dense, flags))

    def complete(self, memory: Memory, code: NDArray[np.int32], active: int | None = None) -> SDR:
        """Top-down: the inputs that a code stands for.

        An input gets a vote from every winner that it drives. `active` None takes those that all winners vote for,
        a number that many with the most votes (ties: the lower input).

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

    def votes(self, memory: Memory, code: NDArray[np.int32]) -> NDArray[np.int64]:
        """[inputs] winners of a code that each input drives."""
        from ..kernels.memory.overlap.reference import unpack

        code = np.asarray(code)
        good = code.shape == (self.modules,) and code.dtype.kind in "iu"
        require(good, "complete.code", f"must be {self.modules} winners", code.shape)
        require(code.min() >= 0, "complete.code", "must be winners >= 0 (-1: the column did not run)", code.min())
        require(code.max() < self.units, "complete.code", f"must be winners < {self.units}", code.max())
        winners = np.arange(self.modules) * self.units + code
        return np.asarray(unpack(memory.u[0][:, winners].T, self.inputs).sum(axis=0, dtype=np.int64))

    # --- What to expect

    def expected_recall(self, items: int, active: int) -> float:
        """Expected fraction of winners recalled when `items` with `active` active inputs are stored; see `theory`."""
        return theory.expected_recall(items, active, self.inputs, self.units)

    def capacity(self, active: int, recall: float = 0.9) -> int:
        """The most items with `active` active inputs of which that fraction of winners is recalled."""
        return theory.capacity(active, self.inputs, self.units, recall)

    # --- Inside

    @property
    def _afferents(self) -> tuple[int, int, int]:
        return self.inputs, self.size if self.lateral and self.modules > 1 else 0, self.above

    def _belongs(self, memory: Memory) -> None:
        shape, got = (1, self._afferents, self.size), (len(memory.u), memory.afferents, memory.u.shape[2])
        require(got == shape, "memory", f"must be of this column: (columns, afferents, units) {shape}", got)

    def _one(
        self,
        memory: Memory,
        item: SDR,
        trace: Trace | None,
        above: SDR | None,
        learn: bool = False,
        back_off: bool = False,
    ) -> Answer:
        frames = sequence([item], self.inputs, apart=False, fresh=trace is None)
        signals = None
        if above is not None:
            require(self.above > 0, "Macrocolumn.above", "must be > 0 to take signals from above", self.above)
            signals = checked(above, self.above).packed()[None, None], np.ones((1, 1))
        return self._many(memory, frames, trace, signals, learn, back_off)[0]

    def _many(
        self,
        memory: Memory,
        frames: Frames,
        trace: Trace | None = None,
        above: tuple[NDArray[np.uint64], NDArray[np.float64]] | None = None,
        learn: bool = False,
        back_off: bool = False,
    ) -> Batch:
        self._belongs(memory)
        if trace is not None and trace.code.shape != (1, self.modules):
            raise NeurosimInputError(f"trace: must be of a column of {self.modules} modules (got {trace.code.shape})")
        numbers = rule(self.selection, self.limits, self.persistence, self.frozen_above, self.permanence, self.above)
        everything = np.arange(self.inputs, dtype=np.int32)[None]
        names = keys(self.seed, 1)
        return run(memory, everything, frames, self.modules, numbers, names, trace, above, learn, back_off).column(0)

    def _count(self, memory: Memory, items: int, active: int) -> None:
        """Count stored items, and say once when there are more than are recalled well."""
        memory.stored += items
        low, high = self.limits
        # Fading weights make room again, and frozen units keep theirs: theory knows neither.
        if memory.warned or self.permanence or self.frozen_above < 1 or not low <= active <= high or active == 0:
            return
        if memory.stored > (fits := self.capacity(active)):
            memory.warned = True
            expected = self.expected_recall(memory.stored, active)
            warnings.warn(
                f"{memory.stored} items of {active} of {self.inputs} inputs are stored, and {fits} fit: expect "
                f"{expected:.1%} of the winners recalled; give Macrocolumn more units or modules",
                CapacityWarning,
                stacklevel=3,
            )
