"""Qwen3-Next and Qwen3.5 in transformers' layout: gated delta rules, softmax attention every few layers, and
feed-forward layers that are dense or of experts.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, require
from .family import BLOCK, OUTER, activation, positions
from .mixtures import expert, experts_apart, qwen_experts
from .reader import CheckpointReader, Tensors

KINDS = {"full_attention": "softmax", "linear_attention": "linear"}


def layer_kinds(source: CheckpointConfig, count: int, default: list[str]) -> list[str]:
    """Return the kind of each layer, a name of `KINDS`."""
    kinds = source.get("layer_types", default)
    known = isinstance(kinds, list) and len(kinds) == count and all(isinstance(k, str) and k in KINDS for k in kinds)
    require(known, "layer_types", f"must be {count} of {', '.join(KINDS)}", kinds)
    return list(kinds)


def _qwen_mixers(source: CheckpointConfig) -> tuple[MixerSpec, ...]:
    """Return the mixers of Qwen3-Next and Qwen3.5, bottom to top."""
    count = source.layers()
    interval = source.integer("full_attention_interval", 4)
    eps = source.eps(1e-6, "rms_norm_eps")
    default = ["linear_attention" if (i + 1) % interval else "full_attention" for i in range(count)]
    kinds = layer_kinds(source, count, default)
    heads = source.integer("num_attention_heads", 16)
    head = source.integer("head_dim", 256)
    bias = source.flag("attention_bias", False)
    require(not bias, "attention_bias", "must be false", bias)
    partial = CheckpointConfig({"partial_rotary_factor": 0.25, **source.config}, entries_read=source.entries_read)
    softmax: Options = {"num_heads": heads, "num_kv_heads": source.integer("num_key_value_heads", 2), "head_dim": head}
    softmax |= {"qk_norm": True, "output_gate": True, "norm_eps": eps, **positions(partial, head)}
    delta: Options = {
        "num_heads": source.integer("linear_num_key_heads", 16),
        "head_dim": source.integer("linear_key_head_dim", 128),
        "num_v_heads": source.integer("linear_num_value_heads", 32),
        "head_v_dim": source.integer("linear_value_head_dim", 128),
        "conv_size": source.integer("linear_conv_kernel_dim", 4),
        "norm_eps": eps,
    }
    mixers = {"full_attention": MixerSpec("softmax", softmax), "linear_attention": MixerSpec("gated_deltanet", delta)}
    return tuple(mixers[kind] for kind in kinds)


_NEXT_EXPERTS = {
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "norm_topk_prob": True,
}


def _qwen3_next(source: CheckpointConfig) -> LanguageConfig:
    layers = _qwen_mixers(source)
    experts, dense = qwen_experts(source.with_defaults(_NEXT_EXPERTS), len(layers))
    return LanguageConfig(
        layers,
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        hidden=source.integer("intermediate_size", 5632),
        gate_act=activation(source),
        eps=source.eps(1e-6, "rms_norm_eps"),
        tied=source.flag("tie_word_embeddings", False),
        experts=experts,
        dense_layers=dense,
    )


# Entries of the parts that read pictures, and of the layers that predict further tokens.
_OTHER_PARTS = """
image_token_id video_token_id vision_config vision_end_token_id vision_start_token_id
mtp_num_hidden_layers mtp_use_dedicated_embeddings mamba_ssm_dtype attn_output_gate
"""


def _qwen3_5(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of the language model; in a model that also reads pictures it is a table of its config."""
    inner = source.nested("text_config") or source
    for part in (source, inner):
        part.entries_read.update(_OTHER_PARTS.split())
    gate = inner.flag("attn_output_gate", True)
    require(gate, "attn_output_gate", "must be true", gate)
    return LanguageConfig(
        _qwen_mixers(inner),
        inner.integer("vocab_size"),
        inner.integer("hidden_size"),
        hidden=inner.integer("intermediate_size", 12288),
        gate_act=activation(inner),
        eps=inner.eps(1e-6, "rms_norm_eps"),
        tied=inner.flag("tie_word_embeddings", source.flag("tie_word_embeddings", False)),
    )


