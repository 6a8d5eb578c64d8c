"""Configs and tensor names of flash-linear-attention models (0.6.0): one reader for each model type.

Facts of interoperation only: names and meanings of options and tensors. Some options of a config do not reach the
layers there (`use_gk`, `use_gv`, `use_output_norm`, `use_short_conv` of RetNet): the tensors decide, as for biases of
convolutions, which no config names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import NeurosimInputError, lookup, require
from .model import LanguageConfig, MixerSpec


@dataclass(frozen=True)
class CheckpointConfig:
    """A config.json and the names of the tensors beside it."""

    config: Mapping[str, Any]
    names: frozenset[str]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.config.get(name)
        return default if value is None else value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer > 0.

        Raises:
            NeurosimInputError: it is missing or something else.
        """
        value = self.get(name, default)
        require(type(value) is int and value > 0, f"config.json: {name}", "must be an integer > 0", value)
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        require(type(value) in (int, float), f"config.json: {name}", "must be a number", value)
        return float(value)

    def has(self, ending: str) -> bool:
        """Return whether the name of any tensor ends with `ending`."""
        return any(name.endswith(ending) for name in self.names)

    def share(self, of: int, name: str, default: float) -> int:
        """Return `of` times a factor of the config, which must be an integer."""
        part = of * self.number(name, default)
        require(
            math.isclose(part, round(part)),
            f"config.json: {name}",
            f"must give an integer part of {of} channels",
            part,
        )
        return round(part)

    def conv(self) -> dict[str, Any]:
        """Options of short convolutions."""
        used = bool(self.get("use_short_conv", self.has("q_conv1d.weight")))
        return {"conv_size": self.integer("conv_size", 4) if used else 0, "conv_bias": self.has("conv1d.bias")}

    def gate(self, name: str, default: bool) -> str | None:
        """Return the activation of the output gate; None for no gate."""
        return str(self.get("hidden_act", "swish")) if self.get(name, default) else None

    def eps(self, default: float = 1e-6) -> float:
        return self.number("norm_eps", default)


def _attention(spec: Mapping[str, Any], plain: bool) -> MixerSpec:
    """Softmax attention between the others; `plain` where the model type passes on neither theta nor biases."""
    heads = spec.get("num_heads")
    require(type(heads) is int and heads > 0, "config.json: attn.num_heads", "must be an integer > 0", heads)
    options = {
        "num_heads": heads,
        "num_kv_heads": spec.get("num_kv_heads"),
        "window_size": spec.get("window_size") or 0,
    }
    if not plain:
        options |= {"rope_theta": float(spec.get("rope_theta") or 10000.0), "qkv_bias": bool(spec.get("qkv_bias"))}
    return MixerSpec("window", options)


def _hybrid(source: CheckpointConfig, count: int, plain: bool) -> dict[int, MixerSpec]:
    """Return the layers of softmax attention, from one table of `attn` or several."""
    specs = source.get("attn", [])
    found: dict[int, MixerSpec] = {}
    require(isinstance(specs, Mapping | list), "config.json: attn", "must be a table or a list of tables", specs)
    for spec in [specs] if isinstance(specs, Mapping) else specs:
        require(isinstance(spec, Mapping), "config.json: attn", "must be a table or a list of tables", spec)
        known = dict.fromkeys(("layers", "num_heads", "num_kv_heads", "qkv_bias", "window_size", "rope_theta"))
        for name in spec:
            lookup(known, name, "config.json: attn: option of a hybrid layer")
        layers = spec.get("layers")
        require(isinstance(layers, list), "config.json: attn.layers", "must be a list of layers", layers)
        for i in spec["layers"]:
            holds = type(i) is int and 0 <= i < count and i not in found
            require(holds, "config.json: attn.layers", f"must be different layers of 0 to {count - 1}", i)
            found[i] = _attention(spec, plain)
    return found


def _stack(source: CheckpointConfig, layer: Callable[[int], MixerSpec], plain: bool = False) -> LanguageConfig:
    """A model of gated feed-forward layers around mixers of one kind and softmax attention."""
    width, count = source.integer("hidden_size"), source.integer("num_hidden_layers")
    _refuse(source)
    act = source.get("hidden_act", "swish")
    require(
        act in ("swish", "silu"),
        "config.json: hidden_act",
        "must be 'swish': other feed-forward layers are not supported",
        act,
    )
    ratio = source.number("hidden_ratio", 4)
    hidden = source.integer("intermediate_size", 256 * math.ceil(int(width * ratio * 2 / 3) / 256))
    others = _hybrid(source, count, plain)
    return LanguageConfig(
        tuple(others.get(i) or layer(i) for i in range(count)),
        source.integer("vocab_size"),
        width,
        "gated",
        hidden,
        eps=source.eps(),
        tied=bool(source.get("tie_word_embeddings", False)),
    )


