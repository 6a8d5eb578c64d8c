"""Softmax attention over the last tokens, for stacks that mix it with recurrent kinds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import require
from .base import Inputs, Mixer, Place, Shared, State
from .parts import divided, heads, linear, rotate, spread


class WindowAttention(Mixer):
    """o = softmax(q K^T / sqrt(K)) V over the last `window` tokens, with rotary positions (Beltagy et al. 2020).

    Args:
        width: D, channels of x.
        heads, kv_heads: of queries, and of keys and values shared by groups of them.
        window: tokens seen, the present one among them; 0 for all, whose memory grows with the sequence.
        base: of the rotary positions.
        bias: of the projections of q, k and v.

    The memory is [B, tokens, kv_heads, 2 K]: keys, already turned, and values of up to window - 1 tokens.
    """

    alone = "its keys of earlier tokens lie in other processes"

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        kv_heads: int | None = None,
        window: int = 128,
        base: float = 10000.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        require(window >= 0, "WindowAttention.window", "must be >= 0 tokens", window)
        require(base > 0, "WindowAttention.base", "must be > 0", base)
        self.key, self.groups = (
            divided(width, heads, "WindowAttention.width"),
            divided(heads, kv_heads or heads, "heads"),
        )
        self.kv_heads, self.window, self.base = kv_heads or heads, window, float(base)
        narrow = self.kv_heads * self.key
        self.q_proj, self.o_proj = linear(width, width, bias), linear(width, width)
        self.k_proj, self.v_proj = linear(width, narrow, bias), linear(width, narrow, bias)

    def initial(self, x: Tensor) -> State:
        position = torch.zeros((), dtype=torch.int64, device=x.device)
        return {"memory": x.new_zeros(len(x), 0, self.kv_heads, 2 * self.key), "position": position}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v = (heads(layer(x), self.key) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k = (rotate(value, state["position"], self.base) for value in (q, k))
        return {"q": q, "k": k, "v": v}, {"position": state["position"] + x.shape[1]}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)[:, None]], 1)
        known = known[:, -self.window :]
        keys, values = spread(known, self.groups).split(self.key, -1)
        weights = (torch.einsum("bhk,bthk->bht", inputs["q"], keys) * self.key**-0.5).softmax(-1)
        return self._kept(known), torch.einsum("bht,bthk->bhk", weights, values)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)], 1)
        keys, values = (part.movedim(1, 2) for part in spread(known, self.groups).split(self.key, -1))
        now = torch.arange(memory.shape[1], known.shape[1], device=known.device)[:, None]
        then = torch.arange(known.shape[1], device=known.device)
        seen = (then <= now) & ((then > now - self.window) if self.window else True)
        out = F.scaled_dot_product_attention(inputs["q"].movedim(1, 2), keys, values, attn_mask=seen)
        return self._kept(known), out.movedim(2, 1)

    def _kept(self, known: Tensor) -> Tensor:
        """The tokens a later one may see."""
        return known[:, max(known.shape[1] - self.window + 1, 0) :] if self.window else known

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out.flatten(-2))
