"""Multi-head latent attention: keys and values of all heads from one vector of a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ....base.rules import Natural, Rule
from .base import Inputs, Shared, State
from .modules import linear, split_heads
from .softmax import CachedAttention


@dataclass(eq=False, repr=False, kw_only=True)
class LatentAttention(CachedAttention):
    """Multi-head latent attention without positions (DeepSeek-V2, arXiv 2405.04434; Kimi Linear, arXiv 2510.26692).

    Keys and values come from one vector of `kv_lora_rank` channels; each key also has `qk_rope_head_dim` channels that
    all heads share. The memory holds keys and values as they are, not that vector.

    Args:
        num_heads: heads.
        kv_lora_rank, q_lora_rank: channels that keys and values, and queries, come from (None: queries from x).
        qk_nope_head_dim, qk_rope_head_dim: channels of a key of its own, and shared.
        v_head_dim: channels of a value.
        attention_bias: of the layers from x, but the layer of plain queries, and of the output.
        norm_eps: epsilon of the norms of those channels.
    """

    num_heads: Annotated[int, Rule("> 0")] = 4
    kv_lora_rank: Annotated[int, Rule("> 0")] = 64
    q_lora_rank: int | None = None
    qk_nope_head_dim: Annotated[int, Rule("> 0")] = 32
    qk_rope_head_dim: Natural = 16
    v_head_dim: Annotated[int, Rule("> 0")] = 32
    attention_bias: bool = False
    norm_eps: float = 1e-6

    def build(self) -> None:
        self.kv_heads = self.num_heads
        self.groups = 1
        self.v_size = self.v_head_dim
        self.k_size = self.qk_nope_head_dim + self.qk_rope_head_dim
        queries = self.num_heads * self.k_size
        width = self.width
        heads = self.num_heads
        if self.q_lora_rank is None:
            self.q_proj = linear(width, queries)
        else:
            self.q_a_proj = linear(width, self.q_lora_rank, self.attention_bias)
            self.q_b_proj = linear(self.q_lora_rank, queries)
            self.q_a_layernorm = nn.RMSNorm(self.q_lora_rank, self.norm_eps)
        self.kv_a_proj_with_mqa = linear(width, self.kv_lora_rank + self.qk_rope_head_dim, self.attention_bias)
        self.kv_a_layernorm = nn.RMSNorm(self.kv_lora_rank, self.norm_eps)
        self.kv_b_proj = linear(self.kv_lora_rank, heads * (self.qk_nope_head_dim + self.v_size))
        self.o_proj = linear(heads * self.v_size, width, self.attention_bias)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        if self.q_lora_rank is None:
            q = self.q_proj(x)
        else:
            q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        # k = [W_k norm(c), k_shared], v = W_v norm(c) from the latent vector c
        low, common = self.kv_a_proj_with_mqa(x).split([self.kv_lora_rank, self.qk_rope_head_dim], -1)
        both = split_heads(self.kv_b_proj(self.kv_a_layernorm(low)), self.qk_nope_head_dim + self.v_size)
        k, v = both.split([self.qk_nope_head_dim, self.v_size], -1)
        k = torch.cat([k, common[..., None, :].expand(-1, -1, self.num_heads, -1)], -1)
        return {"q": split_heads(q, self.k_size), "k": k, "v": v}, {"position": state["position"] + x.shape[1]}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out.flatten(-2))
