"""Spikes sent to their targets one by one, each at its delay, and the gradient of the weights collected alike.

The cost is spikes times outputs, for any delays. One thread computes an element of the batch, or the weights of an
input, so results do not depend on the number of threads.
"""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def send(starts, units, values, weight, lags, max_delay, out, first, last):
    """Send the spikes of elements `first` to `last` of the batch, in rows (step, element); weight and lags [I, O]."""
    steps, batch, targets = out.shape
    # `max_delay` steps of the past come first in the rows: their spikes may arrive in the steps of `out`.
    for past in range(steps + max_delay):
        for e in range(first, last):
            row = past * batch + e
            for j in range(starts[row], starts[row + 1]):
                w = weight[units[j]]
                lag = lags[units[j]]
                value = values[j] if values.size else w.dtype.type(1)
                for o in range(targets):
                    t = past - max_delay + lag[o]
                    if 0 <= t < steps:
                        out[t, e, o] += value * w[o]


@compiled
def collect(starts, rows, values, lags, max_delay, g, out, first, last):
    """Collect the gradient of the weights of inputs `first` to `last`, at the time of arrival at each target."""
    steps, batch, targets = g.shape
    for i in range(first, last):
        lag = lags[i]
        total = out[i]
        for j in range(starts[i], starts[i + 1]):
            step = rows[j] // batch - max_delay
            e = rows[j] % batch
            value = values[j] if values.size else total.dtype.type(1)
            for o in range(targets):
                t = step + lag[o]
                if 0 <= t < steps:
                    total[o] += value * g[t, e, o]
