"""The compiled recurrence as functions of torch: with its gradient, with and without feed-back."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ..spike_linear.autograd import sparse, weight_gradient
from . import numba as rows


def _lanes(x):
    """Return a tensor [..., B, N] as an array [..., B N]."""
    return x.detach().contiguous().numpy().reshape(*x.shape[:-2], -1)


def _tensor(x, shape):
    return torch.from_numpy(x).view(shape)


def _settings(how):
    return how.kind, how.reset, how.surrogate, float(how.attached), how.slope, how.scale


def _by_lane(c, batch):
    return np.tile(c.detach().contiguous().numpy(), (1, batch))


def _by_unit(g_c, batch):
    """Sum [constants, B N] over the elements of the batch to [constants, N]."""
    return torch.from_numpy(g_c).view(len(g_c), batch, -1).sum(dim=1)


class NumbaScan(torch.autograd.Function):
    """(out, state) from (current [T, B, N], state, c, how), as `reference.reference`."""

    @staticmethod
    def forward(ctx, current, state, c, how):
        ctx.set_materialize_grads(False)
        x, threads = _lanes(current), torch.get_num_threads()
        keep = any(ctx.needs_input_grad)
        out, after, kept = rows.forward(_settings(how), x, _lanes(state), _by_lane(c, current.shape[1]), keep, threads)
        if keep:
            ctx.save_for_backward(current, c, torch.from_numpy(kept))
            ctx.how = how
        return _tensor(out, current.shape), _tensor(after, state.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_state):
        current, c, kept = ctx.saved_tensors
        batch, settings = current.shape[1], _settings(ctx.how)
        g_out = None if g_out is None else _lanes(g_out)
        shape = (kept.shape[1], *current.shape[1:])
        g_state = np.zeros(kept.shape[1:], np.float32) if g_state is None else _lanes(g_state)
        trained, threads = ctx.needs_input_grad[2], torch.get_num_threads()
        g_x, g_state, g_c = rows.backward(
            settings, _lanes(current), _by_lane(c, batch), kept.numpy(), g_out, g_state, trained, threads
        )
        return _tensor(g_x, current.shape), _tensor(g_state, shape), _by_unit(g_c, batch) if trained else None, None


class NumbaFeedbackScan(torch.autograd.Function):
    """(out, state) from (current, state, c, weight [N, N], last [B, N], how), as `reference` with a weight.

    Forward, the spikes of a step select rows of the weights. Backward, each step has a dense product, for gradients
    are not sparse; the gradient of the weights is one spike-accumulate over all steps.
    """

    @staticmethod
    def forward(ctx, current, state, c, weight, last, how):
        ctx.set_materialize_grads(False)
        threads, by_source = torch.get_num_threads(), weight.detach().t().contiguous().numpy()
        keep = any(ctx.needs_input_grad)
        total, out, after, kept = rows.feedback(
            _settings(how),
            current.detach().contiguous().numpy(),
            state.detach().contiguous().numpy(),
            c.detach().contiguous().numpy(),
            by_source,
            last.detach().contiguous().numpy(),
            keep,
            threads,
        )
        out = torch.from_numpy(out)
        if keep:
            ctx.save_for_backward(torch.from_numpy(total), c, weight, last, torch.from_numpy(kept), out)
            ctx.how = how
        return out, torch.from_numpy(after)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_state):
        total, c, weight, last, kept, out = ctx.saved_tensors
        g_x, g_state, g_c, g_last = _back_in_time(ctx, total, c, weight, kept, g_out, g_state)
        g_weight = None
        if ctx.needs_input_grad[3]:
            before = torch.cat([last[None], out[:-1]]).flatten(0, 1)
            g, active = g_x.flatten(0, 1), sparse(before)
            g_weight = g.t() @ before if active is None else weight_gradient(active, g.numpy(), before.shape[1])
        g_c = _by_unit(g_c, total.shape[1]) if ctx.needs_input_grad[2] else None
        return g_x, g_state, g_c, g_weight, g_last, None


def _back_in_time(ctx, total, c, weight, kept, g_out, g_state):
    """Return the gradients of the current, the first state, c by lane, and the spikes before the first step."""
    steps, batch, units = total.shape
    settings, constants, trained = _settings(ctx.how), _by_lane(c, batch), ctx.needs_input_grad[2]
    weight = weight.detach()
    g_x = torch.empty_like(total)
    g_state = np.zeros(kept.shape[1:], np.float32) if g_state is None else _lanes(g_state).copy()
    g_c = np.zeros_like(constants)
    retreat = rows.Retreat(settings, _lanes(total), constants, kept.numpy())
    g_spikes = torch.zeros(batch, units)
    for t in range(steps - 1, -1, -1):
        if g_out is not None:
            g_spikes = g_spikes.add_(g_out[t])
        retreat(t, _lanes(g_spikes), g_state, _lanes(g_x[t]), g_c, trained)
        g_spikes = g_x[t] @ weight
    return g_x, _tensor(g_state, (kept.shape[1], batch, units)), g_c, g_spikes
