"""A linear layer for torch that uses the sparsity of its input if there is any."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from .cpu import column_sums, product, turned_product
from .lists import MAX_DENSITY, ActiveInputs, listed


def sparse(x):
    """Return `Active` of x [..., inputs] by row, or None if the dense product is faster or the only one."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return None
    return listed(x.detach().reshape(-1, x.shape[-1]).contiguous().numpy(), threads=torch.get_num_threads())


class SpikeProduct(torch.autograd.Function):
    """x weight^T + bias from (x or None, weight [outputs, inputs], bias or None, the `Active` of x, its shape).

    The gradient of x [..., inputs] is a dense product, computed only if it is needed.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, active, shape):
        threads = torch.get_num_threads()
        out = torch.from_numpy(product(active, weight.detach().t().contiguous().numpy(), threads))
        if bias is not None:
            out += bias
        ctx.active = active
        ctx.save_for_backward(weight)
        return out.view(*shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        threads = torch.get_num_threads()
        (weight,) = ctx.saved_tensors
        rows = g.reshape(-1, g.shape[-1]).contiguous().numpy()
        g_x = (g @ weight) if ctx.needs_input_grad[0] else None
        if ctx.needs_input_grad[1]:
            g_weight = weight_gradient(ctx.active, rows, weight.shape[1])
        else:
            g_weight = None
        if ctx.needs_input_grad[2]:
            g_bias = torch.from_numpy(column_sums(rows, threads))
        else:
            g_bias = None
        return g_x, g_weight, g_bias, None, None


def weight_gradient(active: ActiveInputs, g, inputs):
    """Return [outputs, inputs] from an `Active` of R rows and g [R, outputs], stored by input."""
    return torch.from_numpy(turned_product(active, inputs, g, torch.get_num_threads())).t()


def linear(x, weight, bias):
    """Return x weight^T + bias, from the spikes of x if they are few."""
    active = sparse(x) if x.numel() else None
    if active is None or weight.dtype != torch.float32:
        return torch.nn.functional.linear(x, weight, bias)
    return SpikeProduct.apply(x, weight, bias, active, x.shape)


def linear_of_list(active, shape, weight, bias):
    """Return x weight^T + bias of an x [..., inputs] given by its `Active`; None where the dense product is faster."""
    few = len(active.units) <= MAX_DENSITY * (len(active.starts) - 1) * shape[-1]
    if not few or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    return SpikeProduct.apply(None, weight, bias, active, shape)
