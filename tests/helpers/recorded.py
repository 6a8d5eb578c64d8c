"""Tiny checkpoints of model types of transformers, and the logits that it computed for them.

Weights are a function of their name and shape, so that only configs, shapes, tokens and logits are stored. To record
a case again: in an environment with transformers, `python tests/helpers/recorded.py CASE`, or all without a name; the
tests themselves do not need it.
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FIXTURES = Path(__file__).parents[1] / "fixtures" / "transformers"
WORDS = 37
LENGTH = 14

_LLAMA: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 24,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NEOX = {name: value for name, value in _LLAMA.items() if name != "num_key_value_heads"} | {"hidden_size": 32}
_LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
_LONG = {"type": "longrope", "short_factor": [1.0, 1.1, 1.3], "long_factor": [2.0, 2.1, 4.0]}
_MAMBA: dict[str, Any] = {"vocab_size": WORDS, "hidden_size": 20, "num_hidden_layers": 2, "pad_token_id": 0}
_EXPERTS = {"moe_intermediate_size": 8, "num_experts_per_tok": 2}
_DELTA = {"linear_key_head_dim": 4, "linear_value_head_dim": 6, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
_KIMI = {"kv_lora_rank": 6, "qk_rope_head_dim": 4, "v_head_dim": 6, "qk_nope_head_dim": 8, "linear_head_dim": 8}
_GEMMA = {"head_dim": 8, "sliding_window": 5, "query_pre_attn_scalar": 16, "pad_token_id": 0}
_HEADS = {"mamba_n_heads": 4, "mamba_d_state": 6, "mamba_chunk_size": 8, "hidden_size": 16}
_HYBRID = {"layer_types": ["linear_attention", "full_attention"], "hidden_size": 16, "num_attention_heads": 2}
_GRANITE = {
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.3,
    "logits_scaling": 8.0,
}
# By name: the model type and its config.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "arcee": ("arcee", _LLAMA | {"mlp_bias": True}),
    "bamba": ("bamba", _LLAMA | _HEADS | {"attn_layer_indices": [1], "pad_token_id": 0}),
    "gemma": ("gemma", _LLAMA | {"head_dim": 8, "pad_token_id": 0}),
    "gemma2": (
        "gemma2",
        _LLAMA | _GEMMA | {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 8.0},
    ),
    "gemma3": (
        "gemma3_text",
        _LLAMA
        | _GEMMA
        | {
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    ),
    "gpt-neox": ("gpt_neox", _NEOX),
    "gpt-neox-in-turn": (
        "gpt_neox",
        _NEOX | {"use_parallel_residual": False, "attention_bias": False, "rotary_pct": 1.0, "rotary_emb_base": 500.0},
    ),
    "granite": (
        "granite",
        _LLAMA | _GRANITE | {"tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    ),
    "granite-hybrid": (
        "granitemoehybrid",
        _LLAMA
        | (_GRANITE | _HYBRID | _HEADS)
        | {"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 12},
    ),
    "granite-hybrid-dense": (
        "granitemoehybrid",
        _LLAMA
        | (_GRANITE | _HYBRID | _HEADS)
        | {"num_local_experts": 0, "shared_intermediate_size": 12, "position_embedding_type": "rope"}
        | {"mamba_n_groups": 2, "mamba_proj_bias": True, "mamba_conv_bias": False, "time_step_limit": [0.4, 0.8]},
    ),
    "kimi-linear": (
        "kimi_linear",
        _LLAMA | _EXPERTS | _KIMI | _HYBRID | {"num_local_experts": 4, "linear_num_heads": 2, "n_group": 2},
    ),
    "kimi-linear-low-rank": (
        "kimi_linear",
        _LLAMA
        | (_EXPERTS | _KIMI | _HYBRID)
        | {"num_local_experts": 4, "linear_num_heads": 2, "q_lora_rank": 5, "attention_bias": True}
        | {"mlp_layer_types": ["dense", "dense"], "norm_topk_prob": False},
    ),
    "qwen3-next": (
        "qwen3_next",
        _LLAMA | _EXPERTS | _DELTA | _HYBRID | {"num_experts": 4, "shared_expert_intermediate_size": 8, "head_dim": 8},
    ),
    "qwen3-next-dense": (
        "qwen3_next",
        _LLAMA | _DELTA | {"num_experts": 0, "head_dim": 16, "full_attention_interval": 2, "hidden_size": 16},
    ),
    "qwen3.5": ("qwen3_5_text", _LLAMA | _DELTA | {"head_dim": 16, "full_attention_interval": 2, "hidden_size": 16}),
    "qwen3.5-tied": (
        "qwen3_5_text",
        _LLAMA | _DELTA | _HYBRID | {"head_dim": 8, "tie_word_embeddings": True, "linear_num_value_heads": 2},
    ),
    "llama": ("llama", _LLAMA | {"rms_norm_eps": 1e-5}),
    "llama-biases-tied": (
        "llama",
        _LLAMA
        | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 12, "rope_theta": 5e5}
        | {"rope_scaling": _LLAMA3 | {"original_max_position_embeddings": 32}},
    ),
    "llama-linear": ("llama", _LLAMA | {"rope_scaling": {"type": "linear", "factor": 4.0}, "hidden_act": "gelu_new"}),
    "llama-dynamic": ("llama", _LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 4.0}}),
    "mamba": ("mamba", _MAMBA | {"state_size": 5}),
    "mamba-biases": (
        "mamba",
        _MAMBA | {"use_bias": True, "use_conv_bias": False, "time_step_rank": 3, "tie_word_embeddings": False},
    ),
    "falcon-mamba": ("falcon_mamba", _MAMBA | {"state_size": 4, "mixer_rms_eps": 1e-3}),
    "mamba2": ("mamba2", _MAMBA | {"num_heads": 5, "head_dim": 8, "state_size": 6, "n_groups": 1, "chunk_size": 8}),
    "mamba2-groups": (
        "mamba2",
        _MAMBA
        | {"hidden_size": 16, "num_heads": 4, "head_dim": 8, "state_size": 6, "n_groups": 2, "chunk_size": 8}
        | {"time_step_limit": [0.4, 0.8], "use_bias": True, "tie_word_embeddings": True, "layer_norm_epsilon": 1e-3},
    ),
    "ministral": (
        "ministral",
        _LLAMA | {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8},
    ),
    "mixtral": ("mixtral", _LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5}),
    "olmo2": ("olmo2", _LLAMA | {"attention_bias": True}),
    "olmo3": (
        "olmo3",
        _LLAMA | {"num_hidden_layers": 4, "sliding_window": 5, "rope_scaling": _YARN | {"rope_type": "yarn"}},
    ),
    "olmoe": ("olmoe", _LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}),
    "qwen2-moe": (
        "qwen2_moe",
        _LLAMA | _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 12, "decoder_sparse_step": 2},
    ),
    "qwen3-moe": (
        "qwen3_moe",
        _LLAMA | _EXPERTS | {"num_experts": 4, "head_dim": 8, "num_hidden_layers": 3, "mlp_only_layers": [1]},
    ),
    "mistral-window": ("mistral", _LLAMA | {"sliding_window": 5}),
    "phi3-longrope": ("phi3", _LLAMA | {"original_max_position_embeddings": 32, "rope_scaling": _LONG}),
    "phi3-partial": ("phi3", _LLAMA | {"partial_rotary_factor": 0.5, "hidden_size": 32}),
    "qwen2-window": ("qwen2", _LLAMA | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "qwen2-yarn": ("qwen2", _LLAMA | {"rope_scaling": _YARN}),
    "qwen3": ("qwen3", _LLAMA | {"head_dim": 8}),
    "seed-oss": ("seed_oss", _LLAMA | {"head_dim": 8}),
    "smollm3": (
        "smollm3",
        _LLAMA | {"no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 5, "pad_token_id": 0},
    ),
}


def value_of(name: str, shape: list[int]) -> Tensor:
    """Return the values of a tensor, uniform over +-.5 about 0, or about 1 for the weights of norms."""
    x = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 20)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    uniform = ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53 - 0.5
    if "norm" in name and len(shape) == 1 and name.endswith("weight"):
        centre = 1.0
    else:
        centre = 0.0
    return torch.from_numpy(uniform + centre).float().view(shape)


def tokens() -> Tensor:
    """[1, LENGTH]."""
    return (torch.arange(LENGTH) * 11 % WORDS)[None]


def recorded_logits(case: str) -> Tensor:
    """[1, LENGTH, words] of transformers."""
    with safe_open(str(FIXTURES / f"{case}.safetensors"), "pt") as stored:
        return stored.get_tensor("logits")


def write_folder(case: str, folder: Path) -> None:
    """Write config.json and model.safetensors of a case."""
    with safe_open(str(FIXTURES / f"{case}.safetensors"), "pt") as stored:
        about = stored.metadata()
    (folder / "config.json").write_text(about["config"])
    shapes = json.loads(about["shapes"])
    save_file({name: value_of(name, shape) for name, shape in shapes.items()}, folder / "model.safetensors")


def record(cases: list[str]) -> None:
    """Compute the logits of cases with transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    for case in cases:
        kind, options = CASES[case]
        config = AutoConfig.for_model(kind, **options)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        folder = Path("/tmp") / f"recorded-{case}"
        model.save_pretrained(folder)
        with safe_open(str(folder / "model.safetensors"), "pt") as stored:
            shapes = {name: stored.get_slice(name).get_shape() for name in sorted(stored.keys())}
        save_file({name: value_of(name, shape) for name, shape in shapes.items()}, folder / "model.safetensors",
                  {"format": "pt"})  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(tokens()).logits.float().contiguous()
        kept = {k: v for k, v in json.loads((folder / "config.json").read_text()).items() if v is not None}
        about = {"config": json.dumps(kept), "shapes": json.dumps(shapes, separators=(",", ":"))}
        save_file({"logits": logits}, FIXTURES / f"{case}.safetensors", about)
        (FIXTURES / f"{case}.safetensors").chmod(0o644)
        print(case, float(logits.abs().max()))


if __name__ == "__main__":
    record(sys.argv[1:] or list(CASES))
