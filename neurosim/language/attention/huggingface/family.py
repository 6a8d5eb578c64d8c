"""Softmax models of the Llama family in transformers' layout: rotary positions, grouped heads, gated MLPs.

`llama.py` has the model types and what each differs in. Facts of interoperation only: names and meanings of options and
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..experts import ExpertsSpec
from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, require
from .mixtures import experts_apart, name_experts
from .reader import CheckpointReader, Tensors

# Whether a layer of a kind sees a window.
LAYER_KINDS = {"full_attention": False, "sliding_attention": True}
# Entry with the tokens of a text in training.
TRAINED = "original_max_position_embeddings"
# Our names of activations by theirs.
ACTS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu", "gelu_new": "gelu", "relu": "relu"}


@dataclass(frozen=True)
class Factors:
    """Numbers that a model type has in its forward pass, where the Llama family has none.

    Attributes:
        scores: factor of the products of q and k; None for 1 / sqrt(K).
        score_cap, logit_cap: bounds c of scores and of logits, which become c tanh(x / c).
        embedding: factor of the embedding.
        branches: factor of what layers add to the residual stream.
        logits: factor of the logits.
    """

    scores: float | None = None
    score_cap: float | None = None
    logit_cap: float | None = None
    embedding: float = 1.0
    branches: float = 1.0
    logits: float = 1.0


def _no_factors(source: CheckpointConfig) -> Factors:
    return Factors()


def _no_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, tuple[int, ...]]:
    return None, ()


@dataclass(frozen=True)
class Family:
    """Differences between the model types of the family.

    Attributes:
        defaults: entries where the config has none.
        bias: biases of q, k and v, and of the output: whether there are any, or the entry that says so.
        qk_norm: norms of q and k: 'heads', each head on its own; 'whole', all of them together; '' for none.
        norms: places of a block's norms, as in `LanguageConfig`, by which `BLOCKS` has their names.
        norms_about_one: their weights are stored as the difference from 1.
        slides: `sliding_window` is in use.
        optional_window: the window needs `use_sliding_window`.
        all_slide: it is the window of all layers, else of those from `max_window_layers` on.
        full_every: one layer of so many sees all tokens, the others the window; 0: all see the window.
        local_theta: entry with the base of the positions in layers that see the window, which are not scaled; '' where
            all layers have the same positions.
        fused: q, k and v are one tensor, and so are the gate and its values.
        part_turns: `partial_rotary_factor` may be less than 1; transformers passes over it in the other model types.
        some_turn: only the layers of `no_rope_layers` turn q and k by their positions; the others see the window.
        mlp: feed-forward layer, as in `LanguageConfig`: 'gated' or 'plain'.
        act, acts: entry with its activation, and our names by the config's.
        factors: function that reads its `Factors`.
        experts: function that reads its experts, and the layers without them.
        name_experts: function that gives their tensors our names.
    """

    defaults: Options = field(default_factory=dict)
    bias: tuple[bool | str, bool | str] = ("attention_bias", "attention_bias")
    qk_norm: str = ""
    norms: str = "before"
    norms_about_one: bool = False
    slides: bool = True
    optional_window: bool = False
    all_slide: bool = False
    full_every: int = 0
    local_theta: str = ""
    fused: bool = False
    part_turns: bool = False
    some_turn: bool = False
    mlp: str = "gated"
    act: str = "hidden_act"
    acts: Mapping[str, str] = field(default_factory=lambda: ACTS)
    factors: Callable[[CheckpointConfig], Factors] = _no_factors
    experts: Callable[[CheckpointConfig, int], tuple[ExpertsSpec | None, tuple[int, ...]]] = _no_experts
    name_experts: Callable[[Tensors, LanguageConfig], Tensors] = name_experts


def activation(source: CheckpointConfig, name: str = "hidden_act", names: Mapping[str, str] = ACTS) -> str:
    """Return our name of an activation of a feed-forward layer, of `names` by the config's.

    Raises:
        NeurosimInputError: it is another one.
    """
    word = source.word(name, "silu")
    require(word in names, name, f"must be one of {', '.join(names)}", word)
    return names[word]


def positions(source: CheckpointConfig, head: int, entries: CheckpointConfig | None = None) -> Options:
    """Return the options of rotary positions, from `rope_parameters` or `rope_theta` and `rope_scaling`.

    Args:
        entries: a table in the place of these.
    """
    entries = entries or source.table("rope_parameters") or source.table("rope_scaling")
    entries = entries or CheckpointConfig({}, prefix="rope_scaling.")
    theta = entries.number("rope_theta", source.number("rope_theta", 10000.0))
    require(1 < theta < 1e15, "rope_theta", "must be > 1 and < 1e15", theta)
    share = entries.number("partial_rotary_factor", source.number("partial_rotary_factor", 1.0))
    require(0 <= share <= 1, "partial_rotary_factor", "must be 0 to 1", share)
    turned = int(head * share)
    in_pairs = turned % 2 == 0 or share == 1
    require(in_pairs, "partial_rotary_factor", f"must leave an even number of {head} channels", share)
    rotary_dim = None if turned == head else turned
    return {"rope_theta": theta, "rotary_dim": rotary_dim, "rope_scaling": _scaling(source, entries)}


def _scaling(source: CheckpointConfig, entries: CheckpointConfig) -> dict[str, object] | None:
    """Return the entries that scale positions, with the lengths that they count from; None where nothing scales."""
    known = {"rope_theta", "partial_rotary_factor"}
    scaling: dict[str, object] = {k: v for k, v in entries.config.items() if k not in known and v is not None}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    # Read where nothing scales, too: it is known.
    trained = source.maybe(source.integer, TRAINED)
    if kind in ("dynamic", "llama3", "longrope", "su", "yarn"):
        _add_lengths(scaling, source, trained, is_dynamic=kind == "dynamic")
    if kind == "su":  # the first name of longrope
        scaling["rope_type"] = "longrope"
    if kind == "default" or not scaling:
        return None
    return scaling


def _add_lengths(
    scaling: dict[str, object], source: CheckpointConfig, trained: int | None, *, is_dynamic: bool
) -> None:
    """Add the length of the training, and the factor by which a text may be longer, where other entries give them."""
    max_positions = source.maybe(source.integer, "max_position_embeddings")
    length = scaling.get(TRAINED) or trained or max_positions
    require(length is not None, f"rope_scaling.{TRAINED}", "must be given", None)
    if "factor" not in scaling and max_positions and isinstance(length, int | float) and length > 0:
        scaling["factor"] = max_positions / length
    # 'dynamic' changes its rates beyond `max_position_embeddings`, the others count from the training.
    scaling[TRAINED] = max_positions if is_dynamic and max_positions else length


def _positions_by_window(source: CheckpointConfig, head: int, family: Family) -> tuple[Options, Options]:
    """Return the positions in layers that see all tokens, and in those that see the window."""
    by_kind = source.table("rope_parameters")
    if not family.local_theta:
        everywhere = positions(source, head)
        return everywhere, everywhere
    if by_kind is not None and LAYER_KINDS.keys() & by_kind.config.keys():
        full, local = (by_kind.table(kind) or CheckpointConfig({}) for kind in LAYER_KINDS)
    else:
        full = None
        local = CheckpointConfig({}, prefix="rope_scaling.")
    theta = source.number(family.local_theta, 10000.0)
    local = replace(local, config={"rope_theta": theta, **local.config})
    return positions(source, head, full), positions(source, head, local)


def head_size(source: CheckpointConfig) -> int:
    """Return the channels of a head."""
    width = source.integer("hidden_size")
    count = source.integer("num_attention_heads")
    head: int = source.maybe(source.integer, "head_dim") or width // count
    require(head > 0, "num_attention_heads", f"must be at most {width}", count)
    return head


def heads(source: CheckpointConfig, head: int, family: Family) -> Options:
    """Return the options of softmax attention without its window and positions; a head has `head` channels."""
    count = source.integer("num_attention_heads")
    bias = [source.flag(each, False) if isinstance(each, str) else each for each in family.bias]
    return {
        "num_heads": count,
        "num_kv_heads": source.maybe(source.integer, "num_key_value_heads") or count,
        "head_dim": head,
        "qkv_bias": bias[0],
        "o_bias": bias[1],
        "qk_norm": family.qk_norm == "heads",
        "whole_norm": family.qk_norm == "whole",
        "norm_eps": source.eps(1e-6, "rms_norm_eps"),
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
    in_use = not family.optional_window or source.flag("use_sliding_window", False)
    # Read where there is no window, too: it is known. transformers 5 writes 0 for one that is not in use.
    size = source.integer("sliding_window", 1, at_least=1 if in_use else 0)
    used = in_use and source.get("sliding_window") is not None
    inside = [used] * count
    if family.optional_window:
        inside = [used and each for each in _may_slide(source, count, family, turned)]
    if family.full_every:
        # transformers 5 writes the pattern with an underscore, beside the kinds that follow from it.
        pattern = source.integer("_sliding_window_pattern", family.full_every)
        every = source.integer("sliding_window_pattern", pattern)
        inside = [used and (i + 1) % every != 0 for i in range(count)]
    kinds = source.get("layer_types")
    if kinds is not None:
        are_kinds = isinstance(kinds, list) and all(isinstance(kind, str) and kind in LAYER_KINDS for kind in kinds)
        fits = are_kinds and len(kinds) == count
        require(fits, "layer_types", f"must be {count} of {', '.join(LAYER_KINDS)}", kinds)
        # Named layers decide which see the window; without its size none does.
        inside = [LAYER_KINDS[kind] and used for kind in kinds]
    return [size if slides else 0 for slides in inside]


def _may_slide(source: CheckpointConfig, count: int, family: Family, turned: list[bool]) -> list[bool]:
    """Return whether each layer sees an optional window, where there is one."""
    if family.some_turn:
        return [not each for each in turned]
    # Configs have it in model types, too, where it says nothing.
    first = source.integer("max_window_layers", 28, at_least=0)
    return [family.all_slide or i >= first for i in range(count)]


def family_config(given: CheckpointConfig, family: Family) -> LanguageConfig:
    """Return the config of a model of the family."""
    source = given.with_defaults(family.defaults)
    count = source.layers()
    factors = family.factors(source)
    head = head_size(source)
    options = heads(source, head, family) | {"score_scale": factors.scores, "score_cap": factors.score_cap}
    everywhere, in_window = _positions_by_window(source, head, family)
    whole = everywhere["rotary_dim"] is None
    require(whole or family.part_turns, "partial_rotary_factor", "must be 1 in this model type", "less")
    _refuse_others(source)
    turned = turning(source, count, family)
    layers = []
    for turns, size in zip(turned, windows(source, count, family, turned), strict=True):
        places = in_window if size else everywhere
        if not turns:
            places = places | {"rotary_dim": 0, "rope_scaling": None}
        layers.append(MixerSpec("softmax", options | places | {"window_size": size}))
    experts, dense = family.experts(source, count)
    act = activation(source, family.act, family.acts)
    is_plain = family.mlp == "plain"
    return LanguageConfig(
        tuple(layers),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        hidden=source.integer("intermediate_size"),
        mlp=family.mlp,
        act=act if is_plain else LanguageConfig.act,
        gate_act=LanguageConfig.gate_act if is_plain else act,
        mlp_bias=source.flag("mlp_bias", False),
        norms=family.norms,
        # A stream divided by r, the factor of what layers add to it, is the same to a norm of epsilon / r^2.
        eps=source.eps(1e-6, "rms_norm_eps") / factors.branches**2,
        embedding_scale=factors.embedding / factors.branches,
        tied=source.flag("tie_word_embeddings", False),
        logit_scale=factors.logits,
        logit_cap=factors.logit_cap,
        experts=experts,
        dense_layers=dense,
    )


def _refuse_others(source: CheckpointConfig) -> None:
    """Raise for entries with another forward pass than the family's."""
    # Where another entry has the activation, this one says nothing.
    source.entries_read.add("hidden_act")
    tp = source.integer("pretraining_tp", 1)
    require(tp == 1, "pretraining_tp", "must be 1", tp)
    both_ways = source.flag("use_bidirectional_attention", False)
    require(not both_ways, "use_bidirectional_attention", "must be false: a later token is not seen", both_ways)


