"""The two recurrences that most kinds share, of a matrix for each head: sums of k v^T, and the delta rule."""

from __future__ import annotations

import torch
from torch import Tensor

from . import chunks
from .base import Inputs, Mixer, RowUpdates
from .compiled import Step
from .linear_system import LinearSystem, additive_system, delta_system


class AdditiveMixer(Mixer):
    """S = e^g S + k v^T;  o = scale S^T q, g is [H] or [H, K] for each token, or absent."""

    in_words = "state S = e^g S + k v^T, output S^T q"
    has_qk = True
    reads_backwards = True

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # S = e^g S + k v^T
        memory = decayed(memory, inputs.get("g")) + inputs["k"][..., None] * inputs["v"][..., None, :]
        # o = scale S^T q
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.additive(memory, inputs, self.scale)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # o is linear in q: the scale may go onto q.
        q = inputs["q"] * self.scale
        return chunks.additive(q, inputs["k"], inputs["v"], memory, inputs.get("g"), self.chunk)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        return additive_system(inputs, self.scale)

    def row_updates(self) -> RowUpdates | None:
        return RowUpdates()

    def transition(self, empty: Tensor, inputs: Inputs) -> Tensor:
        return total_decays(empty, inputs.get("g"))

    def carried(self, transition: Tensor, memory: Tensor) -> Tensor:
        return transition * memory


class DeltaMixer(Mixer):
    """S = e^g S;  u = beta (v - S^T k);  S += k u^T;  o = scale S^T q."""

    in_words = "state of the delta rule, S += k beta (v - S^T k)^T, output S^T q"
    has_qk = True
    reads_backwards = True

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # S = e^g S;  S += k (beta (v - S^T k))^T
        memory = delta_step(memory, inputs["k"], inputs["v"], inputs["beta"], inputs.get("g"))
        # o = scale S^T q
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.delta(memory, inputs, self.scale)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q = inputs["q"] * self.scale
        return chunks.delta(q, inputs["k"], inputs["v"], inputs["beta"], memory, inputs.get("g"), self.chunk)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        return delta_system(inputs, self.scale)

    def row_updates(self) -> RowUpdates | None:
        return RowUpdates(reads_first=True)


def decayed(memory: Tensor, g: Tensor | None) -> Tensor:
    """Return e^g S; g is [B, H], [B, H, K] or None."""
    if g is None:
        return memory
    # g [B, H, K] has a decay for each row of S, g [B, H] one for all of S.
    per_row = g.dim() == memory.dim() - 1
    log_decay = g[..., None] if per_row else g[..., None, None]
    return memory * log_decay.exp()


def total_decays(empty: Tensor, g: Tensor | None) -> Tensor:
    """Return the decay of a memory over all tokens, [B, H, K or 1, 1]; g is [B, T, H], [B, T, H, K] or None."""
    if g is None:
        return torch.ones_like(empty[..., :1, :1])
    # Decays multiply: e^(sum of g) over the tokens.
    total = g.sum(1).exp()
    return total[..., None] if g.dim() == 4 else total[..., None, None]


def read(memory: Tensor, q: Tensor) -> Tensor:
    """Return S^T q: [.., V] from S [.., K, V] and q [.., K]."""
    return (q[..., None, :] @ memory)[..., 0, :]


def delta_step(memory: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor | None) -> Tensor:
    """Return S after one step of the (gated) delta rule; beta is [.., H]."""
    memory = decayed(memory, g)
    # S^T k is the value that the state holds for k; u moves it towards v by the step beta.
    update = beta[..., None] * (v - read(memory, k))
    return memory + k[..., None] * update[..., None, :]
