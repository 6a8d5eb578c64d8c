"""Gated associative memory: a short convolution, and a bank of patterns that is trained and never written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ....base.rules import Rule
from .base import Inputs, Mixer, Shared, State
from .compiled import Step
from .modules import ShortConv, linear


@dataclass(eq=False, repr=False, kw_only=True)
class GatedAssociativeMemory(Mixer):
    """y = s(a) conv(x) + s(b) V softmax(M x), [a, b] = W x (Acharya 2025, arXiv 2509.00605).

    The convolution is causal, each channel on its own; s is the sigmoid. The bank M, V of `slots` patterns is
    trained, and not written while text is read. What tokens say in context reaches no further than the
    convolutions, 2 tokens a layer with a kernel of 3. In the source V is M^T; here they are two linear layers, so that
    both are converted into spikes.

    Args:
        slots: number of patterns.
        conv_size: tokens of the convolution.

    The memory is [B, conv_size - 1, D], the tokens before.
    """

    holds_tokens = True

    slots: Annotated[int, Rule("> 0")] = 512
    conv_size: Annotated[int, Rule(">= 1 tokens")] = 3

    def build(self) -> None:
        self.conv1d = ShortConv(self.width, self.conv_size, activation=None)
        self.bank = linear(self.width, self.slots)
        self.o_proj = linear(self.slots, self.width)
        self.gate_proj = linear(self.width, 2 * self.width, bias=True)

    def initial(self, x: Tensor) -> State:
        return {"memory": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"x": x}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, inputs["x"][:, None]], 1)
        return known[:, 1:], torch.einsum("btd,dt->bd", known, self.conv1d.weight[:, 0])

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out, _ = self.conv1d(inputs["x"][:, None], memory)
        return out[:, 0]

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        out, tail = self.conv1d(inputs["x"], memory)
        return tail, out

    def tokens_to_keep(self, inputs: Inputs) -> Tensor | None:
        return self.visible_later(inputs["x"])

    def visible_later(self, known: Tensor) -> Tensor:
        return known[:, max(known.shape[1] - self.conv_size + 1, 0) :]

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        # y = s(a) conv(x) + s(b) V softmax(M x)
        local, bank = self.gate_proj(x).sigmoid().chunk(2, -1)
        return local * out + bank * self.o_proj(self.bank(x).softmax(-1))
