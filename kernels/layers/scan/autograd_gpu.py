"""The recurrence on a GPU as functions of torch: with its gradient, with and without feed-back."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from . import triton as kernels


def _zeros(g, like):
    return torch.zeros_like(like) if g is None else g.contiguous()


class TritonScan(torch.autograd.Function):
    """(out, state) from (current [T, B, N], state, c, how), as `reference.reference`."""

    @staticmethod
    def forward(ctx, current, state, c, how):
        ctx.set_materialize_grads(False)
        current, state, c = current.contiguous(), state.contiguous(), c.contiguous()
        keep = any(ctx.needs_input_grad)
        out, after, kept = kernels.forward(how, current, state, c, kernels.STRIDE if keep else 0)
        if keep:
            ctx.save_for_backward(current, c, kept)
            ctx.how = how
        return out, after

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_after):
        (current, c, kept), trained = ctx.saved_tensors, ctx.needs_input_grad[2]
        g_x, g_c = torch.empty_like(current), current.new_zeros(len(c), *current.shape[1:])
        g_out, g_after = _zeros(g_out, current), _zeros(g_after, kept[0])
        g_state = kernels.backward(ctx.how, current, c, kept, g_out, g_after, g_x, g_c, trained)
        return g_x, g_state, g_c.sum(dim=1) if trained else None, None


class TritonFeedbackScan(torch.autograd.Function):
    """(out, state) from (current, state, c, weight [N, N], last [B, N], how), as `reference` with a weight.

    Each step is a product and a launch of the kernel of the recurrence on one step, forward and backward.
    """

    @staticmethod
    def forward(ctx, current, state, c, weight, last, how):
        ctx.set_materialize_grads(False)
        current, state, c = current.contiguous(), state.contiguous(), c.contiguous()
        total, out, kept, spikes = torch.empty_like(current), torch.empty_like(current), [], last
        for t in range(len(current)):
            if t % kernels.STRIDE == 0:
                kept.append(state)
            torch.addmm(current[t], spikes, weight.t(), out=total[t])
            step, state, _ = kernels.forward(how, total[t : t + 1], state, c, 0)
            out[t] = spikes = step[0]
        ctx.save_for_backward(total, c, weight, last, torch.stack(kept), out)
        ctx.how = how
        return out, state

    @staticmethod
    @once_differentiable
    def backward(ctx, g_out, g_state):
        total, c, weight, last, kept, out = ctx.saved_tensors
        trained, stride = ctx.needs_input_grad[2], kernels.STRIDE
        g_x, g_c = torch.empty_like(total), total.new_zeros(len(c), *total.shape[1:])
        g_state, g_spikes = _zeros(g_state, kept[0]), torch.zeros_like(last)
        for t in range(len(total) - 1, -1, -1):
            begin = t - t % stride
            if t % stride == stride - 1 or t == len(total) - 1:
                _, _, past = kernels.forward(ctx.how, total[begin : t + 1], kept[t // stride], c, 1)
            if g_out is not None:
                g_spikes = g_spikes + g_out[t]
            here, into = total[t : t + 1], g_x[t : t + 1]
            before = past[t - begin : t - begin + 1]
            g_state = kernels.backward(ctx.how, here, c, before, g_spikes.contiguous(), g_state, into, g_c, trained)
            g_spikes = g_x[t] @ weight
        earlier = torch.cat([last[None], out[:-1]])
        g_weight = g_x.flatten(0, 1).t() @ earlier.flatten(0, 1) if ctx.needs_input_grad[3] else None
        return g_x, g_state, g_c.sum(dim=1) if trained else None, g_weight, g_spikes, None
