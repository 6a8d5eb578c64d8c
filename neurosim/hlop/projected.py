"""Layers whose weights change only in directions that no earlier task has used; forward and input gradient as ever."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from .subspace import Subspace


class _Product(torch.autograd.Function):
    """x W^T, whose weight gradient takes another `presynaptic` in place of x: delta^T presynaptic."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, presynaptic: Tensor) -> Tensor:
        ctx.save_for_backward(weight, presynaptic)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None]:
        (grad,) = grads
        weight, presynaptic = ctx.saved_tensors
        for_x = grad @ weight if ctx.needs_input_grad[0] else None
        for_weight = grad.T @ presynaptic if ctx.needs_input_grad[1] else None
        return for_x, for_weight, None


def uniform(shape: tuple[int, ...], seed: int) -> nn.Parameter:
    """Weights [outputs, ...] uniform in +- 1 / sqrt(inputs), as torch's own layers start."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    draws = torch.Generator().manual_seed(seed)
    return nn.Parameter((2 * torch.rand(shape, generator=draws) - 1) * bound)


@final
class ProjectedLinear(nn.Module):
    """A linear layer without bias: grad W = delta^T (x - H_old^T H_old x), H_old being the frozen rows of `subspace`.

    Forward and the gradient on x are those of `torch.nn.Linear`. A bias has no input that could be orthogonal to
    earlier ones, so there is none. What a step adds to W is orthogonal to all inputs in the span of H_old: the answers
    to them stay as they were.

    Args:
        subspace: settings are the caller's; of width `inputs`.
    """

    def __init__(self, inputs: int, outputs: int, subspace: Subspace, seed: int = 0) -> None:
        super().__init__()
        require(subspace.features == inputs, "ProjectedLinear.subspace", f"must be {inputs} wide", subspace.features)
        self.weight = uniform((outputs, inputs), seed)
        self.subspace = subspace

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """[..., outputs] from x [..., inputs].

        Args:
            trace: [..., inputs] in place of x in the weight gradient (training online).
            learn: whether the subspace learns from this x, all leading dimensions being samples.
        """
        rows = x.flatten(0, -2)
        seen = rows.detach()
        if not (learn or (torch.is_grad_enabled() and self.weight.requires_grad)):
            return x @ self.weight.T
        residual = self.subspace.residual(seen)
        if learn:
            self.subspace.learn(seen, residual)
        presynaptic = residual if trace is None else self.subspace.residual(trace.detach().flatten(0, -2))
        return _Product.apply(rows, self.weight, presynaptic).unflatten(0, x.shape[:-1])


@final
class ProjectedConv2d(nn.Module):
    """`ProjectedLinear` on every patch of an image; the subspace is that of patches, `inputs * kernel * kernel` wide.

    Forward and the gradient on x are those of `torch.nn.Conv2d` without bias.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        subspace: Subspace,
        stride: int = 1,
        padding: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.linear = ProjectedLinear(inputs * kernel * kernel, outputs, subspace, seed)

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """[B, outputs, h', w'] from x [B, inputs, h, w]; `trace` and `learn` as in `ProjectedLinear`."""
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in x.shape[2:])
        before = None if trace is None else self._patches(trace)
        y = self.linear(self._patches(x), before, learn)
        return y.transpose(1, 2).unflatten(2, (height, width))

    def _patches(self, x: Tensor) -> Tensor:
        """[B, places, inputs * kernel * kernel]."""
        return F.unfold(x, self.kernel, padding=self.padding, stride=self.stride).transpose(1, 2)
