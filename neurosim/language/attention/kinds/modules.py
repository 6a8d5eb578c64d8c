"""Small layers and functions that attention kinds share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from .tracing import leaf

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_erf": F.gelu,
    "identity": lambda x: x,
    "logsigmoid": F.logsigmoid,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "sqrelu": lambda x: F.relu(x).square(),
    "swish": F.silu,
    "tanh": torch.tanh,
}


def activation(name: str, option: str) -> Callable[[Tensor], Tensor]:
    """Return an activation by its name; `option` is named in the error.

    Raises:
        NeurosimInputError: no such activation.
    """
    return lookup(ACTIVATIONS, name, option)


class Linear(nn.Linear):
    """A linear layer that computes in the type of its input: weights may be kept in 16 bits."""

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        has_way_back = torch.is_grad_enabled() and x.requires_grad and not self.weight.requires_grad
        if has_way_back and self.weight.dtype != x.dtype:
            y: Tensor = _Widened.apply(x, self.weight, self.bias)
            return y
        return F.linear(x, self.weight.to(x.dtype), self.bias)


class _Widened(torch.autograd.Function):
    """x W^T + b of weights that are widened again on the way back: those of a whole model would fill the memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return F.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (gradient,) = gradients
        bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
        return gradient @ ctx.weight.to(gradient.dtype), None, bias


def linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """Return a linear layer that computes in the type of its input."""
    return Linear(inputs, outputs, bias=bias)


def low_rank(inputs: int, rank: int, outputs: int, bias: bool = False) -> nn.Sequential:
    """Return two linear layers through `rank` channels."""
    return nn.Sequential(linear(inputs, rank), linear(rank, outputs, bias))


def split_heads(x: Tensor, head_dim: int) -> Tensor:
    """Return [.., H head_dim] to [.., H, head_dim]."""
    return x.unflatten(-1, (-1, head_dim))


@leaf
def repeat_heads(x: Tensor, times: int) -> Tensor:
    """Return [.., H, C] to [.., times H, C]: copies of a head lie beside each other, for grouped heads."""
    return x if times == 1 else x.repeat_interleave(times, -2)


@leaf
def l2_normalise(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide x by its length along the last axis; `eps`, added to the squared length, keeps it finite at 0."""
    return x * (x.square().sum(-1, keepdim=True) + eps).rsqrt()


def divide(total: int, by: int, option: str) -> int:
    """Return total / by, which must be an integer >= 1.

    Raises:
        NeurosimInputError: it is not; names the option.
    """
    require(total > 0, option, "must be > 0", total)
    require(by > 0, option, f"cannot be divided into {by} parts", total)
    require(total % by == 0, option, f"must be a multiple of {by} and > 0", total)
    return total // by


class ShortConv(nn.Module):
    """A causal convolution over few tokens, each channel on its own: y_t = f(sum_i w_i x_{t-size+1+i} + b)."""

    def __init__(self, channels: int, size: int, bias: bool = False, activation: str | None = "silu") -> None:
        super().__init__()
        require(size > 0, "ShortConv.size", "must be > 0 tokens", size)
        self.size = size
        self.activation = activation
        # As torch starts a convolution of `size` inputs.
        bound = 1 / math.sqrt(size)
        self.weight = nn.Parameter(torch.empty(channels, 1, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def initial(self, x: Tensor) -> Tensor:
        """Return [B, size - 1, C] zeros: the tokens before the first."""
        return x.new_zeros(x.shape[0], self.size - 1, self.weight.shape[0])

    @leaf
    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Return (y [B, T, C], the new tail) from x [B, T, C] and `tail`, the `size - 1` tokens before it."""
        known = torch.cat([tail, x], 1)
        return self.apply_to(known, x.shape[1]), known[:, x.shape[1] :]

    def apply_to(self, known: Tensor, length: int) -> Tensor:
        """Return y of the last `length` tokens of `known` [B, size - 1 + length, C]."""
        # As an image of one column with channels last: on a CPU five times as fast as conv1d or shifted products.
        # `contiguous` instead of `to` would copy here.
        window = known[:, known.shape[1] - length - self.size + 1 :].mT[..., None]
        image = window.to(memory_format=torch.channels_last)
        y = F.conv2d(image, self.weight[..., None], self.bias, groups=self.weight.shape[0])[..., 0].mT
        if self.activation is None:
            return y
        return ACTIVATIONS[self.activation](y)


@leaf
def token_shift(x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """Return (the token before each of x [B, T, D], the last token); `tail` [B, 1, D] comes before the first."""
    known = torch.cat([tail, x], 1)
    return known[:, :-1], known[:, -1:]


def initial_a_log(heads: int) -> nn.Parameter:
    """Return [H] A_log at the start of training: A uniform over 1 to 16, as in Mamba-2."""
    return nn.Parameter(torch.empty(heads).uniform_(1, 16).log())


def initial_dt_bias(count: int) -> nn.Parameter:
    """Return [count] dt_bias at the start of training: steps log-uniform over .001 to .1 (Gu & Dao 2023)."""
    steps = torch.exp(torch.rand(count) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)
    # The inverse of softplus: softplus(dt_bias) is the step.
    return nn.Parameter(steps + torch.log(-torch.expm1(-steps)))


def log_decays(a: Tensor, a_log: Tensor, dt_bias: Tensor) -> Tensor:
    """Return g = -exp(A_log) softplus(a + dt_bias), the decay of Mamba-2 and of the gated delta rule."""
    return -a_log.exp() * F.softplus(a + dt_bias)
