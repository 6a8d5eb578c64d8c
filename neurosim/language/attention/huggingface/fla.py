"""Configs and tensor names of flash-linear-attention models (0.6.0): one reader for each model type.

Facts of interoperation only: names and meanings of options and tensors. Most options have our names, because ours are
those of this library. Some options of a config do not reach the layers there (`use_gk`, `use_gv`, `use_output_norm`,
`use_short_conv` of RetNet, `use_inner_decay` and `use_output_correction` of Comba, `clamp_min` of GSA): the tensors
decide, as for biases of convolutions, which no config names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ....base.errors import NeurosimInputError, lookup
from ..model import LanguageConfig, MixerSpec
from .config import MAX_INTEGER, CheckpointConfig, Options, require
from .reader import CheckpointReader
from .rwkv import change_fla_rwkv6

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


def _stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
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


def _hidden(channels: float, multiple: int) -> int:
    """Return a number of channels, up to the next multiple."""
    require(0 < channels <= MAX_INTEGER, "hidden_ratio", f"must give 1 to {MAX_INTEGER} channels", channels)
    return multiple * math.ceil(int(channels) / multiple)


def _mamba_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Return mixers without feed-forward layers."""
    others = source.get("attn")
    require(others is None, "attn", "softmax attention between mamba2 layers is not supported", others)
    return _model(source, [MixerSpec(kind, options)] * source.layers(), "none", _mamba_eps(source))


def _rwkv_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
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


def _rwkv6_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
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


def _sized(source: CheckpointConfig, keys: float, values: float) -> Options:
    """Return the options of heads that kinds with `expand_k` and `expand_v` share."""
    width = source.integer("hidden_size")
    sizes = {"key_dim": source.share(width, "expand_k", keys), "value_dim": source.share(width, "expand_v", values)}
    return source.options(num_heads=4) | sizes | {"norm_eps": source.eps()}


def _grouped(source: CheckpointConfig, keys: float, values: float) -> Options:
    """Return the options of `_sized` for kinds with groups of heads."""
    return (
        _sized(source, keys, values)
        | {"num_kv_heads": source.maybe(source.integer, "num_kv_heads")}
        | source.options(elementwise_affine=True)
    )


def _gla(source: CheckpointConfig) -> Options:
    """Return the options of GLA."""
    options = source.conv() | source.gate("use_output_gate", True, source.word("hidden_act", "swish"))
    low = source.maybe(lambda name: source.number(name, 0.0), "clamp_min")
    return (
        _grouped(source, 0.5, 1.0)
        | options
        | {"feature_map": source.maybe(lambda name: source.word(name, ""), "feature_map"), "clamp_min": low}
    )


def _retnet(source: CheckpointConfig) -> Options:
    """Return the options of RetNet."""
    options = source.conv(source.has("q_conv1d.weight"))
    options |= source.gate("use_output_gate", True, source.word("hidden_act", "swish"))
    return (
        _grouped(source, 1.0, 2.0)
        | options
        | {"feature_map": source.maybe(lambda name: source.word(name, ""), "feature_map")}
    )


LINEAR_MAPS = {"dpfp": "dpfp", "elementwise_product": "hadamard", "elu": "elu", "hedgehog": "hedgehog"}
LINEAR_MAPS |= {"identity": "identity", "relu": "relu", "t2r": "t2r"}


def _linear(source: CheckpointConfig) -> Options:
    """Return the options of linear attention."""
    name = source.word("feature_map", "elementwise_product")
    maps = {
        "feature_map": lookup(LINEAR_MAPS, name, "config.json: feature_map"),
        "do_feature_map_norm": source.flag("norm_feature_map", False),
    }
    return _grouped(source, 1.0, 1.0) | maps | source.options(tie_feature_map_qk=False, norm_q=False, norm_k=False)


def _hgrn2(source: CheckpointConfig) -> Options:
    """Return the options of HGRN-2."""
    width = source.integer("hidden_size")
    state = source.maybe(source.integer, "expand_ratio") or width // source.integer("num_heads")
    # Its norm is fused with the output projection, which takes 1e-5 for any `norm_eps`.
    options = source.options(use_lower_bound=True, elementwise_affine=True) | {"norm_eps": 1e-5}
    return source.conv() | options | {"expand_ratio": state}


def _deltanet(source: CheckpointConfig) -> Options:
    """Return the options of DeltaNet."""
    options = source.options(use_beta=True, allow_neg_eigval=False, qk_activation="silu", qk_norm="l2")
    return _sized(source, 1.0, 1.0) | source.conv() | source.gate("use_gate", False) | options


