"""Levels of macrocolumns: each column sees a part of the level below and takes signals from the columns above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...kernels.memory.macrocolumn.views import START
from ...network.windowed import WindowModel, WindowState
from ..sdr.code import SDR
from .level import Level, LevelPlan, joined
from .run import Frames, draw_keys, sequence
from .selection import kernel_parameters
from .state import ColumnMemory, ColumnTrace, LevelBatch
from .windowed import INPUT, READINGS, ColumnsState, Signals
from .work import count_columns


@dataclass(eq=False)
class HierarchyMemory:
    """The weights of every level, changed by storing."""

    levels: tuple[ColumnMemory, ...]

    @property
    def stored(self) -> int:
        """Number of items or sequences stored."""
        return self.levels[0].stored


@dataclass(frozen=True, eq=False)
class Hierarchy(WindowModel):
    """Several levels of columns.

    In each frame the levels run from the lowest up; a level sees the codes below of the same frame, its own of the
    frame before (H), and, where `top_down`, those above of the frame before (D). Persistence usually grows with the
    level, so that a code above is bound to several below.

    Attributes:
        inputs: size of the input SDRs of the lowest level.
        levels: the levels, from the lowest up.
        top_down: whether levels take signals from above.
        seed: key of all random draws.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    inputs: int
    levels: tuple[Level, ...]
    top_down: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require(len(self.levels) >= 1, "Hierarchy.levels", "must be at least one", len(self.levels))
        require(1 <= self.inputs < 2**31, "Hierarchy.inputs", "must be 1 to 2^31 - 1", self.inputs)
        below = self.inputs
        for i, level in enumerate(self.levels):
            low = int(level.fields.min())
            high = int(level.fields.max())
            name = f"Hierarchy.levels[{i}].fields"
            require(low >= 0, name, "must be >= 0", low)
            require(high < below, name, f"must be < {below}, the number of units below", high)
            # Fields of the next level are columns of this one.
            below = level.columns

    def memory(self) -> HierarchyMemory:
        """Return an empty memory."""
        return HierarchyMemory(
            tuple(
                ColumnMemory.empty(level.columns, self._afferents(i), level.size, level.permanence is not None)
                for i, level in enumerate(self.levels)
            )
        )

    @property
    def receptors(self) -> Mapping[str, int]:
        return {INPUT: self.inputs}

    @property
    def outputs(self) -> int:
        return sum(level.columns * level.size for level in self.levels)

    @property
    def readings(self) -> tuple[str, ...]:
        return READINGS

    def start(self) -> WindowState:
        return self.state_of(self.memory())

    def state_of(self, memory: HierarchyMemory) -> ColumnsState:
        """Return the state of a population on a memory, which it changes: `Windowed(..., learned=state.arrays())`.

        Raises:
            NeurosimInputError: a memory of another hierarchy.
        """
        self._belongs(memory)

        def advance(
            items: Sequence[SDR], signals: Signals, traces: Sequence[ColumnTrace] | None, learn: bool
        ) -> Sequence[LevelBatch]:
            if learn:
                return self.store(memory, items, traces)
            return self.recall(memory, items, traces)

        return ColumnsState(memory.levels, [level.modules for level in self.levels], self.receptors, advance)

    def store(
        self, memory: HierarchyMemory, frames: SDR | Sequence[SDR], traces: Sequence[ColumnTrace] | None = None
    ) -> tuple[LevelBatch, ...]:
        """Store the frames of one sequence in one trial; return a batch for each level, from the lowest up.

        Args:
            traces: traces of the levels, to continue a sequence: `[batch.trace for batch in ...]`.

        Raises:
            NeurosimInputError: an SDR of another size, a memory of another hierarchy.
        """
        batches = self._run(memory, self._frames(frames, fresh=traces is None), traces, learn=True)
        for level in memory.levels:
            level.stored += traces is None
        return batches

    def recall(
        self,
        memory: HierarchyMemory,
        frames: SDR | Sequence[SDR],
        traces: Sequence[ColumnTrace] | None = None,
        *,
        back_off: bool = False,
    ) -> tuple[LevelBatch, ...]:
        """Return the codes of the frames of one sequence, a batch for each level; the memory does not change.

        `back_off` leaves out terms that do not fit, as `Macrocolumn.recognise`.
        """
        return self._run(memory, self._frames(frames, fresh=traces is None), traces, back_off=back_off)

    def store_many(self, memory: HierarchyMemory, items: NDArray[Any], threads: int = 1) -> tuple[LevelBatch, ...]:
        """Store many sequences of the same length, one after the other.

        Args:
            items: [items, frames, inputs], zero where an input is off.
            threads: share the columns; results do not depend on their number.

        Returns:
            A batch for each level, with the frames of all items end to end.
        """
        batches = self._run(memory, self._sequences(items), None, learn=True, threads=threads)
        for level in memory.levels:
            level.stored += len(items)
        return batches

    def recall_many(
        self, memory: HierarchyMemory, items: NDArray[Any], threads: int = 1, *, back_off: bool = False
    ) -> tuple[LevelBatch, ...]:
        """Return the codes of many sequences [items, frames, inputs], as `store_many`; the memory does not change."""
        return self._run(memory, self._sequences(items), None, back_off=back_off, threads=threads)

    def complete(self, memory: HierarchyMemory, level: int, codes: NDArray[np.int32]) -> SDR:
        """Return the inputs of the codes [columns, Q] of a level, top-down.

        At each level down, a module's winner is the unit from which most winners above have learned, and it has no
        winner if none has. An input is on if all winners of some column have learned from it. Columns that did not run
        (-1) do not count.

        Raises:
            NeurosimInputError: no such level, codes of another shape, or a memory of another hierarchy.
        """
        require(0 <= level < len(self.levels), "complete.level", f"must be in 0..{len(self.levels) - 1}", level)
        self._belongs(memory)
        codes = np.asarray(codes)
        shape = (self.levels[level].columns, self.levels[level].modules)
        require(codes.shape == shape, "complete.codes", f"must be winners {shape}", codes.shape)
        # Level by level down to the first: votes of winners above choose the winners below.
        for i in range(level, 0, -1):
            below = self.levels[i - 1]
            votes = self._votes(memory, i, codes, below.columns * below.size)
            votes = votes.reshape(below.columns, below.modules, below.units)
            codes = np.where(votes.max(axis=2) > 0, votes.argmax(axis=2), -1)
        return SDR(np.flatnonzero(self._votes(memory, 0, codes, self.inputs, everyone=True)), self.inputs)

    def work(self, memory: HierarchyMemory, batches: Sequence[LevelBatch]) -> list[LayerCounts]:
        """Return the work by level of the batches that storing or recalling returned, with the weights of `memory`.

        See `count_columns`.

        Raises:
            NeurosimInputError: a memory of another hierarchy, or another number of batches than levels.
        """
        self._belongs(memory)
        own = len(self.levels)
        require(len(batches) == own, "work.batches", f"must be {own}, one a level", len(batches))
        units = [level.columns * level.size for level in self.levels]
        return [
            count_columns(f"level {i + 1}", self._seen(i, units), memory.levels[i], batch)
            for i, batch in enumerate(batches)
        ]

    def _seen(self, i: int, units: Sequence[int]) -> int:
        """Return the number of units that a level sees: below, its own, and above."""
        _, lateral, above = self._afferents(i)
        seen = units[i - 1] if i else self.inputs
        if lateral:
            seen += units[i]
        if above:
            seen += units[i + 1]
        return seen

    def _votes(
        self, memory: HierarchyMemory, i: int, codes: NDArray[Any], size: int, *, everyone: bool = False
    ) -> NDArray[np.int64]:
        """Return [size] number of winners that learned from each unit below.

        Args:
            everyone: count columns all of whose winners did, in place of winners.
        """
        from ...kernels.memory.packed.reference import unpack

        level = self.levels[i]
        fields = self._fields(i)
        votes = np.zeros(size, np.int64)
        for m in range(level.columns):
            modules = np.flatnonzero(codes[m] >= 0)
            if modules.size == 0:
                continue
            winners = modules * level.units + codes[m][modules]
            # [winners, inputs of the field]
            learned = unpack(memory.levels[i].u[m][:, winners].T, fields.shape[1])
            if everyone:
                column_votes = learned.all(axis=0)
            else:
                column_votes = learned.sum(axis=0)
            np.add.at(votes, fields[m], column_votes)
        return votes

    def _frames(self, frames: SDR | Sequence[SDR], *, fresh: bool) -> Frames:
        if isinstance(frames, SDR):
            frames = [frames]
        return sequence(frames, self.inputs, apart=False, fresh=fresh)

    def _sequences(self, items: NDArray[Any]) -> Frames:
        items = np.asarray(items)
        good = items.ndim == 3 and items.shape[2] == self.inputs
        require(good, "Hierarchy", f"needs items [items, frames, {self.inputs}]", items.shape)
        # A frame that begins a sequence takes no H.
        flags = np.zeros(items.shape[:2], np.uint8)
        flags[:, :1] = START
        return Frames(np.ascontiguousarray(items != 0, np.uint8).reshape(-1, self.inputs), flags.ravel())

    def _afferents(self, i: int) -> tuple[int, int, int]:
        level = self.levels[i]
        if level.lateral and level.modules > 1:
            lateral = level.size
        else:
            lateral = 0
        if self._has_above(i):
            above = self._parents(i).shape[1] * self.levels[i + 1].size
        else:
            above = 0
        return self._fields(i).shape[1], lateral, above

    def _has_above(self, i: int) -> bool:
        return self.top_down and i + 1 < len(self.levels)

    def _fields(self, i: int) -> NDArray[np.int32]:
        """Return [columns, inputs] receptive fields in units of the level below."""
        level = self.levels[i]
        if i == 0:
            return level.fields
        size = self.levels[i - 1].size
        places = level.fields[:, :, None] * size + np.arange(size, dtype=np.int32)
        return np.ascontiguousarray(places.reshape(level.columns, -1), np.int32)

    def _parents(self, i: int) -> NDArray[np.int64]:
        """Return [columns, max parents] columns above that see each column, padded with -1."""
        above = self.levels[i + 1]
        columns = self.levels[i].columns
        parents: list[list[int]] = [[] for _ in range(columns)]
        for parent, field in enumerate(above.fields):
            for column in field:
                parents[column].append(parent)
        max_parents = max(1, *(len(own) for own in parents))
        return np.array([own + [-1] * (max_parents - len(own)) for own in parents], np.int64)

    def _rule(self, i: int) -> NDArray[np.float64]:
        level = self.levels[i]
        # Bounds count columns below, the kernel their winners, one for each module.
        winners = 1 if i == 0 else self.levels[i - 1].modules
        low, high = level.limits
        bounds = low * winners, high * winners
        above = self._afferents(i)[2]
        return kernel_parameters(
            level.selection, bounds, level.persistence, level.frozen_above, level.permanence, above
        )

    @cached_property
    def _plans(self) -> tuple[LevelPlan, ...]:
        return tuple(self._plan(i) for i in range(len(self.levels)))

    def _plan(self, i: int) -> LevelPlan:
        level = self.levels[i]
        # Columns are numbered through all levels: each has a key of its own.
        first = sum(lower.columns for lower in self.levels[:i])
        parents = None
        upper = None
        if self._has_above(i):
            parents = self._parents(i)
            upper = self.levels[i + 1]
        return LevelPlan(
            level=level,
            fields=self._fields(i),
            numbers=self._rule(i),
            keys=draw_keys(self.seed, level.columns, first),
            parents=parents,
            upper=upper,
        )

    @cached_property
    def _forms(self) -> list[tuple[int, tuple[int, int, int], int]]:
        """Columns, afferents and units of the memory of each level."""
        return [(level.columns, self._afferents(i), level.size) for i, level in enumerate(self.levels)]

    def _belongs(self, memory: HierarchyMemory) -> None:
        shapes = self._forms
        got = [(len(m.u), m.afferents, m.u.shape[2]) for m in memory.levels]
        require(got == shapes, "memory", f"must be of this hierarchy: (columns, afferents, units) {shapes}", got)

    def _run(
        self,
        memory: HierarchyMemory,
        frames: Frames,
        traces: Sequence[ColumnTrace] | None,
        *,
        learn: bool = False,
        back_off: bool = False,
        threads: int = 1,
    ) -> tuple[LevelBatch, ...]:
        """Run the levels over frames, frame by frame where signals come from above; return the batch of each level."""
        self._belongs(memory)
        if traces is None:
            traces = [ColumnTrace.fresh(level.columns, level.modules) for level in self.levels]
        # Without signals from above, a level can run all frames before the next level starts.
        one_by_one = self.top_down and len(self.levels) > 1
        if one_by_one:
            cuts = [slice(f, f + 1) for f in range(len(frames.dense))]
        else:
            cuts = [slice(None)]
        batches: list[list[LevelBatch]] = [[] for _ in self.levels]
        state = list(traces)
        for cut in cuts:
            part = Frames(frames.dense[cut], frames.flags[cut])
            # D comes from the frame before: the traces as they are before any level runs.
            before = list(state)
            for i, plan in enumerate(self._plans):
                fresh = bool(part.flags[0] & START) if len(part.flags) else True
                # The first frame of a sequence takes no signals from above.
                if self._has_above(i) and not fresh:
                    above = plan.above(before[i + 1])
                else:
                    above = None
                batch = plan.run(
                    memory.levels[i], part, state[i], above, learn=learn, back_off=back_off, threads=threads
                )
                batches[i].append(batch)
                state[i] = batch.trace
                if i + 1 < len(self.levels):
                    # The codes are the input of the next level, in the same frames.
                    part = Frames(plan.dense(batch.codes), part.flags)
        return tuple(joined(own, state[i]) for i, own in enumerate(batches))
