"""Passes of integrators through time, block by block.

They compile in a fraction of the time of the passes of all kinds, which a network of LIF with such a readout then never
needs.
"""

from __future__ import annotations

from ...tools.compiled import compiled
from ...tools.intrinsics import flush_denormals as flush
from ...tools.intrinsics import restore_denormals as restore
from .kinds import STRIDE
from .lanes import AHEAD, LANES, ask, copy_row, row_at
from .rows import integrate_back, integrate_row


@compiled
def forward_integrator(x, state, c, out, kept, first, last):
    """Run `cpu._forward` for integrators."""
    control = flush()
    like = x.dtype.type(0)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        here = row_at(state, 0, a)
        alpha = row_at(c, 0, a)
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy_row(here, row_at(kept, t // STRIDE, a), size, like)
            ask(x, t + AHEAD, a, a + size)
            ask(out, t + AHEAD, a, a + size)
            integrate_row(here, row_at(x, t, a), alpha, row_at(out, t, a), size, like)
    restore(control)


@compiled
def backward_integrator(c, g_out, g_state, g_x, first, last):
    """Run `cpu._backward` for integrators of a fixed constant: neither their input nor their states are needed."""
    control = flush()
    like = g_x.dtype.type(0)
    rows = min(1, g_out.shape[0] - 1)
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        alpha = row_at(c, 0, a)
        g_here = row_at(g_state, 0, a)
        for t in range(g_x.shape[0] - 1, -1, -1):
            ask(g_out, rows * (t - AHEAD), a, a + size)
            ask(g_x, t - AHEAD, a, a + size)
            integrate_back(g_here, row_at(g_out, rows * t, a), alpha, row_at(g_x, t, a), size, like)
    restore(control)
