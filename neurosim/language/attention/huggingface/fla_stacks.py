"""Layers around the mixers of flash-linear-attention models: feed-forward layers, channel mixing, softmax attention."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ....base.errors import NeurosimInputError, lookup
from ..model import LanguageConfig, MixerSpec
from .config import MAX_INTEGER, CheckpointConfig, Options, require
from .reader import Tensors

# Entries of these configs that do not reach the layers, or only choose among equal algorithms.
_IGNORED = """
A_init_range attn attn_mode aux_loss_scale capacity chunk_size conv_init conv_size dt_init_floor dt_max dt_min
expand_k expand_v fuse_cross_entropy fuse_linear_cross_entropy fuse_norm fuse_swiglu hidden_act hidden_ratio
intermediate_size num_heads rescale_prenorm_residual residual_in_fp32 use_gk use_gv use_l2warp use_layer_wise_balance
use_output_norm use_short_conv
"""


def _attention(spec: CheckpointConfig, plain: bool) -> MixerSpec:
    """Return softmax attention between the others; `plain` where the model type passes on neither theta nor biases."""
    options = {
        "num_heads": spec.integer("num_heads"),
        "num_kv_heads": spec.maybe(spec.integer, "num_kv_heads"),
        "window_size": spec.integer("window_size", 0, at_least=0),
    }
    more = {"rope_theta": spec.number("rope_theta", 10000.0), "qkv_bias": spec.flag("qkv_bias", False)}
    return MixerSpec("window", options if plain else options | more)


def _hybrid(source: CheckpointConfig, count: int, plain: bool = False) -> dict[int, MixerSpec]:
    """Return the layers of softmax attention, from one table of `attn` or several."""
    specs = source.get("attn", [])
    mixers: dict[int, MixerSpec] = {}
    rule = "must be a table or a list of tables"
    require(isinstance(specs, Mapping | list), "attn", rule, specs)
    for table in [specs] if isinstance(specs, Mapping) else specs:
        require(isinstance(table, Mapping), "attn", rule, table)
        spec = CheckpointConfig(table, prefix="attn.")
        known = dict.fromkeys(("layers", "num_heads", "num_kv_heads", "qkv_bias", "window_size", "rope_theta"))
        for name in table:
            lookup(known, name, "config.json: attn: option of a hybrid layer")
        layers: Any = spec.get("layers")
        require(isinstance(layers, list), "attn.layers", "must be a list of layers", layers)
        for i in layers:
            is_new = type(i) is int and 0 <= i < count and i not in mixers
            require(is_new, "attn.layers", f"must be different layers of 0 to {count - 1}", i)
            mixers[i] = _attention(spec, plain)
    return mixers


def _model(
    source: CheckpointConfig, layers: Iterable[MixerSpec], mlp: str, eps: float, **fields: Any
) -> LanguageConfig:
    """Return a config with the entries that all model types have; `eps` is the default of their norms.

    Raises:
        NeurosimInputError: residuals by attention, which are not supported.
    """
    blocks = source.get("attnres_block_size")
    if blocks is not None:
        raise NeurosimInputError(
            f"config.json: attnres_block_size: residuals by attention are not supported (got {blocks}); "
            "use a checkpoint without them"
        )
    source.entries_read.update(_IGNORED.split())
    return LanguageConfig(
        tuple(layers),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        mlp,
        eps=source.eps(eps),
        tied=source.flag("tie_word_embeddings", False),
        **fields,
    )


def feed_forward_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Return gated feed-forward layers around mixers of one kind and softmax attention."""
    width = source.integer("hidden_size")
    count = source.layers()
    act = source.get("hidden_act", "swish")
    rule = "must be 'swish': other feed-forward layers are not supported"
    require(act in ("swish", "silu"), "hidden_act", rule, act)
    ratio = source.number("hidden_ratio", 4)
    hidden = source.integer("intermediate_size", _hidden(width * ratio * 2 / 3, 256))
    others = _hybrid(source, count, plain=kind == "mom")
    layers = (others.get(i) or MixerSpec(kind, options) for i in range(count))
    return _model(source, layers, "gated", 1e-6, hidden=hidden)


def part_gates(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut gates from the values below them, which early versions of the library had in one tensor."""
    parts = dict(tensors)
    for name, value in tensors.items():
        above = name.endswith(".mlp.gate_proj.weight")
        if above and name.replace("gate_proj", "up_proj") not in tensors:
            parts[name], parts[name.replace("gate_proj", "up_proj")] = value.tensor_split(2)
    return parts


def _hidden(channels: float, multiple: int) -> int:
    """Return a number of channels, up to the next multiple."""
    require(0 < channels <= MAX_INTEGER, "hidden_ratio", f"must give 1 to {MAX_INTEGER} channels", channels)
    return multiple * math.ceil(int(channels) / multiple)


def mamba_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Return mixers without feed-forward layers."""
    others = source.get("attn")
    require(others is None, "attn", "softmax attention between mamba2 layers is not supported", others)
    return _model(source, [MixerSpec(kind, options)] * source.layers(), "none", mamba_eps(source))


def rwkv_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Return layers of channel mixing around mixers with their own number of values, and softmax attention."""
    width = source.integer("hidden_size")
    count = source.layers()
    values = source.get("value_dim", width)
    if not isinstance(values, list):
        values = [values] * count
    are_sizes = len(values) == count and all(type(value) is int and 0 < value <= MAX_INTEGER for value in values)
    require(are_sizes, "value_dim", f"must be one integer > 0 or {count}", values)
    others = _hybrid(source, count)
    require(0 not in others, "attn.layers", "must leave layer 0, whose values the others use, to rwkv7", 0)
    layers = [others.get(i) or MixerSpec(kind, options | {"value_dim": values[i]}) for i in range(count)]
    return _channel_mixes(source, layers, "channel_mix", 4)


def rwkv6_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Return layers of gated channel mixing around mixers of one kind and softmax attention."""
    count = source.layers()
    others = _hybrid(source, count)
    layers = [others.get(i) or MixerSpec(kind, options) for i in range(count)]
    return _channel_mixes(source, layers, "gated_channel_mix", 3.5)


def _channel_mixes(source: CheckpointConfig, layers: list[MixerSpec], mlp: str, ratio: float) -> LanguageConfig:
    """Return a config with layers of channel mixing; `ratio` is the default of their channels to the width."""
    width = source.integer("hidden_size")
    ratio = source.number("hidden_ratio", ratio)
    return _model(
        source,
        layers,
        mlp,
        1e-5,
        hidden=source.integer("intermediate_size", _hidden(width * ratio, 32)),
        act=source.word("hidden_act", "sqrelu"),
        norm="layer",
        norm_bias=source.flag("norm_bias", True),
        first_norm=source.flag("norm_first", True),
    )


def mamba_eps(source: CheckpointConfig) -> float:
    """Return the epsilon of norms under either of its names."""
    return source.eps(source.number("layer_norm_epsilon", 1e-5))
