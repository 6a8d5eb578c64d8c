"""Configs and tensor names of flash-linear-attention models (0.6.0): one reader for each model type.

Facts of interoperation only: names and meanings of options and tensors. Most options have our names, because ours are
those of this library. Some options of a config do not reach the layers there (`use_gk`, `use_gv`, `use_output_norm`,
`use_short_conv` of RetNet, `use_inner_decay` and `use_output_correction` of Comba, `clamp_min` of GSA): the tensors
decide, as for biases of convolutions, which no config names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ....base.errors import lookup
from ..model import LanguageConfig
from .config import CheckpointConfig, Options, require
from .family import activation
from .fla_stacks import feed_forward_stack, mamba_eps, mamba_stack, part_gates, rwkv6_stack, rwkv_stack
from .reader import CheckpointReader
from .rwkv import change_fla_rwkv6


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


def dt_limits(source: CheckpointConfig) -> list[float] | None:
    """Return the lower and the upper bound of the steps of Mamba-2; None without any."""
    name = "time_step_limit" if source.get("dt_limit") is None else "dt_limit"
    limits = source.get(name, [0.0, math.inf])
    require(isinstance(limits, list) and len(limits) == 2, name, "must be two numbers", limits)
    # JSON has no infinity; transformers writes it as a table.
    pair = [x["__float__"] if isinstance(x, Mapping) and "__float__" in x else x for x in limits]
    pair = [math.inf if x == "Infinity" else x for x in pair]
    in_order = all(type(x) in (int, float) for x in pair) and 0 <= pair[0] <= pair[1]
    require(in_order, name, "must be two numbers >= 0 in order", limits)
    low, high = pair
    if low == 0 and high == math.inf:
        return None
    return [float(low), float(min(high, 1e38))]  # of float32


def _mamba2(source: CheckpointConfig) -> Options:
    """Return the options of both libraries; transformers names its eps `layer_norm_epsilon`, and has other defaults."""
    groups = 8 if "layer_norm_epsilon" in source.config else 1
    options = source.options(expand=2.0, head_dim=64, state_size=128, n_groups=groups, conv_kernel=4)
    options |= source.options(use_conv_bias=True, use_bias=False, D_has_hdim=False)
    source.entries_read.add("time_step_rank")
    return options | {
        "hidden_act": activation(source),
        "rmsnorm": source.flag("rmsnorm", source.flag("rms_norm", True)),
        "gate_first": not source.flag("norm_before_gate", False),
        "dt_limit": dt_limits(source),
        "norm_eps": mamba_eps(source),
    }


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
    kind: str, options: Callable[[CheckpointConfig], Options], stack: Stack = feed_forward_stack, **names: Any
) -> CheckpointReader:
    """Return the reader of a model type: our kind, its options, the layers around it, and names of tensors."""
    if stack is feed_forward_stack:
        names["change"] = part_gates
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
        mamba_stack,
        root="backbone",
        block=MAMBA,
        outer={"norm_f": "norm", "embeddings": "embeddings", "embedding": "embeddings"},
    ),
    "mom": _reader("mom", _mom, parts={"gate": "gate_proj"}),
    "retnet": _reader("retention", _retnet, parts=NORMED),
    "rwkv7": _reader("rwkv7", _rwkv7, rwkv_stack, block=RWKV),
}
# The RWKV project's own layout has the same model type.
FLA_RWKV6 = _reader("rwkv6", _rwkv6, rwkv6_stack, block=RWKV, parts={"bonus": "u"}, change=change_fla_rwkv6)
