"""The recurrence as functions of torch: with its gradient, with and without feed-back, for any compiled form.

A form is a module with `forward`, `backward`, `feedback` and `start_retreat`: `cpu` or `gpu`.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from ..spike_linear.autograd import sparse, weight_gradient


def _zeros(g, shape, like):
    return like.new_zeros(shape) if g is None else g.contiguous()


class Scan(torch.autograd.Function):
    """(out, state) from (current [T, B, N], state, c, how, form), as `reference.reference`."""

    @staticmethod
    def forward(ctx, current, state, c, how, form):
        ctx.set_materialize_grads(False)
        current = current.contiguous()
        state = state.contiguous()
        c = c.contiguous()
        keep = any(ctx.needs_input_grad)
        out, after, kept = form.forward(how, current, state, c, keep)
        if keep:
            ctx.save_for_backward(current, c, kept)
            ctx.how = how
            ctx.form = form
        return out, after

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_state):
        current, c, kept = ctx.saved_tensors
        trained = ctx.needs_input_grad[2]
        g_state = _zeros(g_state, kept.shape[1:], current)
        g_x, g_state, g_c = ctx.form.backward(ctx.how, current, c, kept, g_out, g_state, trained)
        return g_x, g_state, g_c.sum(dim=1) if trained else None, None, None


class FeedbackScan(torch.autograd.Function):
    """(out, state) from (current, state, c, weight [N, N], last [B, N], how, form), as `reference` with a weight.

    Backward, each step has a dense product, for gradients are not sparse; the gradient of the weights is one product
    over all steps.
    """

    @staticmethod
    def forward(ctx, current, state, c, weight, last, how, form):
        ctx.set_materialize_grads(False)
        current = current.contiguous()
        state = state.contiguous()
        c = c.contiguous()
        keep = any(ctx.needs_input_grad)
        total, out, after, kept = form.feedback(how, current, state, c, weight, last, keep)
        if keep:
            ctx.save_for_backward(total, c, weight, last, kept, out)
            ctx.how = how
            ctx.form = form
        return out, after

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_state):
        total, c, weight, last, kept, out = ctx.saved_tensors
        retreat = ctx.form.start_retreat(ctx.how, total, c, kept, trained=ctx.needs_input_grad[2])
        g_x = torch.empty_like(total)
        g_state = _zeros(g_state, kept.shape[1:], total).clone()
        g_spikes = torch.zeros_like(total[0])
        for t in range(len(total) - 1, -1, -1):
            if g_out is not None:
                g_spikes.add_(g_out[t])
            g_state = retreat(t, g_spikes, g_state, g_x[t])
            # Spikes of the step before reached this one through the recurrent weights.
            g_spikes = g_x[t] @ weight
        g_weight = None
        if ctx.needs_input_grad[3]:
            before = torch.cat([last[None], out[:-1]]).flatten(0, 1)
            g = g_x.flatten(0, 1)
            active = sparse(before)
            if active is None:
                g_weight = g.t() @ before
            else:
                g_weight = weight_gradient(active, g.numpy(), before.shape[1])
        if ctx.needs_input_grad[2]:
            g_c = retreat.g_c.sum(dim=1)
        else:
            g_c = None
        return g_x, g_state, g_c, g_weight, g_spikes, None, None
