"""Softmax models of the Llama family in transformers' layout: rotary positions, grouped heads, gated MLPs.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, require
from .reader import CheckpointReader, Tensors, unchanged


@dataclass(frozen=True)
class Family:
    """Differences between the model types of the family.

    Attributes:
        bias: biases of q, k and v, and of the output; the config's `attention_bias` decides where it is None.
        qk_norm: norms of q and k.
        kv_heads, head_dim: defaults where the config has none (None: as many as queries; width / heads).
        slides: `sliding_window` is in use; `window` is its default where the config has none.
        optional_window: the window needs `use_sliding_window`, and begins at layer `max_window_layers`.
        eps: default of `rms_norm_eps`.
        fused: q, k and v are one tensor, and so are the gate and its values.
        part_turns: `partial_rotary_factor` may be less than 1; transformers passes over it in the other model types.
        some_turn: only the layers of `no_rope_layers` turn q and k by their positions; the others see the window.
    """

    bias: tuple[bool, bool] | None = None
    qk_norm: bool = False
    kv_heads: int | None = None
    head_dim: int | None = None
    slides: bool = True
    window: int | None = None
    optional_window: bool = False
    eps: float = 1e-6
    fused: bool = False
    part_turns: bool = False
    some_turn: bool = False


def activation(source: CheckpointConfig, name: str = "hidden_act", default: str = "silu") -> str:
    """Return our name of an activation of a gated feed-forward layer.

    Raises:
        NeurosimInputError: it is another one.
    """
    names = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu", "gelu_new": "gelu", "relu": "relu"}
    word = source.word(name, default)
    require(word in names, name, f"must be one of {', '.join(names)}", word)
    return names[word]


def positions(source: CheckpointConfig, head: int) -> Options:
    """Return the options of rotary positions, from `rope_parameters` or `rope_theta` and `rope_scaling`."""
    entries = source.table("rope_parameters") or source.table("rope_scaling")
    entries = entries or CheckpointConfig({}, prefix="rope_scaling.")
    theta = entries.number("rope_theta", source.number("rope_theta", 10000.0))
    require(1 < theta < 1e15, "rope_theta", "must be > 1 and < 1e15", theta)
    share = entries.number("partial_rotary_factor", source.number("partial_rotary_factor", 1.0))
    require(0 <= share <= 1, "partial_rotary_factor", "must be 0 to 1", share)
    known = {"rope_theta", "partial_rotary_factor"}
    scaling: dict[str, object] = {k: v for k, v in entries.config.items() if k not in known and v is not None}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    length = "original_max_position_embeddings"
    stated = source.maybe(source.integer, length)
    trained = scaling.get(length) or stated or source.maybe(source.integer, "max_position_embeddings")
    if kind in ("dynamic", "llama3", "longrope", "su", "yarn"):
        require(trained is not None, f"rope_scaling.{length}", "must be given", None)
        max_positions = source.maybe(source.integer, "max_position_embeddings")
        # The factor by which a text may be longer than in training.
        if "factor" not in scaling and max_positions and isinstance(trained, int | float) and trained > 0:
            scaling["factor"] = max_positions / trained
        # 'dynamic' changes its rates beyond `max_position_embeddings`, the others count from the training.
        if kind == "dynamic" and max_positions:
            scaling[length] = max_positions
        else:
            scaling[length] = trained
    if kind == "su":  # the first name of longrope
        scaling["rope_type"] = "longrope"
    plain = kind == "default" or not scaling
    turned = int(head * share)
    in_pairs = turned % 2 == 0 or share == 1
    require(in_pairs, "partial_rotary_factor", f"must leave an even number of {head} channels", share)
    rotary_dim = None if turned == head else turned
    rope_scaling = None if plain else scaling
    return {"rope_theta": theta, "rotary_dim": rotary_dim, "rope_scaling": rope_scaling}


def heads(source: CheckpointConfig, family: Family) -> Options:
    """Return the options of softmax attention without its window."""
    width = source.integer("hidden_size")
    count = source.integer("num_attention_heads")
    head = source.maybe(source.integer, "head_dim") or family.head_dim or width // count
    require(head > 0, "num_attention_heads", f"must be at most {width}", count)
    bias = family.bias
    if bias is None:
        bias = (source.flag("attention_bias", False),) * 2
    return {
        "num_heads": count,
        "num_kv_heads": source.maybe(source.integer, "num_key_value_heads") or family.kv_heads or count,
        "head_dim": head,
        "qkv_bias": bias[0],
        "o_bias": bias[1],
        "qk_norm": family.qk_norm,
        "norm_eps": source.eps(family.eps, "rms_norm_eps"),
        **positions(source, head),
    }


def turning(source: CheckpointConfig, count: int, family: Family) -> list[bool]:
    """Return whether each layer turns q and k by their positions."""
    if not family.some_turn:
        return [True] * count
    interval = source.integer("no_rope_layer_interval", 4)
    # In spite of its name 1 stands for a layer that turns them.
    turned = source.get("no_rope_layers", [int((i + 1) % interval != 0) for i in range(count)])
    fits = isinstance(turned, list) and len(turned) == count and all(each in (0, 1) for each in turned)
    require(fits, "no_rope_layers", f"must be {count} of 0, 1", turned)
    return [bool(each) for each in turned]


def windows(source: CheckpointConfig, count: int, family: Family, turned: list[bool]) -> list[int]:
    """Return the window of each layer, 0 for all tokens."""
    if not family.slides:
        return [0] * count
    size = source.integer("sliding_window", family.window or 1)
    used = source.config.get("sliding_window", family.window) is not None
    inside = [used] * count
    if family.optional_window:
        used = used and source.flag("use_sliding_window", False)
        if family.some_turn:
            inside = [used and not each for each in turned]
        else:
            first = source.integer("max_window_layers", 28, at_least=0)
            inside = [used and i >= first for i in range(count)]
    kinds = source.get("layer_types")
    if kinds is not None:
        known = {"full_attention": False, "sliding_attention": True}
        are_kinds = isinstance(kinds, list) and all(isinstance(kind, str) and kind in known for kind in kinds)
        fits = are_kinds and len(kinds) == count
        require(fits, "layer_types", f"must be {count} of {', '.join(known)}", kinds)
        # Named layers decide which see the window; without its size none does.
        inside = [known[kind] and used for kind in kinds]
    return [size if slides else 0 for slides in inside]


def _config(source: CheckpointConfig, family: Family) -> LanguageConfig:
    """Return the config of a model of the family."""
    count = source.layers()
    options = heads(source, family)
    tp = source.integer("pretraining_tp", 1)
    require(tp == 1, "pretraining_tp", "must be 1", tp)
    whole = options["rotary_dim"] is None
    require(whole or family.part_turns, "partial_rotary_factor", "must be 1 in this model type", "less")
    turned = turning(source, count, family)
    layers = []
    for turns, size in zip(turned, windows(source, count, family, turned), strict=True):
        positions_of_layer: Options = {} if turns else {"rotary_dim": 0, "rope_scaling": None}
        layers.append(MixerSpec("softmax", options | {"window_size": size} | positions_of_layer))
    return LanguageConfig(
        tuple(layers),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        hidden=source.integer("intermediate_size"),
        gate_act=activation(source),
        mlp_bias=source.flag("mlp_bias", False),
        eps=source.eps(family.eps, "rms_norm_eps"),
        tied=source.flag("tie_word_embeddings", False),
    )


def _split(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut the tensors that hold q, k and v, and the gate and its values."""
    parts: Tensors = {}
    options: Mapping[str, Any] = config.layers[0].options
    queries, keys = (options[name] * options["head_dim"] for name in ("num_heads", "num_kv_heads"))
    cuts: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
        "qkv_proj": (("q_proj", "k_proj", "v_proj"), (queries, queries + keys)),
        "gate_up_proj": (("gate_proj", "up_proj"), (config.hidden or 0,)),
    }
    for name, value in tensors.items():
        part = name.split(".")[-2] if "." in name else ""
        if part in cuts:
            names, places = cuts[part]
            for projection, piece in zip(names, value.tensor_split(places), strict=True):
                parts[name.replace(part, projection)] = piece
        else:
            parts[name] = value
    return parts


BLOCK = {"norm": "input_layernorm", "mixer": "self_attn", "mlp_norm": "post_attention_layernorm", "mlp": "mlp"}
OUTER = {"embed_tokens": "embeddings"}


def _reader(family: Family) -> CheckpointReader:
    """Return the reader of a model type of the family."""
    change = _split if family.fused else unchanged
    return CheckpointReader(partial(_config, family=family), outer=OUTER, block=BLOCK, change=change)


LLAMA: dict[str, CheckpointReader] = {
    "llama": _reader(Family(slides=False)),
    "mistral": _reader(Family(bias=(False, False), window=4096)),
    "phi3": _reader(Family(bias=(False, False), eps=1e-5, fused=True, part_turns=True)),
    "qwen2": _reader(Family(bias=(True, False), window=4096, optional_window=True)),
    "qwen3": _reader(Family(qk_norm=True, head_dim=128, window=4096, optional_window=True)),
    "smollm3": _reader(Family(optional_window=True, some_turn=True)),
}
