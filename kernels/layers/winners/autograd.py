"""Outputs of winners with their gradients: of the pairs that meet on a CPU, of whole products on other devices."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from .cpu import input_gradient, weight_gradient


class Winners(torch.autograd.Function):
    """The outputs of winners [B, n] from (x, weight, bias, winners, sources, y).

    y [B, outputs] is the product itself, which chose the winners; sources [B, s] are the inputs that are not 0, none
    where any may be.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, winners, sources, y):
        ctx.save_for_backward(x, weight, winners, sources)
        return y.gather(1, winners)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, winners, sources = ctx.saved_tensors
        by_bias = grad.new_zeros(len(weight)).index_add_(0, winners.flatten(), grad.flatten())
        by_input = None
        if x.device.type != "cpu":
            # Gradients of all units, 0 for those that did not win.
            dense = grad.new_zeros(len(x), len(weight)).scatter_(1, winners, grad)
            if ctx.needs_input_grad[0]:
                by_input = dense @ weight
            return by_input, dense.T @ x, by_bias, None, None, None
        g = grad.contiguous().numpy()
        by_weight = torch.zeros_like(weight)
        weight_gradient(g, winners.numpy(), x.numpy(), sources.numpy(), by_weight.numpy())
        if ctx.needs_input_grad[0]:
            by_input = torch.zeros_like(x)
            input_gradient(g, winners.numpy(), weight.numpy(), sources.numpy(), by_input.numpy())
        return by_input, by_weight, by_bias, None, None, None
