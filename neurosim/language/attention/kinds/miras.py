"""Memories of Miras: networks trained while they are read, by a loss and a retention of their own (2504.13173)."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from ....base.rules import Rule
from ....kernels.decode.networks import cpu as networks
from .base import Inputs, Shared, State
from .compiled import Step
from .modules import linear, split_heads
from .neural_memory import NeuralMemory
from .retention import CHANGES, RETENTIONS


@dataclass(eq=False, repr=False, kw_only=True)
class RetainingMemory(NeuralMemory):
    """Memories whose w is not the identity.

    Args:
        retain: 'token', weights w(A) for every token, or 'span', w at the ends of spans alone, as Miras is trained:
            the tokens before read w(A_0) + J (A_t - A_0), A_0 before the span and J the derivative of w there.
    """

    is_identity = False

    retain: str = "token"

    def build(self) -> None:
        lookup(dict.fromkeys(("token", "span")), self.retain, self.name("retain"))
        super().build()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        if self.retain == "token":
            return inputs, after
        position = state["position"] + torch.arange(1, x.shape[1] + 1, device=x.device)
        return inputs | {"ends": (position % self.span == 0).expand(len(x), -1)}, after

    def read_weights(self, a: Tensor, anchor: Tensor, inputs: Inputs) -> list[Tensor]:
        whole = self.weights(a)
        if self.retain == "token":
            return whole
        near = self.weights(anchor)
        changes = [self.changed(*pair) for pair in zip(self.matrices(anchor), self.matrices(a - anchor), strict=True)]
        ends = inputs["ends"][..., None, None, None]
        return [torch.where(ends, w, n + c) for w, n, c in zip(whole, near, changes, strict=True)]

    @property
    def reads_near(self) -> bool:
        return self.retain == "span"

    @abstractmethod
    def changed(self, a: Tensor, change: Tensor) -> Tensor:
        """Return J times a change of one matrix A, J the derivative of w at A."""


@dataclass(eq=False, repr=False, kw_only=True)
class Moneta(RetainingMemory):
    """L = sum |M(k) - v|^p, W = sign(A) |A|^(q - 1) / |A|_q^(q - 2) for each matrix (Miras, arXiv 2504.13173).

    W is the gradient of |A|_q^2 / 2: it grows as A does, and for q = 2 it is A. The paper prints A / |A|_q^(q - 2),
    which is no gradient of a convex function: the larger A, the smaller its W for q > 3. The sign in the gradient of
    the loss is tanh(10 e), so that it has a derivative itself.

    Args:
        p, q: exponents of loss and retention.
        retention: 'mirror', the gradient above, or 'printed', the map of the paper.
        max_step: small, for the gradient grows with the square of the error.
    """

    max_step: float = 0.01
    p: Annotated[float, Rule(">= 1")] = 3.0
    q: Annotated[float, Rule(">= 2")] = 4.0
    retention: str = "mirror"

    def build(self) -> None:
        lookup(RETENTIONS, self.retention, self.name("retention"))
        super().build()

    def first_weights(self) -> Tensor:
        """Return A whose W are the weights that other memories start from: the mirror map's inverse is its dual."""
        first = super().first_weights()
        if self.retention == "printed":
            return first
        # For 1/q + 1/q' = 1 the inverse of grad |A|_q^2 / 2 is grad |W|_q'^2 / 2.
        dual = self.q / (self.q - 1)
        parts = first.split([rows * columns for rows, columns in self.shapes], -1)
        sizes = [(part.abs() ** dual).sum(-1, keepdim=True) ** ((2 - dual) / dual) for part in parts]
        return torch.cat([part.sign() * part.abs() ** (dual - 1) * n for part, n in zip(parts, sizes, strict=True)], -1)

    def pull(self, error: Tensor, inputs: Inputs) -> Tensor:
        return self.p * (10 * error).tanh() * (error.abs() + 1e-12) ** (self.p - 1)

    def retained(self, a: Tensor) -> Tensor:
        return RETENTIONS[self.retention](a, self.q)

    def changed(self, a: Tensor, change: Tensor) -> Tensor:
        return CHANGES[self.retention](a, change, self.q)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        retention = networks.PRINTED if self.retention == "printed" else networks.NORM
        exponents = (float(self.p), float(self.q))
        return self.append_training(step, memory, inputs, loss=networks.POWER, retention=retention, exponents=exponents)


@dataclass(eq=False, repr=False, kw_only=True)
class Yaad(NeuralMemory):
    """L is Huber's loss: squared up to an error of delta, linear beyond, delta = softplus(W x) (Miras, 2504.13173).

    A value far from the memory's expectation pulls by at most delta.
    """

    def build(self) -> None:
        super().build()
        self.delta_proj = linear(self.width, self.heads * self.v_size, bias=True)
        # softplus(bias) = 1 at the start
        nn.init.constant_(self.delta_proj.bias, math.log(math.expm1(1.0)))

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        return inputs | {"delta": F.softplus(split_heads(self.delta_proj(x), self.v_size))}, after

    def pull(self, error: Tensor, inputs: Inputs) -> Tensor:
        return torch.clamp(error, -inputs["delta"], inputs["delta"])

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return self.append_training(step, memory, inputs, loss=networks.HUBER, delta=inputs["delta"])


@dataclass(eq=False, repr=False, kw_only=True)
class Memora(RetainingMemory):
    """W = softmax(alpha log W' - theta dL/dW) over the inputs of each output, L squared (Miras, arXiv 2504.13173).

    Retention by relative entropy: weights stay positive with sum 1. A is log W up to what the softmax removes.
    """

    def first_weights(self) -> Tensor:
        # Rows far from uniform: the mean of all inputs would leave the norm nothing but rounding.
        return torch.cat([2 * torch.randn(self.heads, rows * columns) for rows, columns in self.shapes], -1)

    def pull(self, error: Tensor, inputs: Inputs) -> Tensor:
        return error

    def retained(self, a: Tensor) -> Tensor:
        return a.softmax(-2)

    def changed(self, a: Tensor, change: Tensor) -> Tensor:
        weights = a.softmax(-2)
        return weights * (change - (weights * change).sum(-2, keepdim=True))

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return self.append_training(step, memory, inputs, retention=networks.COLUMNS)
