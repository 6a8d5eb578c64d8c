"""Qwen3.5 in GGUF files: heads of values in the order [value of a key, key] instead of [key, value of a key]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..huggingface.reader import Tensors
from ..model import LanguageConfig
from .mamba import log_of_minus
from .metadata import Metadata
from .softmax import GATED, SOFTMAX, read_config, softmax_tree

NAMES = SOFTMAX | GATED | {
    "attn_qkv": "mixer.qkv_proj",
    "attn_gate": "mixer.g_proj",
    "post_attention_norm": "mlp_norm",
    "ssm_beta": "mixer.b_proj",
    "ssm_alpha": "mixer.a_proj",
    "ssm_a": "mixer.A_log",
    "ssm_dt": "mixer.dt",
    "ssm_conv1d": "mixer.conv1d",
    "ssm_norm": "mixer.o_norm",
    "ssm_out": "mixer.o_proj",
}  # fmt: skip


def config_of_qwen35(meta: Metadata) -> LanguageConfig:
    values = meta.integer("ssm.time_step_rank")
    following = meta.get("nextn_predict_layers", 0)
    if following:
        meta.refuse("nextn_predict_layers", "must be 0: layers that predict several tokens are not read", following)
    tree = softmax_tree(meta) | {
        "full_attention_interval": meta.integer("full_attention_interval", 4),
        "linear_num_key_heads": meta.integer("ssm.group_count"),
        "linear_key_head_dim": meta.integer("ssm.state_size"),
        "linear_num_value_heads": values,
        "linear_value_head_dim": meta.integer("ssm.inner_size") // values,
        "linear_conv_kernel_dim": meta.integer("ssm.conv_kernel"),
    }
    return read_config("qwen3_5_text", tree)


def change_tensors(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Return the tensors as Hugging Face has them: parts apart, heads of values in its order."""
    changed: Tensors = {}
    for name, value in tensors.items():
        path = name.split(".")
        inside = len(path) > 3 and path[2] == "mixer"
        layer = config.layers[int(path[1])] if inside else None
        if layer is None:
            changed[name] = value
        elif layer.kind == "softmax":
            changed |= _gated_queries(name, value, layer.options)
        else:
            changed |= _delta_part(".".join(path[:3]), path[3], value, layer.options)
    return changed


def _gated_queries(name: str, value: Tensor, options: Mapping[str, Any]) -> Tensors:
    """Cut queries and their gates, which alternate head by head."""
    if not name.endswith("q_proj.weight"):
        return {name: value}
    head = options["head_dim"]
    rows = torch.arange(len(value), device=value.device).view(options["num_heads"], 2, head)
    return {
        name: value.index_select(0, rows[:, 0].flatten()),
        name.replace("q_proj", "g_proj"): value.index_select(0, rows[:, 1].flatten()),
    }


def _delta_part(place: str, part: str, value: Tensor, options: Mapping[str, Any]) -> Tensors:
    """Turn a tensor of a layer of gated DeltaNet into ours; heads of values go back to [key, value of a key]."""
    keys = options["num_heads"] * options["head_dim"]
    # For each of our heads of values its number in the file, and for each of our channels the same.
    heads = torch.arange(options["num_v_heads"], device=value.device).view(-1, options["num_heads"]).mT.flatten()
    size = options["head_v_dim"]
    channels = (heads[:, None] * size + torch.arange(size, device=value.device)).flatten()
    if part == "qkv_proj":
        q, k, v = value.split([keys, keys, len(value) - 2 * keys])
        return {
            f"{place}.q_proj.weight": q,
            f"{place}.k_proj.weight": k,
            f"{place}.v_proj.weight": v.index_select(0, channels),
        }
    if part == "conv1d":
        q, k, v = value[:, None].split([keys, keys, len(value) - 2 * keys])
        return {
            f"{place}.q_conv1d.weight": q,
            f"{place}.k_conv1d.weight": k,
            f"{place}.v_conv1d.weight": v.index_select(0, channels),
        }
    if part == "g_proj":
        return {f"{place}.g_proj.weight": value.index_select(0, channels)}
    if part == "o_proj":
        return {f"{place}.o_proj.weight": value.index_select(1, channels)}
    if part in ("a_proj", "b_proj"):
        return {f"{place}.{part}.weight": value.index_select(0, heads)}
    if part == "A_log":
        return {f"{place}.A_log": log_of_minus(value).index_select(0, heads)}
    if part == "dt":
        return {f"{place}.dt_bias": value.index_select(0, heads)}
    return {f"{place}.{part}.weight": value}
