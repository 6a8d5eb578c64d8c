"""Layers of experts in transformers' layouts: which layers have them, how many, and the names of their tensors.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..experts import ExpertsSpec
from ..model import LanguageConfig
from .config import CheckpointConfig, require
from .reader import Tensors

Layers = tuple[int, ...]


def some_layers(source: CheckpointConfig, name: str, count: int, first: int = 0) -> Layers:
    """Return a list of layers, numbered from `first`, as numbers from 0."""
    layers = source.get(name, [])
    in_range = isinstance(layers, list) and all(type(i) is int and first <= i < count + first for i in layers)
    require(in_range, source.prefix + name, f"must be layers of {first} to {count + first - 1}", layers)
    return tuple(i - first for i in layers)


def either(source: CheckpointConfig, default: int, *names: str, at_least: int = 1) -> int:
    """Return the first of several entries that is there."""
    there = (source.integer(name, at_least=at_least) for name in names if source.get(name) is not None)
    return next(there, default)


def qwen_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, Layers]:
    """Return the experts of Qwen3-MoE and Qwen3-Next, None for none, and the layers without them."""
    every = source.integer("decoder_sparse_step", 1)
    plain = set(some_layers(source, "mlp_only_layers", count)) | {i for i in range(count) if (i + 1) % every}
    # Configs name the experts in one of two ways.
    experts = either(source, 0, "num_local_experts", "num_experts", at_least=0)
    spec = ExpertsSpec(
        experts,
        source.integer("num_experts_per_tok"),
        source.integer("moe_intermediate_size"),
        source.integer("shared_expert_intermediate_size", 0, at_least=0),
        gated=True,
        normalise=source.flag("norm_topk_prob", False),
    )
    if not experts:
        return None, ()
    return spec, tuple(sorted(plain))


def qwen2_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, Layers]:
    """Return the experts of Qwen2-MoE, whose layers with a window have to be listed."""
    slides = source.flag("use_sliding_window", False)
    listed = source.get("layer_types") is not None
    require(listed or not slides, "use_sliding_window", "must be false without layer_types", slides)
    return qwen_experts(source, count)


def olmoe_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, Layers]:
    """Return the experts of OLMoE, which all layers have."""
    bound = source.get("clip_qkv")
    require(bound is None, "clip_qkv", "must be null: q, k and v are not bounded", bound)
    spec = ExpertsSpec(
        either(source, 64, "num_local_experts", "num_experts"),
        source.integer("num_experts_per_tok"),
        source.integer("intermediate_size"),
        normalise=source.flag("norm_topk_prob", False),
    )
    return spec, ()


def mixtral_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, Layers]:
    """Return the experts of Mixtral, which all layers have."""
    # Noise of the router, in training alone.
    source.entries_read.add("router_jitter_noise")
    experts = source.integer("num_local_experts")
    return ExpertsSpec(experts, source.integer("num_experts_per_tok"), source.integer("intermediate_size")), ()


def expert(name: str, parts: Mapping[str, str], inside: Mapping[str, str] | None = None) -> str:
    """Return our name of a tensor of a layer of experts.

    Args:
        parts: our names of the parts of the layer, by its names.
        inside: the same of the parts of an expert.
    """
    path = name.split(".")
    if len(path) > 3 and path[2] == "mlp":
        path[3] = parts.get(path[3], path[3])
        path[4:] = [(inside or {}).get(part, part) for part in path[4:]]
        if path[3] == "shared_expert_gate":
            return ".".join([*path[:3], "shared_gate"])
    return ".".join(path)


MIXTRAL_PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}


def experts_apart(tensors: Tensors) -> Tensors:
    """Cut the tensors that hold all experts of a layer in models of transformers 5, whose state dict has no others.

    `experts.gate_up_proj` is [experts, rows, channels] with the gate above the values, `experts.down_proj` likewise.
    """
    apart: Tensors = {}
    for name, value in tensors.items():
        place, _, part = name.partition(".mlp.experts.")
        if part not in ("gate_up_proj", "down_proj"):
            apart[name] = value
            continue
        rest = "output_linear.weight" if part == "down_proj" else "input_linear.weight"
        for number, one in enumerate(value):
            apart |= _gated(f"{place}.mlp.experts.{number}", rest, one)
    return apart


def name_experts(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Rename the router, and the layers of experts where they have Mixtral's names."""
    parts = {"gate": "router", "shared_expert": "shared"}
    return {expert(name, parts, MIXTRAL_PARTS): value for name, value in tensors.items()}


def granite_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, Layers]:
    """Return the experts of Granite, which all layers have, and the one that every token passes."""
    kind = source.word("position_embedding_type", "rope")
    require(kind == "rope", "position_embedding_type", "must be rope", kind)
    spec = ExpertsSpec(
        source.integer("num_local_experts"),
        source.integer("num_experts_per_tok"),
        source.integer("intermediate_size"),
        source.integer("shared_intermediate_size", 0, at_least=0),
    )
    return spec, ()


def part_experts(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut tensors that hold all experts of a layer, [experts, rows, channels], and their gates above their values."""
    parts: Tensors = {}
    for name, value in tensors.items():
        place, _, rest = name.partition(".mlp.")
        if rest == "router.layer.weight":
            parts[f"{place}.mlp.router.weight"] = value
        elif rest.startswith("shared."):
            parts |= _gated(f"{place}.mlp.shared", rest.removeprefix("shared."), value)
        elif rest in ("input_linear.weight", "output_linear.weight"):
            for number, one in enumerate(value):
                parts |= _gated(f"{place}.mlp.experts.{number}", rest, one)
        else:
            parts[name] = value
    return parts


def _gated(place: str, part: str, value: Tensor) -> Tensors:
    """Return the tensors of a gated layer by our names."""
    if part == "output_linear.weight":
        return {f"{place}.down_proj.weight": value}
    gate, up = value.tensor_split(2)
    return {f"{place}.gate_proj.weight": gate, f"{place}.up_proj.weight": up}
