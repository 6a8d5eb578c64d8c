"""Small models of every kind of attention, their own step and the compiled one, and how far these may differ."""

from __future__ import annotations

from typing import Any

import torch
from helpers import attention_kinds
from torch import Tensor

from neurosim.language import Decoder, LanguageConfig, LanguageModel, MixerSpec

# For a width of 32; what fits it is as in other tests.
SMALL: dict[str, dict[str, Any]] = {
    **attention_kinds.SMALL,
    "bmojo": {"num_heads": 2, "window_size": 3, "eidetic": 2, "mamba": {"head_dim": 8, "state_size": 5}},
    "gam": {"slots": 20},
    "hax": {"topk": 3, "key_dim": 6, "mamba": {"head_dim": 8, "state_size": 5}},
    "hgrn2": {"expand_ratio": 8, "conv_size": 2},
    "latent": {"kv_lora_rank": 10, "q_lora_rank": 12, "qk_nope_head_dim": 6, "qk_rope_head_dim": 3, "v_head_dim": 7},
    "lightnet": {"expand_ratio": 8, "gate_low_rank_dim": 8},
    "mamba": {"state_size": 5, "inner_norm_eps": 1e-6},
    "mamba2": {"head_dim": 8, "state_size": 5, "n_groups": 2},
    "paragru": {"units": 80},
    "paralstm": {"units": 20},
    "plstm": {"num_heads": 4},
    "retention": {"num_heads": 4, "num_kv_heads": 2, "value_dim": 64},
    "rwkv5": {"head_dim": 8, "inner_dim": 64},
    "rwkv6": {"head_dim": 8},
    "rwkv7": {"head_dim": 8, "value_dim": 64},
    "scout": {"num_heads": 4, "num_kv_heads": 2, "interval": 3},
    "seqboat": {"slots": 3, "key_dim": 8, "state_size": 3},
    "softmax": {"num_heads": 4, "num_kv_heads": 2, "qk_norm": True, "output_gate": True, "rotary_dim": 4},
    "tcnca": {"layers": 2, "kernel": 3, "dilation": 2, "window_size": 4, "key_dim": 8},
    "titans": {"num_heads": 2, "head_dim": 6, "expansion": 2, "span": 4},
    "titans_gate": {"num_heads": 2, "head_dim": 6, "expansion": 2, "span": 4, "window_size": 5, "persistent": 2},
    "titans_layer": {
        "num_heads": 4,
        "num_kv_heads": 2,
        "window_size": 5,
        "persistent": 3,
        "memory": {"num_heads": 2, "head_dim": 6, "expansion": 2, "span": 4},
    },
    "window": {"num_heads": 4, "num_kv_heads": 2, "window_size": 7, "qkv_bias": True},
    "window_linear": {"window_size": 4, "meta_tokens": 3, "attention": {"num_heads": 4, "num_kv_heads": 2}},
    "yaad": {"num_heads": 2, "head_dim": 6, "expansion": 2, "span": 4, "memory_depth": 3},
}

# Kinds whose states make differences of rounding larger, and by how much depends on the processor.
SENSITIVE = ("memora", "titans")


def model_of(kind: str, options: dict[str, Any] | None = None, **shape: Any) -> LanguageModel:
    layers = (MixerSpec(kind, SMALL.get(kind, {}) if options is None else options),) * 2
    model = LanguageModel(LanguageConfig(layers, width=32, hidden=80, **shape), 1)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():  # as after training: weights of size 1, norms that are not all alike
        for name, p in model.named_parameters():
            if p.dim() == 2 and "A_log" not in name:
                p.copy_(torch.randn(p.shape, generator=draws) / p.shape[1] ** 0.5)
            elif "norm" in name and p.dim() == 1:
                p.copy_(1 + 0.3 * torch.randn(p.shape, generator=draws))
    return model.eval()


def text(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def stepped(model: LanguageModel, tokens: Tensor) -> Tensor:
    """Logits [T, B, vocabulary] of the model's own step, for tokens [T, B]."""
    state = None
    found = []
    for each in tokens:
        logits, state = model.step(each, state)
        found.append(logits)
    return torch.stack(found)


def decoded(decoder: Decoder, tokens: Tensor) -> Tensor:
    return torch.stack([torch.from_numpy(decoder.step(each.numpy()).copy()) for each in tokens])


def assert_same(actual: Tensor, expected: Tensor, close: float = 2e-5) -> None:
    # Sums of norms and states have other orders; counts are the same, or differences were a hundred times larger.
    torch.testing.assert_close(actual, expected, rtol=0, atol=close * float(expected.abs().max()))


def assert_same_but(some: int, actual: Tensor, expected: Tensor, close: float) -> None:
    """Check as `assert_same`, but let later tokens of some sequences [T, B, V] differ.

    Sums have other orders, so that a value at the edge of two counts falls on either side.
    """
    errors = (actual - expected).abs().amax((0, 2)) / expected.abs().max()
    assert int((errors > close).sum()) <= some, errors