def _refuse(source: CheckpointConfig) -> None:
    """Raise for what would change the model and is not supported."""
    blocks = source.get("attnres_block_size")
    if blocks is not None:
        raise NeurosimInputError(
            f"config.json: attnres_block_size: residuals by attention are not supported (got {blocks}); "
            "use a checkpoint without them"
        )


def _grouped(source: CheckpointConfig, keys: float, values: float) -> dict[str, Any]:
    """Options of heads that kinds with `expand_k` and `expand_v` share."""
    width = source.integer("hidden_size")
    return {
        "num_heads": source.integer("num_heads", 4),
        "num_kv_heads": source.get("num_kv_heads"),
        "key_dim": source.share(width, "expand_k", keys),
        "value_dim": source.share(width, "expand_v", values),
        "elementwise_affine": bool(source.get("elementwise_affine", True)),
        "norm_eps": source.eps(),
    }


def _gla(source: CheckpointConfig) -> LanguageConfig:
    options = _grouped(source, 0.5, 1.0) | source.conv() | {"gate_fn": source.gate("use_output_gate", True)}
    options |= {"feature_map": source.get("feature_map"), "clamp_min": source.get("clamp_min")}
    return _stack(source, lambda i: MixerSpec("gla", options))


def _retnet(source: CheckpointConfig) -> LanguageConfig:
    options = _grouped(source, 1.0, 2.0) | {"gate_fn": source.gate("use_output_gate", True)}
    convolved = source.has("q_conv1d.weight")
    options |= {"conv_size": source.integer("conv_size", 4) if convolved else 0, "conv_bias": source.has("conv1d.bias")}
    return _stack(source, lambda i: MixerSpec("retention", options | {"feature_map": source.get("feature_map")}))


LINEAR_MAPS = {"dpfp": "dpfp", "elementwise_product": "hadamard", "elu": "elu", "hedgehog": "hedgehog"}
LINEAR_MAPS |= {"identity": "identity", "relu": "relu", "t2r": "t2r"}


def _linear(source: CheckpointConfig) -> LanguageConfig:
    name = source.get("feature_map", "elementwise_product")
    options = _grouped(source, 1.0, 1.0) | {
        "feature_map": lookup(LINEAR_MAPS, name, "config.json: feature_map"),
        "tie_feature_map_qk": bool(source.get("tie_feature_map_qk", False)),
        "do_feature_map_norm": bool(source.get("norm_feature_map", False)),
        "norm_q": bool(source.get("norm_q", False)),
        "norm_k": bool(source.get("norm_k", False)),
    }
    return _stack(source, lambda i: MixerSpec("linear", options))


def _hgrn2(source: CheckpointConfig) -> LanguageConfig:
    width, ratio = source.integer("hidden_size"), source.get("expand_ratio")
    state = source.integer("expand_ratio") if ratio is not None else width // source.integer("num_heads")
    options = source.conv() | {
        "expand_ratio": state,
        "use_lower_bound": bool(source.get("use_lower_bound", True)),
        "elementwise_affine": bool(source.get("elementwise_affine", True)),
        # Its norm is fused with the output projection, which takes 1e-5 for any `norm_eps`.
        "norm_eps": 1e-5,
    }
    return _stack(source, lambda i: MixerSpec("hgrn2", options))


def _deltanet(source: CheckpointConfig) -> LanguageConfig:
    width = source.integer("hidden_size")
    options = source.conv() | {
        "num_heads": source.integer("num_heads", 4),
        "key_dim": source.share(width, "expand_k", 1.0),
        "value_dim": source.share(width, "expand_v", 1.0),
        "use_beta": bool(source.get("use_beta", True)),
        "allow_neg_eigval": bool(source.get("allow_neg_eigval", False)),
        "gate_fn": "swish" if source.get("use_gate", False) else None,
        "qk_activation": source.get("qk_activation", "silu"),
        "qk_norm": source.get("qk_norm", "l2"),
        "norm_eps": source.eps(),
    }
    return _stack(source, lambda i: MixerSpec("deltanet", options))


