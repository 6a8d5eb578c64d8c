"""Layers whose weights change only in directions that no earlier task has used."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from .subspace import Subspace


class _Product(torch.autograd.Function):
    """x W^T with `presynaptic` in place of x in the weight gradient: delta^T presynaptic."""

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
    """Return weights [outputs, ...], uniform in +- 1 / sqrt(inputs) as in torch's layers."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * bound)


@final
class ProjectedLinear(nn.Module):
    """A linear layer without bias: grad W = delta^T (x - H_old^T H_old x), H_old being the frozen rows of `subspace`.

    Forward and the gradient of x are those of `torch.nn.Linear`. A step changes W only orthogonally to all inputs in
    the span of H_old: the outputs for them stay the same. There is no bias: its input, always 1, is orthogonal to none
    of the earlier ones.

    Args:
        subspace: lateral neurons for `inputs` inputs.
    """

    def __init__(self, inputs: int, outputs: int, subspace: Subspace, seed: int = 0) -> None:
        super().__init__()
        require(subspace.features == inputs, "ProjectedLinear.subspace", f"must be {inputs} wide", subspace.features)
        self.weight = uniform((outputs, inputs), seed)
        self.subspace = subspace

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """Return [..., outputs] for x [..., inputs].

        Args:
            trace: [..., inputs] that replace x in the weight gradient (online training).
            learn: train the subspace on this x; all leading dimensions are samples.
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
    """`ProjectedLinear` on every patch of an image; the subspace has `inputs * kernel * kernel` features.

    Forward and the gradient of x are those of `torch.nn.Conv2d` without bias.
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
        """Return [B, outputs, h', w'] for x [B, inputs, h, w]; see `ProjectedLinear` for `trace` and `learn`."""
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in x.shape[2:])
        before = None if trace is None else self._patches(trace)
        y = self.linear(self._patches(x), before, learn)
        return y.transpose(1, 2).unflatten(2, (height, width))

    def _patches(self, x: Tensor) -> Tensor:
        """Return [B, places, inputs * kernel * kernel]."""
        return F.unfold(x, self.kernel, padding=self.padding, stride=self.stride).transpose(1, 2)
