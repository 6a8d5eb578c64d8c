"""Passes of LIF whose reset is not LATE through time, block by block.

A step of a block is one pass of vectors, `rows`; other neurons take several, in `steps` and `retreat`.
"""

from __future__ import annotations

from ...tools.compiled import compiled
from ...tools.intrinsics import drain_stores
from ...tools.intrinsics import flush_denormals as flush
from ...tools.intrinsics import restore_denormals as restore
from ...tools.lines import aligned_empty
from .kinds import STRIDE, ZERO
from .lanes import AHEAD, LANES, LINE, ask, copy_row, row_at
from .rows import advance_lif, advance_lif_streaming, back_fast_sigmoid, replay, step_back

# Rows of work space: of the way there, and of the way back behind one for each step of a stride.
FORWARD = 3
BACKWARD = STRIDE + 5


def work_space(rows, dtype):
    """Return [rows, lanes] for one call of a pass, each row at the begin of a cache line."""
    return aligned_empty((rows, LANES + LINE // dtype.itemsize), dtype)


@compiled
def forward_lif(how, x, state, c, out, kept, space, streaming, first, last):
    """Run `cpu._forward` for LIF whose reset is not LATE; space [FORWARD, lanes] is work space."""
    control = flush()
    keep = x.dtype.type(0 if how[1] == ZERO else 1)
    v = row_at(space, 0, 0)
    alpha = row_at(space, 1, 0)
    theta = row_at(space, 2, 0)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        copy_row(row_at(state, 0, a), v, size, keep)
        copy_row(row_at(c, 0, a), alpha, size, keep)
        copy_row(row_at(c, 1, a), theta, size, keep)
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy_row(v, row_at(kept, t // STRIDE, a), size, keep)
            if streaming:
                advance_lif_streaming(row_at(x, t, a), v, alpha, theta, row_at(out, t, a), size, keep)
            else:
                ask(x, t + AHEAD, a, a + size)
                ask(out, t + AHEAD, a, a + size)
                advance_lif(row_at(x, t, a), v, alpha, theta, row_at(out, t, a), size, keep)
        copy_row(v, row_at(state, 0, a), size, keep)
    if streaming:
        drain_stores()
    restore(control)


@compiled
def backward_lif(how, x, c, kept, g_out, g_state, g_x, space, streaming, others, first, last):
    """Run `cpu._backward` for LIF whose constants are fixed and whose reset is not LATE.

    Args:
        space: [BACKWARD, lanes], work space.
        others: None: the surrogate is FAST_SIGMOID, and nothing of the others is compiled.
    """
    control = flush()
    number = x.dtype.type
    keep = number(0 if how[1] == ZERO else 1)
    attached = number(how[3])
    slope = number(how[4])
    scale = number(how[5])
    steps = x.shape[0]
    rows = min(1, g_out.shape[0] - 1)
    alpha = row_at(space, STRIDE, 0)
    theta = row_at(space, STRIDE + 1, 0)
    g_here = row_at(space, STRIDE + 2, 0)
    here = row_at(space, STRIDE + 3, 0)
    work = row_at(space, STRIDE + 4, 0)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        copy_row(row_at(c, 0, a), alpha, size, keep)
        copy_row(row_at(c, 1, a), theta, size, keep)
        copy_row(row_at(g_state, 0, a), g_here, size, keep)
        for begin in range((kept.shape[0] - 1) * STRIDE, -1, -STRIDE):
            end = min(begin + STRIDE, steps)
            copy_row(row_at(kept, begin // STRIDE, a), here, size, keep)
            for t in range(begin, end):
                ask(x, t + AHEAD, a, a + size)
                replay(row_at(x, t, a), here, alpha, theta, row_at(space, t - begin, 0), size, keep)
            for t in range(end - 1, begin - 1, -1):
                ask(g_out, rows * (t - AHEAD), a, a + size)
                if not streaming:
                    ask(g_x, t - AHEAD, a, a + size)
                arrived = row_at(g_out, rows * t, a)
                d = row_at(space, t - begin, 0)
                sent = row_at(g_x, t, a)
                if others is None:
                    back_fast_sigmoid(
                        arrived, d, work, theta, alpha, g_here, sent, size, keep, attached, slope, scale
                    )  # fmt: skip
                else:
                    step_back(
                        how[2], attached, slope, scale, arrived, d, work, theta, alpha, g_here, sent, size, keep,
                        streaming,
                    )  # fmt: skip
        copy_row(g_here, row_at(g_state, 0, a), size, keep)
    if streaming:
        drain_stores()
    restore(control)
