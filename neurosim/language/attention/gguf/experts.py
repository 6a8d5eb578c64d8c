"""Layers of experts in GGUF files, whose experts lie in one tensor: [experts, rows, channels]."""

from __future__ import annotations

from ..huggingface.reader import Tensors
from ..model import LanguageConfig
from .metadata import Metadata

NAMES = {"ffn_gate_inp": "mlp.router"}
NAMES |= {f"ffn_{part}_exps": f"mlp.experts.{part}_proj" for part in ("gate", "up", "down")}
NAMES |= {f"ffn_{part}_shexp": f"mlp.shared.{part}_proj" for part in ("gate", "up", "down")}


def counts(meta: Metadata) -> dict[str, object]:
    """Return the entries of the numbers of experts, of the layer and of a token."""
    scale = meta.number("expert_weights_scale", 1.0)
    if scale not in (0.0, 1.0):
        meta.refuse("expert_weights_scale", "must be 1: weights of experts are not scaled here", scale)
    return {
        "num_local_experts": meta.integer("expert_count"),
        "num_experts_per_tok": meta.integer("expert_used_count"),
    }


def apart(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut the tensors of all experts of a layer into those of each."""
    changed: Tensors = {}
    for name, value in tensors.items():
        head, inside, rest = name.partition(".experts.")
        if not inside:
            changed[name] = value
            continue
        for number in range(len(value)):
            changed[f"{head}.experts.{number}.{rest}"] = value[number]
    return changed
