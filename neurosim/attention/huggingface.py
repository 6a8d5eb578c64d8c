"""Configs and tensor names of flash-linear-attention models (0.6.0): one reader for each model type.

Facts of interoperation only: names and meanings of options and tensors. Most options have our names, because ours are
those of this library. Some options of a config do not reach the layers there (`use_gk`, `use_gv`, `use_output_norm`,
`use_short_conv` of RetNet): the tensors decide, as for biases of convolutions, which no config names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import NeurosimInputError, lookup
from ..errors import require as require_value
from .model import LanguageConfig, MixerSpec

Options = dict[str, object]


def require(condition: bool, name: str, rule: str, got: object) -> None:
    """Raise `NeurosimInputError` unless the entry `name` of config.json keeps its rule."""
    require_value(condition, f"config.json: {name}", rule, got)


@dataclass(frozen=True)
class CheckpointConfig:
    """A config.json and the names of the tensors beside it."""

    config: Mapping[str, object]
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
        require(type(value) is int and value > 0, name, "must be an integer > 0", value)
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        require(type(value) in (int, float), name, "must be a number", value)
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        return bool(self.get(name, default))

    def options(self, **defaults: object) -> Options:
        """Return the entries of these names, each of the type of its default; None and strings are not checked."""
        read: Mapping[type, Callable[..., object]] = {bool: self.flag, int: self.integer, float: self.number}
        return {name: read.get(type(default), self.get)(name, default) for name, default in defaults.items()}

    def has(self, ending: str) -> bool:
        """Return whether the name of any tensor ends with `ending`."""
        return any(name.endswith(ending) for name in self.names)

    def share(self, of: int, name: str, default: float) -> int:
        """Return `of` times a factor of the config, which must be an integer."""
        part = of * self.number(name, default)
        require(math.isclose(part, round(part)), name, f"must give an integer part of {of} channels", part)
        return round(part)

    def conv(self, used: bool | None = None) -> Options:
        """Return the options of short convolutions; the config says whether they are `used`, if that is None."""
        used = self.flag("use_short_conv", self.has("q_conv1d.weight")) if used is None else used
        return {"conv_size": self.integer("conv_size", 4) if used else 0, "conv_bias": self.has("conv1d.bias")}

    def gate(self, name: str, default: bool, act: object = "swish") -> Options:
        """Return the activation of the output gate: `act` if the entry `name` is true."""
        return {"gate_fn": act if self.flag(name, default) else None}

    def eps(self, default: float = 1e-6) -> float:
        return self.number("norm_eps", default)


def _attention(spec: Mapping[str, Any], plain: bool) -> MixerSpec:
    """Softmax attention between the others; `plain` where the model type passes on neither theta nor biases."""
    heads = spec.get("num_heads")
    require(type(heads) is int and heads > 0, "attn.num_heads", "must be an integer > 0", heads)
    options = {
        "num_heads": heads,
        "num_kv_heads": spec.get("num_kv_heads"),
        "window_size": spec.get("window_size") or 0,
    }
    if not plain:
        options |= {"rope_theta": float(spec.get("rope_theta") or 10000.0), "qkv_bias": bool(spec.get("qkv_bias"))}
    return MixerSpec("window", options)


def _hybrid(source: CheckpointConfig, count: int, plain: bool = False) -> dict[int, MixerSpec]:
    """Return the layers of softmax attention, from one table of `attn` or several."""
    specs = source.get("attn", [])
    found: dict[int, MixerSpec] = {}
    rule = "must be a table or a list of tables"
    require(isinstance(specs, Mapping | list), "attn", rule, specs)
    for spec in [specs] if isinstance(specs, Mapping) else specs:
        require(isinstance(spec, Mapping), "attn", rule, spec)
        known = dict.fromkeys(("layers", "num_heads", "num_kv_heads", "qkv_bias", "window_size", "rope_theta"))
        for name in spec:
            lookup(known, name, "config.json: attn: option of a hybrid layer")
        layers: Any = spec.get("layers")
        require(isinstance(layers, list), "attn.layers", "must be a list of layers", layers)
        for i in layers:
            holds = type(i) is int and 0 <= i < count and i not in found
            require(holds, "attn.layers", f"must be different layers of 0 to {count - 1}", i)
            found[i] = _attention(spec, plain)
    return found


def _model(source: CheckpointConfig, layers: Iterable[MixerSpec], mlp: str, eps: float, **more: Any) -> LanguageConfig:
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
    return LanguageConfig(
        tuple(layers),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        mlp,
        eps=source.eps(eps),
        tied=source.flag("tie_word_embeddings", False),
        **more,
    )


def _stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Gated feed-forward layers around mixers of one kind and softmax attention."""
    width, count = source.integer("hidden_size"), source.integer("num_hidden_layers")
    act, rule = source.get("hidden_act", "swish"), "must be 'swish': other feed-forward layers are not supported"
    require(act in ("swish", "silu"), "hidden_act", rule, act)
    ratio = source.number("hidden_ratio", 4)
    hidden = source.integer("intermediate_size", 256 * math.ceil(int(width * ratio * 2 / 3) / 256))
    others = _hybrid(source, count, plain=kind == "mom")
    layers = (others.get(i) or MixerSpec(kind, options) for i in range(count))
    return _model(source, layers, "gated", 1e-6, hidden=hidden)


