"""Readers of checkpoints of other libraries: config, names of tensors and values of one model type each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..model import LanguageConfig
from .config import CheckpointConfig

Tensors = dict[str, Tensor]

# Rates of rotary positions and masks, which follow from the config: older libraries stored them in every layer.
COMPUTED = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
GATED = {"norm": "attn_norm", "mixer": "attn", "mlp_norm": "mlp_norm", "mlp": "mlp"}


def unchanged(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Return tensors that are already in our layout."""
    return tensors


@dataclass(frozen=True)
class CheckpointReader:
    """Config and tensors of a model type.

    Attributes:
        config: function from its config to ours.
        root: first part of its names, or parts, which our names do not have.
        outer: our names of the parts outside the blocks, by its names.
        block: its names of the parts of a block, by our names.
        other_parts: beginnings of the names of tensors that belong to other parts than the language model.
        also: our names of the parts of a block that have further names, by those.
        parts: our names of the parts of a mixer, by its names.
        mlp: the same of a feed-forward layer.
        change: function that turns its tensors, under our names, into ours; first called with tensors without memory.
        layers: its name of the list of blocks.
    """

    config: Callable[[CheckpointConfig], LanguageConfig]
    root: str = "model"
    outer: Mapping[str, str] = field(default_factory=dict)
    block: Mapping[str, str] = field(default_factory=lambda: GATED)
    parts: Mapping[str, str] = field(default_factory=dict)
    mlp: Mapping[str, str] = field(default_factory=dict)
    change: Callable[[Tensors, LanguageConfig], Tensors] = unchanged
    layers: str = "layers"
    also: Mapping[str, str] = field(default_factory=dict)
    other_parts: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Return whether a tensor is a weight of the language model."""
        return not name.startswith(self.other_parts) and not name.endswith(COMPUTED)

    def ours(self, name: str) -> str:
        """Return our name of a tensor: `model.layers.0.attn.q_proj.weight` is `layers.0.mixer.q_proj.weight`."""
        path = name.removeprefix(f"{self.root}.").split(".")
        if path[0] != self.layers or len(path) < 3:
            return ".".join([self.outer.get(path[0], path[0]), *path[1:]])
        # `block` is by our names, for errors; here it is turned around.
        our_parts = {theirs: ours for ours, theirs in self.block.items()} | dict(self.also)
        block = our_parts.get(path[2], path[2])
        inside = {"mixer": self.parts, "mlp": self.mlp}.get(block, {})
        rest = path[3:]
        if rest:
            rest[0] = inside.get(rest[0], rest[0])
        return ".".join(["layers", path[1], block, *rest])

    def theirs(self, name: str) -> str:
        """Return its name of one of our tensors, for errors; the usual one where it has two for a part."""
        path = name.split(".")
        if path[0] != "layers" or len(path) < 3:
            outer = _usual(self.outer).get(path[0], path[0])
            # The head lies beside the model, not in it.
            root = [self.root] if self.root and path[0] != "lm_head" else []
            return ".".join([*root, outer, *path[1:]])
        inside = {"mixer": self.parts, "mlp": self.mlp}.get(path[2], {})
        if len(path) > 3:
            path[3] = _usual(inside).get(path[3], path[3])
        path[2] = self.block.get(path[2], path[2])
        path[0] = self.layers
        if self.root:
            path = [self.root, *path]
        return ".".join(path)


def _usual(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names turned around; the first where there are several."""
    return {ours: theirs for theirs, ours in reversed(list(names.items()))}
