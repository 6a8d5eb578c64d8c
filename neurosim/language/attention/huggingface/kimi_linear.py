"""Kimi Linear in transformers' layout: KDA, latent attention every few layers, and experts.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..experts import ExpertsSpec
from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, require
from .family import BLOCK, OUTER, activation
from .mixtures import MIXTRAL_PARTS, either, expert, experts_apart, some_layers
from .qwen_hybrids import layer_kinds
from .reader import CheckpointReader, Tensors

# Entries that repeat others, or that only rotary positions and training would use.
_IGNORED = """
head_dim qk_head_dim model_max_length use_grouped_topk num_nextn_predict_layers mla_use_nope rope_theta rope_scaling
output_router_logits num_key_value_heads pretraining_tp
"""


def _config(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of a Kimi Linear."""
    count = source.layers()
    eps = source.eps(1e-5, "rms_norm_eps")
    inner = source.table("linear_attn_config") or CheckpointConfig({}, prefix="linear_attn_config.")
    kinds = _kinds(source, inner, count)
    source.entries_read.update(_IGNORED.split())
    nope = source.flag("mla_use_nope", True)
    require(nope, "mla_use_nope", "must be true: rotary positions of latent attention are not supported", nope)
    delta: Options = {
        "num_heads": inner.integer("num_heads", source.integer("linear_num_heads", 32)),
        "head_dim": inner.integer("head_dim", source.integer("linear_head_dim", 128)),
        "conv_size": inner.integer("short_conv_kernel_size", source.integer("linear_conv_kernel_dim", 4)),
        "norm_eps": eps,
    }
    latent: Options = {
        "num_heads": source.integer("num_attention_heads", 32),
        "kv_lora_rank": source.integer("kv_lora_rank", 512),
        "q_lora_rank": source.maybe(source.integer, "q_lora_rank"),
        "qk_nope_head_dim": source.integer("qk_nope_head_dim", 128),
        "qk_rope_head_dim": source.integer("qk_rope_head_dim", 64),
        "v_head_dim": source.integer("v_head_dim", 128),
        "attention_bias": source.flag("attention_bias", False),
    }
    mixers = {"full_attention": MixerSpec("latent", latent), "linear_attention": MixerSpec("kda", delta)}
    return LanguageConfig(
        tuple(mixers[kind] for kind in kinds),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        hidden=source.integer("intermediate_size"),
        gate_act=activation(source),
        eps=eps,
        tied=source.flag("tie_word_embeddings", False),
        experts=_experts(source),
        dense_layers=_dense_layers(source, count),
    )


def _kinds(source: CheckpointConfig, inner: CheckpointConfig, count: int) -> list[str]:
    """Return the kind of each layer; `inner`, the table of linear attention, lists them from 1 on."""
    if inner.get("full_attn_layers") is None:
        full = set(range(4, count, 4))
    else:
        full = set(some_layers(inner, "full_attn_layers", count, first=1))
        linear = set(some_layers(inner, "kda_layers", count, first=1))
        rule = "must be the layers that are not full_attn_layers"
        require(full | linear == set(range(count)) and not full & linear, "kda_layers", rule, sorted(linear))
    default = ["full_attention" if i in full else "linear_attention" for i in range(count)]
    return layer_kinds(source, count, default)


def _experts(source: CheckpointConfig) -> ExpertsSpec:
    score = source.word("moe_router_activation_func", "sigmoid")
    require(score == "sigmoid", "moe_router_activation_func", "must be 'sigmoid'", score)
    hidden = source.integer("moe_intermediate_size", 1024)
    # Configs name some of these entries in one of two ways.
    return ExpertsSpec(
        either(source, 256, "num_experts", "num_local_experts"),
        either(source, 8, "num_experts_per_token", "num_experts_per_tok"),
        hidden,
        # The experts that all tokens share are one, as wide as all of them together.
        hidden * either(source, 1, "num_shared_experts", "n_shared_experts"),
        scores=score,
        normalise=source.flag("moe_renormalize", source.flag("norm_topk_prob", True)),
        scale=source.number("routed_scaling_factor", 2.446),
        groups=either(source, 1, "num_expert_group", "n_group"),
        top_groups=source.integer("topk_group", 1),
    )


def _dense_layers(source: CheckpointConfig, count: int) -> tuple[int, ...]:
    """Return the layers without experts."""
    kinds = source.get("mlp_layer_types")
    first = source.integer("first_k_dense_replace", 1, at_least=0)
    every = source.integer("moe_layer_freq", 1)
    require(every == 1, "moe_layer_freq", "must be 1", every)
    if kinds is None:
        return tuple(range(min(first, count)))
    known = isinstance(kinds, list) and len(kinds) == count and all(k in ("dense", "sparse") for k in kinds)
    require(known, "mlp_layer_types", f"must be {count} of dense, sparse", kinds)
    return tuple(i for i, kind in enumerate(kinds) if kind == "dense")


_LOW_RANK = {"f_a_proj": "f_proj.0", "f_b_proj": "f_proj.1", "g_a_proj": "g_proj.0", "g_b_proj": "g_proj.1"}


def _change(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Rename low-rank maps and experts; the gate of outputs has a bias here, which is 0 then."""
    changed: Tensors = {}
    for name, value in experts_apart(tensors).items():
        changed |= _changed_one(name, value)
    return changed


def _changed_one(name: str, value: Tensor) -> Tensors:
    """Return the tensors that one of theirs becomes."""
    path = name.split(".")
    part = path[3] if len(path) > 3 and path[2] == "mixer" else ""
    place = ".".join(path[:3])
    if part == "g_b_proj":
        bias = torch.zeros(len(value), device=value.device)
        return {f"{place}.{_LOW_RANK[part]}.weight": value, f"{place}.g_proj.1.bias": bias}
    if part in _LOW_RANK:
        return {f"{place}.{_LOW_RANK[part]}.weight": value}
    if part == "A_log":
        return {name: value.flatten()}
    if name.endswith("gate.e_score_correction_bias"):
        return {f"{place}.router.bias": value}
    return {expert(name, {"gate": "router", "shared_experts": "shared"}, MIXTRAL_PARTS): value}


KIMI: dict[str, CheckpointReader] = {
    "kimi_linear": CheckpointReader(_config, outer=OUTER, block=BLOCK, also={"block_sparse_moe": "mlp"}, change=_change)
}
