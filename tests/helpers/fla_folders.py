"""Folders of checkpoints as flash-linear-attention writes them, from models of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from neurosim.language import LanguageModel
from neurosim.language.attention.huggingface import READERS
from neurosim.language.attention.huggingface.config import CheckpointConfig

BASE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "vocab_size": 40,
    "intermediate_size": 48,
    "num_heads": 2,
}
ATTN = {"layers": [1], "num_heads": 4, "num_kv_heads": 2, "window_size": 6, "rope_theta": 500.0, "qkv_bias": True}

# Model type, config, and what must be of the tensors of layer 0's mixer (names there, those that must not be there).
OPTIONS: list[tuple[str, dict[str, Any], set[str], set[str]]] = [
    ("gla", {"use_output_gate": False}, {"g_norm.weight"}, {"g_proj.weight", "g_norm_swish_gate.weight"}),
    ("gla", {"use_short_conv": True, "conv_size": 3, "num_kv_heads": 1}, {"q_conv1d.weight"}, {"q_conv1d.bias"}),
    ("gla", {"expand_k": 1.0, "expand_v": 2.0, "clamp_min": -0.1, "feature_map": "relu"}, {"gk_proj.1.bias"}, set()),
    ("gla", {"elementwise_affine": False, "tie_word_embeddings": True}, set(), {"g_norm_swish_gate.weight"}),
    ("gla", {"attn": ATTN}, {"gk_proj.0.weight"}, set()),
    ("retnet", {"num_kv_heads": 1, "use_output_gate": False}, {"g_norm.weight"}, {"g_proj.weight"}),
    ("linear_attn", {"feature_map": "hedgehog"}, {"feature_map_q.layer.weight"}, set()),
    ("linear_attn", {"feature_map": "elu", "norm_feature_map": True}, {"norm.weight"}, {"feature_map_q.layer.weight"}),
    ("linear_attn", {"feature_map": "dpfp", "num_kv_heads": 1}, {"norm.weight"}, set()),
    ("linear_attn", {"feature_map": "t2r", "norm_q": True, "norm_k": True}, {"feature_map_k.layer.weight"}, set()),
    ("comba", {"head_dim": 8, "num_v_heads": 4, "use_output_gate": False}, {"decay", "D"}, {"g_proj.weight"}),
    ("comba", {"head_dim": 8, "attn": ATTN, "use_short_conv": False}, {"g_proj.weight"}, {"q_conv1d.weight"}),
    ("gsa", {"num_kv_heads": 1, "num_slots": 5, "feature_map": "t2r"}, {"feature_map.layer.weight"}, {"g_proj.weight"}),
    ("gsa", {"use_short_conv": True, "elementwise_affine": False}, {"q_conv1d.weight"}, {"g_norm.weight"}),
    ("hgrn", {"use_short_conv": True}, {"f_conv1d.weight", "i_conv1d.weight"}, set()),
    ("hgrn", {"use_lower_bound": False, "expand_ratio": 2, "attn": ATTN}, {"g_norm.weight"}, set()),
    ("hgrn2", {"expand_ratio": 8, "use_short_conv": True}, {"f_conv1d.weight", "i_conv1d.weight"}, set()),
    ("hgrn2", {"expand_ratio": None, "use_lower_bound": False}, {"g_norm.weight"}, set()),
    ("delta_net", {"use_gate": True, "qk_activation": "elu", "qk_norm": "sum"}, {"g_proj.weight"}, set()),
    ("delta_net", {"use_short_conv": False, "use_beta": False}, set(), {"b_proj.weight", "q_conv1d.weight"}),
    ("delta_net", {"allow_neg_eigval": True, "expand_k": 0.5, "expand_v": 1.5}, {"o_norm.weight"}, {"g_proj.weight"}),
    ("gated_deltanet", {"head_dim": 8, "num_v_heads": 4, "use_gate": False}, {"A_log"}, {"g_proj.weight"}),
    ("gated_deltanet", {"head_dim": 8, "output_gate_activation": "sigmoid", "attn": [ATTN]}, {"g_proj.weight"}, set()),
    (
        "gated_deltaproduct",
        {"head_dim": 8, "num_householder": 3, "use_output_gate": False},
        {"A_log"},
        {"g_proj.weight"},
    ),
    (
        "kda",
        {"head_dim": 8, "num_v_heads": 4, "expand_v": 1.5, "safe_gate": True, "lower_bound": -5},
        {"f_proj.1.weight"},
        set(),
    ),
    ("mom", {"head_dim": 8, "single_kv_proj": True, "shared_mem": True}, {"shared_k.weight"}, {"k_proj.0.weight"}),
    ("mom", {"head_dim": 8, "shared_mem": False, "use_short_conv": False}, {"gate.weight"}, {"shared_k.weight"}),
    ("mamba2", {"head_dim": 16, "n_groups": 2, "state_size": 8, "use_bias": True}, {"in_proj.bias"}, set()),
    ("mamba2", {"head_dim": 16, "rmsnorm": False, "use_conv_bias": False}, {"D"}, {"norm.weight", "conv1d.bias"}),
    (
        "rwkv7",
        {"head_dim": 8, "norm_first": False, "value_dim": [64, 64], "norm_bias": False},
        {"x_r", "g_norm.bias"},
        set(),
    ),
    ("rwkv7", {"head_dim": 8, "fuse_norm": False, "attn": ATTN}, {"x_r"}, set()),
    ("rwkv7", {"head_dim": None, "a_low_rank_dim": None, "hidden_act": "relu"}, {"a_lora.lora.0.weight"}, set()),
]


def theirs(model: LanguageModel, kind: str, gated: bool) -> dict[str, Tensor]:
    """The tensors of a model under the names that the library gives them."""
    outer = {"mamba2": ("backbone", "mixer", "norm", "norm"), "rwkv7": ("model", "attn", "attn_norm", "ffn_norm")}
    root, mixer, first, second = outer.get(kind, ("model", "attn", "attn_norm", "mlp_norm"))
    block = {"mixer": mixer, "norm": first, "mlp_norm": second, "mlp": "ffn" if kind == "rwkv7" else "mlp"}
    normed = "g_norm_swish_gate" if gated else "g_norm"
    parts = {"gla": {"o_norm": normed}, "retnet": {"o_norm": normed}, "hgrn2": {"o_norm": "g_norm"}}
    parts |= {"linear_attn": {"o_norm": "norm"}, "mom": {"gate_proj": "gate"}, "gsa": {"map": "feature_map"}}
    named = {}
    for name, value in model.state_dict().items():
        path = name.split(".")
        if path[0] == "layers":
            inside = parts.get(kind, {}) if path[2] == "mixer" else {}
            path = [root, "layers", path[1], block.get(path[2], path[2]), inside.get(path[3], path[3]), *path[4:]]
        elif path[0] != "lm_head":
            path = [root, {"norm": "norm_f"}.get(path[0], path[0]) if kind == "mamba2" else path[0], *path[1:]]
        if not (model.config.tied and name == "lm_head.weight"):
            named[".".join(path)] = value.clone()
    return named


def built(kind: str, config: dict[str, Any], names: frozenset[str] = frozenset()) -> LanguageModel:
    model = LanguageModel(READERS[kind].config(CheckpointConfig(config, names)), seed=4)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return model


def folder_of(path: Path, kind: str, config: dict[str, Any]) -> LanguageModel:
    model = built(kind, config)
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"model_type": kind} | config))
    save_file(theirs(model, kind, bool(config.get("use_output_gate", True))), path / "model.safetensors")
    return model
