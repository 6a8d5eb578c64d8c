"""Memories of columns, their traces from frame to frame, and their outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...kernels.memory.macrocolumn.views import (
    ACTIVE,
    CHANGED,
    HYPOTHESES,
    KNOWN,
    OPERATIONS,
    REASON,
    SYNAPTIC,
    USED,
)
from .selection import TERMS

STATUS = ("chosen", "kept", "below", "above")  # by the number in `LevelBatch.notes`
# Names of the sets of terms: bit 0 for U, 1 for H, 2 for D.
NAMES = tuple("".join(name for t, name in enumerate(TERMS) if mask >> t & 1) for mask in range(8))


@dataclass(eq=False)
class ColumnMemory:
    """The weights of one or more columns of the same size, changed by storing.

    Attributes:
        u, h, d: [columns, words, units] uint64, packed binary weights from the input, from the column's code before
            and from its neighbours, and from the codes above; bit `a % 64` of word `a // 64` is the weight from
            afferent a.
        stages: [columns, afferents, units] uint8 for u, h and d, stage of each weight; no afferents where weights do
            not fade.
        last: [columns, afferents, units] int64 for u, h and d, the frame in which the pair of a weight last occurred.
        clock: [columns] int64, number of frames learned.
        afferents: number of u, h and d; 0 for a term that does not exist.
        stored: number of items or sequences stored.
        warned: whether a `CapacityWarning` was raised.
    """

    u: NDArray[np.uint64]
    h: NDArray[np.uint64]
    d: NDArray[np.uint64]
    stages: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    last: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    clock: NDArray[np.int64]
    afferents: tuple[int, int, int]
    stored: int = 0
    warned: bool = False

    @classmethod
    def empty(cls, columns: int, afferents: tuple[int, int, int], units: int, fading: bool) -> ColumnMemory:
        """Return a memory with all weights off; `afferents` as the attribute."""
        weights = [np.zeros((columns, -(-n // 64), units), np.uint64) for n in afferents]
        # Stages and times take 9 bytes a weight, 72 times the weight itself: none where weights do not fade.
        fading_afferents = [n if fading else 0 for n in afferents]
        stages = [np.zeros((columns, n, units), np.uint8) for n in fading_afferents]
        last = [np.zeros((columns, n, units), np.int64) for n in fading_afferents]
        return cls(
            u=weights[0],
            h=weights[1],
            d=weights[2],
            stages=(stages[0], stages[1], stages[2]),
            last=(last[0], last[1], last[2]),
            clock=np.zeros(columns, np.int64),
            afferents=afferents,
        )

    @property
    def filled(self) -> dict[str, float]:
        """Fraction of weights that are on, by the name of each term that exists."""
        # Weights are bits of words: those beyond the last afferent are 0, and are not among the n of the share.
        parts = zip(TERMS, (self.u, self.h, self.d), self.afferents, strict=True)
        return {
            name: float(np.unpackbits(w.view(np.uint8)).sum() / (w.shape[0] * n * w.shape[2]))
            for name, w, n in parts
            if n
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in (self.u, self.h, self.d, *self.stages, *self.last, self.clock))


@dataclass(frozen=True, eq=False)
class ColumnTrace:
    """State that columns carry from one frame to the next.

    Attributes:
        code: [columns, Q], -1 for none.
        numbers: [columns, 2], number of frames that the code has persisted, and of its competing hypotheses.
        familiarity: [columns], familiarity of the code.
    """

    code: NDArray[np.int32]
    numbers: NDArray[np.int64]
    familiarity: NDArray[np.float64]

    @classmethod
    def fresh(cls, columns: int, modules: int) -> ColumnTrace:
        """Return the trace before the first frame."""
        return cls(np.full((columns, modules), -1, np.int32), np.zeros((columns, 2), np.int64), np.zeros(columns))

    def copy(self) -> ColumnTrace:
        return ColumnTrace(self.code.copy(), self.numbers.copy(), self.familiarity.copy())


@dataclass(frozen=True, eq=False)
class ColumnOutput:
    """Output of one column for one frame.

    Attributes:
        code: [Q] int32, the winner of each module; all -1 if the column did not run and had no code before.
        familiarity: G, 0 to 1; for a code that persists, G of the frame in which it was chosen.
        terms: names of the terms of evidence used, e.g. "UH"; "" for none.
        known: whether G reached its threshold.
        hypotheses: zeta, number of competing hypotheses.
        status: "chosen"; "kept", the code persists; "below" or "above", active inputs outside the bounds.
        active: number of active inputs.
        operations: 64-bit words of weights read and written; independent of the number of stored items.
        synaptic_operations: active afferents times units, as event-driven hardware counts them.
        changed: number of weights turned on.
        module_units: units of a module.
        trace: argument for the next frame of the sequence.
    """

    code: NDArray[np.int32]
    familiarity: float
    terms: str
    known: bool
    hypotheses: int
    status: str
    active: int
    operations: int
    synaptic_operations: int
    changed: int
    module_units: int
    trace: ColumnTrace | None = None

    @property
    def ran(self) -> bool:
        """Return whether the column has a code."""
        return bool(self.code[0] >= 0)

    @property
    def units(self) -> NDArray[np.int64]:
        """[Q] numbers of the winners among all units of the column; empty without a code."""
        places = np.arange(len(self.code)) * self.module_units + self.code
        return places[self.code >= 0]


@dataclass(frozen=True, eq=False)
class LevelBatch:
    """Outputs of columns for many frames: arrays [frames, columns] of the fields of `ColumnOutput`.

    Attributes:
        codes: [frames, columns, Q].
        notes: [frames, columns, 4] uint8: number of the status, terms used, known, terms that exist.
        counts: [frames, columns, 5]: hypotheses, active inputs, operations, synaptic operations, weights turned on.
    """

    codes: NDArray[np.int32]
    familiarity: NDArray[np.float64]
    notes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    module_units: int
    trace: ColumnTrace

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def status(self) -> NDArray[np.str_]:
        return np.array(STATUS)[self.notes[..., REASON]]

    @property
    def terms(self) -> NDArray[np.str_]:
        return np.array(NAMES)[self.notes[..., USED]]

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.notes[..., KNOWN].astype(bool)

    @property
    def hypotheses(self) -> NDArray[np.int64]:
        return self.counts[..., HYPOTHESES]

    @property
    def active(self) -> NDArray[np.int64]:
        return self.counts[..., ACTIVE]

    @property
    def operations(self) -> NDArray[np.int64]:
        return self.counts[..., OPERATIONS]

    @property
    def synaptic_operations(self) -> NDArray[np.int64]:
        return self.counts[..., SYNAPTIC]

    @property
    def changed(self) -> NDArray[np.int64]:
        return self.counts[..., CHANGED]

    def column(self, m: int) -> ColumnBatch:
        """Return the outputs of one column."""
        return ColumnBatch(
            codes=self.codes[:, m],
            familiarity=self.familiarity[:, m],
            notes=self.notes[:, m],
            counts=self.counts[:, m],
            module_units=self.module_units,
            trace=self.trace,
        )


@dataclass(frozen=True, eq=False)
class ColumnBatch(LevelBatch):
    """Outputs of one column: `codes` [frames, Q], everything else [frames]; item i is a `ColumnOutput`."""

    def __getitem__(self, i: int) -> ColumnOutput:
        # Bits of `used` are the terms, see `NAMES`.
        status, used, known, _ = self.notes[i]
        zeta, active, operations, synaptic, changed = (int(c) for c in self.counts[i])
        return ColumnOutput(
            code=self.codes[i],
            familiarity=float(self.familiarity[i]),
            terms=NAMES[used],
            known=bool(known),
            hypotheses=zeta,
            status=STATUS[status],
            active=active,
            operations=operations,
            synaptic_operations=synaptic,
            changed=changed,
            module_units=self.module_units,
            # A batch has the trace of its last frame only.
            trace=self.trace if i in (-1, len(self) - 1) else None,
        )