def _headed(source: CheckpointConfig, heads: int, head: int, value: float) -> Options:
    """Return the options of heads that kinds with `head_dim` share."""
    values = source.share(source.integer("head_dim", head), "expand_v", value)
    options = source.options(num_heads=heads, head_dim=head) | {"head_v_dim": values, "norm_eps": source.eps()}
    return source.conv() | options


def _values(source: CheckpointConfig) -> Options:
    """Return the number of value heads, where it differs from the number of key heads."""
    return {"num_v_heads": source.maybe(source.integer, "num_v_heads")}


def _gated_deltanet(source: CheckpointConfig) -> Options:
    """Return the options of the gated DeltaNet."""
    options = source.gate("use_gate", True, source.word("output_gate_activation", "swish"))
    return _headed(source, 6, 256, 2.0) | _values(source) | options | source.options(allow_neg_eigval=False)


def _deltaproduct(source: CheckpointConfig) -> Options:
    """Return the options of DeltaProduct."""
    options = source.options(allow_neg_eigval=False, num_householder=2, use_forget_gate=True)
    return _headed(source, 6, 256, 2.0) | _values(source) | options | source.gate("use_output_gate", True)


def _kda(source: CheckpointConfig) -> Options:
    """Return the options of Kimi delta attention."""
    bound = source.maybe(lambda name: source.number(name, 0.0), "lower_bound")
    safe = source.flag("safe_gate", False)
    require(bound is not None or not safe, "lower_bound", "must be given with safe_gate", None)
    options = source.options(allow_neg_eigval=False)
    return _headed(source, 16, 128, 1.0) | _values(source) | options | {"lower_bound": bound}


def _mom(source: CheckpointConfig) -> Options:
    """Return the options of mixture of memories."""
    backend = source.word("mom_backend", "gated_deltanet")
    require(backend == "gated_deltanet", "mom_backend", "must be 'gated_deltanet'", backend)
    options = source.options(num_memories=8, topk=2, shared_mem=False, single_kv_proj=False)
    return _headed(source, 4, 256, 2.0) | options | source.gate("use_output_gate", True) | {"library_order": True}


def dt_limits(source: CheckpointConfig) -> tuple[float, float]:
    """Return the bounds of the steps of Mamba-2."""
    name = "time_step_limit" if source.get("dt_limit") is None else "dt_limit"
    limits = source.get(name, [0.0, math.inf])
    require(isinstance(limits, list) and len(limits) == 2, name, "must be two numbers", limits)
    # JSON has no infinity; transformers writes it as a table.
    pair = [x["__float__"] if isinstance(x, Mapping) and "__float__" in x else x for x in limits]
    pair = [math.inf if x == "Infinity" else x for x in pair]
    in_order = all(type(x) in (int, float) for x in pair) and 0 <= pair[0] <= pair[1]
    require(in_order, name, "must be two numbers >= 0 in order", limits)
    low, high = pair
    if high == math.inf:
        return float(low), math.inf
    return float(low), float(min(high, 1e38))  # of float32


def _mamba2(source: CheckpointConfig) -> Options:
    """Return the options of both libraries; transformers names its eps `layer_norm_epsilon`, and has other defaults."""
    low, high = dt_limits(source)
    groups = 8 if "layer_norm_epsilon" in source.config else 1
    options = source.options(expand=2.0, head_dim=64, state_size=128, n_groups=groups, conv_kernel=4, hidden_act="silu")
    options |= source.options(use_conv_bias=True, use_bias=False, D_has_hdim=False)
    source.entries_read.add("time_step_rank")
    return options | {
        "rmsnorm": source.flag("rmsnorm", source.flag("rms_norm", True)),
        "gate_first": not source.flag("norm_before_gate", False),
        "dt_limit": None if (low, high) == (0.0, math.inf) else [low, min(high, 1e38)],
        "norm_eps": _mamba_eps(source),
    }


def _mamba_eps(source: CheckpointConfig) -> float:
    """Return the epsilon of norms under either of its names."""
    return source.eps(source.number("layer_norm_epsilon", 1e-5))