def split_fused(tensors: Tensors, config: LanguageConfig) -> Tensors:
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


def _about_one(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Add 1 to the weights of norms, which are stored as their difference from it."""
    return {name: value.float() + 1 if name.endswith("norm.weight") else value for name, value in tensors.items()}


def _change(tensors: Tensors, config: LanguageConfig, family: Family) -> Tensors:
    """Turn the tensors of a model of the family into ours."""
    if family.fused:
        tensors = split_fused(tensors, config)
    if family.norms_about_one:
        tensors = _about_one(tensors, config)
    if config.experts is not None:
        tensors = family.name_experts(experts_apart(tensors), config)
    return tensors


BLOCK = {"norm": "input_layernorm", "mixer": "self_attn", "mlp_norm": "post_attention_layernorm", "mlp": "mlp"}
_BEHIND = {"out_norm": "post_attention_layernorm", "mlp_out_norm": "post_feedforward_layernorm"}
# Names of the parts of a block by the places of its norms.
BLOCKS = {
    "before": BLOCK,
    "behind": {"mixer": "self_attn", "mlp": "mlp"} | _BEHIND,
    "both": BLOCK | {"mlp_norm": "pre_feedforward_layernorm"} | _BEHIND,
}
OUTER = {"embed_tokens": "embeddings"}


def family_reader(family: Family) -> CheckpointReader:
    """Return the reader of a model type of the family."""
    return CheckpointReader(
        partial(family_config, family=family),
        outer=OUTER,
        block=BLOCKS[family.norms],
        also={"block_sparse_moe": "mlp", "shared_mlp": "mlp.shared"},
        change=partial(_change, family=family),
    )