def _headed(source: CheckpointConfig, heads: int, head: int, value: float) -> dict[str, Any]:
    """Options of heads that kinds with `head_dim` and `num_v_heads` share."""
    width = source.integer("head_dim", head)
    return source.conv() | {
        "num_heads": source.integer("num_heads", heads),
        "head_dim": width,
        "num_v_heads": source.get("num_v_heads"),
        "head_v_dim": source.share(width, "expand_v", value),
        "allow_neg_eigval": bool(source.get("allow_neg_eigval", False)),
        "norm_eps": source.eps(),
    }


def _gated_deltanet(source: CheckpointConfig) -> LanguageConfig:
    act = source.get("output_gate_activation", "swish")
    options = _headed(source, 6, 256, 2.0) | {"gate_fn": act if source.get("use_gate", True) else None}
    return _stack(source, lambda i: MixerSpec("gated_deltanet", options))


def _deltaproduct(source: CheckpointConfig) -> LanguageConfig:
    options = _headed(source, 6, 256, 2.0) | {
        "num_householder": source.integer("num_householder", 2),
        "use_forget_gate": bool(source.get("use_forget_gate", True)),
        "gate_fn": "swish" if source.get("use_output_gate", True) else None,
    }
    return _stack(source, lambda i: MixerSpec("deltaproduct", options))


def _kda(source: CheckpointConfig) -> LanguageConfig:
    options = _headed(source, 16, 128, 1.0) | {"lower_bound": source.get("lower_bound")}
    if source.get("safe_gate", False):
        require(options["lower_bound"] is not None, "config.json: lower_bound", "must be given with safe_gate", None)
    return _stack(source, lambda i: MixerSpec("kda", options))


def _mom(source: CheckpointConfig) -> LanguageConfig:
    backend = source.get("mom_backend", "gated_deltanet")
    require(backend == "gated_deltanet", "config.json: mom_backend", "must be 'gated_deltanet'", backend)
    options = _headed(source, 4, 256, 2.0) | {
        "num_memories": source.integer("num_memories", 8),
        "topk": source.integer("topk", 2),
        "shared_mem": bool(source.get("shared_mem", False)),
        "single_kv_proj": bool(source.get("single_kv_proj", False)),
        "gate_fn": "swish" if source.get("use_output_gate", True) else None,
        "library_order": True,
    }
    options = {name: value for name, value in options.items() if name not in ("num_v_heads", "allow_neg_eigval")}
    return _stack(source, lambda i: MixerSpec("mom", options), plain=True)


def _mamba2(source: CheckpointConfig) -> LanguageConfig:
    width, limits = (
        source.integer("hidden_size"),
        source.get("dt_limit", source.get("time_step_limit", [0.0, math.inf])),
    )
    # JSON has no infinity; transformers writes it as a table.
    bounds = [float(x["__float__"]) if isinstance(x, Mapping) and "__float__" in x else float(x) for x in limits]
    options = {
        "expand": source.number("expand", 2),
        "head_dim": source.integer("head_dim", 64),
        "state_size": source.integer("state_size", 128),
        "n_groups": source.integer("n_groups", 1),
        "conv_kernel": source.integer("conv_kernel", 4),
        "use_conv_bias": bool(source.get("use_conv_bias", True)),
        "use_bias": bool(source.get("use_bias", False)),
        "hidden_act": source.get("hidden_act", "silu"),
        "rmsnorm": bool(source.get("rmsnorm", source.get("rms_norm", True))),
        "gate_first": not source.get("norm_before_gate", False),
        "D_has_hdim": bool(source.get("D_has_hdim", False)),
        "dt_limit": None if bounds == [0.0, math.inf] else [bounds[0], min(bounds[1], 1e38)],
        "norm_eps": source.eps(1e-5),
    }
    _refuse(source)
    others = source.get("attn")
    require(others is None, "config.json: attn", "softmax attention between mamba2 layers is not supported", others)
    return LanguageConfig(
        tuple(MixerSpec("mamba2", options) for _ in range(source.integer("num_hidden_layers"))),
        source.integer("vocab_size"),
        width,
        "none",
        eps=source.eps(1e-5),
        tied=bool(source.get("tie_word_embeddings", False)),
    )


def _ranks(source: CheckpointConfig, width: int, head: int) -> dict[str, int]:
    """Return ranks of the low-rank maps of RWKV-7, by its rule where the config has none."""
    rules = {"decay": (2.5, head / 64), "gate": (5.0, 1.0), "a": (2.5, head / 64), "v": (1.7, head / 64)}
    ranks = {n: max(32, round(factor * width**0.5 * part / 32) * 32) for n, (factor, part) in rules.items()}
    return {f"{n}_low_rank_dim": source.integer(f"{n}_low_rank_dim", rank) for n, rank in ranks.items()}