def _rwkv7(source: CheckpointConfig) -> Options:
    """Return the options of RWKV-7."""
    width = source.integer("hidden_size")
    head = source.maybe(source.integer, "head_dim") or max(width // source.integer("num_heads"), 1)
    # Without its fused norms it divides by the length itself.
    l2_eps = 1e-6 if source.flag("fuse_norm", True) else 1e-24
    # Ranks of the low-rank maps follow a rule of the library where the config has none.
    rules = {"decay": (2.5, head / 64), "gate": (5.0, 1.0), "a": (2.5, head / 64), "v": (1.7, head / 64)}
    ranks = {n: max(32, round(factor * width**0.5 * part / 32) * 32) for n, (factor, part) in rules.items()}
    options = source.options(**{f"{name}_low_rank_dim": rank for name, rank in ranks.items()})
    return options | {"head_dim": head, "l2_norm_eps": l2_eps, "norm_eps": source.eps(1e-5)}


def _rwkv6(source: CheckpointConfig) -> Options:
    """Return the options of RWKV-6."""
    width = source.integer("hidden_size")
    heads = source.integer("num_heads", 4)
    keys = source.share(width, "expand_k", 0.5)
    require(keys % heads == 0, "num_heads", f"must divide {keys} channels of keys", heads)
    return {
        "head_dim": keys // heads,
        "inner_dim": keys,
        "value_dim": source.share(width, "expand_v", 1.0),
        "mix_low_rank_dim": source.integer("proj_low_rank_dim", 32),
        "decay_low_rank_dim": source.integer("gate_low_rank_dim", 64),
        "norm_eps": source.eps(1e-5),
    }


def _hgrn(source: CheckpointConfig) -> Options:
    """Return the options of HGRN."""
    used = source.flag("use_short_conv", source.has("f_conv1d.weight"))
    options = source.options(use_lower_bound=True, elementwise_affine=True, expand_ratio=1.0)
    return source.conv(used) | options | {"norm_eps": source.eps()}


def _gsa(source: CheckpointConfig) -> Options:
    """Return the options of gated slot attention."""
    source.entries_read.update(("clamp_max", "clamp_min", "use_norm", "use_output_gate"))
    options = source.options(gate_logit_normalizer=8.0, feature_map="swish", num_slots=64)
    # Its norm is fused with the output projection, which takes 1e-5 for any `norm_eps`.
    return _grouped(source, 1.0, 1.0) | source.conv(source.flag("use_short_conv", False)) | options | {"norm_eps": 1e-5}


def _comba(source: CheckpointConfig) -> Options:
    """Return the options of Comba."""
    source.entries_read.update(("correction_factor", "use_inner_decay", "use_output_correction"))
    gate = source.flag("use_output_gate", source.flag("use_gate", True))
    return _headed(source, 6, 256, 2.0) | _values(source) | {"use_gate": gate, "normalise_feedback": True}


RWKV = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "ffn_norm", "mlp": "ffn"}
MAMBA = {"norm": "norm", "mixer": "mixer"}
NORMED = {"g_norm_swish_gate": "o_norm", "g_norm": "o_norm"}
Stack = Callable[[CheckpointConfig, str, Options], LanguageConfig]


def _config(
    source: CheckpointConfig, kind: str, options: Callable[[CheckpointConfig], Options], stack: Stack
) -> LanguageConfig:
    """Return our config of a model: mixers of a kind with these options, in the layers that `stack` makes."""
    return stack(source, kind, options(source))


def _reader(
    kind: str, options: Callable[[CheckpointConfig], Options], stack: Stack = _stack, **names: Any
) -> CheckpointReader:
    """Return the reader of a model type: our kind, its options, the layers around it, and names of tensors."""
    return CheckpointReader(partial(_config, kind=kind, options=options, stack=stack), **names)


FLA: dict[str, CheckpointReader] = {
    "comba": _reader("comba", _comba),
    "delta_net": _reader("deltanet", _deltanet),
    "gated_deltanet": _reader("gated_deltanet", _gated_deltanet),
    "gated_deltaproduct": _reader("deltaproduct", _deltaproduct),
    "gla": _reader("gla", _gla, parts=NORMED),
    "gsa": _reader("gsa", _gsa, parts={"feature_map": "map"}),
    "hgrn": _reader("hgrn", _hgrn),
    "hgrn2": _reader("hgrn2", _hgrn2, parts={"g_norm": "o_norm"}),
    "kda": _reader("kda", _kda),
    "linear_attn": _reader("linear", _linear, parts={"norm": "o_norm"}),
    "mamba2": _reader(
        "mamba2",
        _mamba2,
        _mamba_stack,
        root="backbone",
        block=MAMBA,
        outer={"norm_f": "norm", "embeddings": "embeddings", "embedding": "embeddings"},
    ),
    "mom": _reader("mom", _mom, parts={"gate": "gate_proj"}),
    "retnet": _reader("retention", _retnet, parts=NORMED),
    "rwkv7": _reader("rwkv7", _rwkv7, _rwkv_stack, block=RWKV),
}
# The RWKV project's own layout has the same model type.
FLA_RWKV6 = _reader("rwkv6", _rwkv6, _rwkv6_stack, block=RWKV, parts={"bonus": "u"}, change=change_fla_rwkv6)
