"""What columns hold and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .selection import TERMS

STATUS = ("chosen", "kept", "below", "above")
# The name of each set of terms, by its bits.
NAMES = tuple("".join(name for t, name in enumerate(TERMS) if mask >> t & 1) for mask in range(8))


class CapacityWarning(UserWarning):
    """More items are stored than are recalled well; the text says what recall to expect."""


@dataclass(eq=False)
class Memory:
    """The weights of one or more columns of the same size, changed by storing.

    Attributes:
        u, h, d: [columns, words, units] uint64, packed binary weights from the input, from the column's code before,
            and from the codes above; bit `a % 64` of word `a // 64` is that of afferent a.
        stages, last: for u, h and d: [columns, afferents, units], each weight's stage (uint8) and the frame in which
            its pair last occurred (int64); no afferents where weights do not fade.
        clock: [columns] int64, frames learned.
        afferents: of u, h and d; 0 where there is no such term.
        stored: items or sequences stored.
        warned: whether a `CapacityWarning` was given.
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
    def empty(cls, columns: int, afferents: tuple[int, int, int], units: int, fading: bool) -> Memory:
        """No weight on.

        Args:
            afferents: of u, h and d; 0 where there is no such term.
        """
        weights = [np.zeros((columns, -(-n // 64), units), np.uint64) for n in afferents]
        kept = [n if fading else 0 for n in afferents]
        s0, s1, s2 = (np.zeros((columns, n, units), np.uint8) for n in kept)
        l0, l1, l2 = (np.zeros((columns, n, units), np.int64) for n in kept)
        clock = np.zeros(columns, np.int64)
        return cls(weights[0], weights[1], weights[2], (s0, s1, s2), (l0, l1, l2), clock, afferents)

    @property
    def filled(self) -> dict[str, float]:
        """Fraction of weights on, by term; only of terms there are."""
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
class Trace:
    """What columns carry from one frame to the next: [columns, Q] code (-1: none), [columns, 2] frames it has been
    kept and its competing hypotheses, [columns] its familiarity."""

    code: NDArray[np.int32]
    numbers: NDArray[np.int64]
    familiarity: NDArray[np.float64]

    @classmethod
    def fresh(cls, columns: int, modules: int) -> Trace:
        """Nothing before."""
        return cls(np.full((columns, modules), -1, np.int32), np.zeros((columns, 2), np.int64), np.zeros(columns))

    def copy(self) -> Trace:
        """For whoever will change it."""
        return Trace(self.code.copy(), self.numbers.copy(), self.familiarity.copy())


@dataclass(frozen=True, eq=False)
class Answer:
    """What one column did with one frame.

    Attributes:
        code: [Q] int32, the winner of each module; -1 each where the column did not run and had no code.
        familiarity: G, 0 to 1; that of the frame the code was chosen in, where it is kept.
        terms: the evidence used, e.g. "UH"; "" where there was none.
        known: whether G reached its threshold.
        hypotheses: zeta, competing hypotheses.
        status: "chosen"; "kept", the code persists; "below" or "above", active inputs outside the bounds.
        active: active inputs.
        operations: 64-bit words of weights read and written: what a frame costs, whatever is stored.
        synaptic_operations: active afferents times units, as event-driven hardware would count them.
        changed: weights turned on.
        module_units: how many units a module has.
        trace: to give to the next frame of the sequence.
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
    trace: Trace | None = None

    @property
    def ran(self) -> bool:
        """Whether there is a code."""
        return bool(self.code[0] >= 0)

    @property
    def units(self) -> NDArray[np.int64]:
        """[Q] the winners among all units of the column; [0] where there is no code."""
        places = np.arange(len(self.code)) * self.module_units + self.code
        return places[self.code >= 0]


@dataclass(frozen=True, eq=False)
class LevelBatch:
    """What columns did with frames: arrays [frames, columns] of what `Answer` holds for one.

    Attributes:
        codes: [frames, columns, Q].
        notes: [frames, columns, 4] uint8: number of the status, terms used, known, terms there were.
        counts: [frames, columns, 5]: hypotheses, active inputs, operations, synaptic operations, weights turned on.
    """

    codes: NDArray[np.int32]
    familiarity: NDArray[np.float64]
    notes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    module_units: int
    trace: Trace

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def status(self) -> NDArray[np.str_]:
        return np.array(STATUS)[self.notes[..., 0]]

    @property
    def terms(self) -> NDArray[np.str_]:
        return np.array(NAMES)[self.notes[..., 1]]

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.notes[..., 2].astype(bool)

    @property
    def hypotheses(self) -> NDArray[np.int64]:
        return self.counts[..., 0]

    @property
    def active(self) -> NDArray[np.int64]:
        return self.counts[..., 1]

    @property
    def operations(self) -> NDArray[np.int64]:
        return self.counts[..., 2]

    @property
    def synaptic_operations(self) -> NDArray[np.int64]:
        return self.counts[..., 3]

    @property
    def changed(self) -> NDArray[np.int64]:
        return self.counts[..., 4]

    def column(self, m: int) -> Batch:
        """The frames of one column."""
        part = self.codes[:, m], self.familiarity[:, m], self.notes[:, m], self.counts[:, m]
        return Batch(*part, self.module_units, self.trace)


@dataclass(frozen=True, eq=False)
class Batch(LevelBatch):
    """The same of one column: `codes` [n, Q], everything else [n]; item i is an `Answer`."""

    def __getitem__(self, i: int) -> Answer:
        status, used, known, _ = self.notes[i]
        zeta, active, operations, synaptic, changed = (int(c) for c in self.counts[i])
        # Only the last frame's trace is there.
        trace = self.trace if i in (-1, len(self) - 1) else None
        return Answer(
            self.codes[i],
            float(self.familiarity[i]),
            NAMES[used],
            bool(known),
            zeta,
            STATUS[status],
            active,
            operations,
            synaptic,
            changed,
            self.module_units,
            trace,
        )