def _mamba_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Mixers without feed-forward layers."""
    others = source.get("attn")
    require(others is None, "attn", "softmax attention between mamba2 layers is not supported", others)
    return _model(source, [MixerSpec(kind, options)] * source.integer("num_hidden_layers"), "none", 1e-5)


def _rwkv_stack(source: CheckpointConfig, kind: str, options: Options) -> LanguageConfig:
    """Layers of channel mixing around mixers with their own number of values, and softmax attention."""
    width, count = source.integer("hidden_size"), source.integer("num_hidden_layers")
    values = source.get("value_dim", width)
    values = list(values) if isinstance(values, list) else [values] * count
    require(len(values) == count, "value_dim", f"must be one number or {count}", values)
    others = _hybrid(source, count)
    require(0 not in others, "attn.layers", "must leave layer 0, whose values the others use, to rwkv7", 0)
    ratio = source.number("hidden_ratio", 4)
    return _model(
        source,
        (others.get(i) or MixerSpec(kind, options | {"value_dim": values[i]}) for i in range(count)),
        "channel_mix",
        1e-5,
        hidden=source.integer("intermediate_size", 32 * math.ceil(int(width * ratio) / 32)),
        act=str(source.get("hidden_act", "sqrelu")),
        norm="layer",
        norm_bias=source.flag("norm_bias", True),
        first_norm=source.flag("norm_first", True),
    )


def _sized(source: CheckpointConfig, keys: float, values: float) -> Options:
    """Options of heads that kinds with `expand_k` and `expand_v` share."""
    width = source.integer("hidden_size")
    sizes = {"key_dim": source.share(width, "expand_k", keys), "value_dim": source.share(width, "expand_v", values)}
    return source.options(num_heads=4) | sizes | {"norm_eps": source.eps()}


def _grouped(source: CheckpointConfig, keys: float, values: float) -> Options:
    """The same, of kinds with groups of heads."""
    return _sized(source, keys, values) | source.options(num_kv_heads=None, elementwise_affine=True)


def _gla(source: CheckpointConfig) -> Options:
    options = source.conv() | source.gate("use_output_gate", True, source.get("hidden_act", "swish"))
    return _grouped(source, 0.5, 1.0) | options | source.options(feature_map=None, clamp_min=None)


def _retnet(source: CheckpointConfig) -> Options:
    options = source.conv(source.has("q_conv1d.weight"))
    options |= source.gate("use_output_gate", True, source.get("hidden_act", "swish"))
    return _grouped(source, 1.0, 2.0) | options | source.options(feature_map=None)


LINEAR_MAPS = {"dpfp": "dpfp", "elementwise_product": "hadamard", "elu": "elu", "hedgehog": "hedgehog"}
LINEAR_MAPS |= {"identity": "identity", "relu": "relu", "t2r": "t2r"}


def _linear(source: CheckpointConfig) -> Options:
    name = source.get("feature_map", "elementwise_product")
    maps = {
        "feature_map": lookup(LINEAR_MAPS, name, "config.json: feature_map"),
        "do_feature_map_norm": source.flag("norm_feature_map", False),
    }
    return _grouped(source, 1.0, 1.0) | maps | source.options(tie_feature_map_qk=False, norm_q=False, norm_k=False)


def _hgrn2(source: CheckpointConfig) -> Options:
    width, ratio = source.integer("hidden_size"), source.get("expand_ratio")
    state = source.integer("expand_ratio") if ratio is not None else width // source.integer("num_heads")
    # Its norm is fused with the output projection, which takes 1e-5 for any `norm_eps`.
    options = source.options(use_lower_bound=True, elementwise_affine=True) | {"norm_eps": 1e-5}
    return source.conv() | options | {"expand_ratio": state}


def _deltanet(source: CheckpointConfig) -> Options:
    options = source.options(use_beta=True, allow_neg_eigval=False, qk_activation="silu", qk_norm="l2")
    return _sized(source, 1.0, 1.0) | source.conv() | source.gate("use_gate", False) | options


def _headed(source: CheckpointConfig, heads: int, head: int, value: float) -> Options:
    """Options of heads that kinds with `head_dim` share."""
    values = source.share(source.integer("head_dim", head), "expand_v", value)
    options = source.options(num_heads=heads, head_dim=head)
    return source.conv() | options | {"head_v_dim": values, "norm_eps": source.eps()}


def _gated_deltanet(source: CheckpointConfig) -> Options:
    options = source.gate("use_gate", True, source.get("output_gate_activation", "swish"))
    return _headed(source, 6, 256, 2.0) | options | source.options(num_v_heads=None, allow_neg_eigval=False)


def _deltaproduct(source: CheckpointConfig) -> Options:
    options = source.options(num_v_heads=None, allow_neg_eigval=False, num_householder=2, use_forget_gate=True)
    return _headed(source, 6, 256, 2.0) | options | source.gate("use_output_gate", True)


def _kda(source: CheckpointConfig) -> Options:
    bound = source.get("lower_bound")
    given = bound is not None or not source.get("safe_gate", False)
    require(given, "lower_bound", "must be given with safe_gate", None)
    options = source.options(num_v_heads=None, allow_neg_eigval=False)
    return _headed(source, 16, 128, 1.0) | options | {"lower_bound": bound}


def _mom(source: CheckpointConfig) -> Options:
    backend = source.get("mom_backend", "gated_deltanet")
    require(backend == "gated_deltanet", "mom_backend", "must be 'gated_deltanet'", backend)
    options = source.options(num_memories=8, topk=2, shared_mem=False, single_kv_proj=False)
    return _headed(source, 4, 256, 2.0) | options | source.gate("use_output_gate", True) | {"library_order": True}


def _mamba2(source: CheckpointConfig) -> Options:
    limits = source.get("dt_limit", source.get("time_step_limit", [0.0, math.inf]))
    # JSON has no infinity; transformers writes it as a table.
    low, high = (float(x["__float__"]) if isinstance(x, Mapping) and "__float__" in x else float(x) for x in limits)
    options = source.options(expand=2.0, head_dim=64, state_size=128, n_groups=1, conv_kernel=4, hidden_act="silu")
    options |= source.options(use_conv_bias=True, use_bias=False, D_has_hdim=False)
    return options | {
        "rmsnorm": source.flag("rmsnorm", source.flag("rms_norm", True)),
        "gate_first": not source.get("norm_before_gate", False),
        "dt_limit": None if (low, high) == (0.0, math.inf) else [low, min(high, 1e38)],
        "norm_eps": source.eps(1e-5),
    }


def _rwkv7(source: CheckpointConfig) -> Options:
    width = source.integer("hidden_size")
    head = source.get("head_dim") or width // source.integer("num_heads")
    # Without its fused norms it divides by the length itself.
    l2_eps = 1e-6 if source.get("fuse_norm", True) else 1e-24
    # Ranks of the low-rank maps follow a rule of the library where the config has none.
    rules = {"decay": (2.5, head / 64), "gate": (5.0, 1.0), "a": (2.5, head / 64), "v": (1.7, head / 64)}
    ranks = {n: max(32, round(factor * width**0.5 * part / 32) * 32) for n, (factor, part) in rules.items()}
    options = source.options(**{f"{name}_low_rank_dim": rank for name, rank in ranks.items()})
    return options | {"head_dim": head, "l2_norm_eps": l2_eps, "norm_eps": source.eps(1e-5)}


GATED = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "mlp_norm", "mlp": "mlp"}
RWKV = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "ffn_norm", "mlp": "ffn"}
MAMBA = {"norm": "norm", "mixer": "mixer"}


@dataclass(frozen=True)
class CheckpointReader:
    """Config and tensor names of a model type.

    Attributes:
        kind: of its mixers, a name of `KINDS`.
        options: makes the options of the mixers from its config.
        parts: our names of the parts of a mixer, by its names.
        block: its names of the parts of a block, by our names.
        stack: makes the model from its config, kind and options.
    """

    kind: str
    options: Callable[[CheckpointConfig], Options]
    parts: Mapping[str, str] = field(default_factory=dict)
    block: Mapping[str, str] = field(default_factory=lambda: GATED)
    stack: Callable[[CheckpointConfig, str, Options], LanguageConfig] = _stack

    def config(self, source: CheckpointConfig) -> LanguageConfig:
        """Return our config of a model.

        Raises:
            NeurosimInputError: an entry that breaks its rule or is not supported.
        """
        return self.stack(source, self.kind, self.options(source))

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
    "delta_net": CheckpointReader("deltanet", _deltanet),
    "gated_deltanet": CheckpointReader("gated_deltanet", _gated_deltanet),
    "gated_deltaproduct": CheckpointReader("deltaproduct", _deltaproduct),
    "gla": CheckpointReader("gla", _gla, NORMED),
    "hgrn2": CheckpointReader("hgrn2", _hgrn2, {"g_norm": "o_norm"}),
    "kda": CheckpointReader("kda", _kda),
    "linear_attn": CheckpointReader("linear", _linear, {"norm": "o_norm"}),
    "mamba2": CheckpointReader("mamba2", _mamba2, block=MAMBA, stack=_mamba_stack),
    "mom": CheckpointReader("mom", _mom, {"gate": "gate_proj"}),
    "retnet": CheckpointReader("retention", _retnet, NORMED),
    "rwkv7": CheckpointReader("rwkv7", _rwkv7, block=RWKV, stack=_rwkv_stack),
}
