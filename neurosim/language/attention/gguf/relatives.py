"""Gemma, Granite, OLMo 2, Phi-3, Qwen3-MoE and SmolLM3 in GGUF files: relatives of Llama with entries of their own.

Weights of Gemma's norms are stored as they are multiplied, and not as their difference from 1.
"""

from __future__ import annotations

from typing import Any

from ..model import LanguageConfig
from . import experts
from .metadata import Metadata
from .softmax import biases, positions, read_config, softmax_tree

# q, k and v in one tensor, and gates above their values.
FUSED = {"attn_qkv": "mixer.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
BEHIND = {"post_attention_norm": "out_norm", "post_ffw_norm": "mlp_out_norm"}
# Numbers of layers of the largest models, whose scores are scaled by the width and not by a head's channels.
LARGEST_GEMMA2 = 46
LARGEST_GEMMA3 = 62


def _score_size(tree: dict[str, Any], largest: int) -> int:
    """Return the number by whose root scores are divided, which no entry says."""
    if tree["num_hidden_layers"] == largest:
        size: int = tree["hidden_size"] // tree["num_attention_heads"]
    else:
        size = tree["head_dim"]
    return size


def _windows(meta: Metadata, size: int, every: int) -> dict[str, object]:
    """Return the entries of windows: in all layers but one of so many, or in those that a list names.

    Args:
        size: of the window where the file has none; 0: no layer has a window then.
        every: the same of the pattern.
    """
    pattern = meta.get("attention.sliding_window_pattern", every)
    window = meta.get("attention.sliding_window", size)
    if not window:
        return {"sliding_window": None}
    count = meta.integer("block_count")
    if isinstance(pattern, list):
        inside = [bool(each) for each in pattern]
    else:
        step = meta.integer("attention.sliding_window_pattern", every)
        inside = [(i + 1) % step != 0 for i in range(count)]
    kinds = ["sliding_attention" if each else "full_attention" for each in inside]
    return {"sliding_window": meta.integer("attention.sliding_window", size), "layer_types": kinds}


def _positions_by_window(meta: Metadata, head: int, theta: float) -> dict[str, object]:
    """Return the positions of layers that see all tokens, and of those with a window, which are not scaled."""
    local = {"rope_theta": meta.number("rope.freq_base_swa", theta)}
    return {"rope_parameters": {"full_attention": positions(meta, head), "sliding_attention": local}}


def config_of_gemma(meta: Metadata) -> LanguageConfig:
    return read_config("gemma", softmax_tree(meta))


def config_of_gemma2(meta: Metadata) -> LanguageConfig:
    tree = softmax_tree(meta) | _windows(meta, 4096, 2)
    tree["query_pre_attn_scalar"] = _score_size(tree, LARGEST_GEMMA2)
    tree["attn_logit_softcapping"] = meta.number("attn_logit_softcapping", 50.0)
    tree["final_logit_softcapping"] = meta.number("final_logit_softcapping", 30.0)
    return read_config("gemma2", tree)


def config_of_gemma3(meta: Metadata) -> LanguageConfig:
    tree: dict[str, Any] = softmax_tree(meta) | _windows(meta, 0, 6)
    tree |= _positions_by_window(meta, tree["head_dim"], 10000.0)
    tree["query_pre_attn_scalar"] = _score_size(tree, LARGEST_GEMMA3)
    tree["final_logit_softcapping"] = meta.number("final_logit_softcapping", 0.0) or None
    return read_config("gemma3_text", tree)


def config_of_olmo2(meta: Metadata) -> LanguageConfig:
    """Return the config of OLMo 2, or, of a file that has windows, of OLMo 3."""
    tree: dict[str, Any] = softmax_tree(meta)
    windows = _windows(meta, 0, 4)
    if windows["sliding_window"] is None:
        return read_config("olmo2", tree)
    theta = meta.number("rope.freq_base", 10000.0)
    return read_config("olmo3", tree | windows | _positions_by_window(meta, tree["head_dim"], theta))


def _granite_tree(meta: Metadata, takes_experts: bool = False) -> dict[str, Any]:
    """Return the entries of Granite; a factor of 0 or none is that of Llama."""
    turned = meta.get("rope.scaling.finetuned", True)
    if not turned:
        meta.refuse("rope.scaling.finetuned", "must be true: Granite without positions is not read", turned)
    tree: dict[str, Any] = softmax_tree(meta, takes_experts=takes_experts) | biases(meta)
    return tree | {
        "attention_multiplier": meta.number("attention.scale", 0.0) or tree["head_dim"] ** -0.5,
        "embedding_multiplier": meta.number("embedding_scale", 0.0) or 1.0,
        "residual_multiplier": meta.number("residual_scale", 0.0) or 1.0,
        "logits_scaling": meta.number("logit_scale", 0.0) or 1.0,
    }


def config_of_granite(meta: Metadata) -> LanguageConfig:
    return read_config("granite", _granite_tree(meta))


def config_of_granite_experts(meta: Metadata) -> LanguageConfig:
    tree = _granite_tree(meta, takes_experts=True) | experts.counts(meta)
    tree["shared_intermediate_size"] = meta.get("expert_shared_feed_forward_length", 0)
    return read_config("granitemoeshared", tree)


def config_of_phi3(meta: Metadata) -> LanguageConfig:
    """Return the config of Phi-3, whose window llama.cpp passes over."""
    window = meta.get("attention.sliding_window", 0) or None
    return read_config("phi3", softmax_tree(meta) | {"sliding_window": window})


def config_of_qwen3_experts(meta: Metadata) -> LanguageConfig:
    counts: dict[str, Any] = experts.counts(meta)
    size = meta.integer("feed_forward_length") // counts["num_experts_per_tok"]
    tree = softmax_tree(meta, takes_experts=True) | counts
    tree["moe_intermediate_size"] = meta.integer("expert_feed_forward_length", max(size, 1))
    # Layers without a router are plain.
    tree["mlp_only_layers"] = [
        i for i in range(meta.integer("block_count")) if not meta.has(f"blk.{i}.ffn_gate_inp.weight")
    ]
    # llama.cpp divides the scores of a token's experts by their sum, whatever the config of the model said.
    tree["norm_topk_prob"] = True
    return read_config("qwen3_moe", tree)


def config_of_smollm3(meta: Metadata) -> LanguageConfig:
    """Return the config of SmolLM3, of which every fourth layer has no positions."""
    return read_config("smollm3", softmax_tree(meta) | biases(meta) | {"no_rope_layer_interval": 4})
