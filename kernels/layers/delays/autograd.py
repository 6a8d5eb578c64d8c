"""A linear layer with delays and its gradients: from the spikes if they are few, otherwise as the plain sum."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ...tools.threads import spread
from ..spike_linear.autograd import sparse
from ..spike_linear.lists import ActiveInputs, turned
from .cpu import collect, send
from .reference import by_delay, delayed_reference

GRAIN = 1 << 17  # products that a thread is worth


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
        spread(lambda a, b: send(*active, by_input, lags, max_delay, out, a, b), bounds, threads, GRAIN)
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
            fill = lambda a, b: collect(*by_input, ctx.lags, ctx.max_delay, rows, out, a, b)  # noqa: E731
            spread(fill, bounds, torch.get_num_threads(), GRAIN)
            g_weight = torch.from_numpy(out).t()
        return g_past, g_weight, None, None, None


def _past_gradient(past, weight, delays, max_delay, g):
    total = torch.zeros_like(past)
    for k, part in by_delay(weight, delays):
        total[max_delay - k : max_delay - k + len(g)] += g @ part
    return total
