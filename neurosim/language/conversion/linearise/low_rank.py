"""Low-rank changes of linear layers: trained beside frozen weights, then merged into them (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...attention.model import LanguageModel


@final
class LowRankLinear(nn.Module):
    """y = (W + (alpha / r) B A) x + b, W and b frozen; A is drawn, B starts at 0: nothing changes at first."""

    def __init__(self, dense: nn.Linear, rank: int, alpha: float, seed: int) -> None:
        super().__init__()
        self.dense = dense
        self.gain = alpha / rank
        self.in_features = dense.in_features
        self.out_features = dense.out_features
        draws = torch.Generator().manual_seed(seed)
        a = torch.randn(rank, dense.in_features, generator=draws) / math.sqrt(dense.in_features)
        self.a = nn.Parameter(a.to(dense.weight))
        self.b = nn.Parameter(dense.weight.new_zeros(dense.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        # A x first: r numbers a token, where B A would have the size of W.
        return self.dense(x) + F.linear(F.linear(x, self.a), self.b) * self.gain

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return the dense layer with the change added to its weight."""
        self.dense.weight += self.gain * self.b @ self.a
        return self.dense


def add_low_rank(
    model: LanguageModel, names: Iterable[str], rank: int, alpha: float, seed: int
) -> dict[str, nn.Parameter]:
    """Put a low-rank change beside each linear layer of those names; return the new parameters by name."""
    added: dict[str, nn.Parameter] = {}
    for i, name in enumerate(names):
        layer = LowRankLinear(model.get_submodule(name), rank, alpha, seed + i)  # type: ignore[arg-type]
        _put(model, name, layer)
        added |= {f"{name}.a": layer.a, f"{name}.b": layer.b}
    return added


def merge_low_rank(model: LanguageModel) -> None:
    """Add every low-rank change to its layer's weight, and put the dense layers back."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LowRankLinear):
            _put(model, name, module.merged())


def _put(model: LanguageModel, name: str, layer: nn.Module) -> None:
    """Replace the module of this name."""
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)
