"""Groups of arrays that `cpu.run` takes, made by `neurosim.memory.macrocolumn.run`, and the codes in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Reasons for the code of a column: chosen in this frame, kept from the frame before, or cleared, because the number of
# active inputs is below or above the bounds.
CHOSEN = 0
KEPT = 1
BELOW = 2
ABOVE = 3
# Flags of a frame.
START = 1
BLIND = 2
# Columns of `Trace.numbers`: frames of the present code, and its competing hypotheses.
AGE, ZETA = range(2)
# Columns of `Results.notes`: reason for the code, terms used, whether it is known, terms that exist.
REASON, USED, KNOWN, PRESENT = range(4)
# Columns of `Results.counts`: hypotheses, active inputs, operations on words, synaptic operations, weights turned on.
HYPOTHESES, ACTIVE, OPERATIONS, SYNAPTIC, CHANGED = range(5)


class ColumnInputs(NamedTuple):
    """Frames, and the part of them that each column sees."""

    x: NDArray[np.uint8]
    """[frames, size] booleans, the frames of all columns."""
    flags: NDArray[np.uint8]
    """[frames]; START: forget the frame before; BLIND: no input, the code follows from the other terms alone."""
    fields: NDArray[np.int32]
    """[columns, inputs], the inputs of each column among the inputs of a frame."""
    above: NDArray[np.uint64]
    """[frames, columns, words], packed active top-down afferents; 0 words: none."""
    above_scale: NDArray[np.float64]
    """[frames, columns], factor of the signals from above."""
    beside: NDArray[np.uint64]
    """[frames, columns, words], packed active units of other columns, at their places in h; 0 words: none."""


class ColumnWeights(NamedTuple):
    """Weights of the columns, changed by learning. Stages and times have no afferents where weights do not fade."""

    u: NDArray[np.uint64]
    """[columns, words, units], packed weights from the input; no words: no such term."""
    h: NDArray[np.uint64]
    """[columns, words, units], from the code before, and from the codes of other columns."""
    d: NDArray[np.uint64]
    """[columns, words, units], from above."""
    stages: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    """[columns, afferents, units] of u, h and d, stage of each weight."""
    last: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    """[columns, afferents, units] of u, h and d, the frame of the last renewal."""
    clock: NDArray[np.int64]
    """[columns], number of frames learned."""


class Trace(NamedTuple):
    """State from frame to frame, read and written."""

    code: NDArray[np.int32]
    """[columns, Q], -1 for none."""
    numbers: NDArray[np.int64]
    """[columns, 2], see `AGE`."""
    familiarity: NDArray[np.float64]
    """[columns]."""


class Results(NamedTuple):
    """Results, filled in."""

    codes: NDArray[np.int32]
    """[frames, columns, Q], winners or -1."""
    familiarity: NDArray[np.float64]
    """[frames, columns]."""
    notes: NDArray[np.uint8]
    """[frames, columns, 4], see `REASON`."""
    counts: NDArray[np.int64]
    """[frames, columns, 5], see `HYPOTHESES`."""
