"""GGUF files written without any library, and tiny checkpoints turned into them in the way of llama.cpp's converter."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .recorded import write_folder
from .rwkv import HEADS, SIZE, tensors

FLOAT32 = 0
Blocks = tuple[int, np.ndarray, tuple[int, ...]]  # type, bytes, shape


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", errors="surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _value(value: object) -> bytes:
    """Return the type and the bytes of a value of the metadata."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    assert isinstance(value, list)
    if value and type(value[0]) is int:
        return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    items = [_value(item) for item in value]
    kind = items[0][:4] if items else struct.pack("<I", 8)
    return struct.pack("<I", 9) + kind + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)


def write_gguf(path: Path, metadata: Mapping[str, object], tensors: Mapping[str, Tensor | Blocks]) -> None:
    """Write a file of version 3; tensors are float32, or (type, bytes, shape) of blocks."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for name, value in metadata.items():
        head += _string(name) + _value(value)
    body = b""
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            kind = FLOAT32
            raw = tensor.float().contiguous().numpy().tobytes()
            shape = tuple(tensor.shape)
        else:
            kind, blocks, shape = tensor
            raw = blocks.tobytes()
        head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += struct.pack("<IQ", kind, len(body))
        body += raw + b"\0" * (-len(raw) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)


def q4_1(values: Tensor) -> Blocks:
    """Return rows in blocks of 32: 4 bits each, with the least value and the step."""
    flat = values.float().numpy().reshape(-1, 32)
    least = flat.min(1).astype(np.float16)
    step = ((flat.max(1) - least.astype(np.float32)) / 15).astype(np.float16)
    scaled = (flat - least.astype(np.float32)[:, None]) / np.maximum(step.astype(np.float32), 1e-9)[:, None]
    q = np.clip(np.rint(scaled), 0, 15).astype(np.uint8)
    packed = q[:, :16] | q[:, 16:] << 4
    halves = np.stack([step, least], 1).view(np.uint8).reshape(len(flat), 4)
    return 3, np.concatenate([halves, packed], 1), tuple(values.shape)


def q8_0(values: Tensor) -> Blocks:
    """Return rows in blocks of 32: 8 bits each, with the step."""
    flat = values.float().numpy().reshape(-1, 32)
    step = (np.abs(flat).max(1) / 127).astype(np.float16)
    q = np.rint(flat / np.maximum(step.astype(np.float32), 1e-9)[:, None]).clip(-127, 127).astype(np.int8)
    return 8, np.concatenate([step[:, None].view(np.uint8), q.view(np.uint8)], 1), tuple(values.shape)


Named = dict[str, Tensor]
Config = Mapping[str, Any]
_OUTER = {"embed_tokens": "token_embd", "embeddings": "token_embd", "norm": "output_norm", "norm_f": "output_norm"}
_LLAMA = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q"}
_LLAMA |= {f"mlp.{part}_proj": f"ffn_{part}" for part in ("gate", "up", "down")}
_LLAMA |= {"self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
_LLAMA |= {f"self_attn.{part}_norm": f"attn_{part}_norm" for part in "qk"}
_LLAMA |= {"block_sparse_moe.gate": "ffn_gate_inp", "mlp.gate": "ffn_gate_inp"}
# Norms behind layers have the names of norms before them where those are not there.
_BEHIND = _LLAMA | {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm"}
_BEHIND |= {"post_feedforward_layernorm": "post_ffw_norm"}
_FUSED = _LLAMA | {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
_MAMBA = {f"mixer.{part}": name for part, name in {"in_proj": "ssm_in", "conv1d": "ssm_conv1d"}.items()}
_MAMBA |= {"norm": "attn_norm", "mixer.x_proj": "ssm_x", "mixer.dt_proj": "ssm_dt", "mixer.A_log": "ssm_a"}
_MAMBA |= {"mixer.D": "ssm_d", "mixer.norm": "ssm_norm", "mixer.out_proj": "ssm_out", "mixer.dt_bias": "ssm_dt.bias"}
_QWEN35 = _LLAMA | {"post_attention_layernorm": "post_attention_norm", "linear_attn.in_proj_qkv": "attn_qkv"}
_QWEN35 |= {"linear_attn.in_proj_z": "attn_gate", "linear_attn.in_proj_b": "ssm_beta"}
_QWEN35 |= {"linear_attn.in_proj_a": "ssm_alpha", "linear_attn.A_log": "ssm_a", "linear_attn.dt_bias": "ssm_dt.bias"}
_QWEN35 |= {"linear_attn.conv1d": "ssm_conv1d", "linear_attn.norm": "ssm_norm", "linear_attn.out_proj": "ssm_out"}


def _renamed(name: str, inner: Mapping[str, str]) -> str:
    """Return the name in a GGUF file of a tensor of transformers."""
    path = name.split(".")
    path = path[1:] if path[0] in ("model", "backbone") else path
    if path[0] == "lm_head":
        return "output.weight"
    if path[0] != "layers":
        return f"{_OUTER[path[0]]}.weight"
    rest = ".".join(path[2:])
    for theirs, own in inner.items():
        if rest == theirs or rest.startswith(f"{theirs}."):
            return f"blk.{path[1]}.{own}{rest.removeprefix(theirs)}"
    raise AssertionError(name)


def _paired(value: Tensor, heads: int) -> Tensor:
    """Put the two channels of a rotary pair beside each other."""
    return value.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(value.shape)


def _llama(name: str, value: Tensor, config: Config) -> Tensor:
    if ".q_proj." in name:
        return _paired(value, config["num_attention_heads"])
    if ".k_proj." in name:
        return _paired(value, config["num_key_value_heads"])
    return value


def _gemma(name: str, value: Tensor, config: Config) -> Tensor:
    return value + 1 if name.endswith("norm.weight") else value


def _mamba(name: str, value: Tensor, config: Config) -> Tensor:
    value = -value.exp() if name.endswith("A_log") else value
    if config["model_type"] == "mamba2" and name.endswith(("A_log", ".D")):
        return value[:, None]
    if config["model_type"] == "mamba2" and name.endswith("mixer.norm.weight"):
        return value.view(config["n_groups"], -1)
    return value.squeeze(1) if name.endswith("conv1d.weight") else value


def _tiled(value: Tensor, config: Config, size: int, axis: int = 0) -> Tensor:
    """Put the heads of values into the order [value of a key, key]."""
    keys = config["linear_num_key_heads"]
    shape = value.unflatten(axis, (keys, -1, size))
    return shape.transpose(axis, axis + 1).flatten(axis, axis + 2)


def _qwen35(name: str, value: Tensor, config: Config) -> Tensor:
    size = config["linear_value_head_dim"]
    keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
    part = name.split(".")[-2] if name.endswith("weight") else name.rsplit(".", maxsplit=1)[-1]
    if part == "A_log":
        return _tiled(-value.exp(), config, 1)
    if part in ("dt_bias", "in_proj_a", "in_proj_b"):
        return _tiled(value, config, 1)
    if part in ("conv1d", "in_proj_qkv"):
        value = value.squeeze(1) if part == "conv1d" else value
        return torch.cat([value[:keys], _tiled(value[keys:], config, size)])
    if part == "in_proj_z":
        return _tiled(value, config, size)
    if part == "out_proj":
        return _tiled(value, config, size, 1)
    return value + 1 if "norm" in name and "linear_attn.norm" not in name else value


def _long_scale(config: Config) -> float:
    """Return the factor of the scores of texts longer than those of the training."""
    length = config["rope_parameters"]["original_max_position_embeddings"]
    return math.sqrt(1 + math.log(config["max_position_embeddings"] / length) / math.log(length))


def _softmax_metadata(arch: str, config: Config) -> dict[str, object]:
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    entries: dict[str, object] = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": int(head * rope.get("partial_rotary_factor", 1.0)),
        "rope.freq_base": float(rope.get("rope_theta", 10000.0)),
    }
    if rope.get("rope_type", "default") in ("linear", "yarn"):
        entries |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": float(rope["factor"])}
    if rope.get("rope_type") == "longrope":
        entries["rope.scaling.attn_factor"] = _long_scale(config)
    if rope.get("original_max_position_embeddings"):
        entries["rope.scaling.original_context_length"] = rope["original_max_position_embeddings"]
    return {f"{arch}.{name}": value for name, value in entries.items()}


def _mamba_metadata(arch: str, config: Config) -> dict[str, object]:
    inner = config.get("intermediate_size") or int(config["hidden_size"] * config["expand"])
    entries: dict[str, object] = {
        "block_count": config["num_hidden_layers"],
        "context_length": 64,
        "embedding_length": config["hidden_size"],
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "ssm.conv_kernel": config["conv_kernel"],
        "ssm.inner_size": inner,
        "ssm.state_size": config["state_size"],
        "attention.layer_norm_rms_epsilon": config["layer_norm_epsilon"],
    }
    if arch == "mamba2":
        heads = inner // config["head_dim"]
        entries |= {"ssm.time_step_rank": heads, "ssm.group_count": config["n_groups"]}
    else:
        entries |= {"ssm.time_step_rank": config["time_step_rank"]}
        entries["ssm.dt_b_c_rms"] = config["model_type"] == "falcon_mamba"
    return {f"{arch}.{name}": value for name, value in entries.items()}


def _qwen35_metadata(arch: str, config: Config) -> dict[str, object]:
    values = config["linear_num_value_heads"]
    kinds = config["layer_types"]
    return _softmax_metadata(arch, config) | {
        f"{arch}.ssm.conv_kernel": config["linear_conv_kernel_dim"],
        f"{arch}.ssm.state_size": config["linear_key_head_dim"],
        f"{arch}.ssm.group_count": config["linear_num_key_heads"],
        f"{arch}.ssm.time_step_rank": values,
        f"{arch}.ssm.inner_size": values * config["linear_value_head_dim"],
        f"{arch}.full_attention_interval": kinds.index("full_attention") + 1,
        f"{arch}.rope.dimension_sections": [1, 1, 0, 0],
    }


def _relative_metadata(arch: str, config: Config) -> dict[str, object]:
    """Return the entries of families that have factors, bounds, windows or experts."""
    names = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
    names |= {"attention_multiplier": "attention.scale", "embedding_multiplier": "embedding_scale"}
    names |= {"residual_multiplier": "residual_scale", "logits_scaling": "logit_scale"}
    names |= {"sliding_window": "attention.sliding_window", "moe_intermediate_size": "expert_feed_forward_length"}
    names |= {"num_local_experts": "expert_count", "num_experts": "expert_count"}
    names["num_experts_per_tok"] = "expert_used_count"
    entries = {f"{arch}.{own}": config[name] for name, own in names.items() if config.get(name)}
    kinds = config.get("layer_types")
    if kinds and config.get("sliding_window"):
        entries[f"{arch}.attention.sliding_window_pattern"] = [kind == "sliding_attention" for kind in kinds]
    return _softmax_metadata(arch, config) | entries


def _stacked(tensors: Named) -> Named:
    """Return tensors with the experts of a layer in one."""
    stacked: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        head, inside, rest = name.partition(".experts.")
        if inside:
            place = head.rpartition(".")[0].replace("model.layers", "blk")
            part = rest.split(".")[1]
            own = {"w1": "gate", "w2": "down", "w3": "up"}.get(part, part.removesuffix("_proj"))
            stacked.setdefault(f"{place}.ffn_{own}_exps.weight", []).append(value)
    return {name: torch.stack(values) for name, values in stacked.items()}


Entries = Callable[[str, Config], dict[str, object]]
# By architecture: names, values and metadata.
_ARCHITECTURES: Mapping[str, tuple[Mapping[str, str], Callable[[str, Tensor, Config], Tensor], Entries]] = {
    "gemma": (_LLAMA, _gemma, _relative_metadata),
    "gemma2": (_BEHIND, _gemma, _relative_metadata),
    "gemma3": (_BEHIND, _gemma, _relative_metadata),
    "granite": (_LLAMA, _llama, _relative_metadata),
    "llama": (_LLAMA, _llama, _relative_metadata),
    "mamba": (_MAMBA, _mamba, _mamba_metadata),
    "mamba2": (_MAMBA, _mamba, _mamba_metadata),
    "olmo2": (_BEHIND, lambda name, value, config: value, _relative_metadata),
    "phi3": (_FUSED, lambda name, value, config: value, _relative_metadata),
    "qwen2": (_LLAMA, lambda name, value, config: value, _softmax_metadata),
    "qwen3": (_LLAMA, lambda name, value, config: value, _softmax_metadata),
    "qwen3moe": (_LLAMA, lambda name, value, config: value, _relative_metadata),
    "qwen35": (_QWEN35, _qwen35, _qwen35_metadata),
    "smollm3": (_LLAMA, _llama, _softmax_metadata),
}
_EVERY_FOURTH = {"no_rope_layer_interval": 4, "no_rope_layers": None, "layer_types": None, "sliding_window": None}
# Cases of `recorded`: their architectures, and changes of configs that a GGUF file cannot say.
CASES: Mapping[str, tuple[str, Config]] = {
    "falcon-mamba": ("mamba", {"mixer_rms_eps": 1e-5}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3", {"query_pre_attn_scalar": 8}),
    "granite": ("granite", {}),
    "llama": ("llama", {}),
    "llama-biases-tied": ("llama", {}),
    "llama-linear": ("llama", {"hidden_act": "silu"}),
    "mamba": ("mamba", {}),
    "mamba-biases": ("mamba", {}),
    "mamba2": ("mamba2", {}),
    "mamba2-groups": ("mamba2", {"time_step_limit": [0.0, 1e30]}),
    "mixtral": ("llama", {"sliding_window": None}),
    "olmo3": ("olmo2", {}),
    "phi3-longrope": ("phi3", {}),
    "phi3-partial": ("phi3", {}),
    "qwen2-yarn": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "qwen3-moe": ("qwen3moe", {"norm_topk_prob": True}),
    "qwen3.5": ("qwen35", {}),
    "qwen3.5-tied": ("qwen35", {}),
    "smollm3": ("smollm3", _EVERY_FOURTH),
}


def _llama3_divisors(rope: Config, head: int) -> Tensor:
    """Return the divisors of the rates of the scaling 'llama3'."""
    rates = rope["rope_theta"] ** (-torch.arange(0, head, 2).double() / head)
    turns = rope["original_max_position_embeddings"] * rates / (2 * torch.pi)
    low = rope["low_freq_factor"]
    share = ((turns - low) / (rope["high_freq_factor"] - low)).clamp(0, 1)
    return 1 / (share + (1 - share) / rope["factor"])


def write_recorded(
    case: str,
    folder: Path,
    metadata: Mapping[str, object] | None = None,
    store: Callable[[str, Tensor], Tensor | Blocks] | None = None,
) -> Path:
    """Write a case of `recorded` as a Hugging Face folder and as `model.gguf` in it; return the path of that.

    Args:
        metadata: further entries.
        store: function from a tensor's name and values to what is stored.
    """
    arch, change = CASES[case]
    write_folder(case, folder)
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    names, changed, entries = _ARCHITECTURES[arch]
    stored = load_file(folder / "model.safetensors")
    made = _stacked(stored)
    alone = {name: value for name, value in stored.items() if ".experts." not in name}
    made |= {_renamed(name, names): changed(name, value, config) for name, value in alone.items()}
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") == "llama3":
        made["rope_freqs.weight"] = _llama3_divisors(rope, config["head_dim"])
    if rope.get("rope_type") == "longrope":
        made |= {f"rope_factors_{name}.weight": torch.tensor(rope[f"{name}_factor"]) for name in ("short", "long")}
    head = {"general.architecture": arch, **entries(arch, config), **(metadata or {})}
    write_gguf(folder / "model.gguf", head, {name: store(name, v) if store else v for name, v in made.items()})
    return folder / "model.gguf"


_RWKV_OUTER = {"emb": "token_embd", "head": "output", "ln_out": "output_norm"}
_RESIDUAL = ("time_mix_output", "channel_mix_value")
_RWKV = {"ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.time_faaaa": "time_mix_first"}
_RWKV |= {f"att.{part}": f"time_mix_{part}" for part in ("receptance", "key", "value", "output", "gate", "r_k")}
_RWKV |= {f"att.{part}": f"time_mix_{part}" for part in ("k_k", "k_a", *(f"{m}{n}" for m in "wavg" for n in "012"))}
_RWKV |= {f"ffn.{part}": f"channel_mix_{part}" for part in ("key", "value", "receptance")}
_RWKV |= {"att.time_maa_w1": "time_mix_w1", "att.time_maa_w2": "time_mix_w2", "att.time_maa_x": "time_mix_lerp_x"}
_RWKV |= {"att.time_decay_w1": "time_mix_decay_w1", "att.time_decay_w2": "time_mix_decay_w2"}
_RWKV |= {"att.time_decay": "time_mix_decay", "ffn.time_maa_k": "channel_mix_lerp_k"}
_RWKV |= {"ffn.time_maa_r": "channel_mix_lerp_r", "ffn.x_k": "channel_mix_lerp_k"}


def _rwkv(own: str, value: Tensor) -> Tensor:
    """Return a tensor as it is stored: low-rank maps turned around, vectors without axes of length 1."""
    if own[-2:] in ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"):
        return value.mT
    vector = "lerp" in own or own.removeprefix("time_mix_") in ("decay", "w0", "a0", "v0", "k_k", "k_a", "r_k")
    return value.flatten() if vector else value


def write_rwkv(version: int, path: Path, every: int = 0) -> None:
    """Write the tiny RWKV-6 or 7 of `rwkv` as a GGUF file.

    Args:
        every: layers after which matrices that write to the residual stream are divided by a further 2.
    """
    values = tensors(version)
    arch = f"rwkv{version}"
    mixes, order = {6: ("att.time_maa_", "wkvrg"), 7: ("att.x_", "rwkvag")}[version]
    made: Named = {}
    for i in range(2):
        rows = [values.pop(f"blocks.{i}.{mixes}{mix}").flatten() for mix in order]
        made[f"blk.{i}.time_mix_lerp_fused.weight"] = torch.stack(rows)[:, None, None]
    for name, value in values.items():
        parts = name.split(".")
        ending = parts[-1] if parts[-1] in ("weight", "bias") else "weight"
        if parts[0] != "blocks":
            made[f"{_RWKV_OUTER[parts[0]]}.{ending}"] = value
        elif parts[2] == "ln0":
            made[f"token_embd_norm.{ending}"] = value
        else:
            own = _RWKV[".".join(parts[2:]).removesuffix(".weight").removesuffix(".bias")]
            divisor = 2 ** (int(parts[1]) // every) if every and own in _RESIDUAL else 1
            made[f"blk.{parts[1]}.{own}.{ending}"] = _rwkv(own, value) / divisor
    entries: dict[str, object] = {
        "block_count": 2,
        "context_length": 64,
        "embedding_length": HEADS * SIZE,
        "feed_forward_length": 20,
        "attention.head_count": 0,
        "attention.layer_norm_epsilon": 1e-5,
        "wkv.head_size": SIZE,
    }
    if version == 6:
        entries |= {"rescale_every_n_layers": every, "time_mix_extra_dim": 3, "time_decay_extra_dim": 4}
    else:
        entries |= {f"attention.{part}_lora_rank": 3 for part in ("decay", "iclr", "value_residual_mix", "gate")}
    head = {"general.architecture": arch, **{f"{arch}.{n}": v for n, v in entries.items()}}
    write_gguf(path, head, made)
