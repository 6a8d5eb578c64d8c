"""Passes of integrators through time, block by block.

They compile in a quarter and an eighth of the time of the passes of all kinds, which a network of LIF with such a
readout then never needs.
"""

from __future__ import annotations

from ...tools.compiled import compiled
from ...tools.intrinsics import flush_denormals as flush
from ...tools.intrinsics import restore_denormals as restore
from .kinds import STRIDE
from .lanes import AHEAD, LANES, ask, lanes_of
from .steps import copy, integrate


@compiled
def forward_integrator(x, state, c, out, kept, first, last):
    """Run `cpu._forward` for integrators."""
    control = flush()
    for a in range(first, last, LANES):
        size = min(LANES, last - a)
        here = lanes_of(state, 0, a, size)
        alpha = lanes_of(c, 0, a, size)
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy(here, kept[t // STRIDE, 0, a : a + size])
            ask(x, t + AHEAD, a, a + size)
            ask(out, t + AHEAD, a, a + size)
            integrate(here, lanes_of(x, t, a, size), alpha, lanes_of(out, t, a, size))
    restore(control)


@compiled
def backward_integrator(c, g_out, g_state, g_x, first, last):
    """Run `cpu._backward` for integrators of a fixed constant: neither their input nor their states are needed."""
    control = flush()
    rows = min(1, g_out.shape[0] - 1)
    for a in range(first, last, LANES):
        b = min(a + LANES, last)
        alpha = c[0, a:b].copy()
        g_here = g_state[0, a:b].copy()
        for t in range(g_x.shape[0] - 1, -1, -1):
            ask(g_out, rows * (t - AHEAD), a, b)
            ask(g_x, t - AHEAD, a, b)
            row = g_out[rows * t, a:b]
            into = g_x[t, a:b]
            for j in range(b - a):
                into[j] = g_here[j] + row[j]
            for j in range(b - a):
                g_here[j] = alpha[j] * into[j]
        copy(g_here, g_state[0, a:b])
    restore(control)
