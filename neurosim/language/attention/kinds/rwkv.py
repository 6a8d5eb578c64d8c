"""RWKV-7: a decay for every key channel and a change of rank one a token (Peng et al. 2025, arXiv 2503.14456)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import chunks
from .base import Inputs, RowUpdates, Shared, State
from .compiled import Step
from .linear_system import LinearSystem, decays
from .matrix_memory import read
from .modules import divide, l2_normalise, linear, split_heads, token_shift
from .qkv import NormedMixer

MAX_DECAY = 0.6065306597126334  # e^-1/2: a channel loses at most 45 % of its content in a token


class LowRank(nn.Module):
    """W2 f(W1 x) + b."""

    def __init__(self, inputs: int, rank: int, outputs: int, act: nn.Module, bias: bool = True) -> None:
        super().__init__()
        self.lora = nn.Sequential(linear(inputs, rank), act, linear(rank, outputs, bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.lora(x)


@dataclass(eq=False, repr=False, kw_only=True)
class RWKV7(NormedMixer):
    """S = diag(e^w) S + b (S^T a)^T + k v^T, S^T a computed with the S before its decay; o = S^T r, scale 1.

    Each of r, w, k, v, a, g comes from its own mix of a token and the one before it. w = -e^-1/2 sigmoid(..). With
    k' = k k_k over its length, a = -k' is the direction that is removed, and b = k' times a learned rate is written
    back. Values of layer 0 are mixed into values of later layers. Output: norm over each head, plus (r . k r_k) v,
    times the gate.

    Args:
        head_dim: channels of a key head; there are width / head_dim heads.
        value_dim: channels over all heads (default: width).
        decay_low_rank_dim, a_low_rank_dim, v_low_rank_dim, gate_low_rank_dim: of the low-rank maps of w, a, v and g.
        l2_norm_eps: added to the squared length that k' is divided by.
    """

    chunk = 16
    in_words = "state of RWKV-7, output S^T q"
    has_qk = True

    head_dim: int = 32
    value_dim: int | None = None
    decay_low_rank_dim: int = 64
    a_low_rank_dim: int = 64
    v_low_rank_dim: int = 16
    gate_low_rank_dim: int = 128
    l2_norm_eps: float = 1e-6

    def build(self) -> None:
        width = self.width
        head_dim = self.head_dim
        values = self.value_dim or self.width
        self.is_first = self.depth.layer == 0
        self.heads = divide(width, head_dim, "RWKV7.width")
        self.v_size = divide(values, self.heads, "RWKV7.value_dim")
        for name in "rwkvag":
            setattr(self, f"x_{name}", nn.Parameter(torch.rand(1, 1, width)))
        self.k_k = nn.Parameter(torch.full((width,), 0.71))
        self.k_a = nn.Parameter(torch.full((width,), 1.02))
        self.r_k = nn.Parameter(torch.full((self.heads, head_dim), -0.04))
        self.r_proj = linear(width, width)
        self.k_proj = linear(width, width)
        self.v_proj = linear(width, values)
        self.o_proj = linear(values, width)
        self.w_lora = LowRank(width, self.decay_low_rank_dim, width, nn.Tanh())
        # From channels that remember hundreds of tokens to channels that lose a third in each.
        self.w_lora.lora[2].bias = nn.Parameter(torch.linspace(-6.0, 0.5, head_dim).repeat(self.heads))
        self.a_lora = LowRank(width, self.a_low_rank_dim, width, nn.Identity())
        self.g_lora = LowRank(width, self.gate_low_rank_dim, values, nn.Sigmoid(), bias=False)
        if not self.is_first:
            self.v_lora = LowRank(width, self.v_low_rank_dim, values, nn.Identity())
        self.g_norm = nn.GroupNorm(self.heads, values, eps=head_dim * self.norm_eps, affine=self.elementwise_affine)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(x.shape[0], self.heads, self.head_dim, self.v_size)
        return {"memory": memory, "tail": torch.zeros_like(x[:, :1])}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        before, tail = token_shift(x, state["tail"])
        # x + (before - x) mu: a mix of the token and the one before it for each of r, w, k, v, a, g.
        mixed = {name: torch.addcmul(x, before - x, getattr(self, f"x_{name}")) for name in "rwkvag"}
        k = self.k_proj(mixed["k"])
        v = self.v_proj(mixed["v"])
        if self.is_first:
            shared["first_values"] = v
        else:
            v = torch.lerp(v, shared["first_values"], self.v_lora(mixed["v"]).sigmoid())
        # The in-context learning rate: how much of the old value at the key k' is replaced.
        rate = self.a_lora(mixed["a"]).sigmoid()
        removed = l2_normalise(split_heads(k * self.k_k, self.head_dim), self.l2_norm_eps)
        inputs = {
            "q": split_heads(self.r_proj(mixed["r"]), self.head_dim),
            "g": split_heads(-MAX_DECAY * self.w_lora(mixed["w"]).sigmoid(), self.head_dim),
            "k": split_heads(k * (1 + (rate - 1) * self.k_a), self.head_dim),
            "v": split_heads(v, self.v_size),
            "a": -removed,
            "b": removed * split_heads(rate, self.head_dim),
            "gate": self.g_lora(mixed["g"]),
        }
        return inputs, {"tail": tail}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # S = diag(e^w) S + b (S^T a)^T + k v^T, S^T a with the S before its decay
        removed = inputs["b"][..., None] * read(memory, inputs["a"])[..., None, :]
        memory = memory * inputs["g"].exp()[..., None] + removed
        memory = memory + inputs["k"][..., None] * inputs["v"][..., None, :]
        return memory, read(memory, inputs["q"])

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.rank_one(memory, inputs)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # `chunks.rank_one` reads after the decay: undone in a, at most e^.61 a channel.
        a = inputs["a"] * (-inputs["g"]).exp()
        return chunks.rank_one(inputs["q"], inputs["k"], inputs["v"], a, inputs["b"], memory, inputs["g"], self.chunk)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = diag(e^g) + b a^T, B = k, u = v, C = q."""
        q, k, v, a, b = (inputs[name] for name in "qkvab")
        transition = torch.diag_embed(decays(inputs["g"], k)) + b[..., None] * a[..., None, :]
        return LinearSystem(transition, k[..., None], v[..., None, :], q)

    def row_updates(self) -> RowUpdates | None:
        # S^T a, and b (S^T a)^T, with dense a and b.
        return RowUpdates(products=2)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        o = self.g_norm(out.flatten(-2).flatten(0, 1)).unflatten(0, x.shape[:2])
        # (r . k r_k) v: a token reads itself by weights of its own.
        bonus = (inputs["q"] * inputs["k"] * self.r_k).sum(-1, keepdim=True) * inputs["v"]
        return self.o_proj((o + bonus.flatten(-2)) * inputs["gate"])
