"""A linear layer with a delay for every synapse: y[t] = sum over k of W_k x[t - k], W_k the weights of delay k.

`delayed_reference` is that sum. From spikes, few of them, each is sent to its targets one by one, and the gradient of
the weights is collected the same way: the cost is spikes times outputs, whatever the delays. An element of the batch
belongs to one thread, and so does an input for the weights: results do not depend on their number.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable

from ..tools.threads import spread
from .spike_linear.autograd import sparse
from .spike_linear.numba import Active, turned

GRAIN = 1 << 17


def delayed_reference(past, weight, delays, longest):
    """past [longest + T, B, I], weight and delays [O, I] to [T, B, O]: the specification."""
    steps = len(past) - longest
    total = past.new_zeros(steps, past.shape[1], len(weight))
    for k in torch.unique(delays).tolist():
        total = total + past[longest - k : longest - k + steps] @ torch.where(delays == k, weight, 0.0).t()
    return total


def delayed(past, weight, delays, longest):
    """`delayed_reference`, from the ones of `past` where they are few."""
    active = sparse(past) if past.numel() and weight.dtype == torch.float32 else None
    if active is None:
        return delayed_reference(past, weight, delays, longest)
    return Delayed.apply(past, weight, delays, longest, active)


class Delayed(torch.autograd.Function):
    """(past, weight, delays, longest, `Active` of past by step and element) to [T, B, O]."""

    @staticmethod
    def forward(ctx, past, weight, delays, longest, active):
        by_input, lags = (m.detach().t().contiguous().numpy() for m in (weight, delays))
        shape = len(past) - longest, past.shape[1], len(weight)
        out = np.zeros(shape, np.float32)
        bounds = np.arange(shape[1] + 1) * max(1, len(active.units) * shape[2] // max(1, shape[1]))
        threads = torch.get_num_threads()
        spread(lambda a, b: _send(*active, by_input, lags, longest, out, a, b), bounds, threads, GRAIN)
        ctx.active, ctx.longest, ctx.lags, ctx.batch = active, longest, lags, shape[1]
        ctx.save_for_backward(past, weight, delays)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        past, weight, delays = ctx.saved_tensors
        g_past = _past_gradient(past, weight, delays, ctx.longest, g) if ctx.needs_input_grad[0] else None
        g_weight = None
        if ctx.needs_input_grad[1]:
            by_input: Active = turned(ctx.active, weight.shape[1])
            out, rows = np.zeros(ctx.lags.shape, np.float32), g.contiguous().numpy()
            bounds = by_input.starts * len(weight)
            fill = lambda a, b: _collect(*by_input, ctx.lags, ctx.longest, rows, out, a, b)  # noqa: E731
            spread(fill, bounds, torch.get_num_threads(), GRAIN)
            g_weight = torch.from_numpy(out).t()
        return g_past, g_weight, None, None, None


def _past_gradient(past, weight, delays, longest, g):
    total = torch.zeros_like(past)
    for k in torch.unique(delays).tolist():
        total[longest - k : longest - k + len(g)] += g @ torch.where(delays == k, weight, 0.0)
    return total


@njit(cache=True, nogil=True)
def _send(starts, units, values, weight, lags, longest, out, first, last):
    """Elements `first` to `last` of the batch; weight and lags [I, O], lists of row (step, element)."""
    steps, batch, targets = out.shape
    for past in range(steps + longest):
        for e in range(first, last):
            row = past * batch + e
            for j in range(starts[row], starts[row + 1]):
                w, lag = weight[units[j]], lags[units[j]]
                value = values[j] if values.size else w.dtype.type(1)
                for o in range(targets):
                    t = past - longest + lag[o]
                    if 0 <= t < steps:
                        out[t, e, o] += value * w[o]


@njit(cache=True, nogil=True)
def _collect(starts, rows, values, lags, longest, g, out, first, last):
    """Inputs `first` to `last`: the gradient of the weight at each target's own time."""
    steps, batch, targets = g.shape
    for i in range(first, last):
        lag, total = lags[i], out[i]
        for j in range(starts[i], starts[i + 1]):
            step, e = rows[j] // batch - longest, rows[j] % batch
            value = values[j] if values.size else total.dtype.type(1)
            for o in range(targets):
                t = step + lag[o]
                if 0 <= t < steps:
                    total[o] += value * g[t, e, o]
