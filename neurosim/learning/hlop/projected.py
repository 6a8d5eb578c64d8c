"""Layers whose weights change only in directions that no earlier task has used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import lookup, require
from ...base.random import torch_seed
from .subspace import Subspace

# Weights that errors go back through.
FEEDBACKS = {"exact": "W", "random": "fixed B", "sign": "|B| with the signs of W"}
# Added to the seed of the weights: the seed of the fixed weights B.
FIXED = 500_009


class _Product(torch.autograd.Function):
    """The product x W^T with other gradients.

    `presynaptic` replaces x in the gradient of W, delta^T presynaptic; `back` replaces W in the gradient of x, delta
    back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, presynaptic: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back, presynaptic)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        back, presynaptic = ctx.saved_tensors
        for_x = None
        for_weight = None
        if ctx.needs_input_grad[0]:
            # delta back: W itself, or fixed weights (feedback alignment).
            for_x = grad @ back
        if ctx.needs_input_grad[1]:
            # delta^T (x - H_old^T H_old x): no step along the inputs of earlier tasks.
            for_weight = grad.T @ presynaptic
        return for_x, for_weight, None, None


def uniform(shape: tuple[int, ...], seed: int) -> nn.Parameter:
    """Return weights [outputs, ...], uniform in +- 1 / sqrt(inputs) as in torch's layers."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    generator = torch.Generator().manual_seed(torch_seed(seed))
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * bound)


@final
class ProjectedLinear(nn.Module):
    """A linear layer without bias: grad W = delta^T (x - H_old^T H_old x), H_old being the frozen rows of `subspace`.

    Forward equals `torch.nn.Linear`, and so does the gradient of x with exact feedback. A step changes W only
    orthogonally to all inputs in the span of H_old: the outputs for them stay the same. There is no bias: its input,
    always 1, is orthogonal to none of the earlier ones.

    Args:
        subspace: lateral neurons for `inputs` inputs.
        feedback: weights that errors go back through: "exact", W; "random", fixed B, drawn as W is (feedback alignment,
            Lillicrap et al. 2016); "sign", |B| with the signs of W (Liao et al. 2016, "fixed random magnitude").
    """

    def __init__(self, inputs: int, outputs: int, subspace: Subspace, seed: int = 0, feedback: str = "exact") -> None:
        super().__init__()
        require(subspace.features == inputs, "ProjectedLinear.subspace", f"must be {inputs} wide", subspace.features)
        lookup(FEEDBACKS, feedback, "ProjectedLinear.feedback")
        self.weight = uniform((outputs, inputs), seed)
        self.subspace = subspace
        self.feedback = feedback
        self.fixed: Tensor | None
        if feedback == "exact":
            fixed = None
        else:
            fixed = uniform((outputs, inputs), seed + FIXED).data
        # Not saved: a loaded layer draws the same weights from its seed.
        self.register_buffer("fixed", fixed, persistent=False)

    def back(self) -> Tensor:
        """Return the weights [outputs, inputs] that errors go back through."""
        weight = self.weight.detach()
        if self.fixed is None:
            return weight
        if self.feedback == "random":
            return self.fixed
        # "sign": it follows the signs of W as they change, and never its magnitudes.
        return self.fixed.abs() * weight.sign()

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """Return [..., outputs] for x [..., inputs].

        Args:
            trace: [..., inputs] that replace x in the weight gradient (online training).
            learn: train the subspace on this x; all leading dimensions are samples.
        """
        rows = x.flatten(0, -2)
        samples = rows.detach()
        # Without a gradient the projection would not be used.
        if not (learn or (torch.is_grad_enabled() and self.weight.requires_grad)):
            return x @ self.weight.T
        # x - H_old^T H_old x, used by the subspace and by the gradient.
        residual = self.subspace.residual(samples)
        if learn:
            self.subspace.learn(samples, residual)
        if trace is None:
            presynaptic = residual
        else:
            # Online training: the trace of the input takes its place, and is projected alike.
            presynaptic = self.subspace.residual(trace.detach().flatten(0, -2))
        return _Product.apply(rows, self.weight, presynaptic, self.back()).unflatten(0, x.shape[:-1])


@final
class ProjectedConv2d(nn.Module):
    """`ProjectedLinear` on every patch of an image; the subspace has `inputs * kernel * kernel` features.

    Forward equals `torch.nn.Conv2d` without bias, and so does the gradient of x with exact feedback.
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
        feedback: str = "exact",
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.linear = ProjectedLinear(
            inputs=inputs * kernel * kernel, outputs=outputs, subspace=subspace, seed=seed, feedback=feedback
        )

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """Return [B, outputs, h', w'] for x [B, inputs, h, w]; see `ProjectedLinear` for `trace` and `learn`."""
        before = None if trace is None else self.patches(trace)
        y = self.linear(self.patches(x), before, learn)
        return y.transpose(1, 2).unflatten(2, self.places(x.shape[2:]))

    def places(self, size: Sequence[int]) -> tuple[int, int]:
        """Return height and width of the output, from height and width of the input."""
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in size)
        return height, width

    def patches(self, x: Tensor) -> Tensor:
        """Return [B, places, inputs * kernel * kernel]."""
        return F.unfold(x, self.kernel, padding=self.padding, stride=self.stride).transpose(1, 2)


@final
class ProjectedPicture(nn.Module):
    """`ProjectedConv2d` of pictures whose units are in one row, with half of the kernel around them.

    Args:
        shape: (channels, height, width) of the input.
        subspace: lateral neurons for patches of `channels * kernel * kernel` entries.

    Attributes:
        shape, out_shape: (channels, height, width) of input and output.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        filters: int,
        kernel: int,
        stride: int,
        subspace: Subspace,
        seed: int = 0,
        feedback: str = "exact",
    ) -> None:
        super().__init__()
        self.shape = shape
        self.conv = ProjectedConv2d(
            inputs=shape[0],
            outputs=filters,
            kernel=kernel,
            subspace=subspace,
            stride=stride,
            padding=kernel // 2,
            seed=seed,
            feedback=feedback,
        )
        self.out_shape = (filters, *self.conv.places(shape[1:]))

    @property
    def linear(self) -> ProjectedLinear:
        """The layer that all patches share."""
        return self.conv.linear

    def forward(self, x: Tensor, trace: Tensor | None = None, learn: bool = False) -> Tensor:
        """Return [..., units] for x [..., units of the input]; see `ProjectedLinear` for `trace` and `learn`."""
        if trace is None:
            before = None
        else:
            before = trace.reshape(-1, *self.shape)
        return self.conv(x.reshape(-1, *self.shape), before, learn).reshape(*x.shape[:-1], math.prod(self.out_shape))

    def patches(self, x: Tensor) -> Tensor:
        """Return [T, B * places, entries of a patch] of x [T, B, units of the input]."""
        return self.conv.patches(x.reshape(-1, *self.shape)).reshape(len(x), -1, self.linear.subspace.features)

    def by_place(self, x: Tensor) -> Tensor:
        """Return [..., B * places, filters] of units [..., B, units of the output]."""
        filters = self.out_shape[0]
        places = math.prod(self.out_shape[1:])
        return x.unflatten(-1, (filters, places)).transpose(-1, -2).flatten(-3, -2)
