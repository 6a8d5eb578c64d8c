"""Spikes sent to their targets one by one, each at its delay, and the gradient of the weights collected alike.

The cost is spikes times outputs, for any delays. One thread computes an element of the batch, or the weights of an
input, so results do not depend on the number of threads.
"""

from __future__ import annotations

from numba import njit

from ...tools.compiled import compiled


@compiled
def send(starts, units, values, weight, lags, max_delay, out, first, last):
    """Send the spikes of elements `first` to `last` of the batch, in rows (step, element); weight and lags [I, O]."""
    steps, batch, _ = out.shape
    # `max_delay` steps of the past come first in the rows: their spikes may arrive in the steps of `out`.
    for past in range(steps + max_delay):
        for e in range(first, last):
            row = past * batch + e
            for j in range(starts[row], starts[row + 1]):
                w = weight[units[j]]
                value = values[j] if values.size else w.dtype.type(1)
                _send_spike(past - max_delay, e, value, w, lags[units[j]], out)


@njit(inline="always")
def _send_spike(step, e, value, weight, lags, out):
    """Send a spike of a step, which may lie before the first, to its targets; weight and lags [O]."""
    for o in range(weight.size):
        arrival = step + lags[o]
        if 0 <= arrival < out.shape[0]:
            out[arrival, e, o] += value * weight[o]


@compiled
def collect(starts, rows, values, lags, max_delay, g, out, first, last):
    """Collect the gradient of the weights of inputs `first` to `last`, at the time of arrival at each target."""
    batch = g.shape[1]
    for i in range(first, last):
        total = out[i]
        for j in range(starts[i], starts[i + 1]):
            step = rows[j] // batch - max_delay
            e = rows[j] % batch
            value = values[j] if values.size else total.dtype.type(1)
            _collect_spike(step, e, value, lags[i], g, total)


@njit(inline="always")
def _collect_spike(step, e, value, lags, g, out):
    """Add to out [O] the gradients that a spike of a step finds at its arrivals."""
    for o in range(out.size):
        arrival = step + lags[o]
        if 0 <= arrival < g.shape[0]:
            out[o] += value * g[arrival, e, o]
