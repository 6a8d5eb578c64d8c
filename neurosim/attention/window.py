"""Softmax attention over the last tokens, for stacks that mix it with recurrent kinds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import check_fields
from .base import Inputs, Mixer, Shared, State
from .modules import divide, linear, repeat_heads, rotate, split_heads


@dataclass(eq=False, repr=False, kw_only=True)
class WindowAttention(Mixer):
    """o = softmax(q K^T / sqrt(K)) V over the last `window_size` tokens, with rotary positions (Beltagy et al. 2020).

    Args:
        num_heads, num_kv_heads: of queries, and of keys and values, which are shared by groups.
        window_size: tokens seen, the present one among them; 0 for all: the memory then grows with the sequence.
        rope_theta: base of the rotary positions.
        qkv_bias: give the projections of q, k and v biases.

    The memory is [B, tokens, num_kv_heads, 2 K]: keys, already turned, and values of at most window_size - 1 tokens.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"

    num_heads: int = 4
    num_kv_heads: int | None = None
    window_size: int = 128
    rope_theta: float = 10000.0
    qkv_bias: bool = False

    def build(self) -> None:
        width, bias = self.width, self.qkv_bias
        check_fields(self, {"window_size": ">= 0 tokens", "rope_theta": "> 0"})
        self.head_dim = divide(width, self.num_heads, "WindowAttention.width")
        self.groups = divide(self.num_heads, self.num_kv_heads or self.num_heads, "WindowAttention.num_heads")
        narrow = width // self.groups
        self.q_proj, self.o_proj = linear(width, width, bias), linear(width, width, bias)
        self.k_proj, self.v_proj = linear(width, narrow, bias), linear(width, narrow, bias)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), 0, self.k_proj.out_features // self.head_dim, 2 * self.head_dim)
        return {"memory": memory, "position": torch.zeros((), dtype=torch.int64, device=x.device)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v = (split_heads(layer(x), self.head_dim) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k = (rotate(value, state["position"], self.rope_theta) for value in (q, k))
        return {"q": q, "k": k, "v": v}, {"position": state["position"] + x.shape[1]}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)[:, None]], 1)
        known = known[:, -self.window_size :]
        keys, values = repeat_heads(known, self.groups).split(self.head_dim, -1)
        weights = (torch.einsum("bhk,bthk->bht", inputs["q"], keys) * self.head_dim**-0.5).softmax(-1)
        return self._visible_later(known), torch.einsum("bht,bthk->bhk", weights, values)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)], 1)
        keys, values = (part.movedim(1, 2) for part in repeat_heads(known, self.groups).split(self.head_dim, -1))
        now = torch.arange(memory.shape[1], known.shape[1], device=known.device)[:, None]
        then = torch.arange(known.shape[1], device=known.device)
        seen = (then <= now) & ((then > now - self.window_size) if self.window_size else True)
        out = F.scaled_dot_product_attention(inputs["q"].movedim(1, 2), keys, values, attn_mask=seen)
        return self._visible_later(known), out.movedim(2, 1)

    def _visible_later(self, known: Tensor) -> Tensor:
        """The tokens that a later one may see."""
        return known[:, max(known.shape[1] - self.window_size + 1, 0) :] if self.window_size else known

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out.flatten(-2))
