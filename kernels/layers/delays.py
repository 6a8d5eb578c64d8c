"""A linear layer with a delay for every synapse: y[t] = sum over k of W_k x[t - k], W_k the weights of delay k.

`delayed_reference` is that sum. If spikes are few, each is sent to its targets one by one, and the gradient of the
weights is collected the same way: the cost is spikes times outputs, for any delays. One thread computes an element of
the batch, or the weights of an input, so results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable

from ..tools.threads import spread
from .spike_linear.autograd import sparse
from .spike_linear.cpu import ActiveInputs, turned

GRAIN = 1 << 17


def delayed_reference(past, weight, delays, max_delay):
    """Return [T, B, O] from past [max_delay + T, B, I], weight and delays [O, I]: the specification."""
    steps = len(past) - max_delay
    total = past.new_zeros(steps, past.shape[1], len(weight))
    for k, part in _by_delay(weight, delays):
        total = total + past[max_delay - k : max_delay - k + steps] @ part.t()
    return total


def _by_delay(weight, delays):
    """Yield each delay k and W_k."""
    for k in torch.unique(delays).tolist():
        yield k, torch.where(delays == k, weight, 0.0)


def delayed(past, weight, delays, max_delay):
    """Compute `delayed_reference`, from the spikes of `past` if they are few."""
    if past.numel() and weight.dtype == torch.float32:
        active = sparse(past)
    else:
        active = None
    if active is None:
        return delayed_reference(past, weight, delays, max_delay)
    return Delayed.apply(past, weight, delays, max_delay, active)


class Delayed(torch.autograd.Function):
    """[T, B, O] from (past, weight, delays, max_delay, `Active` of past by step and element)."""

    @staticmethod
    def forward(ctx, past, weight, delays, max_delay, active):
        by_input, lags = (m.detach().t().contiguous().numpy() for m in (weight, delays))
        shape = len(past) - max_delay, past.shape[1], len(weight)
        out = np.zeros(shape, np.float32)
        bounds = np.arange(shape[1] + 1) * max(1, len(active.units) * shape[2] // max(1, shape[1]))
        threads = torch.get_num_threads()
        spread(lambda a, b: _send(*active, by_input, lags, max_delay, out, a, b), bounds, threads, GRAIN)
        ctx.active = active
        ctx.max_delay = max_delay
        ctx.lags = lags
        ctx.batch = shape[1]
        ctx.save_for_backward(past, weight, delays)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        past, weight, delays = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            g_past = _past_gradient(past, weight, delays, ctx.max_delay, g)
        else:
            g_past = None
        g_weight = None
        if ctx.needs_input_grad[1]:
            by_input: ActiveInputs = turned(ctx.active, weight.shape[1])
            out = np.zeros(ctx.lags.shape, np.float32)
            rows = g.contiguous().numpy()
            bounds = by_input.starts * len(weight)
            fill = lambda a, b: _collect(*by_input, ctx.lags, ctx.max_delay, rows, out, a, b)  # noqa: E731
            spread(fill, bounds, torch.get_num_threads(), GRAIN)
            g_weight = torch.from_numpy(out).t()
        return g_past, g_weight, None, None, None


def _past_gradient(past, weight, delays, max_delay, g):
    total = torch.zeros_like(past)
    for k, part in _by_delay(weight, delays):
        total[max_delay - k : max_delay - k + len(g)] += g @ part
    return total


@njit(cache=True, nogil=True)
def _send(starts, units, values, weight, lags, max_delay, out, first, last):
    """Send the spikes of elements `first` to `last` of the batch, in rows (step, element); weight and lags [I, O]."""
    steps, batch, targets = out.shape
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


@njit(cache=True, nogil=True)
def _collect(starts, rows, values, lags, max_delay, g, out, first, last):
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