def _rwkv7(source: CheckpointConfig) -> LanguageConfig:
    width, count = source.integer("hidden_size"), source.integer("num_hidden_layers")
    head = source.get("head_dim") or width // source.integer("num_heads")
    values = source.get("value_dim", width)
    values = list(values) if isinstance(values, list) else [values] * count
    require(len(values) == count, "config.json: value_dim", f"must be one number or {count}", values)
    # Without its fused norms it divides by the length itself.
    l2_eps = 1e-6 if source.get("fuse_norm", True) else 1e-24
    options = {"head_dim": head, "l2_norm_eps": l2_eps, "norm_eps": source.eps(1e-5)} | _ranks(source, width, head)
    others = _hybrid(source, count, plain=False)
    require(0 not in others, "config.json: attn.layers", "must leave layer 0, whose values the others use, to rwkv7", 0)
    _refuse(source)
    ratio = source.number("hidden_ratio", 4)
    return LanguageConfig(
        tuple(others.get(i) or MixerSpec("rwkv7", options | {"value_dim": values[i]}) for i in range(count)),
        source.integer("vocab_size"),
        width,
        "channel_mix",
        source.integer("intermediate_size", 32 * math.ceil(int(width * ratio) / 32)),
        str(source.get("hidden_act", "sqrelu")),
        "layer",
        bool(source.get("norm_bias", True)),
        bool(source.get("norm_first", True)),
        source.eps(1e-5),
        bool(source.get("tie_word_embeddings", False)),
    )


GATED = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "mlp_norm", "mlp": "mlp"}
RWKV = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "ffn_norm", "mlp": "ffn"}
MAMBA = {"norm": "norm", "mixer": "mixer"}


@dataclass(frozen=True)
class CheckpointReader:
    """Config and tensor names of a model type.

    Attributes:
        config: makes our config from its own.
        parts: our names of the parts of a mixer, by its names.
        block: its names of the parts of a block, by our names.
    """

    config: Callable[[CheckpointConfig], LanguageConfig]
    parts: Mapping[str, str] = field(default_factory=dict)
    block: Mapping[str, str] = field(default_factory=lambda: GATED)

    def ours(self, name: str) -> str:
        """Return our name of a tensor: `model.layers.0.attn.q_proj.weight` is `layers.0.mixer.q_proj.weight`."""
        path = name.split(".")
        path = path[1:] if path[0] in ("model", "backbone") else path
        if path[0] != "layers" or len(path) < 3:
            return ".".join([{"norm_f": "norm", "embedding": "embeddings"}.get(path[0], path[0]), *path[1:]])
        block = {theirs: ours for ours, theirs in self.block.items()}.get(path[2], path[2])
        rest = [self.parts.get(path[3], path[3]), *path[4:]] if block == "mixer" and len(path) > 3 else path[3:]
        return ".".join([*path[:2], block, *rest])

    def theirs(self, name: str) -> str:
        """Return its name of one of our tensors, for errors; the usual one where it has two for a part."""
        path = name.split(".")
        mamba = self.block is MAMBA
        if path[0] == "lm_head":
            return name
        if path[0] == "layers" and path[2] == "mixer":
            usual = {ours: theirs for theirs, ours in reversed(list(self.parts.items()))}
            path[3] = usual.get(path[3], path[3])
        if path[0] == "layers":
            path[2] = self.block.get(path[2], path[2])
        elif mamba and path[0] == "norm":
            path[0] = "norm_f"
        return ".".join(["backbone" if mamba else "model", *path])


NORMED = {"g_norm_swish_gate": "o_norm", "g_norm": "o_norm"}

READERS: dict[str, CheckpointReader] = {
    "delta_net": CheckpointReader(_deltanet),
    "gated_deltanet": CheckpointReader(_gated_deltanet),
    "gated_deltaproduct": CheckpointReader(_deltaproduct),
    "gla": CheckpointReader(_gla, NORMED),
    "hgrn2": CheckpointReader(_hgrn2, {"g_norm": "o_norm"}),
    "kda": CheckpointReader(_kda),
    "linear_attn": CheckpointReader(_linear, {"norm": "o_norm"}),
    "mamba2": CheckpointReader(_mamba2, block=MAMBA),
    "mom": CheckpointReader(_mom, {"gate": "gate_proj"}),
    "retnet": CheckpointReader(_retnet, NORMED),
    "rwkv7": CheckpointReader(_rwkv7, block=RWKV),
}
