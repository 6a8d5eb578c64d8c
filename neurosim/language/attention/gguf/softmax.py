"""Llama and Qwen in GGUF files, and what all architectures share: entries as a config.json has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..huggingface import READERS
from ..huggingface.config import CheckpointConfig
from ..huggingface.reader import Tensors
from ..model import LanguageConfig
from ..tensors import MappedFiles
from . import experts
from .metadata import Metadata

GATED = {"ffn_norm": "mlp_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
SOFTMAX = {"attn_q": "mixer.q_proj", "attn_k": "mixer.k_proj", "attn_v": "mixer.v_proj", "attn_output": "mixer.o_proj"}
SOFTMAX |= {"attn_norm": "norm", "attn_q_norm": "mixer.q_norm", "attn_k_norm": "mixer.k_norm"}


def tree_of(meta: Metadata, **more: object) -> dict[str, object]:
    """Return the entries of a config.json that all architectures have."""
    words, width = meta.shape("token_embd.weight", 2)
    return {
        "hidden_size": width,
        "vocab_size": words,
        "num_hidden_layers": meta.integer("block_count"),
        "tie_word_embeddings": not meta.has("output.weight"),
        **more,
    }


def read_config(model_type: str, tree: Mapping[str, object]) -> LanguageConfig:
    """Return the config that a Hugging Face folder with these entries would have."""
    return READERS[model_type].config(CheckpointConfig(tree))


def positions(meta: Metadata, head: int) -> dict[str, object]:
    """Return the entries of rotary positions."""
    turned = meta.integer("rope.dimension_count", head)
    entries: dict[str, object] = {
        "rope_theta": meta.number("rope.freq_base", 10000.0),
        "partial_rotary_factor": turned / head,
    }
    return entries | _scaling(meta)


def _scaling(meta: Metadata) -> dict[str, object]:
    """Return the entries that scale rotary positions; empty where nothing scales them."""
    # Read in any case: they are known.
    kind = meta.get("rope.scaling.type", "none")
    factor = meta.get("rope.scaling.factor")
    # Tensors decide before the type, which files with such tensors do not name.
    if meta.has("rope_freqs.weight"):
        return {"rope_type": "divided", "divisors": _values(meta, "rope_freqs.weight")}
    if meta.has("rope_factors_short.weight"):
        return {
            "rope_type": "longrope",
            "short_factor": _values(meta, "rope_factors_short.weight"),
            "long_factor": _values(meta, "rope_factors_long.weight"),
            "attention_factor": meta.number("rope.scaling.attn_factor", 1.0),
            "original_max_position_embeddings": meta.integer("rope.scaling.original_context_length"),
        }
    if kind == "linear":
        return {"rope_type": "linear", "factor": meta.number("rope.scaling.factor", 1.0)}
    if kind == "yarn":
        length = meta.integer("rope.scaling.original_context_length", meta.integer("context_length"))
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": length}
    if kind != "none":
        meta.refuse("rope.scaling.type", "must be none, linear or yarn", kind)
    return {}


def _values(meta: Metadata, name: str) -> list[float]:
    """Return the numbers of a tensor of one axis."""
    meta.shape(name, 1)
    values: list[float] = MappedFiles().load(meta.file.tensors[name]).float().tolist()
    return values


def softmax_tree(meta: Metadata, takes_experts: bool = False) -> dict[str, object]:
    """Return the entries of the Llama family, without those of experts."""
    count = meta.get("expert_count", 0)
    if count and not takes_experts:
        rule = "must be 0: experts of this architecture are not read; use the Hugging Face folder"
        meta.refuse("expert_count", rule, count)
    heads = meta.integer("attention.head_count")
    width = meta.shape("token_embd.weight", 2)[1]
    head = meta.integer("attention.key_length", max(width // heads, 1))
    values = meta.integer("attention.value_length", head)
    if values != head:
        meta.refuse("attention.value_length", f"must be {head}, as attention.key_length", values)
    return tree_of(
        meta,
        intermediate_size=meta.integer("feed_forward_length"),
        num_attention_heads=heads,
        num_key_value_heads=meta.integer("attention.head_count_kv", heads),
        head_dim=head,
        rms_norm_eps=meta.number("attention.layer_norm_rms_epsilon", 1e-6),
        max_position_embeddings=meta.integer("context_length", 1),
        rope_parameters=positions(meta, head),
    )


def biases(meta: Metadata) -> dict[str, object]:
    """Return the entries of biases, which the tensors tell."""
    return {"attention_bias": meta.has("blk.0.attn_q.bias"), "mlp_bias": meta.has("blk.0.ffn_gate.bias")}


def config_of_llama(meta: Metadata) -> LanguageConfig:
    """Return the config of Llama, or, of a file that has experts, of Mixtral."""
    if meta.get("expert_count", 0):
        return read_config("mixtral", softmax_tree(meta, takes_experts=True) | experts.counts(meta))
    return read_config("llama", softmax_tree(meta) | biases(meta))


def config_of_qwen(meta: Metadata, model_type: str) -> LanguageConfig:
    return read_config(model_type, softmax_tree(meta))


def unpaired(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Put the rows of q and k, of which a file has rotary pairs side by side, into the order [pair's first, second]."""
    changed = dict(tensors)
    for name, value in tensors.items():
        part = name.split(".")[-2]
        if part in ("q_proj", "k_proj"):
            # [heads, pairs, 2] in the file, [heads, 2, pairs] here.
            options: Mapping[str, Any] = config.layers[0].options
            heads = options["num_heads" if part == "q_proj" else "num_kv_heads"]
            rows = torch.arange(len(value)).view(heads, -1, 2).mT.flatten()
            changed[name] = value.index_select(0, rows.to(value.device))
    return changed
