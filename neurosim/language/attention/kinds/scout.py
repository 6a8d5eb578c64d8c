"""Softmax attention over checkpoints: one token of every few is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ....base.errors import require
from ....base.rules import Rule
from .base import Inputs, Shared, State
from .compiled import Step
from .modules import repeat_heads
from .softmax import SoftmaxAttention


@dataclass(eq=False, repr=False, kw_only=True)
class CheckpointAttention(SoftmaxAttention):
    """o_t = softmax(q_t K^T / sqrt(K)) V over the token t itself and the tokens n - 1, 2 n - 1, .. before it (SCOUT,
    Jafari et al. 2025, arXiv 2509.00935).

    What lies between two checkpoints is for the layer below to gather in them: a recurrent kind or a window. The memory
    grows by one token in n; a checkpoint of every token, n = 1, is softmax attention.

    Args:
        interval: n.
    """

    why_not_parallel = "its checkpoints lie in other processes"

    interval: Annotated[int, Rule(">= 1 tokens")] = 10

    def build(self) -> None:
        require(
            self.window_size == 0, self.name("window_size"), "must be 0: every checkpoint is seen", self.window_size
        )
        super().build()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        position = state["position"] + torch.arange(x.shape[1], device=x.device)
        is_checkpoint = position % self.interval == self.interval - 1
        return inputs | {"is_checkpoint": is_checkpoint.expand(len(x), -1)}, after

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.attend(self.cache(interval=self.interval), inputs["q"], inputs["k"], inputs["v"])

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        is_checkpoint = inputs["is_checkpoint"][0]  # the same for all sequences of a batch
        own = torch.cat([inputs["k"], inputs["v"]], -1)
        known = torch.cat([memory, own[:, is_checkpoint]], 1)
        keys, values = (p.movedim(1, 2) for p in repeat_heads(known, self.groups).split(self.k_size, -1))
        own_k, own_v = repeat_heads(own, self.groups).split(self.k_size, -1)
        # A checkpoint sees itself as its own token, once.
        before = memory.shape[1] + is_checkpoint.cumsum(0) - is_checkpoint.long()
        unseen = torch.arange(known.shape[1], device=is_checkpoint.device) >= before[:, None]
        scores = (inputs["q"].movedim(1, 2) @ keys.mT).masked_fill(unseen, -torch.inf)
        present = (inputs["q"] * own_k).sum(-1).mT
        # One softmax over the checkpoints before and, in the last column, the token itself.
        weights = (torch.cat([scores, present[..., None]], -1) * self.k_size**-0.5).softmax(-1)
        out = weights[..., :-1] @ values
        return known, out.movedim(2, 1) + weights[..., -1:].movedim(2, 1) * own_v
