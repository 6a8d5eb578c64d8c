"""Passes of LIF whose reset is not LATE through time, block by block, from work space that begins at a line.

A step of a block is one pass of vectors, `lif_rows`; other neurons take several, in `steps` and `retreat`.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.intrinsics import drain_stores
from ...tools.intrinsics import flush_denormals as flush
from ...tools.intrinsics import restore_denormals as restore
from .kinds import STRIDE, ZERO
from .lanes import AHEAD, LANES, LINE, ask, lanes_of, room
from .lif_rows import advance_lif, replay, step_back
from .steps import copy


@compiled
def forward_lif(how, x, state, c, out, kept, streaming, first, last):
    """Run `cpu._forward` for LIF whose reset is not LATE."""
    control = flush()
    keep = x.dtype.type(0 if how[1] == ZERO else 1)
    space = np.empty((4, LANES + LINE // x.itemsize), x.dtype)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        v = room(space, 0, size)
        alpha = room(space, 1, size)
        theta = room(space, 2, size)
        copy(lanes_of(state, 0, a, size), v)
        copy(lanes_of(c, 0, a, size), alpha)
        copy(lanes_of(c, 1, a, size), theta)
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy(v, kept[t // STRIDE, 0, a : a + size])
            if not streaming:
                ask(x, t + AHEAD, a, a + size)
                ask(out, t + AHEAD, a, a + size)
            advance_lif(lanes_of(x, t, a, size), v, alpha, theta, keep, lanes_of(out, t, a, size), streaming)
        copy(v, lanes_of(state, 0, a, size))
    space[0, 0] = 0  # numba frees an array after its last mention
    if streaming:
        drain_stores()
    restore(control)


@compiled
def backward_lif(how, x, c, kept, g_out, g_state, g_x, streaming, others, first, last):
    """Run `cpu._backward` for LIF whose constants are fixed and whose reset is not LATE.

    Args:
        others: None: the surrogate is FAST_SIGMOID, see `lif_rows.step_back`.
    """
    control = flush()
    steps = x.shape[0]
    rows = min(1, g_out.shape[0] - 1)
    keep = x.dtype.type(0 if how[1] == ZERO else 1)
    space = np.empty((STRIDE + 6, LANES + LINE // x.itemsize), x.dtype)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        alpha = room(space, STRIDE, size)
        theta = room(space, STRIDE + 1, size)
        g_here = room(space, STRIDE + 2, size)
        here = room(space, STRIDE + 3, size)
        work = room(space, STRIDE + 4, size)
        copy(lanes_of(c, 0, a, size), alpha)
        copy(lanes_of(c, 1, a, size), theta)
        copy(lanes_of(g_state, 0, a, size), g_here)
        for begin in range((kept.shape[0] - 1) * STRIDE, -1, -STRIDE):
            end = min(begin + STRIDE, steps)
            copy(kept[begin // STRIDE, 0, a : a + size], here)
            for t in range(begin, end):
                ask(x, t + AHEAD, a, a + size)
                replay(lanes_of(x, t, a, size), here, alpha, theta, keep, room(space, t - begin, size))
            for t in range(end - 1, begin - 1, -1):
                ask(g_out, rows * (t - AHEAD), a, a + size)
                if not streaming:
                    ask(g_x, t - AHEAD, a, a + size)
                arrived = lanes_of(g_out, rows * t, a, size)
                distance = room(space, t - begin, size)
                sent = lanes_of(g_x, t, a, size)
                step_back(how, distance, theta, alpha, arrived, g_here, sent, keep, work, streaming, others)
        copy(g_here, lanes_of(g_state, 0, a, size))
    space[0, 0] = 0  # numba frees an array after its last mention
    if streaming:
        drain_stores()
    restore(control)