# Our names of the parts of a mixer that keep their weights.
_QWEN_NAMES = {
    "in_proj_z": "g_proj",
    "in_proj_b": "b_proj",
    "in_proj_a": "a_proj",
    "norm": "o_norm",
    "out_proj": "o_proj",
}


def _change_qwen(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut the tensors that hold several projections; norms, except of outputs, have weights about 0 there."""
    changed: Tensors = {}
    for name, value in experts_apart(tensors).items():
        path = name.split(".")
        if len(path) > 3 and path[2] == "mixer":
            changed |= _changed_in_mixer(name, value, dict(config.layers[int(path[1])].options))
        elif path[-2:] in (["norm", "weight"], ["mlp_norm", "weight"]):
            changed[name] = _from_one(value)
        else:
            changed[expert(name, {"gate": "router", "shared_expert": "shared"})] = value
    return changed


def _from_one(value: Tensor) -> Tensor:
    """Return the weights of a norm that are stored as their difference from 1."""
    return value.float() + 1


def _changed_in_mixer(name: str, value: Tensor, options: dict[str, Any]) -> Tensors:
    """Return the tensors of a mixer with these options that one of theirs holds."""
    path = name.split(".")
    part = path[3]
    place = ".".join(path[:3])
    if part in ("in_proj_qkvz", "in_proj_ba"):
        return _cut_groups(place, part, value, options)
    if part in ("conv1d", "in_proj_qkv"):
        keys = options["num_heads"] * options["head_dim"]
        parts = value.split([keys, keys, len(value) - 2 * keys])
        kind = "conv1d" if part == "conv1d" else "proj"
        return {f"{place}.{n}_{kind}.weight": p for n, p in zip("qkv", parts, strict=True)}
    if part == "q_proj":
        # Of each head first the query, then the output gate.
        queries, gates = value.unflatten(0, (options["num_heads"], 2, -1)).unbind(1)
        return {f"{place}.q_proj.weight": queries.flatten(0, 1), f"{place}.g_proj.weight": gates.flatten(0, 1)}
    if part in ("q_norm", "k_norm"):
        return {name: _from_one(value)}
    if part in _QWEN_NAMES:
        return {f"{place}.{_QWEN_NAMES[part]}.weight": value}
    return {name: value}


def _cut_groups(place: str, part: str, value: Tensor, options: dict[str, Any]) -> Tensors:
    """Cut a projection of one group of heads after the other, each with its q, k, values and gates, or its b and a."""
    # Heads of values that share a head of keys.
    shares = options["num_v_heads"] // options["num_heads"]
    if part == "in_proj_qkvz":
        names = "qkvg"
        sizes = [options["head_dim"]] * 2 + [shares * options["head_v_dim"]] * 2
    else:
        names = "ba"
        sizes = [shares] * 2
    parts = value.unflatten(0, (options["num_heads"], -1)).split(sizes, 1)
    return {f"{place}.{name}_proj.weight": each.flatten(0, 1) for name, each in zip(names, parts, strict=True)}


def _qwen3_5_reader(root: str) -> CheckpointReader:
    return CheckpointReader(
        _qwen3_5,
        root,
        outer=OUTER,
        block=BLOCK,
        also={"linear_attn": "mixer"},
        change=_change_qwen,
        other_parts=("mtp.", "model.visual."),
    )


QWEN_HYBRIDS: dict[str, CheckpointReader] = {
    "qwen3_next": CheckpointReader(
        _qwen3_next, outer=OUTER, block=BLOCK, also={"linear_attn": "mixer"}, change=_change_qwen
    ),
    "qwen3_5": _qwen3_5_reader("model.language_model"),
    "qwen3_5_text": _qwen3_5_reader("model"),
}
