"""A small mixer of every kind of attention, and what it is fed with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurosim.language import Depth, Mixer, build

WIDTH = 24
SMALL: dict[str, dict[str, Any]] = {
    "alrnn": {"units": 12, "rectified": 5},
    "bmojo": {"num_heads": 2, "window_size": 4, "eidetic": 3, "mamba": {"head_dim": 6, "state_size": 5}},
    "comba": {"num_heads": 2, "head_dim": 6, "num_v_heads": 4},
    "deltanet": {"num_heads": 2},
    "deltaproduct": {"num_heads": 2, "head_dim": 6, "num_v_heads": 4, "num_householder": 3},
    "gam": {"slots": 9},
    "gated_deltanet": {"num_heads": 2, "head_dim": 6, "num_v_heads": 4},
    "gla": {"num_heads": 4, "num_kv_heads": 2, "conv_size": 3},
    "gsa": {"num_heads": 4, "num_kv_heads": 2, "num_slots": 5, "value_dim": 48, "conv_size": 2},
    "hax": {"topk": 3, "key_dim": 6, "mamba": {"head_dim": 6, "state_size": 5}},
    "hgrn": {"conv_size": 2},
    "hgrn2": {"expand_ratio": 6, "conv_size": 2},
    "kda": {"num_heads": 2, "head_dim": 6, "num_v_heads": 4},
    "lightnet": {"expand_ratio": 6, "gate_low_rank_dim": 4, "conv_size": 2},
    "latent": {"num_heads": 2, "kv_lora_rank": 5, "qk_nope_head_dim": 6, "qk_rope_head_dim": 3, "v_head_dim": 7},
    "linear": {"num_heads": 4, "num_kv_heads": 2},
    "local_linear": {"num_heads": 4, "num_kv_heads": 2, "rotary_dim": 2},
    "lssl": {"state_size": 4},
    "mamba": {"inner_dim": 40, "state_size": 5},
    "mamba2": {"head_dim": 6, "state_size": 5, "n_groups": 2},
    "memora": {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4},
    "mom": {"num_heads": 2, "head_dim": 6},
    "moneta": {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4},
    "paragru": {"units": 10, "rounds": None},
    "paralstm": {"units": 10, "rounds": None},
    "plstm": {"num_heads": 2, "conv_size": 2},
    "retention": {"num_heads": 4, "num_kv_heads": 2, "value_dim": 48},
    "rwkv5": {"head_dim": 6, "inner_dim": 48},
    "rwkv6": {"head_dim": 6, "mix_low_rank_dim": 3, "decay_low_rank_dim": 4},
    "rwkv7": {
        "head_dim": 6,
        "value_dim": 48,
        "decay_low_rank_dim": 4,
        "a_low_rank_dim": 4,
        "v_low_rank_dim": 4,
        "gate_low_rank_dim": 4,
    },
    "scout": {"num_heads": 4, "num_kv_heads": 2, "interval": 4},
    "sea": {"num_heads": 4, "num_kv_heads": 2, "topk": 5, "columns": 6, "hidden": 7, "rotary_dim": 2},
    "seqboat": {"slots": 6, "key_dim": 8, "state_size": 3},
    "softmax": {
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 8,
        "qk_norm": True,
        "output_gate": True,
        "rotary_dim": 4,
    },
    "sse": {"num_heads": 2, "head_dim": 6, "topk": 2},
    "ssm": {"state_size": 4, "discretisation": "bilinear"},
    "tcnca": {"layers": 2, "kernel": 3, "dilation": 2, "window_size": 7, "key_dim": 8},
    "titans": {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4},
    "titans_context": {"num_heads": 2, "expansion": 2, "span": 4, "persistent": 2},
    "titans_gate": {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4, "window_size": 5, "persistent": 2},
    "titans_layer": {
        "num_heads": 4,
        "num_kv_heads": 2,
        "window_size": 5,
        "persistent": 3,
        "memory": {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4},
    },
    "window": {"num_heads": 4, "num_kv_heads": 2, "window_size": 7},
    "window_linear": {"attention": {"num_heads": 4, "num_kv_heads": 2}, "window_size": 5, "meta_tokens": 2},
    "yaad": {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4},
}


def mixer_of(kind: str, options: dict[str, Any], dtype: torch.dtype = torch.float64) -> Mixer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(kind, WIDTH, Depth(1, 2), options).to(dtype)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def handed(length: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """What earlier layers hand over."""
    return {
        "first_values": noise(2, length, 48, seed=5, dtype=dtype),
        "lower_bound": noise(WIDTH, seed=6).sigmoid().to(dtype) / 2,
    }
