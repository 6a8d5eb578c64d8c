"""Small models of every kind, and a text, for tests of conversions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurosim.language import LanguageConfig, LanguageModel, MixerSpec

SMALL = {
    "lightnet": {"expand_ratio": 16},
    "gated_deltanet": {"num_heads": 2, "head_dim": 8, "head_v_dim": 12},
    "deltaproduct": {"num_heads": 2, "head_dim": 8, "head_v_dim": 8},
    "kda": {"num_heads": 2, "head_dim": 8},
    "mamba2": {"head_dim": 8, "state_size": 8},
    "mom": {"num_heads": 2, "head_dim": 8},
    "sse": {"num_heads": 2, "head_dim": 8},
    "comba": {"num_heads": 2, "head_dim": 8},
    "hgrn2": {"expand_ratio": 8},
    "rwkv5": {"head_dim": 8},
    "rwkv6": {"head_dim": 8},
    "rwkv7": {"head_dim": 8},
    "memora": {"num_heads": 2, "expansion": 2},
    "moneta": {"num_heads": 2, "expansion": 2},
    "titans": {"num_heads": 2, "expansion": 2},
    "titans_context": {"num_heads": 2, "expansion": 2},
    "titans_gate": {"num_heads": 2, "expansion": 2},
    "titans_layer": {"num_heads": 2, "memory": {"expansion": 2}},
    "yaad": {"num_heads": 2, "expansion": 2},
    "window_linear": {"window_size": 4},
}


def model_of(*kinds: str, seed: int = 1) -> LanguageModel:
    layers = tuple(MixerSpec(kind, SMALL.get(kind, {})) for kind in kinds)
    model = LanguageModel(LanguageConfig(layers, width=32, hidden=48), seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # as after training: weights of size 1, norms that are not all alike
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=draws) / p.shape[1] ** 0.5)
            elif "norm" in name and p.dim() == 1:
                p.copy_(1 + 0.3 * torch.randn(p.shape, generator=draws))
    return model.eval()


def text(size: int = 4000, seed: int = 0) -> Tensor:
    """Bytes that are not all alike: a Markov chain."""
    draws = np.random.default_rng(seed)
    steps = draws.choice([1, 2, 3, 17], size=size)
    return torch.from_numpy((np.cumsum(steps) % 61 + 32).astype(np.int64))
