"""One level of a hierarchy: its columns, and the arguments with which they run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from .run import Frames, run_columns
from .selection import Permanence, Selection
from .state import ColumnMemory, ColumnTrace, LevelBatch

Above = tuple[NDArray[np.uint64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Level:
    """Columns of one kind.

    Attributes:
        fields: [columns, n] receptive field of each column: input units at the lowest level, columns of the level
            below at the others; see `patches` and `scattered`.
        bounds: minimum and maximum number of active inputs (at the lowest level) or active columns below (at the
            others) with which a column runs; None: 1 and n.
        modules, units, persistence, lateral, selection, permanence, frozen_above: see `Macrocolumn`.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    fields: NDArray[np.int32]
    modules: int
    units: int
    persistence: int = 1
    lateral: bool = True
    bounds: tuple[int, int] | None = None
    selection: Selection = field(default_factory=Selection)
    permanence: Permanence | None = None
    frozen_above: float = 1.0

    def __post_init__(self) -> None:
        fields = np.asarray(self.fields)
        good = fields.ndim == 2 and fields.size > 0 and fields.dtype.kind in "iu"
        require(good, "Level.fields", "must be integers [columns, n]", fields.shape)
        rows = np.sort(fields, axis=1)
        require(bool((rows[:, 1:] > rows[:, :-1]).all()), "Level.fields", "must not repeat within a field", "a repeat")
        object.__setattr__(self, "fields", fields.astype(np.int32))
        for name in ("modules", "units", "persistence"):
            require(getattr(self, name) >= 1, f"Level.{name}", "must be >= 1", getattr(self, name))
        low, high = self.limits
        require(1 <= low <= high, "Level.bounds", "must be (min, max), 1 <= min <= max", self.bounds)
        require(0 < self.frozen_above <= 1, "Level.frozen_above", "must be in 0..1, 0 excluded", self.frozen_above)

    @property
    def limits(self) -> tuple[int, int]:
        """Minimum and maximum number of active inputs or columns with which a column runs."""
        if self.bounds is None:
            return (1, self.fields.shape[1])
        return self.bounds

    @property
    def columns(self) -> int:
        return len(self.fields)

    @property
    def size(self) -> int:
        """Number of units of one column."""
        return self.modules * self.units


@dataclass(frozen=True, eq=False)
class LevelPlan:
    """Arguments of the kernel for one level, the same in every call.

    Attributes:
        fields: [columns, inputs] receptive fields in units of the level below.
        numbers, keys: see `run_columns`.
        parents: [columns, max parents] columns above that see each column, padded with -1; None: no signals from above.
        upper: level of the parents; None: no signals from above.
    """

    level: Level
    fields: NDArray[np.int32]
    numbers: NDArray[np.float64]
    keys: NDArray[np.uint64]
    parents: NDArray[np.int64] | None
    upper: Level | None

    def run(
        self,
        memory: ColumnMemory,
        frames: Frames,
        trace: ColumnTrace,
        above: Above | None,
        *,
        learn: bool,
        back_off: bool,
        threads: int,
    ) -> LevelBatch:
        """Run frames through the columns of the level."""
        return run_columns(
            memory,
            self.fields,
            frames,
            self.level.modules,
            self.numbers,
            self.keys,
            trace=trace,
            above=above,
            learn=learn,
            back_off=back_off,
            threads=threads,
        )

    def dense(self, codes: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return [frames, columns * size] booleans of the winners of codes [frames, columns, Q]."""
        level = self.level
        out = np.zeros((*codes.shape, level.units), np.uint8)
        # A module without a winner (-1) writes 0 at unit 0.
        np.put_along_axis(out, np.maximum(codes, 0)[..., None], (codes >= 0)[..., None], axis=-1)
        return out.reshape(len(codes), -1)

    def above(self, trace: ColumnTrace) -> Above | None:
        """Return the signals of the codes above, of one frame; None where there are none."""
        from ...kernels.memory.macrocolumn.cpu import boosted
        from ...kernels.memory.packed.reference import pack

        upper = self.upper
        parents = self.parents
        if upper is None or parents is None:
            return None
        units = np.zeros((upper.columns + 1, upper.modules, upper.units), bool)
        np.put_along_axis(units[:-1], np.maximum(trace.code, 0)[..., None], (trace.code >= 0)[..., None], axis=-1)
        # Parent -1 is the empty last row.
        bits = units.reshape(upper.columns + 1, -1)[parents].reshape(len(parents), -1)
        runs = np.append(trace.code[:, 0] >= 0, False)[parents]
        # zeta^boost of each column above; 0 for the empty last row.
        boosts = [boosted(max(int(zeta), 1), self.numbers) for zeta in trace.numbers[:, 1]]
        strength = np.array([*boosts, 0.0])[parents]
        # One scale for a column: the mean over its parents that run.
        scale = (strength * runs).sum(axis=1) / np.maximum(runs.sum(axis=1), 1)
        return pack(bits)[None], scale[None]


def joined(batches: list[LevelBatch], trace: ColumnTrace) -> LevelBatch:
    """Return one batch of the frames of all `batches`, in this order, with the trace of the last."""
    codes, familiarity, notes, counts = (
        np.concatenate([getattr(batch, name) for batch in batches])
        for name in ("codes", "familiarity", "notes", "counts")
    )
    return LevelBatch(
        codes=codes,
        familiarity=familiarity,
        notes=notes,
        counts=counts,
        module_units=batches[0].module_units,
        trace=trace,
    )
