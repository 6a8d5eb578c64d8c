"""Arguments and results of the kernel, for one column or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...kernels.memory.macrocolumn.views import START, ColumnInputs, ColumnWeights, Results, Trace
from ..sdr.code import SDR
from .state import ColumnMemory, ColumnTrace, LevelBatch

# A thread with fewer columns costs more than it saves.
MIN_COLUMNS_PER_THREAD = 4


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames for many columns: `dense` [frames, size] uint8 booleans, `flags` [frames] of the kernel."""

    dense: NDArray[np.uint8]
    flags: NDArray[np.uint8]


def sequence(items: Sequence[SDR], size: int, *, apart: bool, fresh: bool = True) -> Frames:
    """Return the frames of one sequence, or, if `apart`, of one sequence for each item.

    Args:
        fresh: whether the first frame starts without a trace.

    Raises:
        NeurosimInputError: an item that is not an SDR, or of another size.
    """
    dense = np.zeros((len(items), size), np.uint8)
    for row, item in zip(dense, items, strict=True):
        row[checked(item, size).indices] = 1
    # A frame that begins a sequence takes no H.
    flags = np.full(len(items), START if apart else 0, np.uint8)
    if fresh:
        flags[:1] = START
    return Frames(dense, flags)


def checked(item: object, size: int) -> SDR:
    """Return `item` if it is an SDR of this size, else raise."""
    if not isinstance(item, SDR):
        raise NeurosimInputError(f"macrocolumn: needs an SDR (got {type(item).__name__}); see neurosim.memory.sdr")
    require(item.size == size, "macrocolumn", f"needs an SDR of {size} inputs", item.size)
    return item


def draw_keys(seed: int, columns: int, first: int = 0) -> NDArray[np.uint64]:
    """Return [columns] keys of the random draws of each column, numbered from `first`."""
    from ...kernels.tools.random import words

    require(0 <= seed < 2**63, "seed", "must be 0 to 2^63 - 1", seed)
    blocks = [words(np.uint64(seed), np.uint64(first + m), np.uint64(0)) for m in range(columns)]
    # The first two of four words of 32 bits make a key of 64 bits.
    return np.array([int(high) << 32 | int(low) for high, low, _, _ in blocks], np.uint64)


def _is_alone(
    memory: ColumnMemory,
    frames: Frames,
    above: NDArray[np.uint64],
    beside: NDArray[np.uint64],
    numbers: NDArray[np.float64],
) -> bool:
    """Return whether the input is in every frame the only term, which a first run of a memory compiles alone."""
    from ...kernels.memory.macrocolumn.reference import LOWEST
    from ...kernels.memory.macrocolumn.views import BLIND, START

    separate = memory.h.shape[1] == 0 or bool((frames.flags & START).all())
    given = numbers[LOWEST] >= 1.0 and not (frames.flags & BLIND).any()
    fades = memory.stages[0].size > 0
    return bool(separate and given and not fades and above.shape[2] == 0 and beside.shape[2] == 0)


def run_columns(
    memory: ColumnMemory,
    fields: NDArray[np.int32],
    frames: Frames,
    modules: int,
    numbers: NDArray[np.float64],
    keys: NDArray[np.uint64],
    *,
    trace: ColumnTrace | None = None,
    above: tuple[NDArray[np.uint64], NDArray[np.float64]] | None = None,
    beside: NDArray[np.uint64] | None = None,
    learn: bool = False,
    back_off: bool = False,
    threads: int = 1,
) -> LevelBatch:
    """Run the frames through all columns of `memory`, which changes only if `learn` is true.

    Args:
        numbers: parameters, see `selection.kernel_parameters`.
        keys: keys of the draws, see `draw_keys`.
        above: packed top-down afferents [frames, columns, words] and the scale of their signals [frames, columns].
        beside: packed units of other columns [frames, columns, words], at their places among the afferents of H.
    """
    from ...kernels.memory.macrocolumn.cpu import run
    from ...kernels.tools.threads import spread

    columns = len(fields)
    n = len(frames.dense)
    if trace is None:
        state = ColumnTrace.fresh(columns, modules)
    else:
        state = trace.copy()
    if above is None:
        silent = np.zeros((n, columns, memory.d.shape[1]), np.uint64)
        above = (silent, np.ones((n, columns)))
    if beside is None:
        beside = np.zeros((n, columns, 0), np.uint64)
    inputs = ColumnInputs(frames.dense, frames.flags, fields, *above, beside)
    weights = ColumnWeights(
        u=memory.u, h=memory.h, d=memory.d, stages=memory.stages, last=memory.last, clock=memory.clock
    )
    results = Results(
        codes=np.empty((n, columns, modules), np.int32),
        familiarity=np.empty((n, columns)),
        notes=np.empty((n, columns, 4), np.uint8),
        counts=np.empty((n, columns, 5), np.int64),
    )
    # Plain tuples, which a call unpacks ten times as fast as named ones.
    carried = Trace(state.code, state.numbers, state.familiarity)
    views = (tuple(inputs), tuple(weights), tuple(carried), tuple(results))

    others = None if _is_alone(memory, frames, above[0], beside, numbers) else 1

    def fill(begin: int, end: int) -> None:
        run(*views, keys, numbers, learn, back_off, begin, end, others)

    # Columns share nothing, so the result does not depend on the threads.
    spread(fill, np.arange(columns + 1), threads, MIN_COLUMNS_PER_THREAD)
    return LevelBatch(*results, memory.u.shape[2] // modules, state)
