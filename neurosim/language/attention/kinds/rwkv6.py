"""RWKV-5 and RWKV-6: a matrix state with decays of key channels and a bonus for the present token (Peng et al. 2024,
arXiv 2404.05892)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import chunks
from .base import Inputs, RowUpdates, Shared, State
from .compiled import Step
from .linear_system import LinearSystem, decays
from .matrix_memory import AdditiveMixer, decayed, read
from .modules import divide, linear, split_heads, token_shift
from .rwkv import LowRank


@dataclass(eq=False, repr=False, kw_only=True)
class RWKV5(AdditiveMixer):
    """o = S^T r + (r . u k) v, then S = diag(e^g) S + k v^T, with a constant g = -exp(w) for each key channel.

    Each of r, k, v and the gate comes from its own constant mix of a token and the one before it. Output: norm over
    each head, times silu of the gate.

    Args:
        head_dim: channels of a head.
        inner_dim: channels of keys over all heads (default: width).
        value_dim: channels of values over all heads (default: as many as of keys).
        norm_eps: epsilon of the norm of the outputs.
    """

    chunk = 16
    in_words = "state S = e^g S + k v^T, read as S^T r before its token, which adds (r . u k) v"
    mixes = "rkvg"

    head_dim: int = 32
    inner_dim: int | None = None
    value_dim: int | None = None
    norm_eps: float = 64e-5

    def build(self) -> None:
        width = self.width
        inner = self.inner_dim or self.width
        self.heads = divide(inner, self.head_dim, self.name("inner_dim"))
        values = self.value_dim or inner
        self.v_size = divide(values, self.heads, self.name("value_dim"))
        for name in self.mixes:
            setattr(self, f"x_{name}", nn.Parameter(torch.rand(width)))
        self.r_proj = linear(width, inner)
        self.k_proj = linear(width, inner)
        self.v_proj = linear(width, values)
        self.g_proj = linear(width, values)
        self.u = nn.Parameter(torch.zeros(self.heads, self.head_dim))
        self.decay()
        self.g_norm = nn.GroupNorm(self.heads, values, eps=self.norm_eps)
        self.o_proj = linear(values, width)

    def decay(self) -> None:
        """Make what decays come from; at the start channels remember two to hundreds of tokens."""
        self.w = nn.Parameter(torch.linspace(-6.0, -0.5, self.head_dim).repeat(self.heads, 1))

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(x.shape[0], self.heads, self.head_dim, self.v_size)
        return {"memory": memory, "tail": torch.zeros_like(x[:, :1])}

    def mixed(self, x: Tensor, change: Tensor) -> dict[str, Tensor]:
        """Return the inputs of the projections, by the letters of `mixes`; `change` leads to the token before."""
        return {name: torch.addcmul(x, change, getattr(self, f"x_{name}")) for name in self.mixes}

    def log_decays(self, mixed: dict[str, Tensor]) -> Tensor:
        """Return [B, T, H, K] g."""
        return (-self.w.exp()).expand(*mixed["r"].shape[:2], -1, -1)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        before, tail = token_shift(x, state["tail"])
        mixed = self.mixed(x, before - x)
        q, k = (split_heads(layer(mixed[n]), self.head_dim) for n, layer in (("r", self.r_proj), ("k", self.k_proj)))
        inputs = {"q": q, "k": k, "v": split_heads(self.v_proj(mixed["v"]), self.v_size)}
        return inputs | {"g": self.log_decays(mixed), "gate": self.g_proj(mixed["g"])}, {"tail": tail}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v = (inputs[name] for name in "qkv")
        # o = S^T r + (r . u k) v: the token itself counts by the bonus u instead of by its decay.
        out = read(memory, q) + (q * self.u * k).sum(-1, keepdim=True) * v
        # S = diag(e^g) S + k v^T
        return decayed(memory, inputs["g"]) + k[..., None] * v[..., None, :], out

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.bonus(memory, inputs, self.u)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v = (inputs[name] for name in "qkv")
        # A token reads the state before its own update: shift the queries back by one token.
        later = torch.cat([q[:, 1:], torch.zeros_like(q[:, :1])], 1)
        after, out = chunks.additive(later, k, v, memory, inputs["g"], self.chunk)
        out = torch.cat([read(memory, q[:, 0])[:, None], out[:, :-1]], 1)
        return after, out + (q * self.u * k).sum(-1, keepdim=True) * v

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return the system of additive kinds, but with y = C h of the token before, and (r . u k) v."""
        q, k, v = (inputs[name] for name in "qkv")
        bonus = (q * self.u * k).sum(-1, keepdim=True) * v
        return LinearSystem(
            transition=decays(inputs["g"], k),
            write=k[..., None],
            inputs=v[..., None, :],
            read=q,
            through=bonus,
            reads_before=True,
        )

    def row_updates(self) -> RowUpdates | None:
        return None  # the state is read before its token

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        o = self.g_norm(out.flatten(-2).flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.o_proj(o * F.silu(inputs["gate"]))


@dataclass(eq=False, repr=False, kw_only=True)
class RWKV6(RWKV5):
    """RWKV-5 whose mixes and decays follow the tokens: g = -exp(w + W2 tanh(W1 x)).

    Args:
        mix_low_rank_dim, decay_low_rank_dim: ranks of the low-rank maps of the mixes and of the decays.
    """

    mixes = "wkvrg"

    mix_low_rank_dim: int = 32
    decay_low_rank_dim: int = 64

    def decay(self) -> None:
        width = self.width
        inner = self.inner_dim or self.width
        rank = self.mix_low_rank_dim
        self.x_x = nn.Parameter(torch.rand(width))
        self.mix_in = linear(width, len(self.mixes) * rank)
        self.mix_out = nn.ModuleList([linear(rank, width) for _ in self.mixes])
        self.w_lora = LowRank(width, self.decay_low_rank_dim, inner, nn.Tanh())
        self.w_lora.lora[2].bias = nn.Parameter(torch.linspace(-6.0, -0.5, self.head_dim).repeat(self.heads))

    def mixed(self, x: Tensor, change: Tensor) -> dict[str, Tensor]:
        # mu = x_name + W2 tanh(W1 (mix of both tokens)), for each of w, k, v, r, g
        parts = self.mix_in(torch.addcmul(x, change, self.x_x)).tanh().chunk(len(self.mixes), -1)
        mixtures = {}
        for name, part, layer in zip(self.mixes, parts, self.mix_out, strict=True):
            mixtures[name] = torch.addcmul(x, change, getattr(self, f"x_{name}") + layer(part))
        return mixtures

    def log_decays(self, mixed: dict[str, Tensor]) -> Tensor:
        return split_heads(-self.w_lora(mixed["w"]).exp(), self.head_dim)
