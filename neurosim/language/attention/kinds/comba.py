"""Comba: a delta rule whose correction is scaled by itself, beside the decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import chunks
from .base import Inputs, Shared, State
from .compiled import Step
from .delta import HeadedMixer
from .linear_system import LinearSystem, decays
from .matrix_memory import decayed, read
from .modules import l2_normalise, linear, log_decays, repeat_heads, split_heads


@dataclass(eq=False, repr=False, kw_only=True)
class Comba(HeadedMixer):
    """u = beta (v - S^T p), S = e^g S + k u^T, o = S^T q, p = b k (Hu et al. 2025, arXiv 2506.02475).

    The state that is corrected is the one before the decay: its transition is e^g I - beta k p^T, "scalar plus low
    rank". b = sigmoid(decay) and d = D are weights of each head of k. From a key k' that is not normalised yet, k =
    norm(k') and q = norm(q' - d b k'). The decay g is as in `GatedDeltaNet`, the output gate a sigmoid.

    Args:
        use_inner_decay: learn b; without it 1.
        use_output_correction: learn d; without it 0.
        correction_factor: d at the start.
        normalise_feedback: p = norm(b k'), as flash-linear-attention computes it: b is left in q alone.
        use_gate: gate the outputs.
    """

    use_inner_decay: bool = True
    use_output_correction: bool = True
    correction_factor: float = 1.0
    normalise_feedback: bool = False
    use_gate: bool = True

    def build(self) -> None:
        self.gate_fn = "sigmoid" if self.use_gate else None
        self.group(2 * self.head_dim)
        self.a_proj = linear(self.width, self.heads)
        self.b_proj = linear(self.width, self.heads)
        if self.use_inner_decay:
            self.decay = nn.Parameter(torch.ones(self.num_heads))
        if self.use_output_correction:
            self.D = nn.Parameter(torch.full((self.num_heads,), float(self.correction_factor)))
        self.make_decay()
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state, "silu")
        q = split_heads(q, self.k_size)
        k = split_heads(k, self.k_size)
        # k and q are those before their norms, k' and q', until the inputs are made.
        b = self.decay.sigmoid()[:, None] if self.use_inner_decay else 1.0
        if self.use_output_correction:
            q = q - self.D[:, None] * b * k
        if self.normalise_feedback:
            p = l2_normalise(b * k)
        else:
            p = b * l2_normalise(k)
        q, k, p = (repeat_heads(value, self.groups) for value in (l2_normalise(q), l2_normalise(k), p))
        beta = self.b_proj(x).sigmoid() * self.beta_scale
        g = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return {"q": q, "k": k, "p": p, "v": split_heads(v, self.v_size), "beta": beta, "g": g}, tails

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # u = beta (v - S^T p), with the state before its decay
        update = inputs["beta"][..., None] * (inputs["v"] - read(memory, inputs["p"]))
        # S = e^g S + k u^T
        memory = decayed(memory, inputs["g"]) + inputs["k"][..., None] * update[..., None, :]
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        # A change of rank one: S = e^g S + b (S^T a)^T + k v^T with a = p, b = -beta k, and beta k for k
        written = inputs["k"] * inputs["beta"][..., None]
        rows = {"q": inputs["q"] * self.scale, "k": written, "v": inputs["v"], "a": inputs["p"], "b": -written}
        return step.rank_one(memory, rows | {"g": inputs["g"]})

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v, beta, g, p = (inputs[name] for name in ("q", "k", "v", "beta", "g", "p"))
        return chunks.delta(q * self.scale, k, v, beta, memory, g, self.chunk, p)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = e^g I - beta k p^T, B = beta k, u = v, C = q."""
        q, k, v, beta, p = (inputs[name] for name in ("q", "k", "v", "beta", "p"))
        write = beta[..., None] * k
        transition = torch.diag_embed(decays(inputs["g"], k)) - write[..., None] * p[..., None, :]
        return LinearSystem(transition, write[..., None], v[..., None, :], q * self.scale)
